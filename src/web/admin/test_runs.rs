//! Connection tests: starting one, and following it live.

use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::Stream;
use serde_json::json;

use super::attention::Overview;
use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Action, Badge, Step, StepState, TestLog, TestRow, Tone};
use super::views::tests_page::TestPage;
use super::words::{self, Names};
use crate::access::{Projects, Role};
use crate::connection_test::{self, Run, TestState};
use crate::ctx::Ctx;
use crate::grant::GrantState;
use crate::web::error::Problem;
use crate::web::integration_test;
use crate::web::route::{Guard, Route};
use crate::{integration, mailbox};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::post("/mailboxes/{id}/tests", Guard::Role(Role::ProjectAdmin), || {
        web::to(test_mailbox)
    }),
    Route::post("/integrations/{id}/tests", Guard::Role(Role::SiteAdmin), || {
        web::to(test_integration)
    }),
    Route::get("/tests/{id}", Guard::Role(Role::ProjectAdmin), || web::to(page)),
    Route::get("/tests/{id}/events", Guard::Role(Role::ProjectAdmin), || {
        web::to(events)
    }),
];

/// A test that is older than this and still has no end was cut off by a stop of the service.
const LOST_MS: i64 = 10 * 60_000;
/// How often a running test is looked at for new steps.
const LOOK: Duration = Duration::from_millis(200);

async fn test_mailbox(desk: Desk, id: web::Path<String>) -> Answer {
    let test = mailbox::start_test(&desk.ctx, &desk.access().projects(), desk.actor(), &id).await?;
    desk.go(&format!("/tests/{test}"))
}

async fn test_integration(desk: Desk, id: web::Path<String>) -> Answer {
    let test = integration_test::start(&desk.ctx, desk.actor(), &id).await?;
    desk.go(&format!("/tests/{test}"))
}

async fn page(desk: Desk, id: web::Path<String>) -> Answer {
    let run = get(&desk.ctx, &desk.access().projects(), &id).await?;
    let log = log(&desk, &run).await?;
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let is_mailbox = run.kind == "mailbox";
    let (section, subject, subject_href) = if is_mailbox {
        let name = mailbox::get(&desk.ctx, &desk.access().projects(), &run.subject_id)
            .await
            .map(|found| found.name);
        let name = name.unwrap_or_else(|_| "that is gone".into());
        let href = format!("/mailboxes/{}", run.subject_id);
        (Section::Mailboxes, format!("Mailbox {name}"), href)
    } else {
        let name = integration::get(&desk.ctx, &desk.access().projects(), &run.subject_id)
            .await
            .map(|found| found.name);
        let name = name.unwrap_or_else(|_| "that is gone".into());
        let href = format!("/integrations/{}", run.subject_id);
        (Section::Integrations, format!("Integration {name}"), href)
    };
    let failed = run.state == TestState::Failed;
    desk.show(&TestPage {
        page: desk.page_with("Connection test", section, &overview).await?,
        subject,
        action: failed.then(|| remedy(&overview, &run, &subject_href)),
        again: format!("{subject_href}/tests"),
        subject_href,
        test: log,
    })
}

/// The button that leads to where the failure is mended.
fn remedy(overview: &Overview, run: &Run, subject_href: &str) -> Action {
    let dead = overview
        .mailboxes
        .iter()
        .find(|mailbox| mailbox.id == run.subject_id)
        .and_then(|mailbox| overview.grant(&mailbox.grant_id))
        .filter(|grant| matches!(grant.state, GrantState::NeedsReauth | GrantState::Revoked));
    match dead {
        Some(grant) => Action::post("Reconnect", format!("/grants/{}/reconnect", grant.id)),
        None => Action::link("Edit the settings", format!("{subject_href}/edit")),
    }
}

async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Run, Problem> {
    connection_test::get(ctx.db.read(), projects, id)
        .await?
        .ok_or_else(|| Problem::not_found("test"))
}

fn is_running(ctx: &Ctx, run: &Run) -> bool {
    run.state == TestState::Running && ctx.clock.now_ms() - run.created_at < LOST_MS
}

/// A test with its steps so far.
pub(super) async fn log(desk: &Desk, run: &Run) -> Result<TestLog, Problem> {
    let steps = connection_test::steps_of(desk.ctx.db.read(), &run.id, 0).await?;
    let steps: Vec<Step> = steps.iter().map(shown).collect();
    let running = is_running(&desk.ctx, run);
    Ok(TestLog {
        id: run.id.clone(),
        state: verdict(run, running),
        running,
        summary: summary(run, running, &steps),
        started: words::when(desk.now(), run.created_at),
        by: Names::load(&desk.ctx).await?.of(&run.started_by),
        steps,
        events: format!("/tests/{}/events", run.id),
        href: format!("/tests/{}", run.id),
    })
}

/// Earlier tests of a mailbox or an integration, newest first.
pub(super) async fn history(desk: &Desk, subject_id: &str) -> Result<Vec<TestRow>, Problem> {
    let names = Names::load(&desk.ctx).await?;
    let mut rows = Vec::new();
    for run in connection_test::of_subject(desk.ctx.db.read(), subject_id, 10).await? {
        let steps = connection_test::steps_of(desk.ctx.db.read(), &run.id, 0).await?;
        let steps: Vec<Step> = steps.iter().map(shown).collect();
        let running = is_running(&desk.ctx, &run);
        rows.push(TestRow {
            href: format!("/tests/{}", run.id),
            state: verdict(&run, running),
            started: words::when(desk.now(), run.created_at),
            by: names.of(&run.started_by),
            summary: summary(&run, running, &steps),
        });
    }
    Ok(rows)
}

fn verdict(run: &Run, running: bool) -> Badge {
    if run.state == TestState::Running && !running {
        return Badge::new(Tone::Muted, "Interrupted");
    }
    words::test_badge(run.state)
}

fn summary(run: &Run, running: bool, steps: &[Step]) -> String {
    let ms: u64 = steps.iter().filter_map(|step| step.ms).sum();
    let number = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    match run.state {
        TestState::Running if running => "Each step appears as it happens.".to_owned(),
        TestState::Running => "Mailgrant was stopped before the test ended; test again.".to_owned(),
        TestState::Ok => format!("All {} passed in {ms} ms.", words::count(number, "step")),
        TestState::Warn => {
            let found = steps.iter().filter(|step| step.state == StepState::Warn).count();
            let found = words::count(i64::try_from(found).unwrap_or(i64::MAX), "thing");
            format!("It works; {found} to look at.")
        }
        TestState::Failed => steps
            .iter()
            .find(|step| step.state == StepState::Fail)
            .map_or_else(
                || "It failed.".to_owned(),
                |step| format!("Failed at “{}”.", step.title),
            ),
    }
}

fn shown(step: &connection_test::Step) -> Step {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Step {
        name: step.name.clone(),
        title: title(&step.name),
        state: match step.state {
            connection_test::StepState::Ok => StepState::Ok,
            connection_test::StepState::Warn => StepState::Warn,
            connection_test::StepState::Failed => StepState::Fail,
        },
        ms: u64::try_from(step.ms).ok(),
        detail: step.detail.clone(),
        cause: some(&step.cause),
        remedy: some(&step.remedy),
    }
}

fn title(name: &str) -> String {
    match name {
        "dns" => return "DNS".to_owned(),
        "tcp" => return "TCP".to_owned(),
        "tls" => return "TLS".to_owned(),
        "authenticate" => return "Sign in".to_owned(),
        "smtp connect" => return "Sending: connection".to_owned(),
        "smtp tls" => return "Sending: TLS".to_owned(),
        "smtp capability" => return "Sending: what the server offers".to_owned(),
        "smtp authenticate" => return "Sending: sign in".to_owned(),
        _ => {}
    }
    let mut chars = name.chars();
    let first = chars
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

/// What is still to be told about a running test.
struct Watch {
    ctx: Ctx,
    projects: Projects,
    id: String,
    told: i64,
    over: bool,
}

/// The steps as they are stored, then the verdict. Begins with the first step.
async fn events(desk: Desk, id: web::Path<String>) -> Answer {
    let run = get(&desk.ctx, &desk.access().projects(), &id).await?;
    let watch = Watch {
        ctx: desk.ctx.get_ref().clone(),
        projects: desk.access().projects(),
        id: run.id,
        told: 0,
        over: false,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        // Proxies that collect an answer before they pass it on would make it less than live.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream(watch)))
}

fn stream(watch: Watch) -> impl Stream<Item = Result<Bytes, Problem>> {
    futures_util::stream::unfold(watch, |mut watch| async move {
        if watch.over {
            return None;
        }
        let next = watch.next().await;
        watch.over |= next.is_err();
        Some((next, watch))
    })
}

impl Watch {
    async fn next(&mut self) -> Result<Bytes, Problem> {
        loop {
            // The verdict is read before the steps: then no step can come after it.
            // A role that is taken away while the page is open counts from the next page on.
            let run = get(&self.ctx, &self.projects, &self.id).await?;
            let steps = connection_test::steps_of(self.ctx.db.read(), &self.id, self.told).await?;
            let mut text = String::new();
            for step in &steps {
                self.told += 1;
                text.push_str(&event("step", &json!(shown(step))));
            }
            if !is_running(&self.ctx, &run) {
                let all = connection_test::steps_of(self.ctx.db.read(), &self.id, 0).await?;
                let all: Vec<Step> = all.iter().map(shown).collect();
                let badge = verdict(&run, false);
                let end =
                    json!({ "tone": badge.tone, "word": badge.word, "summary": summary(&run, false, &all) });
                text.push_str(&event("done", &end));
                self.over = true;
            }
            if !text.is_empty() {
                return Ok(Bytes::from(text));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.ctx.stop.cancelled() => {
                    self.over = true;
                    return Ok(Bytes::from_static(b": the service stops\n\n"));
                }
            }
        }
    }
}

/// One event; JSON never holds a line break outside its escapes.
fn event(name: &str, data: &serde_json::Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
