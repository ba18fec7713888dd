//! Rules: their order, the form of one, and trying it on mail that is here.

use actix_web::web;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Badge, Choice, Confirm, FormErrors, Tone};
use super::views::rules::{
    HeaderRow, ProjectRules, RuleForm, RuleList, RuleRow, RuleValues, TrialView, TriedRow,
};
use super::words;
use crate::access::Role;
use crate::rule::{
    self, Actions, FileMatch, HeaderMatch, How, KINDS, Matches, Outcome, Place, Rule, RuleError, RuleInput,
    TextMatch, Trial, VerdictMatch, definition, simulate,
};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};
use crate::{account, mailbox, project};

const ADMIN: Guard = Guard::Role(Role::ProjectAdmin);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/rules", ADMIN, || web::to(list)),
    Route::post("/rules", ADMIN, || web::to(create)),
    Route::get("/rules/new", ADMIN, || web::to(new)),
    Route::get("/rules/{id}", ADMIN, || web::to(edit)),
    Route::post("/rules/{id}", ADMIN, || web::to(update)),
    Route::post("/rules/{id}/up", ADMIN, || web::to(up)),
    Route::post("/rules/{id}/down", ADMIN, || web::to(down)),
    Route::post("/rules/{id}/enable", ADMIN, || web::to(enable)),
    Route::post("/rules/{id}/disable", ADMIN, || web::to(disable)),
    Route::get("/rules/{id}/delete", ADMIN, || web::to(confirm_delete)),
    Route::post("/rules/{id}/delete", ADMIN, || web::to(delete)),
];

/// Rows for header conditions that the form offers, and the most it takes.
const HEADER_ROWS: usize = 2;
const MAX_HEADER_ROWS: usize = 11;

async fn list(desk: Desk) -> Answer {
    let allowed = desk.access().projects();
    let rules = rule::list(&desk.ctx, &allowed).await?;
    let mut projects = Vec::new();
    for project in project::list(&desk.ctx, &allowed).await? {
        let own: Vec<&Rule> = rules
            .iter()
            .filter(|rule| rule.project_id == project.id)
            .collect();
        if own.is_empty() {
            continue;
        }
        let last = own.len();
        let rows = own.iter().enumerate().map(|(at, rule)| row(rule, at + 1, last));
        projects.push(ProjectRules {
            rules: rows.collect(),
            id: project.id,
            key: project.key,
            name: project.name,
        });
    }
    desk.show(&RuleList {
        page: desk.page("Rules", Section::Rules).await?,
        projects,
    })
}

fn row(rule: &Rule, position: usize, last: usize) -> RuleRow {
    RuleRow {
        id: rule.id.clone(),
        position: position as u64,
        name: rule.name.clone(),
        state: if rule.enabled {
            Badge::new(Tone::Ok, "On")
        } else {
            Badge::new(Tone::Muted, "Off")
        },
        enabled: rule.enabled,
        matches: conditions(&rule.matches),
        actions: actions(rule),
        up: position > 1,
        down: position < last,
    }
}

/// Which mail fits, in words.
fn conditions(found: &Matches) -> Vec<String> {
    let mut lines = Vec::new();
    let mut list = |what: &str, items: &[String]| {
        if !items.is_empty() {
            lines.push(format!("{what} {}", items.join(" or ")));
        }
    };
    list("Sender is", &found.sender);
    list("Recipient is", &found.recipient);
    list("Kind is", &found.kind);
    list("DMARC is", &found.authentication.dmarc);
    list("SPF is", &found.authentication.spf);
    list("DKIM is", &found.authentication.dkim);
    if let Some(subject) = &found.subject {
        lines.push(format!("Subject {} “{}”", how_word(subject.how), subject.value));
    }
    for header in &found.headers {
        lines.push(if header.value.is_empty() {
            format!("{} is there", header.name)
        } else {
            format!("{} {} “{}”", header.name, how_word(header.how), header.value)
        });
    }
    if let Some(file) = &found.attachment {
        let kind = [file.name.as_str(), file.media_type.as_str()];
        let kind: Vec<&str> = kind.into_iter().filter(|text| !text.is_empty()).collect();
        let with = if file.present { "With" } else { "Without" };
        lines.push(match kind.join(" of type ") {
            kind if kind.is_empty() => format!("{with} a file"),
            kind => format!("{with} a file {kind}"),
        });
    }
    match found.mailbox_ids.len() {
        0 => {}
        1 => lines.push("From one mailbox".to_owned()),
        more => lines.push(format!("From {more} mailboxes")),
    }
    if lines.is_empty() {
        lines.push("Every mail".to_owned());
    }
    lines
}

fn how_word(how: How) -> &'static str {
    match how {
        How::Contains => "contains",
        How::Glob => "fits",
        How::Regex => "matches",
    }
}

/// What is done, in words.
fn actions(rule: &Rule) -> Vec<String> {
    let done = &rule.actions;
    let mut lines = Vec::new();
    match done.place {
        Place::Default => {}
        Place::New => lines.push("A ticket of its own".to_owned()),
        Place::Ticket => lines.push(format!("Add to {}", done.ticket_key)),
        Place::Drop => lines.push("Drop it".to_owned()),
        Place::Quarantine => lines.push("Quarantine".to_owned()),
    }
    if !done.priority.is_empty() {
        lines.push(format!("Priority {}", done.priority));
    }
    if !done.labels.is_empty() {
        lines.push(format!("Labels {}", done.labels.join(", ")));
    }
    if !done.assignee_id.is_empty() {
        lines.push("Assign it".to_owned());
    }
    if !done.forward_to.is_empty() {
        lines.push(format!("Copy to {}", done.forward_to.join(", ")));
    }
    if !done.answer.is_empty() {
        lines.push("Answer automatically".to_owned());
    }
    if rule.stop {
        lines.push("Later rules are left out".to_owned());
    }
    lines
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    project: String,
}

async fn new(desk: Desk, given: web::Query<Given>) -> Answer {
    let input = RuleInput {
        project_id: given.project.clone(),
        enabled: true,
        ..RuleInput::default()
    };
    let form = Form {
        input,
        ..Form::default()
    };
    desk.show(&form.view(&desk, None, None, FormErrors::default()).await?)
}

/// What the form holds.
#[derive(Default)]
struct Form {
    input: RuleInput,
    revision: String,
    limit: String,
}

impl Form {
    fn of(data: &FormData) -> Self {
        let text = |name: &str| data.text(name).to_owned();
        let lines = |name: &str| definition::tidy_list(data.raw(name).split(['\n', '\r', ';']));
        let commas = |name: &str| definition::tidy_list(data.raw(name).split([',', '\n', '\r']));
        let how = |name: &str| How::parse(data.text(name)).unwrap_or_default();
        let headers = (1..=MAX_HEADER_ROWS).filter_map(|number| {
            let found = HeaderMatch {
                name: text(&format!("header_name_{number}")),
                how: how(&format!("header_how_{number}")),
                value: text(&format!("header_value_{number}")),
            };
            (!found.name.is_empty() || !found.value.is_empty()).then_some(found)
        });
        let file = FileMatch {
            present: data.text("attachment") != "absent",
            name: text("file_name"),
            media_type: text("file_type"),
        };
        let asks_for_files =
            !data.text("attachment").is_empty() || !file.name.is_empty() || !file.media_type.is_empty();
        let matches = Matches {
            sender: lines("sender"),
            recipient: lines("recipient"),
            subject: (!data.text("subject").is_empty()).then(|| TextMatch {
                how: how("subject_how"),
                value: text("subject"),
            }),
            headers: headers.collect(),
            kind: definition::tidy_list(data.all("kind")),
            attachment: asks_for_files.then_some(file),
            authentication: VerdictMatch {
                spf: commas("spf"),
                dkim: commas("dkim"),
                dmarc: commas("dmarc"),
            },
            mailbox_ids: definition::tidy_list(data.all("mailbox")),
        };
        let actions = Actions {
            place: Place::parse(data.text("place")).unwrap_or_default(),
            ticket_key: text("ticket_key"),
            priority: text("priority"),
            labels: commas("labels"),
            assignee_id: text("assignee_id"),
            forward_to: definition::tidy_list(data.raw("forward_to").split(['\n', '\r', ',', ';'])),
            answer: text("answer").replace("\r\n", "\n"),
        };
        Self {
            input: RuleInput {
                project_id: text("project_id"),
                name: text("name"),
                enabled: data.is_checked("enabled"),
                stop: data.is_checked("stop"),
                matches,
                actions,
            },
            revision: text("revision"),
            limit: text("limit"),
        }
    }

    fn stored(rule: &Rule) -> Self {
        Self {
            input: rule.input(),
            revision: rule.revision.to_string(),
            limit: String::new(),
        }
    }

    fn values(&self) -> RuleValues {
        let (found, done) = (&self.input.matches, &self.input.actions);
        let file = found.attachment.clone().unwrap_or_default();
        RuleValues {
            name: self.input.name.clone(),
            enabled: self.input.enabled,
            sender: found.sender.join("\n"),
            recipient: found.recipient.join("\n"),
            subject: found
                .subject
                .as_ref()
                .map(|text| text.value.clone())
                .unwrap_or_default(),
            file_name: file.name,
            file_type: file.media_type,
            spf: found.authentication.spf.join(", "),
            dkim: found.authentication.dkim.join(", "),
            dmarc: found.authentication.dmarc.join(", "),
            ticket_key: done.ticket_key.clone(),
            labels: done.labels.join(", "),
            forward_to: done.forward_to.join("\n"),
            answer: done.answer.clone(),
            stop: self.input.stop,
            revision: self.revision.clone(),
        }
    }

    async fn view(
        &self,
        desk: &Desk,
        stored: Option<&Rule>,
        trial: Option<TrialView>,
        errors: FormErrors,
    ) -> Result<RuleForm, Problem> {
        let input = &self.input;
        let title = stored.map_or_else(|| "New rule".to_owned(), |rule| rule.name.clone());
        let (found, done) = (&input.matches, &input.actions);
        Ok(RuleForm {
            page: desk.page(title, Section::Rules).await?,
            id: stored.map(|rule| rule.id.clone()),
            action: stored.map_or_else(|| "/rules".to_owned(), |rule| format!("/rules/{}", rule.id)),
            values: self.values(),
            projects: projects(desk, &input.project_id, stored.is_some()).await?,
            subject_hows: hows(found.subject.as_ref().map(|text| text.how).unwrap_or_default()),
            headers: header_rows(&found.headers),
            kinds: kinds(&found.kind),
            attachments: attachments(found.attachment.as_ref()),
            mailboxes: mailboxes(desk, stored, &found.mailbox_ids).await?,
            places: places(done.place),
            priorities: priorities(&done.priority),
            assignees: assignees(desk, &done.assignee_id).await?,
            limits: limits(&self.limit),
            trial,
            errors,
        })
    }
}

async fn projects(desk: &Desk, chosen: &str, fixed: bool) -> Result<Vec<Choice>, Problem> {
    let all = project::list(&desk.ctx, &desk.access().projects()).await?;
    let all = all.into_iter().filter(|project| !fixed || project.id == chosen);
    let choice = |project: project::Project| {
        let label = format!("{} {}", project.key, project.name);
        let is_chosen = project.id == chosen;
        Choice::new(project.id, label, is_chosen)
    };
    Ok(all.map(choice).collect())
}

fn hows(chosen: How) -> Vec<Choice> {
    [
        (How::Contains, "contains"),
        (How::Glob, "fits, with * and ?"),
        (How::Regex, "matches the regular expression"),
    ]
    .into_iter()
    .map(|(how, label)| Choice::new(how.as_str(), label, how == chosen))
    .collect()
}

fn header_rows(found: &[HeaderMatch]) -> Vec<HeaderRow> {
    let row = |(number, header): (usize, HeaderMatch)| HeaderRow {
        number,
        name: header.name,
        hows: hows(header.how),
        value: header.value,
    };
    let rows = (found.len() + 1).clamp(HEADER_ROWS, MAX_HEADER_ROWS);
    let filled = found
        .iter()
        .cloned()
        .chain(std::iter::repeat(HeaderMatch::default()));
    (1..=rows).zip(filled).map(row).collect()
}

fn kinds(chosen: &[String]) -> Vec<Choice> {
    KINDS
        .into_iter()
        .map(|kind| {
            let label = match kind.as_str() {
                "person" => "Written by a person",
                "bounce" => "Bounce",
                "auto-reply" => "Automatic answer",
                "report" => "Abuse report",
                _ => "Mailing list, newsletter, notification",
            };
            let is_chosen = chosen.iter().any(|one| one == kind.as_str());
            Choice::new(kind.as_str(), label, is_chosen)
        })
        .collect()
}

fn attachments(chosen: Option<&FileMatch>) -> Vec<Choice> {
    let value = chosen.map_or("", |file| if file.present { "present" } else { "absent" });
    [
        ("", "With or without"),
        ("present", "With a file"),
        ("absent", "Without such a file"),
    ]
    .into_iter()
    .map(|(one, label)| Choice::new(one, label, one == value))
    .collect()
}

async fn mailboxes(desk: &Desk, stored: Option<&Rule>, chosen: &[String]) -> Result<Vec<Choice>, Problem> {
    let allowed = desk.access().projects();
    let all = mailbox::list(&desk.ctx, &allowed).await?;
    let fitting = all
        .into_iter()
        .filter(|mailbox| stored.is_none_or(|rule| rule.project_id == mailbox.project_id));
    Ok(fitting
        .map(|mailbox| {
            let is_chosen = chosen.contains(&mailbox.id);
            Choice::new(mailbox.id, mailbox.name, is_chosen)
        })
        .collect())
}

fn places(chosen: Place) -> Vec<Choice> {
    [
        (
            Place::Default,
            "As without the rule",
            "It joins the ticket it answers, or opens a new one.",
        ),
        (Place::New, "A new ticket", "Also if it answers another."),
        (Place::Ticket, "Add to a ticket", "Always to the one named below."),
        (
            Place::Quarantine,
            "Quarantine",
            "It waits until a person lets it through or drops it.",
        ),
        (
            Place::Drop,
            "Drop it",
            "No ticket; the mail stays in the log and can be processed again.",
        ),
    ]
    .into_iter()
    .map(|(place, label, hint)| Choice::new(place.as_str(), label, place == chosen).with_hint(hint))
    .collect()
}

fn priorities(chosen: &str) -> Vec<Choice> {
    [
        ("", "As it is"),
        ("low", "Low"),
        ("normal", "Normal"),
        ("high", "High"),
        ("urgent", "Urgent"),
    ]
    .into_iter()
    .map(|(value, label)| Choice::new(value, label, value == chosen))
    .collect()
}

async fn assignees(desk: &Desk, chosen: &str) -> Result<Vec<Choice>, Problem> {
    let users = account::list(&desk.ctx.db, &desk.access().projects()).await?;
    let users = users
        .into_iter()
        .filter(|user| user.disabled_at.is_none() || user.id == chosen)
        .map(|user| {
            let label = format!("{} ({})", user.name, user.email);
            let is_chosen = user.id == chosen;
            Choice::new(user.id, label, is_chosen)
        });
    Ok(std::iter::once(Choice::new("", "Nobody", chosen.is_empty()))
        .chain(users)
        .collect())
}

fn limits(chosen: &str) -> Vec<Choice> {
    let chosen = if chosen.is_empty() { "200" } else { chosen };
    [
        ("50", "the newest 50 messages"),
        ("200", "the newest 200 messages"),
        ("1000", "the newest 1,000 messages"),
    ]
    .into_iter()
    .map(|(value, label)| Choice::new(value, label, value == chosen))
    .collect()
}

async fn create(desk: Desk, data: FormData) -> Answer {
    let form = Form::of(&data);
    if data.text("action") == "try" {
        return try_it(&desk, None, form).await;
    }
    match rule::create(&desk.ctx, &desk.access().projects(), form.input.clone()).await {
        Ok(made) => {
            let text = format!("The rule “{}” is saved. It is asked last.", made.name);
            desk.done(text, "/rules").await
        }
        Err(error) => refused(&desk, None, form, error).await,
    }
}

async fn refused(desk: &Desk, stored: Option<&Rule>, form: Form, error: RuleError) -> Answer {
    let mut errors = FormErrors::default();
    match error {
        RuleError::Invalid(found) => {
            for error in found {
                errors.add(field(error.field), error.message);
            }
        }
        RuleError::Conflict => errors.add(
            "",
            "The rule was changed meanwhile. Open it again and repeat the change.",
        ),
        error => return Err(error.into()),
    }
    desk.show_again(&form.view(desk, stored, None, errors).await?)
}

/// The field of the form for a field of the API.
fn field(name: &str) -> &str {
    match name {
        "projectId" => "project_id",
        "matches" | "matches/sender" => "sender",
        "matches/subject/value" | "matches/subject/how" => "subject",
        "matches/mailboxIds" => "mailbox",
        "matches/attachment/name" => "file_name",
        "matches/attachment/mediaType" => "file_type",
        "matches/attachment/present" => "attachment",
        "actions" | "actions/place" => "place",
        "actions/ticketKey" => "ticket_key",
        "actions/assigneeId" => "assignee_id",
        "actions/forwardTo" => "forward_to",
        other => other.rsplit('/').next().unwrap_or(other),
    }
}

/// Tries what stands in the form and shows it again with the result. Nothing is saved.
async fn try_it(desk: &Desk, stored: Option<&Rule>, form: Form) -> Answer {
    let project_id = stored.map_or_else(|| form.input.project_id.clone(), |rule| rule.project_id.clone());
    let trial = Trial {
        rule: Some(RuleInput {
            project_id: project_id.clone(),
            ..form.input.clone()
        }),
        project_id,
        rule_id: stored.map(|rule| rule.id.clone()).unwrap_or_default(),
        limit: form.limit.parse().unwrap_or(simulate::DEFAULT_MESSAGES),
        ..Trial::default()
    };
    match rule::simulate(&desk.ctx, &desk.access().projects(), &trial).await {
        Ok(outcome) => {
            let shown = outcome_view(&outcome, desk.now());
            desk.show(
                &form
                    .view(desk, stored, Some(shown), FormErrors::default())
                    .await?,
            )
        }
        Err(error) => refused(desk, stored, form, error).await,
    }
}

fn outcome_view(outcome: &Outcome, now: i64) -> TrialView {
    let count = |n: u64, one: &str| words::count(i64::try_from(n).unwrap_or(i64::MAX), one);
    let summary = match (outcome.looked_at, outcome.matched) {
        (0, _) => "The project has no mail yet to try it on.".to_owned(),
        (all, 0) if outcome.changed == 0 => format!("Of {}, this rule fits none.", count(all, "message")),
        (all, fitted) => format!(
            "Of {}, this rule fits {fitted}; {} would be treated otherwise than now.",
            count(all, "message"),
            outcome.changed
        ),
    };
    let row = |tried: &rule::Tried| TriedRow {
        id: tried.message_id.clone(),
        subject: tried.subject.clone(),
        from: tried.from.clone(),
        received: words::when(now, tried.received_at),
        ticket: tried.ticket_key.clone(),
        state: match (tried.changed, tried.matched) {
            (true, _) => Badge::new(Tone::Warn, "Otherwise"),
            (false, true) => Badge::new(Tone::Muted, "Fits, as now"),
            (false, false) => Badge::new(Tone::Muted, "As now"),
        },
        effects: tried.effects.clone(),
    };
    TrialView {
        summary,
        tickets: outcome.tickets.clone(),
        messages: outcome.messages.iter().map(row).collect(),
    }
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let stored = rule::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let form = Form::stored(&stored);
    desk.show(
        &form
            .view(&desk, Some(&stored), None, FormErrors::default())
            .await?,
    )
}

async fn update(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let allowed = desk.access().projects();
    let stored = rule::get(&desk.ctx, &allowed, &id).await?;
    let mut form = Form::of(&data);
    form.input.project_id.clone_from(&stored.project_id);
    if data.text("action") == "try" {
        return try_it(&desk, Some(&stored), form).await;
    }
    let seen = form.revision.parse().unwrap_or(0);
    match rule::update(&desk.ctx, &allowed, &id, seen, form.input.clone()).await {
        Ok(_) => desk.done("The rule is saved.", "/rules").await,
        Err(error) => refused(&desk, Some(&stored), form, error).await,
    }
}

async fn shift(desk: Desk, id: &str, up: bool) -> Answer {
    let rule = rule::shift(&desk.ctx, &desk.access().projects(), id, up).await?;
    let text = format!("“{}” is asked as number {} now.", rule.name, rule.position);
    desk.done(text, &format!("/rules#{id}")).await
}

async fn up(desk: Desk, id: web::Path<String>) -> Answer {
    shift(desk, &id, true).await
}

async fn down(desk: Desk, id: web::Path<String>) -> Answer {
    shift(desk, &id, false).await
}

async fn switch(desk: Desk, id: &str, enabled: bool) -> Answer {
    let allowed = desk.access().projects();
    let stored = rule::get(&desk.ctx, &allowed, id).await?;
    match rule::switch(&desk.ctx, &allowed, id, enabled).await {
        Ok(rule) => {
            let word = if enabled { "in force" } else { "switched off" };
            desk.done(format!("“{}” is {word}.", rule.name), &format!("/rules#{id}"))
                .await
        }
        // What it names may be gone: the form says which field.
        Err(error @ RuleError::Invalid(_)) => {
            refused(&desk, Some(&stored), Form::stored(&stored), error).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn enable(desk: Desk, id: web::Path<String>) -> Answer {
    switch(desk, &id, true).await
}

async fn disable(desk: Desk, id: web::Path<String>) -> Answer {
    switch(desk, &id, false).await
}

async fn confirm_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let rule = rule::get(&desk.ctx, &desk.access().projects(), &id).await?;
    desk.show(&Confirm {
        page: desk
            .page(format!("Delete the rule “{}”?", rule.name), Section::Rules)
            .await?,
        consequences: vec!["Mail that arrives from now on is treated without it.".to_owned()],
        kept: vec![
            "What it has done stays done, and every message still says which rules fitted it.".to_owned(),
        ],
        blocked: None,
        action: format!("/rules/{}/delete", rule.id),
        fields: vec![Choice::new("revision", rule.revision.to_string(), true)],
        button: "Delete".to_owned(),
        cancel: format!("/rules/{}", rule.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let seen = data.text("revision").parse().unwrap_or(0);
    rule::delete(&desk.ctx, &desk.access().projects(), &id, seen).await?;
    desk.done("The rule is deleted.", "/rules").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_words() {
        let found = Matches {
            sender: vec!["a@b.test".into(), "c.test".into()],
            subject: Some(TextMatch {
                how: How::Glob,
                value: "*invoice*".into(),
            }),
            attachment: Some(FileMatch {
                present: true,
                name: "*.pdf".into(),
                media_type: String::new(),
            }),
            ..Matches::default()
        };
        assert_eq!(
            conditions(&found),
            [
                "Sender is a@b.test or c.test",
                "Subject fits “*invoice*”",
                "With a file *.pdf"
            ]
        );
        assert_eq!(conditions(&Matches::default()), ["Every mail"]);
    }

    #[test]
    fn every_field_of_the_api_has_its_field_in_the_form() {
        for (api, form) in [
            ("matches/sender", "sender"),
            ("matches/authentication/dmarc", "dmarc"),
            ("actions/forwardTo", "forward_to"),
            ("actions/labels", "labels"),
            ("name", "name"),
        ] {
            assert_eq!(field(api), form);
        }
    }
}
