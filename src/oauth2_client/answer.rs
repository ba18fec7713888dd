//! Reading a token endpoint's answer the way providers really write it, and turning it into the one form the strict
//! parser of the `oauth2` crate accepts.
//!
//! Accepted: `expires_in` as number, fraction, text or missing; `token_type` missing or odd; `scope` as text or list;
//! nulls; a byte order mark; any 2xx status; JSON under any Content-Type; an `error` with status 200. Anything else is
//! unreadable, and unreadable is transient.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::tokens::IdClaims;

/// The longest a provider can make us wait.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Lifetime of an access token whose answer does not say.
const DEFAULT_LIFETIME_SECS: u64 = 300;
/// No lifetime is believed beyond this: 10 years.
const MAX_LIFETIME_SECS: u64 = 10 * 365 * 24 * 3600;

/// An answer in its one form.
pub(super) enum Answer {
    /// JSON with tokens, as RFC 6749, section 5.1 wants it, plus `refresh_expires_in` and `id_claims`.
    Tokens(Value),
    /// JSON with a refusal, as in section 5.2, plus `status`.
    Refusal(Value),
    /// Nothing that can be understood; what it was, in words without its content.
    Unreadable(String),
}

/// Reads an answer.
pub(super) fn read(status: u16, body: &[u8], client_id: &str) -> Answer {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
        return Answer::Unreadable(describe_unreadable(status, body));
    };
    if let Some(refusal) = refusal(status, &fields) {
        return Answer::Refusal(refusal);
    }
    if !(200..300).contains(&status) {
        return Answer::Unreadable(format!("status {status} and JSON without an error code"));
    }
    match text(&fields, "access_token") {
        Some(token) => Answer::Tokens(tokens(&fields, token, client_id)),
        None => Answer::Unreadable(format!("status {status} and JSON without a token")),
    }
}

/// Retry-After in seconds or as an HTTP date (RFC 9110, section 10.2.3), at most an hour.
pub(super) fn retry_after(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    // The day of the week says nothing the date does not, and is sometimes wrong.
    let date = value.split_once(',').map_or(value, |(_, date)| date.trim());
    let date = chrono::DateTime::parse_from_rfc2822(date).ok()?;
    let wait = u64::try_from(date.timestamp_millis() - now_ms).unwrap_or(0);
    Some(Duration::from_millis(wait).min(MAX_RETRY_AFTER))
}

fn refusal(status: u16, fields: &Map<String, Value>) -> Option<Value> {
    // Some providers wrap it: {"error": {"code": …, "message": …}}.
    let (error, description) = match fields.get("error")? {
        Value::String(error) => (
            error.clone(),
            text(fields, "error_description").unwrap_or_default(),
        ),
        Value::Object(inner) => (
            text(inner, "status")
                .or_else(|| text(inner, "code"))?
                .to_ascii_lowercase(),
            text(inner, "message").unwrap_or_default(),
        ),
        _ => return None,
    };
    if error.is_empty() {
        return None;
    }
    // Microsoft's numbers also stand in a list of their own; the description may be localised or cut.
    let mut description = description;
    for code in fields
        .get("error_codes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let number = format!("AADSTS{code}");
        if code.is_u64() && !description.contains(&number) {
            description = format!("{description} {number}");
        }
    }
    Some(json!({ "error": error, "error_description": description, "status": status }))
}

fn tokens(fields: &Map<String, Value>, access_token: String, client_id: &str) -> Value {
    let mut out = json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": seconds(fields.get("expires_in")).unwrap_or(DEFAULT_LIFETIME_SECS),
    });
    if let Some(refresh) = text(fields, "refresh_token") {
        out["refresh_token"] = refresh.into();
    }
    if let Some(scope) = scope(fields.get("scope")) {
        out["scope"] = scope.into();
    }
    // Google says refresh_token_expires_in, Keycloak refresh_expires_in (0: never).
    let refresh_life = ["refresh_token_expires_in", "refresh_expires_in"]
        .into_iter()
        .find_map(|name| seconds(fields.get(name)));
    if let Some(life) = refresh_life {
        out["refresh_life"] = life.into();
    }
    let claims = text(fields, "id_token").and_then(|token| IdClaims::of_id_token(&token, client_id));
    if let Some(claims) = claims.and_then(|claims| serde_json::to_value(claims).ok()) {
        out["id_claims"] = claims;
    }
    out
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// A number of seconds as number, fraction or text; nothing for zero, negative and nonsense.
fn seconds(value: Option<&Value>) -> Option<u64> {
    let number = match value? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    if !number.is_finite() || number < 1.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped between 1 and ten years just before"
    )]
    let whole = number.min(MAX_LIFETIME_SECS as f64) as u64;
    Some(whole)
}

fn scope(value: Option<&Value>) -> Option<String> {
    let scope = match value? {
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        _ => return None,
    };
    // Some separate by commas (RFC 6749 wants spaces); no scope token may hold one and a space at once.
    // Control characters are in none, and PostgreSQL would refuse a NUL together with the rotated token beside it.
    let parts: Vec<&str> = scope
        .split(|c: char| c == ',' || c.is_whitespace() || c.is_control())
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn describe_unreadable(status: u16, body: &[u8]) -> String {
    let start = body.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let what = match body.get(start) {
        None => "an empty body",
        Some(b'<') => "an HTML page",
        Some(b'{') => "broken JSON",
        Some(_) => "something that is not JSON",
    };
    format!("status {status} and {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens_of(body: &str) -> Value {
        match read(200, body.as_bytes(), "client") {
            Answer::Tokens(value) => value,
            Answer::Refusal(value) => panic!("refused: {value}"),
            Answer::Unreadable(why) => panic!("unreadable: {why}"),
        }
    }

    #[test]
    fn lifetimes_are_read_however_they_are_written() {
        let cases = [
            (r#""3599""#, 3599),
            ("3599.7", 3599),
            (r#""3599.0""#, 3599),
            ("null", 300),
            ("-5", 300),
            ("0", 300),
            (r#""soon""#, 300),
            ("[1]", 300),
            ("1e300", MAX_LIFETIME_SECS),
        ];
        for (written, wanted) in cases {
            let body = format!(r#"{{"access_token":"a","expires_in":{written}}}"#);
            assert_eq!(tokens_of(&body)["expires_in"], wanted, "{written}");
        }
    }

    #[test]
    fn scopes_are_read_as_text_or_list() {
        for scope in [
            r#""a b""#,
            r#"["a","b"]"#,
            r#""a,b""#,
            r#"" a  b ""#,
            r#""a\u0000b""#,
        ] {
            let body = format!(r#"{{"access_token":"a","scope":{scope}}}"#);
            assert_eq!(tokens_of(&body)["scope"], "a b", "{scope}");
        }
        assert!(
            tokens_of(r#"{"access_token":"a","scope":""}"#)
                .get("scope")
                .is_none()
        );
    }

    #[test]
    fn a_retry_after_is_never_longer_than_an_hour() {
        let now = 1_764_000_000_000; // Mon, 24 Nov 2025 16:00:00 GMT
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("315360000", now), Some(MAX_RETRY_AFTER));
        assert_eq!(retry_after("99999999999999999999999", now), Some(MAX_RETRY_AFTER));
        assert_eq!(
            retry_after("Mon, 24 Nov 2025 16:01:00 GMT", now),
            Some(Duration::from_secs(60))
        );
        assert_eq!(
            retry_after("Mon, 24 Nov 2035 16:01:00 GMT", now),
            Some(MAX_RETRY_AFTER)
        );
        assert_eq!(
            retry_after("Mon, 24 Nov 2015 16:01:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn an_id_token_for_another_client_says_nothing() {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let token = |aud: &str| {
            let payload = json!({ "sub": "1", "email": "a@example.org", "aud": aud }).to_string();
            format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload))
        };
        assert!(IdClaims::of_id_token(&token("other"), "client").is_none());
        assert_eq!(
            IdClaims::of_id_token(&token("client"), "client").unwrap().email,
            "a@example.org"
        );
        assert!(IdClaims::of_id_token("garbage", "client").is_none());
    }
}
