//! Errors on their way out: one type, shown as problem+json (RFC 9457) below `/api/` and as a page elsewhere.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use sea_orm::DbErr;
use serde_json::{Value, json};

use super::admin::views;
use super::gate::Viewer;
use super::presented::{self, Scheme};
use super::problems;
use super::respond;
use super::shell::RequestId;
use crate::access::Scope;
use crate::account::AccountError;
use crate::ctx::Ctx;
use crate::render::Renderer;
use crate::trouble::Trouble;

/// What is wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901) in the API, for example `/name`; forms use the part after the slash.
    pub pointer: String,
    /// Machine code, snake_case.
    pub code: String,
    /// What is wrong and what to write instead.
    pub detail: String,
}

/// Why a request is refused. Handlers return it as their error; what is seen of it depends on the address asked.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: String,
    title: String,
    detail: String,
    remedy: String,
    errors: Vec<FieldProblem>,
    retry_after: Option<i64>,
    /// For codes that are only a finer word for a kind.
    kind: Option<&'static str>,
    scope: Option<Scope>,
    challenge: Option<String>,
    members: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem with a status, a machine code in snake_case and a sentence.
    pub fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code: code.into(),
            title: title_of(status).into(),
            detail: detail.into(),
            remedy: String::new(),
            errors: Vec::new(),
            retry_after: None,
            kind: None,
            scope: None,
            challenge: None,
            members: Vec::new(),
        }))
    }

    /// 400.
    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 403.
    pub fn forbidden(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404 for a kind of thing: "no such mailbox".
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("no such {what}"))
    }

    /// 422: reading a mail took too long, or ended in a defect of ours.
    pub fn unreadable_mail() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "message_unreadable",
            "the mail could not be read within a minute; look at its bytes with another program",
        )
    }

    /// 409.
    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422 with what is wrong with each field. Nothing was changed.
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.detail.clone(),
            many => format!("{} fields are not right", many.len()),
        };
        let code = match errors.as_slice() {
            [one] => one.code.clone(),
            _ => "invalid_fields".into(),
        };
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        problem.0.errors = errors;
        problem.0.kind = Some("invalid_fields");
        problem
    }

    /// 500. The cause goes to the log, never to the client.
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(error = %cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Mailgrant made a mistake. Look for the request id in the log.",
        )
    }

    /// The same with another status, keeping the title of that status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self.0.title = title_of(status).into();
        self
    }

    /// The same with another title: the heading of the page, the `title` of the JSON.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.0.title = title.into();
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = remedy.into();
        self
    }

    /// The same with a field it is about.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.0.errors.push(FieldProblem {
            pointer: pointer.into(),
            code: self.0.code.clone(),
            detail: self.0.detail.clone(),
        });
        self
    }

    /// The same with a member of its own in the JSON.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: Value) -> Self {
        self.0.members.push((name, value));
        self
    }

    /// The same with `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: i64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The same with the scope that a token would need: `scope` in the JSON, and `WWW-Authenticate` (RFC 6750).
    #[must_use]
    pub fn needs_scope(mut self, scope: Scope) -> Self {
        self.0.scope = Some(scope);
        self
    }

    /// The same with a `WWW-Authenticate` of its own.
    #[must_use]
    pub fn with_challenge(mut self, challenge: impl Into<String>) -> Self {
        self.0.challenge = Some(challenge.into());
        self
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Machine code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong with each field.
    pub fn errors(&self) -> &[FieldProblem] {
        &self.0.errors
    }

    /// The kind it is of, see [`problems`].
    fn kind(&self) -> &'static str {
        match self.0.kind {
            Some(kind) => kind,
            None => problems::of(&self.0.code, self.0.status),
        }
    }

    fn json(&self, base: &str, request_id: Option<&str>) -> Value {
        let errors: Vec<Value> = self
            .0
            .errors
            .iter()
            .map(|error| json!({ "pointer": error.pointer, "code": error.code, "detail": error.detail }))
            .collect();
        let mut json = json!({
            "type": format!("{base}/api/problems/{}", self.kind()),
            "title": self.0.title,
            "status": self.0.status.as_u16(),
            "detail": self.0.detail,
            "code": self.0.code,
            "remedy": if self.0.remedy.is_empty() { None } else { Some(&self.0.remedy) },
            "errors": errors,
            "scope": self.0.scope.map(Scope::as_str),
            "requestId": request_id,
        });
        for (name, value) in &self.0.members {
            json[*name] = value.clone();
        }
        json
    }
}

fn title_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "The request cannot be understood",
        401 => "A token is needed",
        403 => "Not allowed",
        404 => "Not found",
        405 => "This address does not take this method",
        409 => "This does not fit what is there",
        410 => "This is over",
        412 => "It was changed meanwhile",
        413 => "Too much at once",
        415 => "This kind of content is not taken",
        422 => "Something is not right",
        429 => "Too many attempts",
        503 => "Not ready",
        _ if status.is_server_error() => "Something went wrong here",
        _ => "The request was refused",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// An empty answer that carries the problem; `dress` gives it its body, knowing the request.
    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::new(self.0.status);
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        Self::internal(&error)
    }
}

impl From<Trouble> for Problem {
    /// 422: what was asked for did not work out, with the remedy.
    fn from(trouble: Trouble) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, trouble.code, trouble.cause);
        problem.0.kind = Some("trouble");
        problem.with_remedy(trouble.remedy)
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let status = match &error {
            AccountError::WrongCredentials => StatusCode::UNPROCESSABLE_ENTITY,
            AccountError::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            AccountError::DeadLink | AccountError::AlreadySetUp => StatusCode::GONE,
            AccountError::DuplicateEmail(_)
            | AccountError::LastAdmin
            | AccountError::OwnAccount
            | AccountError::Conflict
            | AccountError::Removed => StatusCode::CONFLICT,
            AccountError::NotFound(_) => StatusCode::NOT_FOUND,
            AccountError::Hashing | AccountError::Sealed(_) | AccountError::Db(_) => {
                return Self::internal(&error);
            }
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut problem = Self::new(status, error.code(), error.to_string());
        if let AccountError::TooManyAttempts { retry_after } = error {
            problem = problem.retry_after(retry_after);
        }
        match error.field() {
            Some(field) => problem.at(format!("/{field}")),
            None => problem,
        }
    }
}

/// Marks an error answer that has its body already; removed on the way out.
pub(super) const DRESSED: header::HeaderName = header::HeaderName::from_static("x-dressed");

/// Gives an error answer its body, in the language of the address that was asked. Answers that have one stay.
pub(super) fn dress(mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let carried = response.response().extensions().get::<Problem>().cloned();
    let problem = match carried {
        Some(problem) => problem,
        None if response.headers_mut().remove(DRESSED).next().is_some() => return response,
        None => Problem::new(status, code_of(status), title_of(status)),
    };
    let (request, old) = response.into_parts();
    let mut new = body(&request, &problem);
    for (name, value) in old.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            new.headers_mut().append(name.clone(), value.clone());
        }
    }
    if let Some(seconds) = problem.0.retry_after
        && let Ok(value) = header::HeaderValue::from_str(&seconds.to_string())
    {
        new.headers_mut().insert(header::RETRY_AFTER, value);
    }
    ServiceResponse::new(request, new)
}

fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "bad_request",
        404 => "not_found",
        405 => "method_not_allowed",
        413 => "too_large",
        415 => "unsupported_media_type",
        _ if status.is_server_error() => "internal_error",
        _ => "refused",
    }
}

fn body(request: &HttpRequest, problem: &Problem) -> HttpResponse<BoxBody> {
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    if request.path().starts_with("/api/") {
        let base = request.app_data::<web::Data<Ctx>>().map(|ctx| ctx.config.url(""));
        let base = base.unwrap_or_default();
        let mut response = HttpResponse::build(problem.0.status);
        if problem.0.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"mailgrant\""));
        }
        if let Some(challenge) = &problem.0.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge.as_str()));
        }
        if let Some(scope) = problem.0.scope {
            // By the scheme the token came with: one that is bound to a key would be refused as a bearer token.
            let scheme = presented::presented(request.headers()).map_or(Scheme::Bearer, |sent| sent.scheme);
            let challenge = presented::challenge(scheme, None);
            let challenge = format!("{challenge}, error=\"insufficient_scope\", scope=\"{scope}\"");
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        return response
            .content_type("application/problem+json")
            .body(problem.json(&base, request_id.as_deref()).to_string());
    }
    let page = page(request, problem, request_id).unwrap_or_else(|| plain_page(problem));
    HttpResponse::build(problem.0.status)
        .content_type("text/html; charset=utf-8")
        .body(page)
}

fn page(request: &HttpRequest, problem: &Problem, request_id: Option<String>) -> Option<String> {
    let renderer = request.app_data::<web::Data<Renderer>>()?;
    let page = frame(request, &problem.0.title);
    let view = views::errors::ErrorPage {
        page,
        status: problem.0.status.as_u16(),
        text: sentence(&problem.0.detail),
        remedy: problem.0.remedy.clone(),
        request_id: request_id.filter(|_| problem.0.status.is_server_error()),
        action: None,
    };
    match renderer.render(&view) {
        Ok(page) => Some(page),
        Err(error) => {
            tracing::error!(%error, "the error page could not be drawn");
            None
        }
    }
}

/// The frame of a page outside the admin pages: who is signed in, and nothing that would need a query.
pub(super) fn frame(request: &HttpRequest, title: &str) -> views::Page {
    let mut page = views::Page::new(title, views::Section::None);
    if let Some(ctx) = request.app_data::<web::Data<Ctx>>() {
        page.base = respond::base_path(ctx).to_owned();
    }
    if let Some(viewer) = request.extensions().get::<Viewer>()
        && let Some(current) = viewer.current()
    {
        page.user = Some(views::UserName {
            name: current.user.name.clone(),
            email: current.user.email.clone(),
        });
        page.may = super::admin::desk::may(&current.access);
        page.role = super::admin::desk::role(&current.access, None);
        page.here = page.role;
        page.csrf = current.session.csrf_token.clone();
    }
    page
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => {
            let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
            format!("{}{}{end}", first.to_uppercase(), chars.as_str())
        }
        None => String::new(),
    }
}

fn plain_page(problem: &Problem) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><main><h1>{0}</h1><p>{1}</p></main></html>",
        respond::escape(&problem.0.title),
        respond::escape(&sentence(&problem.0.detail)),
    )
}
