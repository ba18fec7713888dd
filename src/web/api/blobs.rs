//! `/blobs`: the raw bytes of mails and their attachments, and links to them that work for a while without a token.

use actix_web::{HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::input::Input;
use super::messages::refused;
use super::output::download;
use crate::access::{Access, Projects, Scope};
use crate::clock::rfc3339;
use crate::crypto::same_secret;
use crate::ctx::Ctx;
use crate::message::{self, MessageError};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{input, integer, object, text, time, url};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    // Parts inside parts have a slash in their id.
    Route::get("/api/v1/blobs/{id:.*}", Guard::Scope(Scope::MessagesRead), || {
        web::to(get)
    })
    .doc(|| {
        Doc::new("Download a blob")
            .about("`blobId` of a message is the mail as it was received, `blobId` of one of its parts the part.")
            .answers_bytes("Its bytes", "application/octet-stream")
    }),
    Route::post("/api/v1/blobs/links", Guard::Scope(Scope::MessagesRead), || {
        web::to(link)
    })
    .doc(|| {
        Doc::new("Make a link to a blob")
            .about(
                "For a browser or another program: the link works without a token until its time is over, for \
                 whoever has it.",
            )
            .takes(input(
                &["blobId"],
                [
                    ("blobId", text()),
                    (
                        "seconds",
                        integer().at_least(1).at_most(MAX_SECONDS).default(DEFAULT_SECONDS),
                    ),
                ],
            ))
            .answers(201, "The link", object([("url", url()), ("expiresAt", time())]))
            .fails(404, "No such blob")
    }),
];

/// Where links lead; outside `/api/v1`, which wants a token for everything.
pub(in crate::web) const LINKED: &[Route] =
    &[Route::get("/blobs/{id:.*}", Guard::Public, || web::to(linked))];

const DEFAULT_SECONDS: i64 = 300;
const MAX_SECONDS: i64 = 3_600;

/// A mail (`msg_…`) or a part of one (`msg_…-2/1`).
fn halves(blob_id: &str) -> (&str, Option<&str>) {
    match blob_id.split_once('-') {
        Some((message_id, part)) => (message_id, Some(part)),
        None => (blob_id, None),
    }
}

async fn file(ctx: &Ctx, projects: &Projects, blob_id: &str) -> Result<HttpResponse, Problem> {
    let none = |error| match error {
        MessageError::NotFound | MessageError::NoAttachment => Problem::not_found("blob"),
        error => refused(error),
    };
    // What the sender says it is would only mislead a browser; the name tells the client.
    let kind = "application/octet-stream";
    match halves(blob_id) {
        (id, None) => {
            let bytes = message::raw(ctx, projects, id).await.map_err(none)?;
            Ok(download(&format!("{id}.eml"), kind, bytes))
        }
        (id, Some(part)) => {
            let found = message::attachment(ctx, projects, id, part).await.map_err(none)?;
            let name = found.name.as_deref().unwrap_or("attachment");
            Ok(download(name, kind, found.bytes))
        }
    }
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    file(&ctx, &access.projects(), &id).await
}

async fn link(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let blob_id = input.required_text("blobId");
    let seconds = input.integer("seconds").unwrap_or(DEFAULT_SECONDS);
    input.finish()?;
    // Found now, so that a link never says more than whoever asked for it may see.
    file(&ctx, &access.projects(), &blob_id).await?;
    let until = ctx.clock.now_ms() / 1_000 + seconds;
    let Some(signature) = signatures(&ctx, &blob_id, until).into_iter().next() else {
        return Err(Problem::internal(&"the key ring is empty"));
    };
    let id: String = url::form_urlencoded::byte_serialize(blob_id.as_bytes()).collect();
    let url = ctx.config.url(&format!(
        "/blobs/{}?until={until}&signature={signature}",
        id.replace("%2F", "/")
    ));
    Ok(HttpResponse::Created().json(json!({ "url": url, "expiresAt": rfc3339(until * 1_000) })))
}

/// What makes a link one of ours, by each key of the ring; the first signs.
fn signatures(ctx: &Ctx, blob_id: &str, until: i64) -> Vec<String> {
    let sign = |key: &[u8; 32]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(format!("{until}\n{blob_id}").as_bytes());
        Some(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let keys = ctx.keys.derived("blob link v1");
    keys.iter().filter_map(|key| sign(key)).collect()
}

/// The query of a link.
#[derive(serde::Deserialize)]
struct Signed {
    #[serde(default)]
    until: i64,
    #[serde(default)]
    signature: String,
}

async fn linked(
    ctx: web::Data<Ctx>,
    id: web::Path<String>,
    signed: web::Query<Signed>,
) -> Result<HttpResponse, Problem> {
    let is_ours = signatures(&ctx, &id, signed.until)
        .iter()
        .any(|signature| same_secret(signature, &signed.signature));
    if !is_ours || signed.until * 1_000 <= ctx.clock.now_ms() {
        return Err(
            Problem::forbidden("link_expired", "this link was changed, or its time is over")
                .with_remedy("Ask for a new one where you found it."),
        );
    }
    file(&ctx, &Projects::All, &id).await
}
