//! What the API writes: lists, single resources with their tag, files.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde_json::{Value, json};

use super::input::Query;
use super::tag::Tag;
use crate::clock::rfc3339;
use crate::trouble::Trouble;
use crate::web::error::{FieldProblem, Problem};

/// 200 with a resource that can be changed.
pub(super) fn tagged(tag: impl Into<Tag>, body: Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(tag.into().into_header())
        .json(body)
}

/// An answer, with the tag of what is in it.
pub(super) fn with_tag(mut answer: HttpResponse, tag: impl Into<Tag>) -> HttpResponse {
    let (name, value) = tag.into().into_header();
    if let Ok(value) = header::HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// 201 with a new resource and its address.
pub(super) fn created(path: &str, tag: impl Into<Tag>, body: Value) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((header::LOCATION, path))
        .insert_header(tag.into().into_header())
        .json(body)
}

/// 202 with the id of what was started.
pub(super) fn accepted(path: &str, id: &str) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((header::LOCATION, path))
        .json(json!({ "id": id }))
}

/// 204.
pub(super) fn done() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// A part of a list; `after` is where the next part begins.
pub(super) fn list(query: &Query, items: Vec<Value>, after: Option<&str>) -> HttpResponse {
    let next = after.map(|after| query.next(after));
    let mut response = HttpResponse::Ok();
    if let Some(next) = &next {
        response.insert_header((header::LINK, format!("<{next}>; rel=\"next\"")));
    }
    response.json(json!({ "items": items, "next": next }))
}

/// A part of a list whose source gave one item more than the limit if there is more.
pub(super) fn list_of<T>(
    query: &Query,
    mut items: Vec<T>,
    id: impl Fn(&T) -> &str,
    show: impl Fn(&T) -> Value,
) -> HttpResponse {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let after = items.last().filter(|_| more).map(|last| id(last).to_owned());
    list(query, items.iter().map(show).collect(), after.as_deref())
}

/// A part of a list that is held as a whole, in the order of ids.
pub(super) fn list_from_all<T>(
    query: &Query,
    mut all: Vec<T>,
    id: impl Fn(&T) -> &str,
    show: impl Fn(&T) -> Value,
) -> HttpResponse {
    all.sort_by(|a, b| id(a).cmp(id(b)));
    let rest = match &query.after {
        Some(after) => all.into_iter().filter(|item| id(item) > after.as_str()).collect(),
        None => all,
    };
    list_of(query, rest, id, show)
}

/// A time, or null.
pub(super) fn time(ms: Option<i64>) -> Value {
    ms.map_or(Value::Null, |ms| rfc3339(ms).into())
}

/// A text, or null for the empty one.
pub(super) fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// `{code, cause, remedy}`, or null.
pub(super) fn trouble(trouble: Option<&Trouble>) -> Value {
    trouble.map_or(
        Value::Null,
        |trouble| json!({ "code": trouble.code, "cause": trouble.cause, "remedy": trouble.remedy }),
    )
}

/// Mistakes of fields (name, code, sentence) as a refusal: 409 if a unique value is taken, else 422.
pub(super) fn invalid<C: ToString>(errors: impl IntoIterator<Item = (&'static str, C, String)>) -> Problem {
    let errors: Vec<FieldProblem> = errors
        .into_iter()
        .map(|(field, code, detail)| FieldProblem {
            pointer: format!("/{}", camel_case(field)),
            code: code.to_string(),
            detail,
        })
        .collect();
    let is_taken = errors.iter().any(|error| error.code.starts_with("duplicate"));
    let problem = Problem::invalid(errors);
    if is_taken {
        problem.with_status(StatusCode::CONFLICT)
    } else {
        problem
    }
}

fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

/// A file to keep: never shown by the browser, whatever it says it is.
pub(in crate::web) fn download(name: &str, content_type: &str, bytes: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type.to_owned()))
        .insert_header((header::CONTENT_DISPOSITION, disposition(name)))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .body(bytes)
}

/// `attachment` with a name for old and new clients (RFC 6266, RFC 8187).
fn disposition(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_control() || matches!(c, '/' | '\\') {
                '_'
            } else {
                c
            }
        })
        .take(120)
        .collect();
    let name = if name.trim_matches(['.', ' ']).is_empty() {
        "attachment".to_owned()
    } else {
        name
    };
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '%' | ';') || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_leave_its_header() {
        assert_eq!(
            disposition("Ü \"x\"\r\nSet-Cookie: a=b.pdf"),
            "attachment; filename=\"_ _x___Set-Cookie: a=b.pdf\"; \
             filename*=UTF-8''%C3%9C%20%22x%22__Set-Cookie%3A%20a%3Db.pdf"
        );
        assert_eq!(
            disposition("../../etc/passwd"),
            "attachment; filename=\".._.._etc_passwd\"; filename*=UTF-8''.._.._etc_passwd"
        );
        assert!(disposition("..").contains("filename=\"attachment\""));
    }

    #[test]
    fn fields_are_named_as_in_the_api() {
        assert_eq!(camel_case("token_endpoint"), "tokenEndpoint");
        assert_eq!(camel_case("loginName"), "loginName");
    }
}
