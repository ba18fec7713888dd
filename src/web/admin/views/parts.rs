//! The small pieces that views are made of: badges, times, problems, test steps, form errors, drawings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::page::{Page, Section};
use crate::render::View;

/// How a badge or a line looks. Never the only sign of a state: an icon and a word go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Works.
    Ok,
    /// Works, but will not for long, or not fully.
    Warn,
    /// Does not work.
    Bad,
    /// For information.
    Info,
    /// Happening now.
    Busy,
    /// Off, paused, not yet.
    Muted,
}

/// A state in one or two words.
#[derive(Debug, Clone, Serialize)]
pub struct Badge {
    /// Colour and icon.
    pub tone: Tone,
    /// The word, for example "Active".
    pub word: String,
}

impl Badge {
    /// A badge.
    pub fn new(tone: Tone, word: impl Into<String>) -> Self {
        Self {
            tone,
            word: word.into(),
        }
    }
}

/// A moment, worded for people and exact for machines.
#[derive(Debug, Clone, Serialize)]
pub struct When {
    /// Relative to now: "3 minutes ago", "in 12 days".
    pub text: String,
    /// RFC 3339, for the `datetime` attribute.
    pub iso: String,
    /// Exact, for people: "2026-11-23 01:29 UTC".
    pub exact: String,
}

impl When {
    /// A moment from its three wordings.
    pub fn new(text: impl Into<String>, iso: impl Into<String>, exact: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            iso: iso.into(),
            exact: exact.into(),
        }
    }

    /// An example.
    #[must_use]
    pub fn sample(text: &str) -> Self {
        Self::new(text, "2026-11-23T01:29:04Z", "2026-11-23 01:29:04 UTC")
    }
}

/// A drawing in one colour: a square of so many units, and a path in it.
#[derive(Debug, Clone, Serialize)]
pub struct Drawing {
    /// The path, as SVG writes it.
    pub path: String,
    /// Width and height, units.
    pub size: u32,
}

/// One option of a list to choose from.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    /// What the form sends.
    pub value: String,
    /// What the page shows.
    pub label: String,
    /// One more line, or empty.
    pub hint: String,
    /// Whether it is chosen.
    pub selected: bool,
}

impl Choice {
    /// An option without a hint.
    pub fn new(value: impl Into<String>, label: impl Into<String>, selected: bool) -> Self {
        Self {
            value: value.into(),
            label: label.into(),
            hint: String::new(),
            selected,
        }
    }

    /// The same option with one more line.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// What is wrong in a form: listed on top with links to the fields, and again beside each field.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FormErrors {
    /// In the order of the form.
    pub list: Vec<FieldError>,
    /// The same by field name, for the template.
    pub by: BTreeMap<String, String>,
}

/// One mistake.
#[derive(Debug, Clone, Serialize)]
pub struct FieldError {
    /// The field's name, which is also its id; empty when the mistake belongs to no single field.
    pub field: String,
    /// What is wrong and what to enter instead.
    pub text: String,
}

impl FormErrors {
    /// Adds a mistake; the first one of a field is the one shown beside it.
    pub fn add(&mut self, field: impl Into<String>, text: impl Into<String>) {
        let (field, text) = (field.into(), text.into());
        self.by.entry(field.clone()).or_insert_with(|| text.clone());
        self.list.push(FieldError { field, text });
    }

    /// The same errors with one more.
    #[must_use]
    pub fn with(mut self, field: &str, text: &str) -> Self {
        self.add(field, text);
        self
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Something to do about a problem: a link, or a button that posts.
#[derive(Debug, Clone, Serialize)]
pub struct Action {
    /// The words on it.
    pub label: String,
    /// The local path it leads or posts to.
    pub href: String,
    /// Whether it posts (it changes something) instead of leading to a page.
    pub post: bool,
}

impl Action {
    /// A link to a page.
    pub fn link(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            href: href.into(),
            post: false,
        }
    }

    /// A button that changes something.
    pub fn post(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            href: href.into(),
            post: true,
        }
    }
}

/// Something that does not work: what, why, the provider's word for it, and what to do.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// [`Tone::Bad`] or [`Tone::Warn`].
    pub tone: Tone,
    /// What does not work: "Support mailbox cannot sign in".
    pub title: String,
    /// Why, in words.
    pub cause: String,
    /// The provider's code, as it came: `invalid_grant`, `AADSTS700082`.
    pub code: Option<String>,
    /// What to do about it.
    pub remedy: String,
    /// Since when.
    pub since: Option<When>,
    /// The button.
    pub action: Option<Action>,
}

impl Problem {
    /// An example.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            tone: Tone::Bad,
            title: "help@example.org cannot be read".to_owned(),
            cause: "Google refused the refresh token: the consent was revoked or the password changed."
                .to_owned(),
            code: Some("invalid_grant".to_owned()),
            remedy: "Reconnect the account. The mailbox goes on where it stopped; nothing is lost."
                .to_owned(),
            since: Some(When::sample("12 minutes ago")),
            action: Some(Action::post("Reconnect", "/grants/grt_01/reconnect")),
        }
    }
}

/// The state of one step of a connection test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Going on.
    Running,
    /// Passed.
    Ok,
    /// Passed, but look at it.
    Warn,
    /// Failed.
    Fail,
    /// Not tried, because an earlier step failed or it does not apply.
    Skipped,
}

/// One step of a connection test, as the page and the event stream show it.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Machine name, unique in its test: `dns`, `tcp`, `tls`, `authenticate`, …
    pub name: String,
    /// Name for people: "TLS".
    pub title: String,
    /// How it went.
    pub state: StepState,
    /// How long it took, in milliseconds.
    pub ms: Option<u64>,
    /// What was found.
    pub detail: String,
    /// Why it failed or warns.
    pub cause: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// A connection test: a list of steps that grows while it runs.
///
/// Live: `GET {events}` is an event stream. Event `step` carries a [`Step`] as JSON and replaces the step of
/// the same `name` or is added; event `done` carries `{"tone","word","summary"}` and ends it. With
/// `Last-Event-ID` or without, the stream may start from the first step again: the script replaces by name.
#[derive(Debug, Clone, Serialize)]
pub struct TestLog {
    /// The test's id.
    pub id: String,
    /// The verdict, or "Running".
    pub state: Badge,
    /// Whether more steps will come.
    pub running: bool,
    /// One sentence about the whole.
    pub summary: String,
    /// When it started.
    pub started: When,
    /// Who started it.
    pub by: String,
    /// The steps so far.
    pub steps: Vec<Step>,
    /// Path of the event stream.
    pub events: String,
    /// Path of the test's own page.
    pub href: String,
}

impl TestLog {
    fn sample_step(name: &str, title: &str, ms: u64, detail: &str) -> Step {
        Step {
            name: name.to_owned(),
            title: title.to_owned(),
            state: StepState::Ok,
            ms: Some(ms),
            detail: detail.to_owned(),
            cause: None,
            remedy: None,
        }
    }

    /// A test in which all went well.
    #[must_use]
    pub fn sample_ok() -> Self {
        let step = Self::sample_step;
        let mut steps = vec![
            step("dns", "DNS", 4, "imap.example.org → 203.0.113.10, 2001:db8::10"),
            step("tcp", "TCP", 18, "Connected to 203.0.113.10 port 993"),
            step(
                "tls",
                "TLS",
                41,
                "TLS 1.3; certificate for imap.example.org, 12 days left",
            ),
            step("greeting", "Greeting", 9, "* OK Gimap ready"),
            step(
                "capability",
                "Capability",
                11,
                "AUTH=XOAUTH2, SASL-IR, IDLE, UIDPLUS",
            ),
            step(
                "token",
                "Token",
                212,
                "Refreshed; scope https://mail.example.org/; 59 minutes left",
            ),
            step("authenticate", "Sign in", 160, "Signed in as help@example.org"),
            step("folder", "Folder", 22, "INBOX: 1,284 messages, UIDVALIDITY 7"),
            step(
                "newest",
                "Newest message",
                31,
                "“Printer on floor 3 is on fire again” from Grace Hopper",
            ),
        ];
        steps[2].state = StepState::Warn;
        steps[2].cause = Some("The server's certificate expires in 12 days.".to_owned());
        steps[2].remedy = Some("Tell whoever runs imap.example.org to renew it.".to_owned());
        Self {
            id: "tst_01".to_owned(),
            state: Badge::new(Tone::Warn, "Passed with warnings"),
            running: false,
            summary: "Mail can be read. One thing deserves a look.".to_owned(),
            started: When::sample("just now"),
            by: "Ada Lovelace".to_owned(),
            steps,
            events: "/tests/tst_01/events".to_owned(),
            href: "/tests/tst_01".to_owned(),
        }
    }

    /// A test that failed at sign-in.
    #[must_use]
    pub fn sample_failed() -> Self {
        let mut log = Self::sample_ok();
        log.state = Badge::new(Tone::Bad, "Failed");
        log.summary = "Stopped at “Sign in”.".to_owned();
        log.steps.truncate(7);
        if let Some(last) = log.steps.last_mut() {
            last.state = StepState::Fail;
            last.detail =
                "The server refused the token: {\"status\":\"400\",\"scope\":\"https://mail.example.org/\"}"
                    .to_owned();
            last.cause = Some("IMAP is switched off for this account.".to_owned());
            last.remedy = Some("Switch IMAP on in the account's mail settings, then test again.".to_owned());
        }
        log.steps.push(Step {
            name: "folder".to_owned(),
            title: "Folder".to_owned(),
            state: StepState::Skipped,
            ms: None,
            detail: "Not tried".to_owned(),
            cause: None,
            remedy: None,
        });
        log
    }

    /// A test that is going on.
    #[must_use]
    pub fn sample_running() -> Self {
        let mut log = Self::sample_ok();
        log.state = Badge::new(Tone::Busy, "Running");
        log.running = true;
        log.summary = "Each step appears as it happens.".to_owned();
        log.steps.truncate(3);
        if let Some(last) = log.steps.last_mut() {
            last.state = StepState::Running;
            last.ms = None;
            last.detail = "Shaking hands".to_owned();
            last.cause = None;
            last.remedy = None;
        }
        log
    }
}

/// One line of a test history.
#[derive(Debug, Clone, Serialize)]
pub struct TestRow {
    /// Path of the test's page.
    pub href: String,
    /// The verdict.
    pub state: Badge,
    /// When it ran.
    pub started: When,
    /// Who started it.
    pub by: String,
    /// One sentence.
    pub summary: String,
}

impl TestRow {
    /// Examples.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        let row = |tone, word: &str, text: &str, summary: &str| Self {
            href: "/tests/tst_01".to_owned(),
            state: Badge::new(tone, word),
            started: When::sample(text),
            by: "Ada Lovelace".to_owned(),
            summary: summary.to_owned(),
        };
        vec![
            row(
                Tone::Ok,
                "Passed",
                "2 minutes ago",
                "All 9 steps passed in 508 ms.",
            ),
            row(
                Tone::Bad,
                "Failed",
                "3 days ago",
                "Stopped at “Sign in”: the refresh token was refused.",
            ),
        ]
    }
}

/// Links to other pages of a list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pager {
    /// Path of the first page; None on that page.
    pub first: Option<String>,
    /// Path of the next page.
    pub next: Option<String>,
    /// Where this is: "1–50 of 1,284".
    pub text: String,
}

/// A bar drawing with the same numbers as a table beside it.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    /// What is drawn: "Tickets per hour, last 24 hours".
    pub title: String,
    /// One sentence that says what the drawing shows.
    pub summary: String,
    /// The bars, left to right.
    pub bars: Vec<Bar>,
    /// Width of the drawing's coordinate system.
    pub width: u32,
    /// Its height without the labels below.
    pub height: u32,
    /// The number at the upper line.
    pub top: u64,
}

/// One bar, placed.
#[derive(Debug, Clone, Serialize)]
pub struct Bar {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Middle, where the label stands.
    pub middle: u32,
    /// "14:00"
    pub label: String,
    /// Whether the label is drawn: not all fit.
    pub labelled: bool,
    /// The number.
    pub value: u64,
}

impl Chart {
    const STEP: u32 = 30;
    const HEIGHT: u32 = 140;

    /// Places one bar for each (label, number).
    pub fn new(title: impl Into<String>, summary: impl Into<String>, values: &[(String, u64)]) -> Self {
        let top = nice_top(values.iter().map(|(_, value)| *value).max().unwrap_or(0));
        let mut bars = Vec::with_capacity(values.len());
        let mut x = 0;
        for (n, (label, value)) in values.iter().enumerate() {
            let scaled = u64::from(Self::HEIGHT).saturating_mul(*value) / top;
            let height = u32::try_from(scaled).unwrap_or(Self::HEIGHT).min(Self::HEIGHT);
            let height = if *value > 0 { height.max(3) } else { 0 };
            bars.push(Bar {
                x: x + 4,
                y: Self::HEIGHT - height,
                width: Self::STEP - 8,
                height,
                middle: x + Self::STEP / 2,
                label: label.clone(),
                labelled: n % 4 == 0,
                value: *value,
            });
            x += Self::STEP;
        }
        let (title, summary) = (title.into(), summary.into());
        Self {
            title,
            summary,
            bars,
            width: x.max(Self::STEP),
            height: Self::HEIGHT,
            top,
        }
    }
}

/// The next round number at or above `value`, at least 4, so that a lone ticket is no skyscraper.
fn nice_top(value: u64) -> u64 {
    let mut unit: u64 = 1;
    loop {
        for factor in [4, 5, 8, 10, 20] {
            let top = unit.saturating_mul(factor);
            if top >= value {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// A line of time from the first moment to the last, drawn with a mark for each.
#[derive(Debug, Clone, Serialize)]
pub struct Timeline {
    /// The moments, earliest first.
    pub marks: Vec<Mark>,
    /// How much of the line has passed, 0 to 1000.
    pub passed: u32,
}

/// One moment on the line.
#[derive(Debug, Clone, Serialize)]
pub struct Mark {
    /// Place on the line, 0 to 1000.
    pub x: u32,
    /// "Issued", "Refreshed", "Next refresh", "Expires".
    pub label: String,
    /// The moment.
    pub when: When,
    /// How its dot looks.
    pub tone: Tone,
}

impl Timeline {
    /// Places moments, given in seconds of any common epoch, at even distances, and `now` between them. The
    /// distances are even because a grant lives for months and a token for an hour: to scale, everything of
    /// interest would be one dot.
    #[must_use]
    pub fn new(mut moments: Vec<(i64, String, When, Tone)>, now: i64) -> Self {
        moments.sort_by_key(|(at, ..)| *at);
        let times: Vec<i64> = moments.iter().map(|(at, ..)| *at).collect();
        let gaps = times.len().saturating_sub(1).max(1);
        let place = |n: usize| u32::try_from(n * 1000 / gaps).unwrap_or(1000);
        let mut passed = 0;
        for (n, pair) in times.windows(2).enumerate() {
            let (from, to) = (pair[0], pair[1]);
            if now >= to {
                passed = place(n + 1);
            } else if now > from {
                let width = i64::from(place(n + 1) - place(n));
                let part = now.saturating_sub(from).saturating_mul(width) / to.saturating_sub(from).max(1);
                passed = place(n) + u32::try_from(part).unwrap_or(0);
            }
        }
        let marks = moments
            .into_iter()
            .enumerate()
            .map(|(n, (_, label, when, tone))| Mark {
                x: place(n),
                label,
                when,
                tone,
            })
            .collect();
        Self { marks, passed }
    }

    /// An example.
    #[must_use]
    pub fn sample() -> Self {
        Self::new(
            vec![
                (0, "Issued".to_owned(), When::sample("12 days ago"), Tone::Muted),
                (
                    600,
                    "Refreshed".to_owned(),
                    When::sample("22 minutes ago"),
                    Tone::Ok,
                ),
                (
                    2_400,
                    "Next refresh".to_owned(),
                    When::sample("in 26 minutes"),
                    Tone::Info,
                ),
                (
                    3_000,
                    "Access token expires".to_owned(),
                    When::sample("in 37 minutes"),
                    Tone::Warn,
                ),
            ],
            1_300,
        )
    }
}

/// A file to fetch.
#[derive(Debug, Clone, Serialize)]
pub struct Download {
    /// The file's name.
    pub name: String,
    /// Media type.
    pub kind: String,
    /// "9.1 kB"
    pub size: String,
    /// Local path.
    pub href: String,
    /// The page that shows it, if it is a mail.
    pub open_href: Option<String>,
}

/// *Are you sure?* for anything that cannot be undone: deleting an integration, a mailbox or a project, revoking
/// a grant. `GET` on the path it posts to.
///
/// Form: `POST {action}` with the hidden `fields`.
#[derive(Debug, Serialize)]
pub struct Confirm {
    /// The frame; its title is the question.
    pub page: Page,
    /// What will happen, one sentence each.
    pub consequences: Vec<String>,
    /// What stays.
    pub kept: Vec<String>,
    /// Why it cannot be done now. Then no button is shown.
    pub blocked: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// Hidden fields.
    pub fields: Vec<Choice>,
    /// The words on the button.
    pub button: String,
    /// The way back.
    pub cancel: String,
}

impl View for Confirm {
    const TEMPLATE: &'static str = "admin/confirm.html";

    fn samples() -> Vec<Self> {
        let confirm = |blocked: Option<&str>| Self {
            page: Page::sample("Revoke the grant of help@example.org?", Section::Grants),
            consequences: vec![
                "Mailgrant deletes both tokens and asks Google to revoke them.".to_owned(),
                "The mailbox “Support” stops until it is connected again.".to_owned(),
            ],
            kept: vec!["Tickets and stored mail stay.".to_owned()],
            blocked: blocked.map(str::to_owned),
            action: "/grants/grt_01/revoke".to_owned(),
            fields: vec![Choice::new("revision", "7", true)],
            button: "Revoke".to_owned(),
            cancel: "/grants/grt_01".to_owned(),
        };
        vec![
            confirm(None),
            confirm(Some("Two mailboxes still use it. Pause or delete them first.")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_the_drawing_and_the_smallest_number_is_visible() {
        let values: Vec<_> = [0, 1, 999, u64::MAX].map(|v| ("00:00".to_owned(), v)).into();
        let chart = Chart::new("t", "s", &values);
        assert!(chart.bars.iter().all(|bar| bar.y + bar.height == chart.height));
        assert_eq!(chart.bars[0].height, 0);
        assert_eq!(chart.bars[1].height, 3);
        assert_eq!(Chart::new("t", "s", &values[..3]).top, 1000);
        assert_eq!(Chart::new("t", "s", &[]).top, 4);
    }

    #[test]
    fn moments_stand_at_even_distances_and_now_between_its_neighbours() {
        let moment = |at: i64| (at, at.to_string(), When::sample("now"), Tone::Ok);
        let line = |now| Timeline::new(vec![moment(1_000_000), moment(0), moment(999_900)], now);
        assert_eq!(
            line(0).marks.iter().map(|m| m.x).collect::<Vec<_>>(),
            [0, 500, 1000]
        );
        assert_eq!(
            [-5, 0, 999_900, 999_950, 1_000_000, 2_000_000].map(|now| line(now).passed),
            [0, 0, 500, 750, 1000, 1000]
        );
        let alone = Timeline::new(vec![moment(5)], 5);
        assert_eq!((alone.marks[0].x, alone.passed), (0, 0));
        assert!(Timeline::new(vec![], 5).marks.is_empty());
    }

    #[test]
    fn the_first_mistake_of_a_field_is_the_one_beside_it() {
        let errors = FormErrors::default()
            .with("name", "taken")
            .with("name", "too long");
        assert_eq!(errors.list.len(), 2);
        assert_eq!(errors.by["name"], "taken");
    }
}
