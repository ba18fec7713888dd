//! The document as the service serves it.

use actix_web::{HttpResponse, web};

use super::{document, pretty};
use crate::web::route::{Guard, Route};

pub(in crate::web) const ROUTES: &[Route] =
    &[Route::get("/api/openapi.json", Guard::Public, || web::to(show))];

async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(pretty(&document(&crate::web::routes())))
}
