//! The first page: what needs attention, then how things are going.

use serde::Serialize;

use super::page::{FlashKind, Page, Section};
use super::parts::{Action, Badge, Chart, Problem, Tone, When};
use crate::render::View;

/// `GET /`. Refreshes its regions by itself every few seconds where scripts run.
///
/// Forms: the buttons of `problems`; in the demo `POST /demo/connect` (no fields) and `POST /demo/faults` with
/// `fault` = one of [`Fault::name`].
#[derive(Debug, Serialize)]
pub struct Dashboard {
    /// The frame.
    pub page: Page,
    /// What needs attention, the worst first.
    pub problems: Vec<Problem>,
    /// Figures on top.
    pub tiles: Vec<Tile>,
    /// All mailboxes with their last mail. Empty: the page shows one primary button instead of everything.
    pub mailboxes: Vec<MailboxLine>,
    /// Tickets per hour.
    pub chart: Chart,
    /// What expires next: client secrets, grants, certificates; soonest first.
    pub expiries: Vec<Expiry>,
    /// The newest tickets.
    pub tickets: Vec<TicketLine>,
    /// The demo's switches, in the demo.
    pub demo: Option<DemoPanel>,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Tile {
    /// Name of an icon.
    pub icon: String,
    /// What is counted.
    pub label: String,
    /// The number, worded.
    pub value: String,
    /// One more line, or empty.
    pub note: String,
}

/// One mailbox on the dashboard.
#[derive(Debug, Clone, Serialize)]
pub struct MailboxLine {
    /// `mbx_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// The account it reads.
    pub address: String,
    /// Its state.
    pub state: Badge,
    /// When the last mail came.
    pub last_mail: Option<When>,
    /// When it last looked for mail.
    pub last_poll: Option<When>,
}

/// Something that expires.
#[derive(Debug, Clone, Serialize)]
pub struct Expiry {
    /// What: "Client secret of Google".
    pub what: String,
    /// Where to look at it.
    pub href: String,
    /// When.
    pub when: When,
    /// How urgent.
    pub state: Badge,
}

/// One of the newest tickets.
#[derive(Debug, Clone, Serialize)]
pub struct TicketLine {
    /// `HELP-42`
    pub key: String,
    /// Its subject.
    pub subject: String,
    /// Who wrote.
    pub requester: String,
    /// When it was opened or answered.
    pub updated: When,
}

/// The demo's own panel.
#[derive(Debug, Clone, Serialize)]
pub struct DemoPanel {
    /// Whether the demo mailbox is connected; before, only the button to connect it is shown.
    pub connected: bool,
    /// What can be broken and restored.
    pub faults: Vec<Fault>,
}

/// Something the demo can break on purpose.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// `expire_token`, `revoke_consent`, `cut_connection`, `refuse_tls` or `restore`.
    pub name: String,
    /// The words on the button.
    pub label: String,
    /// What will be seen.
    pub text: String,
    /// Name of an icon.
    pub icon: String,
    /// Whether it is broken now.
    pub active: bool,
}

impl Fault {
    /// All buttons of the demo. `active` tells which faults are in force.
    pub fn all(active: impl Fn(&str) -> bool) -> Vec<Self> {
        [
            (
                "expire_token",
                "Expire the token",
                "Mailgrant gets a new one by itself; nothing else happens.",
                "hourglass",
            ),
            (
                "revoke_consent",
                "Revoke the consent",
                "The grant needs a person: cause, code and Reconnect appear above.",
                "shield-x",
            ),
            (
                "cut_connection",
                "Cut the connection",
                "The mail server stops answering; polls back off and recover.",
                "plug-connected-x",
            ),
            (
                "refuse_tls",
                "Refuse TLS",
                "The server refuses secure connections; the mailbox fails, with the cause above.",
                "certificate-off",
            ),
            (
                "restore",
                "Restore everything",
                "All faults end; mail that waited arrives.",
                "rotate-clockwise",
            ),
        ]
        .into_iter()
        .map(|(name, label, text, icon)| Self {
            name: name.to_owned(),
            label: label.to_owned(),
            text: text.to_owned(),
            icon: icon.to_owned(),
            active: active(name),
        })
        .collect()
    }
}

impl Dashboard {
    fn sample_empty(demo: Option<DemoPanel>) -> Self {
        let mut page = Page::sample("Dashboard", Section::Dashboard);
        page.demo = demo.is_some();
        Self {
            page,
            problems: vec![],
            tiles: vec![],
            mailboxes: vec![],
            chart: Chart::new("Tickets per hour, last 24 hours", "No tickets yet.", &[]),
            expiries: vec![],
            tickets: vec![],
            demo,
        }
    }

    fn sample_full(demo: bool) -> Self {
        let tile = |icon: &str, label: &str, value: &str, note: &str| Tile {
            icon: icon.to_owned(),
            label: label.to_owned(),
            value: value.to_owned(),
            note: note.to_owned(),
        };
        let mailbox =
            |id: &str, name: &str, address: &str, tone, word: &str, last: Option<&str>| MailboxLine {
                id: id.to_owned(),
                name: name.to_owned(),
                address: address.to_owned(),
                state: Badge::new(tone, word),
                last_mail: last.map(When::sample),
                last_poll: Some(When::sample("20 seconds ago")),
            };
        let expiry = |what: &str, href: &str, when: &str, tone, word: &str| Expiry {
            what: what.to_owned(),
            href: href.to_owned(),
            when: When::sample(when),
            state: Badge::new(tone, word),
        };
        let ticket = |key: &str, subject: &str, requester: &str| TicketLine {
            key: key.to_owned(),
            subject: subject.to_owned(),
            requester: requester.to_owned(),
            updated: When::sample("4 minutes ago"),
        };
        let hours: Vec<_> = (0..24_u64)
            .map(|h| (format!("{h:02}:00"), (h * 7) % 11))
            .collect();
        let mut page = Page::sample("Dashboard", Section::Dashboard)
            .with_flash(FlashKind::Ok, "The mailbox “Support” is connected.");
        page.attention = 2;
        page.demo = demo;
        let mut second = Problem::sample();
        second.tone = Tone::Warn;
        second.title = "Microsoft: the client secret expires in 6 days".to_owned();
        second.cause = "After that, no grant of this integration can be refreshed.".to_owned();
        second.code = None;
        second.remedy =
            "Make a new secret at Microsoft and save it here; the old one may overlap.".to_owned();
        second.action = Some(Action::link("Enter a new secret", "/integrations/int_02/edit"));
        Self {
            page,
            problems: vec![Problem::sample(), second],
            tiles: vec![
                tile("mailbox", "Mailboxes reading", "2 of 3", "1 needs you"),
                tile("ticket", "Open tickets", "48", "6 opened today"),
                tile("mail", "Mail in 24 hours", "131", "0 could not be parsed"),
                tile("key", "Grants active", "2 of 3", "Next refresh in 26 minutes"),
            ],
            mailboxes: vec![
                mailbox(
                    "mbx_01",
                    "Support",
                    "help@example.org",
                    Tone::Bad,
                    "Needs you",
                    Some("12 minutes ago"),
                ),
                mailbox(
                    "mbx_02",
                    "Sales",
                    "sales@example.com",
                    Tone::Ok,
                    "Waiting for mail",
                    Some("4 minutes ago"),
                ),
                mailbox(
                    "mbx_03",
                    "Archive",
                    "old@example.net",
                    Tone::Muted,
                    "Paused",
                    None,
                ),
            ],
            chart: Chart::new(
                "Tickets per hour, last 24 hours",
                "118 tickets in 24 hours; the most, 10, at 03:00.",
                &hours,
            ),
            expiries: vec![
                expiry(
                    "Client secret of Microsoft",
                    "/integrations/int_02",
                    "in 6 days",
                    Tone::Warn,
                    "Soon",
                ),
                expiry(
                    "Grant of sales@example.com",
                    "/grants/grt_02",
                    "in 37 minutes",
                    Tone::Ok,
                    "Automatic",
                ),
            ],
            tickets: vec![
                ticket("HELP-42", "Printer on floor 3 is on fire again", "Grace Hopper"),
                ticket("HELP-41", "請求書の件について", "田中 花子"),
            ],
            demo: demo.then(|| DemoPanel {
                connected: true,
                faults: Fault::all(|name| name == "revoke_consent"),
            }),
        }
    }
}

impl View for Dashboard {
    const TEMPLATE: &'static str = "admin/dashboard.html";

    fn samples() -> Vec<Self> {
        let mut calm = Self::sample_full(false);
        calm.problems.clear();
        calm.page.attention = 0;
        calm.page.flash = None;
        vec![
            Self::sample_empty(None),
            Self::sample_full(false),
            calm,
            Self::sample_empty(Some(DemoPanel {
                connected: false,
                faults: Fault::all(|_| false),
            })),
            Self::sample_full(true),
        ]
    }
}
