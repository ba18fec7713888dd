//! The page where somebody types the code that a device shows (RFC 8628, section 3.3). What is allowed is then decided on
//! the consent page, where the code is shown again beside what is known of the device.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::authorize::Drawing;
use crate::ctx::Ctx;
use crate::oauth2_server;
use crate::render::Renderer;
use crate::web::admin::views::oauth2::DevicePage;
use crate::web::admin::views::parts::FormErrors;
use crate::web::error::{Problem, frame};
use crate::web::extract::{FormData, Visitor};
use crate::web::route::{Guard, Route};

/// The routes of this file. Only somebody who is signed in can try codes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/device", Guard::Person, || web::to(show)),
    Route::post("/device", Guard::Person, || web::to(open)),
];

/// Codes that one person, and that one address, may try in a minute.
const TRIES: u32 = 8;
const TRIES_PER_ADDRESS: u32 = 30;

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    user_code: String,
}

async fn show(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx: &ctx,
        request: &request,
        renderer: &renderer,
        visitor: &visitor,
    };
    let code: String = asked
        .user_code
        .chars()
        .filter(|c| !c.is_control())
        .take(20)
        .collect();
    drawing.device(code, FormErrors::default())
}

async fn open(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    request: HttpRequest,
    visitor: Visitor,
    form: FormData,
) -> Result<HttpResponse, Problem> {
    let drawing = Drawing {
        ctx: &ctx,
        request: &request,
        renderer: &renderer,
        visitor: &visitor,
    };
    let user = visitor.current.as_ref().map_or("", |current| &current.user.id);
    drawing.count_of("device code", user, TRIES)?;
    drawing.count("device code", TRIES_PER_ADDRESS)?;
    let code = form.text("user_code");
    match oauth2_server::open_device(&ctx, code, &visitor.browser).await {
        Ok(Some(id)) => drawing.to_interaction(&id),
        Ok(None) => {
            let errors = FormErrors::default().with(
                "user_code",
                "No device waits with this code. Compare it with the device; after ten minutes it shows a new one.",
            );
            let code = code.chars().take(20).collect();
            let mut response = drawing.device(code, errors)?;
            *response.status_mut() = actix_web::http::StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(refused) => drawing.refused(refused),
    }
}

impl Drawing<'_> {
    fn device(&self, code: String, errors: FormErrors) -> Result<HttpResponse, Problem> {
        let mut page = frame(self.request, "Connect a device");
        page.csrf.clone_from(&self.visitor.csrf);
        let user = self.visitor.current.as_ref();
        let mut response = self.page(&DevicePage {
            page,
            user: user.map(|current| current.user.email.clone()).unwrap_or_default(),
            code,
            errors,
        })?;
        // It has its page already, whatever its status.
        response.headers_mut().insert(
            crate::web::error::DRESSED,
            actix_web::http::header::HeaderValue::from_static("1"),
        );
        Ok(response)
    }
}
