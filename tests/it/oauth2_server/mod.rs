//! Mailgrant's authorization server over HTTP: the negative cases by their numbers, and clients nobody here wrote.

mod apache;
mod authorize;
mod conformance;
mod consent;
mod device;
mod dpop;
mod interop;
mod keys;
mod legacy;
mod libraries;
mod logout;
mod registration;
mod signing;
mod tokens;

use std::sync::Arc;

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings, http};
use crate::support::visitor::{Seen, Visitor};
use crate::world::text;

const EMAIL: &str = "ada@example.test";
const PASSWORD: &str = "correct horse battery staple";
const CALLBACK: &str = "https://app.example/cb";
/// A verifier and its challenge.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Mailgrant with a person and a client.
struct Server {
    mailgrant: Arc<Mailgrant>,
    rest: Rest,
    client: Value,
    #[allow(dead_code, reason = "lives as long as the server")]
    database: Option<TestDatabase>,
}

/// What a client is made of, with some members changed.
fn client_with(changes: &Value) -> Value {
    let mut client = json!({
        "name": "Test app",
        "redirectUris": [CALLBACK],
        "scopes": ["openid", "profile", "email", "offline_access", "tickets:read", "projects:read"],
        "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        client[name] = value.clone();
    }
    client
}

impl Server {
    async fn start() -> Self {
        Self::start_on(None).await
    }

    async fn start_on(database: Option<TestDatabase>) -> Self {
        Self::start_with(Settings::new(), database).await
    }

    async fn start_with(settings: Settings, database: Option<TestDatabase>) -> Self {
        let mut settings = settings.set("MAILGRANT_ALLOW_WEBHOOK_NETWORKS", "127.0.0.0/8");
        if let Some(database) = &database {
            settings = settings.database(&database.url);
        }
        let mailgrant = Arc::new(Mailgrant::start(settings).await);
        let mut command = mailgrant.command(&["user", "create", "--email", EMAIL, "--name", "Ada"]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, PASSWORD).unwrap();
        let out = command
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let rest = mailgrant.rest();
        let client = rest.post("/api/v1/clients", &client_with(&json!({}))).await;
        Self {
            mailgrant,
            rest,
            client,
            database,
        }
    }

    async fn add_client(&self, changes: &Value) -> Value {
        self.rest.post("/api/v1/clients", &client_with(changes)).await
    }

    /// The address of an authorization request of the client, with some parameters changed or (empty) left out.
    fn request(&self, changes: &[(&str, &str)]) -> String {
        self.request_of(&self.client, changes)
    }

    fn request_of(&self, client: &Value, changes: &[(&str, &str)]) -> String {
        let id = text(client, "clientId");
        let mut params = vec![
            ("response_type", "code"),
            ("client_id", id.as_str()),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile tickets:read"),
            ("state", "st4te"),
            ("nonce", "n0nce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            params.retain(|(have, _)| have != name);
            params.push((name, value));
        }
        params.retain(|(_, value)| !value.is_empty());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        format!("/oauth2/authorize?{query}")
    }

    /// Walks through sign-in and consent as Ada, and returns the page that goes on to the client.
    async fn consent(&self, visitor: &Visitor, request: &str) -> Seen {
        let mut seen = visitor.get(request).await;
        for _ in 0..8 {
            if seen.status == 303 && seen.location.contains("/sign-in") {
                let page = visitor.get(&seen.location).await;
                seen = visitor.sign_in(&page, EMAIL, &SecretString::from(PASSWORD)).await;
            } else if seen.status == 303 && (seen.location.starts_with('/')) {
                let path = seen.location.clone();
                seen = visitor.get(&path).await;
                if seen.status == 200 && seen.body.contains("name=\"decision\"") {
                    let fields = all_scopes(&seen);
                    let mut fields: Vec<(&str, &str)> =
                        fields.iter().map(|scope| ("scope", scope.as_str())).collect();
                    fields.extend([("decision", "allow"), ("reach", "all"), ("lasts", "")]);
                    seen = visitor.submit(&seen, &path, &fields).await;
                }
            } else {
                break;
            }
        }
        if seen.status == 200 {
            seen.location = seen.refresh();
        }
        seen
    }

    /// A code for the client, as a new browser gets it.
    async fn code(&self, changes: &[(&str, &str)]) -> String {
        self.code_of(&self.client, changes).await
    }

    async fn code_of(&self, client: &Value, changes: &[(&str, &str)]) -> String {
        let visitor = Visitor::new(&self.mailgrant);
        let seen = self.consent(&visitor, &self.request_of(client, changes)).await;
        seen.param("code")
            .unwrap_or_else(|| panic!("no code: {} {} {}", seen.status, seen.location, seen.body))
    }

    /// Posts a form to an endpoint with the client's credentials in the header.
    async fn ask(&self, client: &Value, path: &str, fields: &[(&str, &str)]) -> Answer {
        let secret = client["clientSecret"].as_str();
        let mut all: Vec<(&str, &str)> = fields.to_vec();
        let id = text(client, "clientId");
        let mut request = http().post(format!("{}{path}", self.mailgrant.base_url));
        match secret {
            Some(secret) => request = request.basic_auth(&id, Some(secret)),
            None => all.push(("client_id", &id)),
        }
        send(request, &all).await
    }

    async fn token(&self, fields: &[(&str, &str)]) -> Answer {
        self.ask(&self.client, "/oauth2/token", fields).await
    }

    /// Redeems a code that was asked for with [`VERIFIER`].
    async fn redeem(&self, code: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    async fn is_active(&self, token: &str) -> bool {
        let answer = self
            .ask(&self.client, "/oauth2/introspect", &[("token", token)])
            .await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        answer.json["active"] == true
    }

    /// The ids of the keys that are published now.
    async fn key_ids(&self) -> Vec<String> {
        let url = format!("{}/oauth2/jwks", self.mailgrant.base_url);
        let set: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        let keys = set["keys"].as_array().expect("keys");
        keys.iter().map(|key| text(key, "kid")).collect()
    }

    /// What the REST API answers to this token.
    async fn api(&self, token: &str, path: &str) -> u16 {
        let rest = Rest::new(&self.mailgrant.base_url, token);
        rest.send(Method::GET, path, None).await.status
    }
}

/// The scopes a consent page offers.
fn all_scopes(page: &Seen) -> Vec<String> {
    page.body
        .split("name=\"scope\" value=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// An answer of a protocol endpoint.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    json: Value,
}

impl Answer {
    fn error(&self) -> (u16, &str) {
        (self.status, self.json["error"].as_str().unwrap_or("none"))
    }

    fn text(&self, member: &str) -> String {
        assert_eq!(self.status, 200, "{}", self.json);
        text(&self.json, member)
    }
}

async fn send(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let answer = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .expect("an answer");
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        json: answer.json().await.unwrap_or(Value::Null),
    }
}
