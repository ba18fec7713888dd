//! What a mail brought, handed to the browser so that it can do no harm: sanitised HTML in a frame without rights, raw
//! bytes and attachments as downloads.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use mailgrant_mail::ParsedMail;

use super::desk::{Answer, Desk};
use crate::access::Role;
use crate::message;
use crate::web::api::output::download;
use crate::web::error::Problem;
use crate::web::pictures;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/messages/{id}/html", Guard::Role(Role::Viewer), || web::to(html)),
    Route::get("/messages/{id}/raw", Guard::Role(Role::Viewer), || web::to(raw)),
    Route::get(
        "/messages/{id}/attachments/{part:.*}",
        Guard::Role(Role::Viewer),
        || web::to(attachment),
    ),
];

/// No script, no form, nothing from elsewhere: remote images would tell the sender who reads when.
/// Pictures are those that the mail encloses: the sanitised HTML has no other source left.
const FRAME_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'none'; \
                            base-uri 'none'; frame-ancestors 'self'; sandbox";

async fn html(desk: Desk, id: web::Path<String>) -> Answer {
    let found = message::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let none = || Problem::not_found("HTML in this message");
    let mail: ParsedMail = serde_json::from_str(&found.parsed).map_err(|_| none())?;
    let clean = mail.mailgrant.html.as_deref().ok_or_else(none)?;
    let clean = pictures::shown(&desk.ctx, &found.id, &mail, clean);
    let body = format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>Message</title><style>body{{margin:1rem;font:14px/1.5 \
         system-ui,sans-serif;color:#1d273b;background:#fff;overflow-wrap:anywhere}}img,table{{max-width:100%}}</style>\
         </head><body>{clean}</body></html>"
    );
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, FRAME_POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(body))
}

async fn raw(desk: Desk, id: web::Path<String>) -> Answer {
    let bytes = message::raw(&desk.ctx, &desk.access().projects(), &id).await?;
    Ok(download(&format!("{id}.eml"), "message/rfc822", bytes))
}

async fn attachment(desk: Desk, path: web::Path<(String, String)>) -> Answer {
    let (id, part) = path.into_inner();
    let found = message::attachment(&desk.ctx, &desk.access().projects(), &id, &part).await?;
    let name = found.name.unwrap_or_else(|| "attachment".to_owned());
    Ok(download(&name, media_type(&found.content_type), found.bytes))
}

/// A media type as a header can carry it; whatever else the sender declared is just bytes.
fn media_type(declared: &str) -> &str {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    match declared.split_once('/') {
        Some((kind, sub)) if is_token(kind) && is_token(sub) => declared,
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_that_no_header_can_carry_is_just_bytes() {
        assert_eq!(media_type("text/html"), "text/html");
        assert_eq!(media_type("application/vnd.ms-excel"), "application/vnd.ms-excel");
        for odd in ["", "text", "text/", "text/é", "text/html\r\nx: y", "a/b c"] {
            assert_eq!(media_type(odd), "application/octet-stream", "{odd:?}");
        }
    }
}
