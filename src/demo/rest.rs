//! The small REST client of `demo --check`: what any script outside would send, with a token and no cookie.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::net::{HttpClient, HttpMethod, HttpRequest, HttpResponse};

/// A client of the public interface. It cannot be printed: it holds a token.
pub(super) struct Rest {
    http: HttpClient,
    base_url: String,
    authorization: SecretString,
}

impl Rest {
    /// A client that shows this token.
    pub(super) fn new(http: HttpClient, base_url: String, token: &SecretString) -> Rest {
        Rest {
            http,
            base_url,
            authorization: SecretString::from(format!("Bearer {}", token.expose_secret())),
        }
    }

    /// GET of a path below `/api/v1`, which must answer 2xx.
    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        json(path, &self.send(HttpMethod::Get, path, Vec::new()).await?)
    }

    /// POST of JSON to a path below `/api/v1`, which must answer 2xx.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let body = body.to_string().into_bytes();
        json(path, &self.send(HttpMethod::Post, path, body).await?)
    }

    /// The bytes of a download.
    pub(super) async fn download(&self, path: &str) -> Result<HttpResponse, String> {
        let answer = self.send(HttpMethod::Get, path, Vec::new()).await?;
        refused(path, &answer).map_or(Ok(answer), Err)
    }

    /// All items of a list, over all its pages.
    pub(super) async fn all(&self, path: &str) -> Result<Vec<Value>, String> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.get(&path).await?;
            let part = page["items"].as_array();
            items.extend(
                part.ok_or_else(|| format!("{path} answered no list"))?
                    .iter()
                    .cloned(),
            );
            next = page["next"]
                .as_str()
                .map(|path| path.trim_start_matches("/api/v1").to_owned());
        }
        Ok(items)
    }

    /// GET of a whole address as a browser without cookies would send it.
    pub(super) async fn visit(&self, url: &str) -> Result<HttpResponse, String> {
        self.http.get(url, &[]).await.map_err(|error| error.to_string())
    }

    async fn send(&self, method: HttpMethod, path: &str, body: Vec<u8>) -> Result<HttpResponse, String> {
        let url = format!("{}/api/v1{path}", self.base_url);
        let headers = [
            ("authorization", self.authorization.expose_secret()),
            ("content-type", "application/json"),
        ];
        let request = HttpRequest {
            method,
            url: &url,
            headers: &headers,
            body,
        };
        self.http
            .send(request)
            .await
            .map_err(|error| format!("{path}: {error}"))
    }
}

fn json(path: &str, answer: &HttpResponse) -> Result<Value, String> {
    match refused(path, answer) {
        Some(why) => Err(why),
        None if answer.body.is_empty() => Ok(Value::Null),
        None => {
            serde_json::from_slice(&answer.body).map_err(|error| format!("{path} answered no JSON: {error}"))
        }
    }
}

fn refused(path: &str, answer: &HttpResponse) -> Option<String> {
    let status = answer.status;
    (!(200..300).contains(&status)).then(|| {
        let said: String = String::from_utf8_lossy(&answer.body).chars().take(500).collect();
        format!("{path} answered {status}: {said}")
    })
}
