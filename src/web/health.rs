//! Is the process alive, is it ready: for load balancers and for people who wait for a start.

use actix_web::{HttpResponse, web};
use sea_orm::ConnectionTrait;

use super::error::Problem;
use super::route::{Guard, Route};
use crate::ctx::Ctx;

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/livez", Guard::Public, || web::to(livez)),
    Route::get("/readyz", Guard::Public, || web::to(readyz)),
];

async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Ready: the database answers. That the migrations ran is true since the listener opened. A provider that is down is
/// not our readiness.
async fn readyz(ctx: web::Data<Ctx>) -> Result<HttpResponse, Problem> {
    let answered = ctx.db.read().execute_unprepared("SELECT 1").await;
    match answered {
        Ok(_) if !ctx.stop.is_cancelled() => Ok(HttpResponse::Ok().content_type("text/plain").body("ok\n")),
        Ok(_) => Ok(unready("stopping\n")),
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            Ok(unready("the database does not answer\n"))
        }
    }
}

fn unready(why: &'static str) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .insert_header((super::error::DRESSED, "1"))
        .content_type("text/plain")
        .body(why)
}
