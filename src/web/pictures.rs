//! Pictures that a mail encloses and shows in its HTML (`cid:`). The frame that shows the HTML has no rights and sends no
//! cookie, so each picture has an address that works by itself: signed for one part of one message as one type, for five
//! minutes. Only pictures made of pixels are shown, and only if the bytes are what the sender said they are: an SVG is a
//! program.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use mailgrant_mail::ParsedMail;
use sha2::Sha256;

use super::error::Problem;
use super::respond;
use super::route::{Guard, Route};
use crate::access::Projects;
use crate::crypto::same_secret;
use crate::ctx::Ctx;
use crate::message::{self, MessageError};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    // Parts inside parts have a slash in their id.
    Route::get("/pictures/{id}/{part:.*}", Guard::Public, || web::to(picture)),
];

/// How long an address works, seconds.
const GOOD_FOR: i64 = 300;

/// A kind of picture that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raster {
    Png,
    Jpeg,
    Gif,
    Webp,
}

impl Raster {
    /// By the type that the sender declared.
    fn declared(media_type: &str) -> Option<Self> {
        let known = media_type.trim().to_ascii_lowercase();
        Some(match known.as_str() {
            "image/png" | "image/x-png" => Self::Png,
            "image/jpeg" | "image/jpg" | "image/pjpeg" => Self::Jpeg,
            "image/gif" => Self::Gif,
            "image/webp" => Self::Webp,
            _ => return None,
        })
    }

    /// By the bytes themselves.
    fn of(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Webp,
            _ => return None,
        })
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

/// The sanitised HTML of a mail with addresses for the pictures in it.
pub(super) fn shown(ctx: &Ctx, message_id: &str, mail: &ParsedMail, html: &str) -> String {
    let parts = || mail.attachments.iter().chain(&mail.html_body);
    mailgrant_mail::with_pictures(html, |content_id| {
        let part = parts().find(|part| part.cid.as_deref() == Some(content_id))?;
        let kind = Raster::declared(&part.r#type)?;
        address(ctx, message_id, &part.part_id, kind)
    })
}

fn address(ctx: &Ctx, message_id: &str, part_id: &str, kind: Raster) -> Option<String> {
    let until = ctx.clock.now_ms() / 1_000 + GOOD_FOR;
    let signature = signatures(ctx, message_id, part_id, kind, until)
        .into_iter()
        .next()?;
    Some(format!(
        "{}/pictures/{message_id}/{part_id}?type={}&until={until}&signature={signature}",
        respond::base_path(ctx),
        kind.media_type()
    ))
}

/// What makes an address one of ours, by each key of the ring; the first signs.
fn signatures(ctx: &Ctx, message_id: &str, part_id: &str, kind: Raster, until: i64) -> Vec<String> {
    let said = format!("{until}\n{}\n{message_id}\n{part_id}", kind.media_type());
    let sign = |key: &[u8; 32]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(said.as_bytes());
        Some(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let keys = ctx.keys.derived("enclosed picture v1");
    keys.iter().filter_map(|key| sign(key)).collect()
}

/// The query of an address.
#[derive(serde::Deserialize)]
struct Signed {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    until: i64,
    #[serde(default)]
    signature: String,
}

async fn picture(
    ctx: web::Data<Ctx>,
    path: web::Path<(String, String)>,
    signed: web::Query<Signed>,
) -> Result<HttpResponse, Problem> {
    let (message_id, part_id) = path.into_inner();
    let refused = || {
        Problem::forbidden("link_expired", "this link was changed, or its time is over")
            .with_remedy("Load the page with the message again.")
    };
    let kind = Raster::declared(&signed.r#type).ok_or_else(refused)?;
    let is_ours = signatures(&ctx, &message_id, &part_id, kind, signed.until)
        .iter()
        .any(|signature| same_secret(signature, &signed.signature));
    if !is_ours || signed.until <= ctx.clock.now_ms() / 1_000 {
        return Err(refused());
    }
    let none = |error| match error {
        MessageError::Db(error) => Problem::from(error),
        MessageError::NotFound | MessageError::NoAttachment => Problem::not_found("picture"),
    };
    // Whoever made the address was allowed to see the message.
    let part = message::attachment(&ctx, &Projects::All, &message_id, &part_id)
        .await
        .map_err(none)?;
    if Raster::declared(&part.content_type) != Some(kind) || Raster::of(&part.bytes) != Some(kind) {
        return Err(Problem::not_found("picture"));
    }
    Ok(HttpResponse::Ok()
        .content_type(kind.media_type())
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .insert_header((header::CONTENT_DISPOSITION, "inline"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CACHE_CONTROL, "private, max-age=300"))
        // The frame without rights counts as another site.
        .insert_header(("cross-origin-resource-policy", "cross-origin"))
        .body(part.bytes))
}

#[cfg(test)]
mod tests;
