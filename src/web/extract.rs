//! What handlers ask for in their arguments: who is signed in, who holds a token, the fields of a form.

use std::future::{Ready, ready};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use super::error::Problem;
use super::gate::{self, Current, MAX_FORM_BYTES, Viewer};
use crate::access::Access;
use crate::account::{Session, TokenIdentity, User};

/// The person who is signed in. On a page that is not public there always is one.
#[derive(Clone, Debug)]
pub struct CurrentUser(pub Current);

impl CurrentUser {
    /// The person.
    pub fn user(&self) -> &User {
        &self.0.user
    }

    /// Their session.
    pub fn session(&self) -> &Session {
        &self.0.session
    }

    /// The token for the forms of this page.
    pub fn csrf(&self) -> &str {
        &self.0.session.csrf_token
    }
}

impl FromRequest for CurrentUser {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let current = request
            .extensions()
            .get::<Viewer>()
            .and_then(|viewer| viewer.current().cloned());
        ready(current.map(CurrentUser).ok_or_else(|| {
            Problem::forbidden("not_signed_in", "nobody is signed in").with_remedy("Sign in and try again.")
        }))
    }
}

/// Whoever looks at a public page: its forms need a token as well.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The token for the forms of this page.
    pub csrf: String,
    /// Names the browser, whoever is signed in.
    pub browser: String,
    /// Who is signed in, if somebody is.
    pub current: Option<Current>,
}

impl FromRequest for Visitor {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let visitor = request.extensions().get::<Viewer>().map(|viewer| Visitor {
            csrf: viewer.csrf(),
            browser: viewer.browser(),
            current: viewer.current().cloned(),
        });
        ready(visitor.ok_or_else(|| Problem::internal(&"a page outside the pages asked for its visitor")))
    }
}

/// The holder of an API token.
#[derive(Clone, Debug)]
pub struct Bearer(pub TokenIdentity);

impl FromRequest for Bearer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identity = request.extensions().get::<TokenIdentity>().cloned();
        ready(
            identity
                .map(Bearer)
                .ok_or_else(|| Problem::internal(&"a route outside the API asked for its token")),
        )
    }
}

/// Who asks and what they may do, cut down to the route: on every route but the public ones. A handler gives its
/// `projects()` to the queries.
impl FromRequest for Access {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let access = request.extensions().get::<Self>().cloned();
        ready(access.ok_or_else(|| Problem::internal(&"a public route asked who may use it")))
    }
}

/// The fields of a form, in the order they were sent; files of a multipart form as text. Unknown fields do no harm.
#[derive(Clone, Default)]
pub struct FormData {
    fields: Vec<(String, String)>,
}

impl std::fmt::Debug for FormData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values may be passwords and client secrets.
        f.debug_list()
            .entries(self.fields.iter().map(|(name, _)| name))
            .finish()
    }
}

impl FormData {
    /// From fields that were read.
    ///
    /// # Errors
    /// 400 if one holds a NUL: no form can type one, and PostgreSQL takes none.
    pub(super) fn of(fields: Vec<(String, String)>) -> Result<Self, Problem> {
        if fields.iter().any(|(_, value)| value.contains('\0')) {
            return Err(Problem::bad_request(
                "nul_character",
                "a field of the form holds a NUL character; nothing was changed",
            ));
        }
        Ok(Self { fields })
    }

    /// The value of a field without space around it; empty if it was not sent.
    pub fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The value of a field exactly as typed, for passwords; empty if it was not sent.
    pub fn raw(&self, name: &str) -> &str {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map_or("", |(_, value)| value)
    }

    /// A secret, exactly as typed.
    pub fn secret(&self, name: &str) -> secrecy::SecretString {
        secrecy::SecretString::from(self.raw(name).to_owned())
    }

    /// All values of a field that may come several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.trim())
    }

    /// Whether a checkbox was ticked.
    pub fn is_checked(&self, name: &str) -> bool {
        !matches!(self.text(name), "" | "0" | "false" | "off")
    }

    /// Whether a field was sent at all.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }
}

impl FromRequest for FormData {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let body = gate::read_body(payload, MAX_FORM_BYTES).await?;
            let kind = request.content_type().to_owned();
            let fields: Vec<(String, String)> = match kind.as_str() {
                "multipart/form-data" => parts_of(&request, body)
                    .await?
                    .into_iter()
                    .map(|part| (part.name, String::from_utf8_lossy(&part.bytes).into_owned()))
                    .collect(),
                "application/x-www-form-urlencoded" | "" => {
                    url::form_urlencoded::parse(&body).into_owned().collect()
                }
                _ => {
                    return Err(Problem::new(
                        actix_web::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                        "unsupported_media_type",
                        "send the fields of a form",
                    ));
                }
            };
            Self::of(fields)
        })
    }
}

/// One part of a multipart form.
pub(super) struct Part {
    /// Name of the field.
    pub(super) name: String,
    /// Name of the file, if it is one.
    pub(super) file_name: Option<String>,
    /// Its media type; empty if none was told.
    pub(super) content_type: String,
    /// Its value.
    pub(super) bytes: Vec<u8>,
}

/// The parts of a multipart form, in the order they were sent.
pub(super) async fn parts_of(
    request: &HttpRequest,
    body: actix_web::web::Bytes,
) -> Result<Vec<Part>, Problem> {
    use futures_util::StreamExt;

    let broken = || Problem::bad_request("bad_form", "the form did not arrive whole");
    let chunks = futures_util::stream::iter([Ok::<_, actix_web::error::PayloadError>(body)]);
    let mut form = actix_multipart::Multipart::new(request.headers(), chunks);
    let mut parts = Vec::new();
    while let Some(field) = form.next().await {
        let mut field = field.map_err(|_| broken())?;
        let mut part = Part {
            name: field.name().unwrap_or_default().to_owned(),
            file_name: field
                .content_disposition()
                .and_then(|disposition| disposition.get_filename().map(str::to_owned)),
            content_type: field
                .content_type()
                .map(|kind| kind.essence_str().to_owned())
                .unwrap_or_default(),
            bytes: Vec::new(),
        };
        while let Some(chunk) = field.next().await {
            part.bytes.extend_from_slice(&chunk.map_err(|_| broken())?);
        }
        parts.push(part);
    }
    Ok(parts)
}
