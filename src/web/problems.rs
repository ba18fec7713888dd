//! The kinds of problems the API answers with (RFC 9457): the `type` of each leads to its description here.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::error::Problem;
use super::respond;
use super::route::{Guard, Route};
use crate::ctx::Ctx;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/problems", Guard::Public, || web::to(all)),
    Route::get("/api/problems/{code}", Guard::Public, || web::to(one)),
];

/// One kind of problem.
#[derive(Debug)]
pub struct Kind {
    /// Its code, the end of its `type`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// When it is answered, and what to do.
    pub about: &'static str,
}

const fn kind(code: &'static str, status: u16, about: &'static str) -> Kind {
    Kind { code, status, about }
}

/// Every kind, by status.
pub const KINDS: &[Kind] = &[
    kind(
        "bad_request",
        400,
        "The request is no HTTP that can be understood.",
    ),
    kind(
        "bad_cursor",
        400,
        "`after` was not taken from the `next` of this very list. Begin the list again.",
    ),
    kind(
        "token_in_address",
        400,
        "A token came as `access_token` in the query, where logs and histories keep it. Send it in `Authorization: Bearer …`, and make a new one: this one was seen.",
    ),
    kind("bad_limit", 400, "`limit` is not a number from 1 to 200."),
    kind(
        "bad_parameter",
        400,
        "A parameter of the query is none of what the OpenAPI document allows.",
    ),
    kind("repeated_parameter", 400, "A parameter of the query came twice."),
    kind("cut_body", 400, "The body did not arrive whole. Send it again."),
    kind(
        "malformed_json",
        400,
        "The body is not JSON; `errors[].pointer` says where reading stopped.",
    ),
    kind("not_an_object", 400, "The body is JSON, but not an object."),
    kind(
        "repeated_member",
        400,
        "A name comes twice in one JSON object; readers differ in which one they believe.",
    ),
    kind(
        "nested_too_deeply",
        400,
        "The JSON is nested deeper than 32 levels.",
    ),
    kind(
        "nul_character",
        400,
        "A NUL character, in the address (400) or in a text of the body (422).",
    ),
    kind(
        "idempotency_key_required",
        400,
        "This route sends mail and wants an `Idempotency-Key`. Choose a new random one for each action, and the same one to repeat it.",
    ),
    kind(
        "bad_idempotency_key",
        400,
        "The key is not one text of 1 to 255 visible ASCII characters.",
    ),
    kind(
        "token_missing_or_wrong",
        401,
        "There is no token in `Authorization: Bearer …`, or it is unknown, expired or revoked.",
    ),
    kind(
        "invalid_token",
        401,
        "The token of another issuer does not hold; `detail` says why. Get a new one for this API.",
    ),
    kind(
        "issuer_unavailable",
        503,
        "The issuer of the token cannot be reached, so nobody can say whether it holds. Try again after `Retry-After`.",
    ),
    kind(
        "insufficient_scope",
        403,
        "The token does not carry the scope that `WWW-Authenticate` names.",
    ),
    kind(
        "insufficient_role",
        403,
        "The token's owner has no role that allows this, in no project the token reaches.",
    ),
    kind(
        "site_admin_only",
        403,
        "Only a token of a site admin that is not narrowed to projects may do this.",
    ),
    kind(
        "link_expired",
        403,
        "The link to a file was changed, or its time is over. Ask for a new one.",
    ),
    kind(
        "recipients_only",
        403,
        "A mail with a one-time link (an invitation, a new password) is shown to nobody but its recipient.",
    ),
    kind(
        "not_found",
        404,
        "There is none with this id, or it belongs to a project this token does not reach.",
    ),
    kind(
        "method_not_allowed",
        405,
        "The address does not take this method; `Allow` names those it takes.",
    ),
    kind(
        "idempotency_key_in_flight",
        409,
        "The same request is being worked on right now. Wait for `Retry-After` seconds and repeat it.",
    ),
    kind(
        "idempotency_answer_lost",
        409,
        "A request with this `Idempotency-Key` was carried out, and the process ended before the answer was kept; `madeId` names what it made. Look at that; a secret or token of the lost answer is kept nowhere, so make a new one, or remove it and use a new key.",
    ),
    kind(
        "revision_conflict",
        409,
        "Somebody else changed it in the very same moment. Load it again and repeat.",
    ),
    kind(
        "last_project_admin",
        409,
        "The project would have no project admin who can sign in. Make another one first, or send `allowNoAdmin`.",
    ),
    kind(
        "not_invited",
        409,
        "Only somebody who never signed in is invited. Make a link for a new password instead.",
    ),
    kind(
        "no_person",
        409,
        "The token belongs to an application, and this setting to a person. Ask with a token of that person.",
    ),
    kind("user_disabled", 409, "The account is disabled. Enable it first."),
    kind(
        "own_account",
        409,
        "Nobody takes their own account or second factor away like this. Another site admin has to.",
    ),
    kind(
        "person_removed",
        409,
        "This person was removed for good. Make a new account instead.",
    ),
    kind(
        "decided_already",
        409,
        "Another account that consented was accepted or refused before, or waited too long.",
    ),
    kind(
        "integration_has_grants",
        409,
        "An integration with grants is not removed. Revoke them first.",
    ),
    kind(
        "mailbox_has_messages",
        409,
        "A mailbox with messages is not removed. Pause it.",
    ),
    kind(
        "revision_changed",
        412,
        "`If-Match` names another revision than the present one. Load it again and decide anew.",
    ),
    kind(
        "revision_required",
        428,
        "The change says that somebody looked at what is there (a client is approved), so `If-Match` must name what they looked at: the `ETag`, not `*`.",
    ),
    kind(
        "unknown_event_type",
        400,
        "A type in `types` is none that there is; see `GET /api/v1/event-types`.",
    ),
    kind(
        "cursor_expired",
        410,
        "Events behind this cursor are older than the retention and gone. `oldest` is where the log begins now; load what may have changed before it.",
    ),
    kind(
        "cursor_ahead",
        410,
        "The log ends before this cursor: the database was restored to an earlier moment. `newest` is where it ends now; go on from the newest event that both sides know.",
    ),
    kind("too_large", 413, "The body is larger than this route takes."),
    kind(
        "unsupported_media_type",
        415,
        "The body has another content type than the OpenAPI document names.",
    ),
    kind(
        "invalid_fields",
        422,
        "Members of the input are not right: each is in `errors`, with a JSON pointer, a code and a sentence. Nothing was changed. 409 if a name is taken.",
    ),
    kind(
        "idempotency_key_reused",
        422,
        "The `Idempotency-Key` was used for another request in the last 24 hours. Choose a new one.",
    ),
    kind(
        "trouble",
        422,
        "A provider or server outside refused or failed; `code` names it, `remedy` says what to do. 409 if its state is the reason, 502 if it may pass.",
    ),
    kind(
        "rate_limited",
        429,
        "Too many requests. Wait for `Retry-After` seconds.",
    ),
    kind(
        "too_many_streams",
        429,
        "So many event streams of the token or its owner are open already. Close those that are not read any more; one \
         stream can follow everything.",
    ),
    kind("bad_filter", 400, "A filter in the query has no such value."),
    kind("bad_reason", 400, "`reason` is none of those there are."),
    kind(
        "message_waits",
        409,
        "The message is being read right now. Wait until it is in a ticket.",
    ),
    kind(
        "message_state",
        409,
        "The message is not in a state in which this can be done.",
    ),
    kind(
        "not_a_mail",
        409,
        "The attachment is no mail that could be parsed.",
    ),
    kind(
        "event_gone",
        409,
        "The event is older than the retention; there is nothing left to send.",
    ),
    kind(
        "webhook_disabled",
        409,
        "The webhook is disabled. Enable it first.",
    ),
    kind(
        "sending_not_configured",
        409,
        "The mailbox has no settings for sending (`smtp`).",
    ),
    kind(
        "site_mail_not_configured",
        409,
        "No account sends mails of this installation, or the one that was chosen cannot. `detail` says what to do.",
    ),
    kind("too_late", 409, "The mail is being sent, or was sent already."),
    kind(
        "set_in_file",
        409,
        "It stands in the configuration file, which only the operator changes.",
    ),
    kind(
        "not_tested",
        409,
        "An identity provider is enabled after a test sign-in with its present issuer and client passed.",
    ),
    kind(
        "local_sign_in_off",
        403,
        "People sign in through an identity provider here; address and password are switched off.",
    ),
    kind("public_client", 409, "A public client has no secret."),
    kind("bad_order", 422, "The list does not name each rule once."),
    kind("message_unreadable", 422, "The message cannot be parsed."),
    kind(
        "internal_error",
        500,
        "Mailgrant made a mistake. `requestId` finds it in the log.",
    ),
    kind(
        "refused",
        400,
        "Anything else; `status`, `code` and `detail` say what.",
    ),
];

/// The kind of a code; `trouble` and `refused` stand for codes nobody can list beforehand.
pub fn of(code: &str, status: StatusCode) -> &'static str {
    let known = KINDS.iter().find(|kind| kind.code == code);
    match known {
        Some(kind) => kind.code,
        None if status.is_server_error() && status != StatusCode::BAD_GATEWAY => "internal_error",
        None => "refused",
    }
}

/// The description of all kinds as Markdown: `docs/problems.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Problems\n\nEvery refusal of the API is `application/problem+json` (RFC 9457). Its `type` ends in one of \
         these codes;\n`code` may be finer. This file is made by `mailgrant openapi --problems`.\n\n\
         | type | status | what it means |\n|---|---|---|\n",
    );
    for kind in KINDS {
        text.push_str(&format!(
            "| `{}` | {} | {} |\n",
            kind.code, kind.status, kind.about
        ));
    }
    text
}

async fn all(ctx: web::Data<Ctx>) -> HttpResponse {
    page(&ctx, KINDS.iter())
}

async fn one(ctx: web::Data<Ctx>, code: web::Path<String>) -> Result<HttpResponse, Problem> {
    match KINDS.iter().find(|kind| kind.code == *code) {
        Some(kind) => Ok(page(&ctx, std::iter::once(kind))),
        None => Err(Problem::not_found("kind of problem")),
    }
}

fn page<'a>(ctx: &Ctx, kinds: impl Iterator<Item = &'a Kind>) -> HttpResponse {
    let mut body = String::new();
    for kind in kinds {
        body.push_str(&format!(
            "<h2><code>{}</code></h2><p>Status {}. {}</p>",
            kind.code,
            kind.status,
            respond::escape(kind.about)
        ));
    }
    respond::html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Problems of the API · Mailgrant</title></head><body><main><h1>Problems of \
         the API</h1>{body}<p><a href=\"{}/api/problems\">All problems</a></p></main></body></html>",
        respond::base_path(ctx)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Codes that only pages answer with.
    const PAGES: [&str; 7] = [
        "bad_form",
        "csrf_token_wrong",
        "foreign_origin",
        "not_signed_in",
        "unknown_decision",
        "unknown_provider",
        "bad_state",
    ];

    fn sources(folder: &Path, into: &mut Vec<String>) {
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            let path = file.path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|end| end == "rs") {
                into.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_code_in_the_source_has_its_description() {
        let mut texts = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/api"),
            &mut texts,
        );
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/openapi"),
            &mut texts,
        );
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        for file in [
            "bearer.rs",
            "shell.rs",
            "gate.rs",
            "error.rs",
            "extract.rs",
            "route.rs",
        ] {
            texts.push(std::fs::read_to_string(web.join(file)).unwrap());
        }
        let mut found = BTreeSet::new();
        for text in &texts {
            for way in [
                "Problem::new(",
                "Problem::bad_request(",
                "Problem::conflict(",
                "Problem::forbidden(",
            ] {
                for call in text.split(way).skip(1) {
                    // The code is the first text of the call that looks like one.
                    let call = call.split([';', '{']).next().unwrap_or_default();
                    let code = call.split('"').nth(1).unwrap_or_default();
                    // `bad_{name}` is put together; the door refuses such parameters before.
                    let is_whole = !code.is_empty() && !code.ends_with('_');
                    if is_whole && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                        found.insert(code.to_owned());
                    }
                }
            }
        }
        assert!(found.len() > 15, "{found:?}");
        for code in found {
            assert!(
                PAGES.contains(&code.as_str()) || KINDS.iter().any(|kind| kind.code == code),
                "{code}: describe it in KINDS of src/web/problems.rs"
            );
        }
    }

    #[test]
    fn the_committed_list_is_the_present_one() {
        if markdown() != include_str!("../../docs/problems.md") {
            let place = std::env::temp_dir().join("mailgrant-problems.md");
            std::fs::write(&place, markdown()).unwrap();
            panic!(
                "docs/problems.md is old; run: cargo run -- openapi --problems > docs/problems.md (or copy {})",
                place.display()
            );
        }
    }
}
