//! One request to an endpoint, and what it came to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::payload::Body;
use super::sign::{Secrets, sign};
use crate::net::{DialError, EndpointError, HttpClient, HttpError, HttpMethod, HttpRequest, HttpResponse};

/// How much of an answer's body is kept, bytes; only of receivers that everybody can reach.
const KEPT_BODY: usize = 1_024;

/// Headers of an answer that are kept.
const KEPT_HEADERS: [&str; 5] = [
    "content-type",
    "location",
    "retry-after",
    "server",
    "x-request-id",
];

/// What happened.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The status of the answer; none if there was none.
    pub status: Option<u16>,
    /// Machine code of what went wrong; empty if it was taken.
    pub error: String,
    /// How long it took, milliseconds.
    pub ms: i64,
    /// `Retry-After`, if the receiver sent one.
    pub retry_after: Option<String>,
    /// The request as the log shows it.
    pub request: String,
    /// The answer as the log shows it.
    pub response: String,
}

impl Outcome {
    /// Whether the receiver took it.
    pub fn is_success(&self) -> bool {
        self.error.is_empty()
    }

    /// Whether the receiver wants nothing more, ever.
    pub fn is_gone(&self) -> bool {
        self.status == Some(410)
    }
}

/// An endpoint as a request needs it.
pub struct Target<'a> {
    /// Its address.
    pub url: &'a str,
    /// Headers its owner added.
    pub headers: &'a BTreeMap<String, String>,
    /// What its requests are signed with.
    pub secrets: &'a Secrets,
}

/// Sends an event's body once. Only 2xx is success: a redirect is not followed, and not taken for an answer.
pub async fn send(
    client: &HttpClient,
    timeout: Duration,
    target: &Target<'_>,
    event_id: &str,
    now_ms: i64,
    body: Body,
) -> Outcome {
    let timestamp = now_ms / 1_000;
    let signature = sign(target.secrets, event_id, timestamp, &body.bytes);
    let timestamp = timestamp.to_string();
    let mut headers = vec![
        ("content-type", body.content_type),
        ("webhook-id", event_id),
        ("webhook-timestamp", timestamp.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    headers.extend(
        target
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let added: Vec<&String> = target.headers.keys().collect();
    let request = json!({
        "method": "POST",
        "headers": {
            "content-type": body.content_type, "webhook-id": event_id, "webhook-timestamp": timestamp,
            "webhook-signature": "(hidden)",
        },
        "addedHeaders": added,
        "bodyBytes": body.bytes.len(),
    })
    .to_string();
    let started = Instant::now();
    let sent = client
        .clone()
        .with_timeout(timeout)
        .with_body_limit(KEPT_BODY)
        .send_clipped(HttpRequest {
            method: HttpMethod::Post,
            url: target.url,
            headers: &headers,
            body: body.bytes,
        })
        .await;
    let ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
    match sent {
        Ok(answer) => {
            let status = answer.response.status;
            let retry_after = answer.response.header("retry-after").map(str::to_owned);
            Outcome {
                status: Some(status),
                error: if (200..300).contains(&status) {
                    String::new()
                } else {
                    format!("http_{status}")
                },
                ms,
                retry_after,
                request,
                response: kept(answer.is_public, &answer.response).to_string(),
            }
        }
        Err(error) => Outcome {
            status: None,
            error: code_of(&error).to_owned(),
            ms,
            retry_after: None,
            request,
            response: "{}".into(),
        },
    }
}

/// What is kept of an answer: of a host inside nothing that it says.
fn kept(is_public: bool, answer: &HttpResponse) -> Value {
    if !is_public {
        return json!({ "headers": {}, "body": null });
    }
    let headers: BTreeMap<&str, String> = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some((*name, plain(answer.header(name)?, 200))))
        .collect();
    let body = String::from_utf8_lossy(&answer.body);
    json!({ "headers": headers, "body": plain(&body, KEPT_BODY) })
}

fn code_of(error: &HttpError) -> &'static str {
    match error {
        HttpError::Endpoint(EndpointError::Dial(DialError::Forbidden { .. })) => "address_not_allowed",
        other => other.code(),
    }
}

/// Text without control characters, at most so many bytes.
fn plain(text: &str, most: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect();
    clean[..clean.floor_char_boundary(most)].to_owned()
}

/// What a failed attempt means, for people.
pub fn explain(error: &str) -> &'static str {
    match error {
        "" => "The receiver took it.",
        "address_not_allowed" => {
            "The address is not a public one. If it is meant, add its network to MAILGRANT_ALLOW_WEBHOOK_NETWORKS and \
             restart; MAILGRANT_ALLOW_NETWORKS does not count for webhooks."
        }
        "endpoint_plain_http" => "Without https only receivers on this machine are called.",
        "event_gone" => "The event is older than the retention; there was nothing left to send.",
        "not_in_scope" => "The webhook does not get events of this project any more.",
        "http_timeout" => "The receiver did not answer in time. Answer first, and work afterwards.",
        "http_410" => "The receiver wants nothing more; the webhook was disabled.",
        "http_429" => "The receiver asked for less; its Retry-After is honoured.",
        "http_401" | "http_403" => {
            "The receiver refused the request: check its signature check and the added headers."
        }
        error if error.starts_with("http_3") => {
            "The receiver sends elsewhere. Redirects are not followed: enter the new address."
        }
        error if error.starts_with("http_4") => "The receiver refused the request.",
        error if error.starts_with("http_5") => "The receiver failed.",
        _ => "The receiver was not reached.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    #[test]
    fn of_a_public_answer_its_beginning_is_kept_and_of_one_inside_nothing() {
        let long = HeaderValue::from_str(&"s".repeat(500)).unwrap();
        let answer = HttpResponse {
            status: 500,
            headers: HeaderMap::from_iter([
                (reqwest::header::SERVER, long),
                (
                    reqwest::header::CONTENT_TYPE,
                    HeaderValue::from_static("text/plain"),
                ),
                (reqwest::header::SET_COOKIE, HeaderValue::from_static("session=1")),
            ]),
            body: format!("ü\u{1b}[2J\0\r\n{}", "ä".repeat(2_560)).into_bytes(),
        };
        let public = kept(true, &answer);
        let body = public["body"].as_str().unwrap();
        assert!(body.starts_with("ü [2J  \nää"), "{body}");
        assert!((1_022..=1_024).contains(&body.len()), "{}", body.len());
        let headers = json!({ "content-type": "text/plain", "server": "s".repeat(200) });
        assert_eq!(public["headers"], headers);
        assert_eq!(kept(false, &answer), json!({ "headers": {}, "body": null }));
        let broken = HttpResponse {
            body: vec![0xff, 0xfe, b'x'],
            ..answer
        };
        assert_eq!(kept(true, &broken)["body"], "\u{fffd}\u{fffd}x");
    }
}
