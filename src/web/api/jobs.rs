//! `/jobs`: what happens without anybody asking, when, and how it went.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::Query;
use super::output;
use crate::access::Scope;
use crate::ctx::Ctx;
use crate::jobs::{self, JobRun};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, object, text, time};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/jobs", Guard::Site(Scope::Admin), || web::to(list)).doc(|| {
        Doc::new("List jobs")
            .about("The timetable, with the last run of each.")
            .lists(job())
    }),
    Route::post("/api/v1/jobs/{name}/run", Guard::Site(Scope::Admin), || {
        web::to(run)
    })
    .doc(|| {
        Doc::new("Run a job now")
            .about("Within a second, on any node; the timetable goes on as before.")
            .begins("It is due now")
    }),
];

/// A job as [`show`] writes it.
fn job() -> Schema {
    object([
        ("id", text().example("refresh_grants")),
        ("schedule", text().about("Cron expression, seconds first, UTC")),
        ("running", boolean()),
        ("nextRunAt", time().or_null()),
        ("lastRunAt", time().or_null()),
        (
            "lastError",
            text().or_null().about("Null if the last run went well"),
        ),
    ])
    .named("Job")
}

fn show(job: &JobRun) -> Value {
    json!({
        "id": job.name,
        "schedule": job.schedule,
        "running": job.running,
        "nextRunAt": output::time(Some(job.next_run_at).filter(|at| *at > 0)),
        "lastRunAt": output::time(job.last_run_at),
        "lastError": output::text(&job.last_error),
    })
}

async fn list(ctx: web::Data<Ctx>, query: Query) -> Result<HttpResponse, Problem> {
    let all = jobs::list(&ctx).await?;
    Ok(output::list_from_all(&query, all, |job| &job.name, show))
}

async fn run(ctx: web::Data<Ctx>, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    if !jobs::run_now(&ctx, &name).await? {
        return Err(Problem::not_found("job"));
    }
    Ok(output::accepted("/api/v1/jobs", &name))
}
