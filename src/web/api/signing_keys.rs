//! `/signing-keys`: what our authorization server signs with. Private keys are never answered.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::oauth2_server::{self, KeyInfo};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, input, object, text, time, word};
use crate::web::route::{Guard, Route};

const SITE: Guard = Guard::Site(Scope::Admin);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/signing-keys", SITE, || web::to(list)).doc(|| {
        Doc::new("List signing keys")
            .about("The keys that are published: those that sign, those that will, and those that did.")
            .lists(key())
    }),
    Route::post("/api/v1/signing-keys/rotate", SITE, || web::to(rotate)).doc(|| {
        Doc::new("Make new signing keys at once")
            .about("The old ones stay published for two days, unless `discard` says that they are in wrong hands.")
            .takes(input(&[], [("discard", boolean())]))
            .answers_nothing(204, "New keys sign")
    }),
];

fn key() -> Schema {
    object([
        ("kid", text()),
        ("alg", word(&["RS256", "ES256", "EdDSA"])),
        ("signs", boolean()),
        ("createdAt", time()),
        ("signsFrom", time()),
        ("signsUntil", time().or_null()),
        ("publishedUntil", time().or_null()),
    ])
    .named("SigningKey")
}

fn show(key: &KeyInfo, now: i64) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.alg,
        "signs": key.signs_at(now),
        "createdAt": rfc3339(key.created_at),
        "signsFrom": rfc3339(key.signs_from),
        "signsUntil": output::time(key.signs_until),
        "publishedUntil": output::time(key.published_until),
    })
}

async fn list(ctx: web::Data<Ctx>, query: Query) -> Result<HttpResponse, Problem> {
    let now = ctx.clock.now_ms();
    let all = oauth2_server::signing_keys(&ctx).await?;
    Ok(output::list_from_all(
        &query,
        all,
        |key| &key.kid,
        |key| show(key, now),
    ))
}

async fn rotate(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let discard = input.boolean("discard").unwrap_or(false);
    input.finish()?;
    oauth2_server::rotate_now(&ctx, access.actor(), discard)
        .await
        .map_err(|error| Problem::internal(&error))?;
    Ok(output::done())
}
