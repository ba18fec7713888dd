//! What the API reads: JSON bodies, paging, `If-Match`. Every mistake is named with a JSON pointer; unknown members do
//! no harm.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::json;
use crate::web::error::{FieldProblem, Problem};
use crate::web::openapi::check::escaped;
use crate::web::presented;

/// Largest JSON body, bytes.
pub(super) const MAX_JSON_BYTES: usize = 256 * 1024;
/// Items of a list when nobody says how many.
pub(in crate::web) const DEFAULT_LIMIT: u64 = 50;
/// Most items of a list.
pub(in crate::web) const MAX_LIMIT: u64 = 200;

/// A JSON object that was sent. A change that is made once more reads a copy of it. Members are read one by one; [`Input::finish`] tells all mistakes at once.
#[derive(Clone)]
pub(super) struct Input {
    members: Map<String, Value>,
    problems: Vec<FieldProblem>,
}

impl Input {
    /// Whether a member was sent and is not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether a member was sent, if only as null.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A member as it was sent; `None` if it was not sent or is null.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// The members of a member that is an object; none if it is something else, which is noted.
    pub(super) fn within(&mut self, name: &str) -> Self {
        let members = self.read(name, "an object", |value| value.as_object().cloned());
        Self {
            members: members.unwrap_or_default(),
            problems: Vec::new(),
        }
    }

    /// Takes the mistakes over that were noted within a member.
    pub(super) fn take_problems(&mut self, within: Self, name: &str) {
        self.problems
            .extend(within.problems.into_iter().map(|mut problem| {
                problem.pointer = format!("/{name}{}", problem.pointer);
                problem
            }));
    }

    /// A text; `None` if it was not sent or is null.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A text that must be there and not be blank.
    pub(super) fn required_text(&mut self, name: &str) -> String {
        let sent = self.has(name);
        let text = self.text(name).unwrap_or_default();
        if text.trim().is_empty() && (!sent || self.problems.iter().all(|p| p.pointer != format!("/{name}")))
        {
            self.problem(name, "required", format!("`{name}` is required"));
        }
        text
    }

    /// A secret; `None` if it was not sent or is null.
    pub(super) fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.read(name, "a list of texts", |value| {
            value
                .as_array()?
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
    }

    /// An object whose members are texts.
    pub(super) fn text_map(&mut self, name: &str) -> Option<std::collections::BTreeMap<String, String>> {
        self.read(name, "an object of texts", |value| {
            value
                .as_object()?
                .iter()
                .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect()
        })
    }

    /// An object, member by member.
    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.read(name, "an object", |value| value.as_object().cloned())
    }

    /// A list of objects.
    pub(super) fn objects(&mut self, name: &str) -> Option<Vec<Map<String, Value>>> {
        self.read(name, "a list of objects", |value| {
            value
                .as_array()?
                .iter()
                .map(|item| item.as_object().cloned())
                .collect()
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// A whole number.
    pub(super) fn integer(&mut self, name: &str) -> Option<i64> {
        self.read(name, "a whole number", Value::as_i64)
    }

    /// A time in RFC 3339 or a day, as milliseconds since 1970.
    pub(super) fn time(&mut self, name: &str) -> Option<i64> {
        self.read(name, "a time such as 2026-11-23T08:00:00Z", |value| {
            time_of(value.as_str()?)
        })
    }

    /// One of a few words; `known` lists them for the message.
    pub(super) fn word<T>(&mut self, name: &str, parse: fn(&str) -> Option<T>, known: &str) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.problem(name, "invalid", format!("`{name}` must be one of {known}"));
        }
        parsed
    }

    /// Notes a mistake of a member.
    pub(super) fn problem(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.problems.push(FieldProblem {
            pointer: format!("/{name}"),
            code: code.to_owned(),
            detail: detail.into(),
        });
    }

    /// All mistakes so far, as one refusal.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.problems))
        }
    }

    fn read<T>(&mut self, name: &str, wanted: &str, as_type: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let typed = as_type(value);
        if typed.is_none() {
            self.problem(name, "wrong_type", format!("`{name}` must be {wanted}"));
        }
        typed
    }
}

/// A time in RFC 3339, or a day, in milliseconds since 1970.
fn time_of(text: &str) -> Option<i64> {
    let day = || {
        Some(
            text.parse::<chrono::NaiveDate>()
                .ok()?
                .and_hms_opt(0, 0, 0)?
                .and_utc(),
        )
    };
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .ok()
        .or_else(day)
        .map(|time| time.timestamp_millis())
}

/// Whether a text in it holds a NUL, which no text of ours does and PostgreSQL does not take.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

impl Input {
    /// From the body of a request; an action without details needs no body at all.
    pub(super) fn parse(content_type: &str, body: &[u8]) -> Result<Map<String, Value>, Problem> {
        if body.is_empty() {
            return Ok(Map::new());
        }
        let kind = content_type.to_ascii_lowercase();
        if kind != "application/json" && !kind.ends_with("+json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send JSON with `Content-Type: application/json`",
            ));
        }
        let members = json::object(body)?;
        match members
            .iter()
            .find(|(name, value)| name.contains('\0') || holds_nul(value))
        {
            Some((name, _)) => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "nul_character",
                "a member holds a NUL character; nothing was changed",
            )
            .at(format!("/{}", escaped(name)))),
            None => Ok(members),
        }
    }
}

/// The members of a body, read by the door before the handler is called.
pub(super) struct Members(pub(super) Map<String, Value>);

impl FromRequest for Input {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let members = request.extensions_mut().remove::<Members>();
        std::future::ready(Ok(Self {
            members: members.map(|members| members.0).unwrap_or_default(),
            problems: Vec::new(),
        }))
    }
}

/// The bytes that were sent, for routes whose body is no JSON.
pub(super) struct Bytes(pub(super) actix_web::web::Bytes);

impl FromRequest for Bytes {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bytes = request.extensions_mut().remove::<Self>();
        std::future::ready(Ok(bytes.unwrap_or_else(|| Self(actix_web::web::Bytes::new()))))
    }
}

/// The query of a list: `limit`, `after` and filters.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    path: String,
    /// How many items at most.
    pub(super) limit: u64,
    /// What the service calls the place to go on from.
    pub(super) after: Option<String>,
}

impl Query {
    /// A filter; `None` if it was not given or is empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.pairs
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.clone())
    }

    /// A filter that is a time or a day.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        // A `+` of an offset that was not escaped arrived as a space.
        time_of(&text.replace(' ', "+")).map(Some).ok_or_else(|| {
            Problem::bad_request(
                "bad_filter",
                format!("`{name}` must be a time such as 2026-11-23T08:00:00Z, or a day"),
            )
            .at(format!("/{name}"))
        })
    }

    /// The address of the next part of this list.
    pub(super) fn next(&self, after: &str) -> String {
        let mark = list_mark(&self.path, &self.pairs);
        self.next_at(&URL_SAFE_NO_PAD.encode(format!("{mark}{after}")))
    }

    /// The same for a cursor that is opaque already.
    pub(super) fn next_at(&self, cursor: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in &self.pairs {
            if key != "after" {
                query.append_pair(key, value);
            }
        }
        query.append_pair("after", cursor);
        format!("{}?{}", self.path, query.finish())
    }

    fn read(request: &HttpRequest) -> Result<Self, Problem> {
        // What the next part is asked with is shown in this one: no token.
        let pairs = presented::parameters(request.query_string());
        let of = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let limit = match of("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| {
                    Problem::bad_request(
                        "bad_limit",
                        format!("`limit` must be a number from 1 to {MAX_LIMIT}"),
                    )
                    .at("/limit")
                })?,
        };
        let after = match of("after") {
            None | Some("") => None,
            Some(text) => Some(
                URL_SAFE_NO_PAD
                    .decode(text)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .filter(|text| !text.contains('\0'))
                    .and_then(|text| place_in(request.path(), &pairs, text))
                    .ok_or_else(bad_cursor)?,
            ),
        };
        let path = request.path().to_owned();
        Ok(Self {
            pairs,
            path,
            limit,
            after,
        })
    }
}

impl FromRequest for Query {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(Self::read(request))
    }
}

/// What a cursor of one list begins with: a place in another list, or in another order, means nothing here.
fn list_mark(path: &str, pairs: &[(String, String)]) -> String {
    let sort = pairs
        .iter()
        .find(|(name, _)| name == "sort")
        .map_or("", |(_, value)| value);
    let mut mark = crate::crypto::sha256_hex(format!("{path}\n{sort}").as_bytes());
    mark.truncate(8);
    mark
}

/// Where the event log is read.
const EVENTS: [&str; 2] = ["/api/v1/events", "/api/v1/events/stream"];

/// The place a cursor names in a list. Places in the event log say themselves what they are, and are left to it: they are
/// the same for every way to read it, and mean nothing elsewhere.
fn place_in(path: &str, pairs: &[(String, String)], text: String) -> Option<String> {
    if EVENTS.contains(&path) && text.starts_with("e1.") {
        return Some(text);
    }
    text.strip_prefix(&list_mark(path, pairs)).map(str::to_owned)
}

/// 400: the cursor is not one a list gave out.
pub(super) fn bad_cursor() -> Problem {
    Problem::bad_request("bad_cursor", "`after` must be taken from the `next` of a list").at("/after")
}
