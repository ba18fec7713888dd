//! `/tests/{id}`: a connection test, running or over.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::connection_test::{self, Run, Step, StepState, TestState};
use crate::ctx::Ctx;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, id, integer, list_of, object, text, time, word};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/tests", Guard::Scope(Scope::MailboxesRead), || {
        web::to(list)
    })
    .doc(|| {
        Doc::new("List connection tests")
            .about("From new to old; kept for 30 days.")
            .query("subjectId", text(), "Only of this mailbox or integration")
            .lists(test())
    }),
    Route::get("/api/v1/tests/{id}", Guard::Scope(Scope::MailboxesRead), || {
        web::to(get)
    })
    .doc(|| {
        Doc::new("Show a connection test")
            .about("Its steps appear one after the other; it is over when `state` is no longer `running`.")
            .answers(200, "The test so far", test())
    }),
];

/// A test as [`show`] writes it.
pub(super) fn test() -> Schema {
    let step = object([
        ("name", text().example("sign_in")),
        ("state", word(&["ok", "warn", "fail"])),
        ("ms", integer()),
        ("detail", text().or_null()),
        ("cause", text().or_null()),
        ("remedy", text().or_null()),
    ]);
    object([
        ("id", id("tst")),
        (
            "kind",
            text().about("What was tested: `mailbox`, `integration` and so on"),
        ),
        ("subjectId", text()),
        ("state", word(&["running", "ok", "warn", "failed"])),
        ("startedBy", text()),
        ("createdAt", time()),
        ("finishedAt", time().or_null()),
        ("steps", list_of(step)),
    ])
    .named("ConnectionTest")
}

fn show(run: &Run, steps: &[Step]) -> Value {
    json!({
        "id": run.id,
        "kind": run.kind,
        "subjectId": run.subject_id,
        "state": match run.state {
            TestState::Running => "running",
            TestState::Ok => "ok",
            TestState::Warn => "warn",
            TestState::Failed => "failed",
        },
        "startedBy": run.started_by,
        "createdAt": rfc3339(run.created_at),
        "finishedAt": output::time(run.finished_at),
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    json!({
        "name": step.name,
        "state": match step.state {
            StepState::Ok => "ok",
            StepState::Warn => "warn",
            StepState::Failed => "fail",
        },
        "ms": step.ms,
        "detail": output::text(&step.detail),
        "cause": output::text(&step.cause),
        "remedy": output::text(&step.remedy),
    })
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let subject = query.get("subjectId");
    let runs = connection_test::list(
        ctx.db.read(),
        &access.projects(),
        subject.as_deref(),
        query.after.as_deref(),
        query.limit + 1,
    )
    .await?;
    let mut shown = Vec::with_capacity(runs.len());
    for run in runs {
        let steps = connection_test::steps_of(ctx.db.read(), &run.id, 0).await?;
        shown.push((run, steps));
    }
    Ok(output::list_of(
        &query,
        shown,
        |(run, _)| &run.id,
        |(run, steps)| show(run, steps),
    ))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let run = connection_test::get(ctx.db.read(), &access.projects(), &id)
        .await?
        .ok_or_else(|| Problem::not_found("test"))?;
    let steps = connection_test::steps_of(ctx.db.read(), &run.id, 0).await?;
    Ok(HttpResponse::Ok().json(show(&run, &steps)))
}
