//! Mailboxes: list, form, detail, and what can be done with one.

use actix_web::web;
use serde::Deserialize;

use super::attention::{self, Overview};
use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::integrations::Fact;
use super::views::mailboxes::{MailboxDetail, MailboxForm, MailboxList, MailboxRow, MailboxValues, Outcome};
use super::views::parts::{Badge, Choice, Confirm, FormErrors, Tone};
use super::{failure, test_runs, words};
use crate::access::{Projects, Role};
use crate::grant::GrantState;
use crate::integration::{self, Flow};
use crate::mailbox::{self, Mailbox, MailboxError, MailboxInput, Sending};
use crate::trouble::FieldError;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};
use crate::{message, project, schedule};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/mailboxes", Guard::Role(Role::Viewer), || web::to(list)),
    Route::post("/mailboxes", Guard::Role(Role::ProjectAdmin), || web::to(create)),
    Route::get("/mailboxes/new", Guard::Role(Role::ProjectAdmin), || web::to(new)),
    Route::get("/mailboxes/{id}", Guard::Role(Role::Viewer), || web::to(detail)),
    Route::post("/mailboxes/{id}", Guard::Role(Role::ProjectAdmin), || {
        web::to(update)
    }),
    Route::get("/mailboxes/{id}/edit", Guard::Role(Role::ProjectAdmin), || {
        web::to(edit)
    }),
    Route::post("/mailboxes/{id}/poll", Guard::Role(Role::ProjectAdmin), || {
        web::to(poll)
    }),
    Route::post("/mailboxes/{id}/pause", Guard::Role(Role::ProjectAdmin), || {
        web::to(pause)
    }),
    Route::post("/mailboxes/{id}/resume", Guard::Role(Role::ProjectAdmin), || {
        web::to(resume)
    }),
    Route::get("/mailboxes/{id}/delete", Guard::Role(Role::ProjectAdmin), || {
        web::to(confirm_delete)
    }),
    Route::post("/mailboxes/{id}/delete", Guard::Role(Role::ProjectAdmin), || {
        web::to(delete)
    }),
];

const DAY_MS: i64 = 24 * 3_600_000;

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let projects = project::list(&desk.ctx, &desk.access().projects()).await?;
    let rows = overview.mailboxes.iter().map(|mailbox| MailboxRow {
        id: mailbox.id.clone(),
        name: mailbox.name.clone(),
        address: mailbox.login_name.clone(),
        project: projects
            .iter()
            .find(|project| project.id == mailbox.project_id)
            .map(|project| project.key.clone())
            .unwrap_or_default(),
        state: words::mailbox_badge(mailbox),
        last_mail: mailbox.last_mail_at.map(|at| words::when(now, at)),
        next_poll: next_look(mailbox, now).map(|at| words::when(now, at)),
    });
    let mailboxes = rows.collect();
    desk.show(&MailboxList {
        page: desk.page_with("Mailboxes", Section::Mailboxes, &overview).await?,
        mailboxes,
    })
}

/// When it looks again; none while it is paused or being read.
fn next_look(mailbox: &Mailbox, now: i64) -> Option<i64> {
    let is_read = mailbox.lease_until > now;
    (!mailbox.paused && !is_read).then_some(mailbox.next_poll_at)
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    grant: String,
    #[serde(default)]
    project: String,
}

/// The form of a new mailbox, filled as far as grant and provider tell.
async fn new(desk: Desk, given: web::Query<Given>) -> Answer {
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let mut input = MailboxInput {
        project_id: given.project.clone(),
        ..MailboxInput::default()
    };
    let grant = overview
        .grant(&given.grant)
        .or_else(|| usable(&overview).next().filter(|_| given.grant.is_empty()));
    if let Some(grant) = grant {
        input.grant_id.clone_from(&grant.id);
        if let Some(integration) = overview.integration(&grant.integration_id) {
            let (provider, tenant) = (integration.provider, &integration.tenant);
            let preset = integration::preset(provider, tenant, integration.cloud, integration.flow);
            input.host = preset.imap_host;
            if !preset.smtp_host.is_empty() {
                input.smtp = Sending {
                    host: preset.smtp_host,
                    port: preset.smtp_port.into(),
                    tls: preset.smtp_tls.to_owned(),
                    signed_replies: true,
                    ..Sending::default()
                };
            }
            if integration.flow == Flow::AuthorizationCode {
                input.login_name.clone_from(&grant.identity);
                input.name.clone_from(&grant.identity);
            }
        }
    }
    let form = Form {
        input,
        ..Form::default()
    };
    desk.show(&view(&desk, None, &form, FormErrors::default()).await?)
}

fn usable(overview: &Overview) -> impl Iterator<Item = &crate::grant::Grant> {
    overview
        .grants
        .iter()
        .filter(|grant| grant.state != GrantState::Revoked)
}

/// What the form holds.
#[derive(Default)]
struct Form {
    input: MailboxInput,
    /// The port as typed, if it is no number.
    port: Option<String>,
    /// The port for sending as typed, if it is no number.
    smtp_port: Option<String>,
    start_date: String,
    revision: String,
    folders: Vec<String>,
}

impl Form {
    fn of(data: &FormData, errors: &mut FormErrors) -> Self {
        let text = |name: &str| data.text(name).to_owned();
        let port: Result<i64, _> = data.text("port").parse();
        let smtp_port: Result<i64, _> = data.text("smtp_port").parse();
        let start_date = text("start_date");
        let start_from = match data.text("start_from") {
            "date" if start_date.is_empty() => {
                errors.add("start_date", "Choose the date from which on mail is taken.");
                "now".to_owned()
            }
            "date" => start_date.clone(),
            other => other.to_owned(),
        };
        Self {
            port: port.is_err().then(|| text("port")),
            smtp_port: smtp_port.is_err().then(|| text("smtp_port")),
            input: MailboxInput {
                name: text("name"),
                project_id: text("project_id"),
                grant_id: text("grant_id"),
                protocol: "imap".to_owned(),
                host: text("host"),
                port: port.unwrap_or(0),
                tls: text("tls"),
                login_name: text("login_name"),
                folder: text("folder"),
                start_from,
                after_ingest: text("after_ingest"),
                move_to: text("move_to"),
                schedule: text("schedule"),
                idle: data.is_checked("idle"),
                smtp: Sending {
                    host: text("smtp_host"),
                    port: smtp_port.unwrap_or(0),
                    tls: text("smtp_tls"),
                    login_name: text("smtp_login_name"),
                    from: text("smtp_from"),
                    signed_replies: data.is_checked("smtp_signed_replies"),
                },
                trusted_authserv_ids: names(data.text("trusted_authserv_ids")),
            },
            start_date,
            revision: text("revision"),
            folders: vec![],
        }
    }

    fn stored(mailbox: &Mailbox) -> Self {
        let named = ["now", "unread", "all"].contains(&mailbox.start_from.as_str());
        Self {
            input: MailboxInput::of(mailbox),
            port: None,
            smtp_port: None,
            start_date: if named {
                String::new()
            } else {
                mailbox.start_from.clone()
            },
            revision: mailbox.revision.to_string(),
            folders: vec![],
        }
    }

    fn values(&self) -> MailboxValues {
        let input = &self.input;
        MailboxValues {
            name: input.name.clone(),
            host: input.host.clone(),
            port: self.port.clone().unwrap_or_else(|| input.port.to_string()),
            login_name: input.login_name.clone(),
            folder: input.folder.clone(),
            start_date: self.start_date.clone(),
            move_to: input.move_to.clone(),
            schedule: input.schedule.clone(),
            idle: input.idle,
            smtp_host: input.smtp.host.clone(),
            smtp_port: self
                .smtp_port
                .clone()
                .unwrap_or_else(|| input.smtp.port.to_string()),
            smtp_login_name: input.smtp.login_name.clone(),
            smtp_from: input.smtp.from.clone(),
            trusted_authserv_ids: input.trusted_authserv_ids.join(", "),
            smtp_signed_replies: input.smtp.signed_replies,
            revision: self.revision.clone(),
        }
    }
}

/// Names with commas or space between them.
fn names(text: &str) -> Vec<String> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

async fn view(
    desk: &Desk,
    stored: Option<&Mailbox>,
    form: &Form,
    errors: FormErrors,
) -> Result<MailboxForm, Problem> {
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let title = stored.map_or_else(
        || "New mailbox".to_owned(),
        |found| format!("Edit {}", found.name),
    );
    let path = stored.map_or_else(
        || "/mailboxes".to_owned(),
        |found| format!("/mailboxes/{}", found.id),
    );
    let has_begun = match stored {
        Some(found) => mailbox::reading(&desk.ctx, found).await?.is_some(),
        None => false,
    };
    let input = &form.input;
    let folders = form.folders.iter();
    Ok(MailboxForm {
        page: desk.page_with(title, Section::Mailboxes, &overview).await?,
        id: stored.map(|found| found.id.clone()),
        action: path.clone(),
        back: path,
        values: form.values(),
        grants: grants(&overview, &input.grant_id),
        projects: projects(desk, &input.project_id).await?,
        tls_modes: tls_modes(&input.tls),
        smtp_tls_modes: smtp_tls_modes(&input.smtp.tls),
        starts: if has_begun {
            vec![]
        } else {
            starts(&input.start_from)
        },
        afters: afters(&input.after_ingest),
        folders: folders
            .map(|name| Choice::new(name, name, *name == input.folder))
            .collect(),
        next_runs: next_runs(desk, &input.schedule),
        errors,
    })
}

fn grants(overview: &Overview, chosen: &str) -> Vec<Choice> {
    overview
        .grants
        .iter()
        .filter(|grant| grant.state != GrantState::Revoked || grant.id == chosen)
        .map(|grant| {
            let through = overview
                .integration(&grant.integration_id)
                .map(|integration| integration.name.as_str())
                .unwrap_or_default();
            let label = format!("{} ({through})", words::account_of(grant));
            Choice::new(&grant.id, label, grant.id == chosen)
        })
        .collect()
}

async fn projects(desk: &Desk, chosen: &str) -> Result<Vec<Choice>, Problem> {
    let all = project::list(&desk.ctx, &desk.access().projects()).await?;
    let choice = |project: project::Project| {
        Choice::new(
            &project.id,
            format!("{} {}", project.key, project.name),
            project.id == chosen,
        )
    };
    Ok(all.into_iter().map(choice).collect())
}

fn tls_modes(chosen: &str) -> Vec<Choice> {
    [
        ("implicit", "Implicit TLS (port 993)"),
        ("starttls", "STARTTLS (port 143)"),
        ("none", "None (loopback and allowed networks only)"),
    ]
    .into_iter()
    .map(|(value, label)| Choice::new(value, label, value == chosen))
    .collect()
}

fn smtp_tls_modes(chosen: &str) -> Vec<Choice> {
    [
        ("implicit", "Implicit TLS (port 465)"),
        ("starttls", "STARTTLS (port 587)"),
    ]
    .into_iter()
    .map(|(value, label)| Choice::new(value, label, value == chosen))
    .collect()
}

fn starts(chosen: &str) -> Vec<Choice> {
    let named = ["now", "unread", "all"].contains(&chosen);
    [
        ("now", "Mail that arrives from now on", ""),
        (
            "unread",
            "Unread mail too",
            "What the server says is unread now, and all that arrives.",
        ),
        (
            "all",
            "Everything in the folder",
            "Each conversation becomes a ticket.",
        ),
        ("date", "Everything since a date", ""),
    ]
    .into_iter()
    .map(|(value, label, hint)| {
        let selected = value == chosen || (value == "date" && !named);
        Choice::new(value, label, selected).with_hint(hint)
    })
    .collect()
}

fn afters(chosen: &str) -> Vec<Choice> {
    [
        ("leave", "Leave it untouched"),
        ("mark_seen", "Mark it as read"),
        ("move", "Move it to another folder"),
    ]
    .into_iter()
    .map(|(value, label)| Choice::new(value, label, value == chosen))
    .collect()
}

fn next_runs(desk: &Desk, expression: &str) -> String {
    let mut runs = Vec::new();
    let mut after = desk.ctx.clock.now();
    while runs.len() < 3
        && let Some(next) = schedule::next_after(expression, after)
    {
        let is_today = next.date_naive() == desk.ctx.clock.now().date_naive();
        runs.push(
            next.format(if is_today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" })
                .to_string(),
        );
        after = next;
    }
    if runs.is_empty() {
        return String::new();
    }
    format!("Next: {} UTC", runs.join(", "))
}

async fn create(desk: Desk, data: FormData) -> Answer {
    let mut errors = FormErrors::default();
    let form = Form::of(&data, &mut errors);
    if data.text("action") == "folders" {
        return ask_folders(&desk, None, form).await;
    }
    if !errors.is_empty() {
        return desk.show_again(&view(&desk, None, &form, errors).await?);
    }
    match mailbox::create(
        &desk.ctx,
        &desk.access().projects(),
        desk.actor(),
        form.input.clone(),
    )
    .await
    {
        Ok(made) => {
            // Whoever made a mailbox wants to see whether it works.
            let test =
                mailbox::start_test(&desk.ctx, &desk.access().projects(), desk.actor(), &made.id).await?;
            let text = format!("The mailbox “{}” is saved. This is its first test.", made.name);
            desk.done(text, &format!("/tests/{test}")).await
        }
        Err(error) => refused(&desk, None, form, error).await,
    }
}

async fn refused(desk: &Desk, stored: Option<&Mailbox>, form: Form, error: MailboxError) -> Answer {
    let mut errors = FormErrors::default();
    match error {
        MailboxError::Invalid(found) => add(&mut errors, found),
        MailboxError::Trouble(trouble) => errors.add("", failure::sentence(&trouble)),
        MailboxError::Conflict => errors.add(
            "",
            "The mailbox was changed meanwhile. Open the form again and repeat the change.",
        ),
        error => return Err(error.into()),
    }
    desk.show_again(&view(desk, stored, &form, errors).await?)
}

fn add(errors: &mut FormErrors, found: Vec<FieldError>) {
    for error in found {
        let field = match error.field {
            "projectId" => "project_id",
            "grantId" => "grant_id",
            "loginName" => "login_name",
            "smtp/host" => "smtp_host",
            "smtp/port" => "smtp_port",
            "smtp/tls" => "smtp_tls",
            "smtp/loginName" => "smtp_login_name",
            "smtp/from" => "smtp_from",
            "startFrom" => "start_date",
            "afterIngest" => "after_ingest",
            "moveTo" => "move_to",
            "trustedAuthservIds" => "trusted_authserv_ids",
            field => field,
        };
        let mut text = error.message;
        if let Some(first) = text.get(..1) {
            text = format!("{}{}", first.to_uppercase(), text.get(1..).unwrap_or_default());
        }
        errors.add(field, text);
    }
}

/// Asks the server for its folders and shows the form again. Nothing is saved.
async fn ask_folders(desk: &Desk, stored: Option<&Mailbox>, mut form: Form) -> Answer {
    match mailbox::folders_for(&desk.ctx, &desk.access().projects(), form.input.clone()).await {
        Ok(found) => {
            form.folders = found
                .into_iter()
                .filter(|folder| folder.selectable)
                .map(|folder| folder.name)
                .collect();
            if !form.folders.contains(&form.input.folder) && !form.input.folder.is_empty() {
                form.folders.insert(0, form.input.folder.clone());
            }
            desk.show(&view(desk, stored, &form, FormErrors::default()).await?)
        }
        Err(MailboxError::Trouble(trouble)) => {
            let errors = FormErrors::default().with("folder", &failure::sentence(&trouble));
            desk.show_again(&view(desk, stored, &form, errors).await?)
        }
        Err(error) => refused(desk, stored, form, error).await,
    }
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let stored = mailbox::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let form = Form::stored(&stored);
    desk.show(&view(&desk, Some(&stored), &form, FormErrors::default()).await?)
}

async fn update(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let stored = mailbox::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let mut errors = FormErrors::default();
    let mut form = Form::of(&data, &mut errors);
    if !data.has("start_from") {
        // The form of a mailbox that has begun to read does not ask.
        form.input.start_from.clone_from(&stored.start_from);
    }
    if data.text("action") == "folders" {
        return ask_folders(&desk, Some(&stored), form).await;
    }
    if !errors.is_empty() {
        return desk.show_again(&view(&desk, Some(&stored), &form, errors).await?);
    }
    let revision = form.revision.parse().unwrap_or(0);
    match mailbox::update(
        &desk.ctx,
        &desk.access().projects(),
        desk.actor(),
        &id,
        revision,
        form.input.clone(),
    )
    .await
    {
        Ok(_) => {
            desk.done("The mailbox is saved.", &format!("/mailboxes/{id}"))
                .await
        }
        Err(error) => refused(&desk, Some(&stored), form, error).await,
    }
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    let now = desk.now();
    let ctx = &desk.ctx;
    let found = mailbox::get(ctx, &desk.access().projects(), &id).await?;
    let overview = Overview::load(ctx, desk.access()).await?;
    let project = project::get(ctx, &Projects::All, &found.project_id).await?;
    let grant = overview.grant(&found.grant_id);
    // A dead grant is the root, and has the button that helps.
    let problem = grant
        .and_then(|grant| overview.of_grant(grant, now))
        .filter(|_| !found.paused)
        .or_else(|| {
            let trouble = found.trouble().filter(|_| !found.paused)?;
            Some(attention::of_failing(&found, trouble, now))
        });
    desk.show(&MailboxDetail {
        page: desk.here(
            desk.page_with(found.name.clone(), Section::Mailboxes, &overview)
                .await?,
            &found.project_id,
        ),
        id: found.id.clone(),
        address: found.login_name.clone(),
        state: words::mailbox_badge(&found),
        activity: activity(&found, now),
        paused: found.paused,
        problem,
        tiles: tiles(&desk, &found).await?,
        cursor: cursor(&desk, &found).await?,
        facts: facts(&found),
        grant_href: format!("/grants/{}", found.grant_id),
        grant: grant.map(words::account_of).unwrap_or_default(),
        project_href: format!("/projects/{}", project.id),
        project: project.key,
        outcomes: outcomes(&desk, &found).await?,
        tests: test_runs::history(&desk, &found.id).await?,
    })
}

fn activity(mailbox: &Mailbox, now: i64) -> String {
    if mailbox.paused {
        return "Nothing is read until it is resumed.".to_owned();
    }
    let next = words::relative(now, mailbox.next_poll_at);
    match (mailbox.state.as_str(), mailbox.lease_until > now) {
        ("failing", false) => format!("Tries again {next}."),
        ("failing", true) => "Trying again now.".to_owned(),
        ("ok", true) if mailbox.idle => "Connected: the server tells about new mail at once.".to_owned(),
        (_, true) => "Reading now.".to_owned(),
        ("ok", false) => format!("Looks again {next}."),
        _ => "Will be read for the first time in a moment.".to_owned(),
    }
}

async fn tiles(desk: &Desk, mailbox: &Mailbox) -> Result<Vec<Fact>, Problem> {
    let now = desk.now();
    let ago =
        |at: Option<i64>, never: &str| at.map_or_else(|| never.to_owned(), |at| words::relative(now, at));
    let next = next_look(mailbox, now).map_or_else(
        || if mailbox.paused { "Paused" } else { "Connected" }.to_owned(),
        |at| words::relative(now, at.max(now)),
    );
    let mail = message::count_since(
        &desk.ctx,
        &desk.access().projects(),
        now - DAY_MS,
        Some(&mailbox.id),
    )
    .await?;
    Ok(vec![
        Fact::new("Last mail", ago(mailbox.last_mail_at, "None yet")),
        Fact::new("Last looked", ago(mailbox.last_success_at, "Never")),
        Fact::new("Looks again", next),
        Fact::new("Mail in 24 hours", words::number(mail.messages)),
    ])
}

async fn cursor(desk: &Desk, mailbox: &Mailbox) -> Result<Vec<Fact>, Problem> {
    let mut facts = vec![Fact::exact("Folder", &mailbox.folder)];
    match mailbox::reading(&desk.ctx, mailbox).await? {
        Some(cursor) => {
            facts.push(Fact::exact("UIDVALIDITY", cursor.uid_validity.to_string()));
            facts.push(Fact::exact("Read up to UID", cursor.last_uid.to_string()));
            facts.push(Fact::exact("Began after UID", cursor.start_uid.to_string()));
        }
        None => facts.push(Fact::new("Read up to", "Not read yet")),
    }
    Ok(facts)
}

/// What is read and what happens to it, in one sentence.
pub(super) fn in_a_sentence(mailbox: &Mailbox) -> String {
    let start = match mailbox.start_from.as_str() {
        "now" => "from now on",
        "unread" => "with what is unread",
        "all" => "from the first mail on",
        _ => "from a date on",
    };
    let after = match mailbox.after_ingest.as_str() {
        "mark_seen" => "marks it as read",
        "move" => "moves it to another folder",
        _ => "changes nothing on the server",
    };
    format!("Reads {} {start} and {after}.", mailbox.folder)
}

fn facts(mailbox: &Mailbox) -> Vec<Fact> {
    let tls = match mailbox.tls.as_str() {
        "implicit" => "implicit TLS",
        "starttls" => "STARTTLS",
        _ => "no TLS",
    };
    let start = match mailbox.start_from.as_str() {
        "now" => format!("Mail that arrived after {} (UTC)", words::day(mailbox.created_at)),
        "unread" => "Unread mail, and all that came later".to_owned(),
        "all" => "Everything".to_owned(),
        date => format!("Mail since {date}"),
    };
    let after = match mailbox.after_ingest.as_str() {
        "mark_seen" => "Marked as read".to_owned(),
        "move" => format!("Moved to {}", mailbox.move_to),
        _ => "Left untouched".to_owned(),
    };
    let idle = if mailbox.idle { ", and IDLE" } else { "" };
    let sending = if mailbox.smtp_host.is_empty() {
        "Nothing is sent".to_owned()
    } else {
        format!(
            "{}:{} as {}",
            mailbox.smtp_host, mailbox.smtp_port, mailbox.smtp_from
        )
    };
    let trusted = match mailbox.trusted_servers() {
        servers if servers.is_empty() => "No: no mail server is trusted".to_owned(),
        servers => format!("By {}", servers.join(", ")),
    };
    vec![
        Fact::exact("Server", format!("{}:{}, {tls}", mailbox.host, mailbox.port)),
        Fact::exact("Sending", sending),
        Fact::exact("Login name", &mailbox.login_name),
        Fact::exact("Schedule", format!("{}{idle}", mailbox.schedule)),
        Fact::new("Started from", start),
        Fact::new("Afterwards", after),
        Fact::new("Verifies senders", trusted),
    ]
}

async fn outcomes(desk: &Desk, mailbox: &Mailbox) -> Result<Vec<Outcome>, Problem> {
    let now = desk.now();
    let recent = mailbox::recent(&desk.ctx, &mailbox.id, 50).await?;
    let shown = |outcome: mailbox::Outcome| {
        let (state, reason) = became(&outcome);
        Outcome {
            when: words::when(now, outcome.created_at),
            uid: u64::try_from(outcome.uid).unwrap_or(0),
            state,
            reason,
            subject: outcome.subject,
            from: outcome.from_email,
            ticket: Some(outcome.ticket_key).filter(|key| !key.is_empty()),
        }
    };
    Ok(recent.into_iter().map(shown).collect())
}

fn became(outcome: &mailbox::Outcome) -> (Badge, String) {
    let plain = |tone, word: &str| (Badge::new(tone, word), String::new());
    match (outcome.outcome.as_str(), outcome.message_state.as_str()) {
        ("duplicate_of", _) => (
            Badge::new(Tone::Muted, "Duplicate"),
            "The mailbox had the very same mail already".to_owned(),
        ),
        ("vanished", _) => (
            Badge::new(Tone::Muted, "Gone"),
            "It was removed from the server before it could be read".to_owned(),
        ),
        (_, "quarantined") => (Badge::new(Tone::Warn, "Quarantine"), outcome.problem.clone()),
        (_, "dropped") => (Badge::new(Tone::Muted, "Dropped"), outcome.problem.clone()),
        (_, "ticketed") if outcome.opened => plain(Tone::Ok, "Ticket opened"),
        (_, "ticketed") => plain(Tone::Ok, "Joined"),
        _ => plain(Tone::Busy, "Stored"),
    }
}

async fn poll(desk: Desk, id: web::Path<String>) -> Answer {
    mailbox::poll_now(&desk.ctx, &desk.access().projects(), &id).await?;
    desk.done("The mailbox is being looked at now.", &format!("/mailboxes/{id}"))
        .await
}

async fn pause(desk: Desk, id: web::Path<String>) -> Answer {
    mailbox::pause(&desk.ctx, &desk.access().projects(), desk.actor(), &id, None).await?;
    desk.done(
        "The mailbox is paused. Its mail waits on the server.",
        &format!("/mailboxes/{id}"),
    )
    .await
}

async fn resume(desk: Desk, id: web::Path<String>) -> Answer {
    mailbox::resume(&desk.ctx, &desk.access().projects(), desk.actor(), &id, None).await?;
    desk.done(
        "The mailbox goes on where it stopped.",
        &format!("/mailboxes/{id}"),
    )
    .await
}

async fn confirm_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let found = mailbox::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let messages = message::count_since(&desk.ctx, &desk.access().projects(), 0, Some(&found.id))
        .await?
        .messages;
    desk.show(&Confirm {
        page: desk
            .page(format!("Delete the mailbox {}?", found.name), Section::Mailboxes)
            .await?,
        consequences: vec![
            "Mailgrant stops reading it and forgets how far it was read.".to_owned(),
            "Its settings and tests are deleted.".to_owned(),
        ],
        kept: vec![
            "The mail on the server stays.".to_owned(),
            "The grant stays; another mailbox can use it.".to_owned(),
        ],
        blocked: (messages > 0).then(|| {
            format!(
                "It has brought {}, which would be lost with it. Pause it instead.",
                words::count(messages, "message")
            )
        }),
        action: format!("/mailboxes/{}/delete", found.id),
        fields: vec![],
        button: "Delete".to_owned(),
        cancel: format!("/mailboxes/{}", found.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>) -> Answer {
    match mailbox::delete(&desk.ctx, &desk.access().projects(), desk.actor(), &id, None).await {
        Ok(()) => desk.done("The mailbox is deleted.", "/mailboxes").await,
        Err(MailboxError::HasMessages(n)) => {
            let text = format!("It has {}; pause it instead.", words::count(n, "message"));
            desk.failed(text, &format!("/mailboxes/{id}")).await
        }
        Err(error) => Err(error.into()),
    }
}
