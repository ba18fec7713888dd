//! Static files, from the binary.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::error::Problem;
use super::route::{Guard, Route};
use crate::render;

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[Route::get("/static/{path:.*}", Guard::Public, || web::to(file))];

async fn file(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let asset = render::static_asset(&path).ok_or_else(|| Problem::not_found("file"))?;
    let is_known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| {
            tags.split(',')
                .any(|tag| tag.trim().trim_start_matches("W/") == asset.etag)
        });
    // Addresses with a version never change their content.
    let cache = if request.query_string().starts_with("v=") {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=300"
    };
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::ETAG, asset.etag))
        .insert_header((header::CACHE_CONTROL, cache))
        .content_type(asset.content_type);
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.body(asset.bytes.into_owned()))
}
