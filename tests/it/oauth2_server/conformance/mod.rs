//! After the published plans of the OpenID Foundation's conformance suite: a file for each plan, a test for each of its
//! modules, by its name. Written after the plans, not certified: the suite itself does not run here. `tests/lint` knows
//! the modules and looks for a test of each.
//!
//! What Basic and Form Post ask alike, and Dynamic in part, is written once in [`modules`]. What needs time to pass or a
//! host of the application that is public is in `src/oauth2_server/tests/conformance.rs`. Where a module asks for what we
//! leave out, its test shows the refusal that it allows.

mod back_channel;
mod basic;
mod config;
mod dynamic;
mod form_post;
mod front_channel;
mod modules;
mod rp_logout;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::signing::Key;
use super::{Answer, CALLBACK, Server, VERIFIER};
use crate::support::process::http;
use crate::support::visitor::{Seen, Visitor};
use crate::world::text;

/// Everything that can be told of a person.
const SCOPES: [&str; 6] = ["openid", "profile", "email", "phone", "address", "offline_access"];

/// A plan, as far as its modules must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Clients by an admin, `client_secret_basic`, answers in the query.
    Basic,
    /// The same, answers in a form.
    FormPost,
    /// Clients that register themselves, `private_key_jwt`.
    Dynamic,
    /// As in the basic plan; what is looked at is the way out.
    Logout,
}

/// A Mailgrant that all modules of a plan share: one start for forty tests. Each has an application of its own.
struct Plan {
    server: Server,
    variant: Variant,
}

/// An application that has a key beside what it authenticates with.
struct App {
    json: Value,
    key: Key,
}

impl App {
    fn id(&self) -> String {
        text(&self.json, "clientId")
    }
}

/// The parameters of an answer of the authorization endpoint, however they came.
type Params = BTreeMap<String, String>;

/// A whole sign-in.
struct Flow {
    params: Params,
    tokens: Value,
    claims: Value,
}

impl Flow {
    fn access(&self) -> String {
        text(&self.tokens, "access_token")
    }

    fn id_token(&self) -> String {
        text(&self.tokens, "id_token")
    }
}

async fn stage() -> Server {
    let server = Server::start().await;
    let ada = server.rest.get("/api/v1/users").await["items"][0].clone();
    let path = format!("/api/v1/users/{}", text(&ada, "id"));
    let contact = json!({ "phoneNumber": "+49 30 1234567", "address": "Example Street 1" });
    server
        .rest
        .send(Method::PATCH, &path, Some(&contact))
        .await
        .ok(&path);
    server
}

impl Plan {
    async fn begin(variant: Variant) -> Self {
        static STAGES: [OnceCell<Server>; 4] = [const { OnceCell::const_new() }; 4];
        let stage = STAGES[variant as usize].get_or_init(stage).await;
        let server = Server {
            mailgrant: Arc::clone(&stage.mailgrant),
            rest: stage.rest.again(),
            client: stage.client.clone(),
            database: None,
        };
        Self { server, variant }
    }

    fn issuer(&self) -> &str {
        &self.server.mailgrant.base_url
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    fn browser(&self) -> Visitor {
        Visitor::new(&self.server.mailgrant)
    }

    async fn document(&self) -> Value {
        let url = self.url("/.well-known/openid-configuration");
        http().get(url).send().await.unwrap().json().await.unwrap()
    }

    /// An application as the plan has them.
    async fn app(&self) -> App {
        match self.variant {
            Variant::Dynamic => self.registered(&json!({})).await,
            _ => self.made(&json!({})).await,
        }
    }

    /// One that an admin made, with some fields changed.
    async fn made(&self, changes: &Value) -> App {
        let key = Key::new("app");
        let mut fields = json!({ "scopes": SCOPES, "jwks": key.set() });
        super::signing::change(&mut fields, changes);
        let json = self.server.add_client(&fields).await;
        App { json, key }
    }

    /// One that registered itself, with some metadata changed.
    async fn registered(&self, changes: &Value) -> App {
        let key = Key::new("app");
        let mut metadata = json!({ "jwks": key.set() });
        super::signing::change(&mut metadata, changes);
        let made = self.register(&metadata).await;
        assert_eq!(made.status, 201, "{}", made.json);
        let json = json!({
            "clientId": made.json["client_id"], "clientSecret": made.json["client_secret"], "metadata": made.json,
        });
        App { json, key }
    }

    /// The answer to a registration.
    async fn register(&self, changes: &Value) -> Answer {
        let initial = json!({ "name": "Plan", "scopes": SCOPES, "approves": true });
        let initial = self
            .server
            .rest
            .post("/api/v1/initial-access-tokens", &initial)
            .await;
        let mut metadata = json!({
            "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"], "token_endpoint_auth_method": "private_key_jwt",
        });
        super::signing::change(&mut metadata, changes);
        let answer = from_elsewhere()
            .post(self.url("/oauth2/register"))
            .bearer_auth(text(&initial, "token"))
            .json(&metadata)
            .send()
            .await
            .unwrap();
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            json: answer.json().await.unwrap(),
        }
    }

    /// The address of a request, with some parameters changed or (empty) left out.
    fn request(&self, app: &App, changes: &[(&str, &str)]) -> String {
        let mut all = vec![("scope", "openid")];
        if self.variant == Variant::FormPost {
            all.push(("response_mode", "form_post"));
        }
        all.extend(changes);
        self.server.request_of(&app.json, &all)
    }

    /// Signs in and allows where that is asked, and reads the answer.
    async fn answered(&self, app: &App, browser: &Visitor, changes: &[(&str, &str)]) -> Params {
        let seen = self.server.consent(browser, &self.request(app, changes)).await;
        self.params(&seen)
    }

    /// The answer that a page or a redirect carries to the application.
    fn params(&self, seen: &Seen) -> Params {
        if self.variant == Variant::FormPost {
            assert_eq!((seen.status, seen.location.as_str()), (200, ""), "{}", seen.body);
            let body = unescaped(&seen.body);
            let (_, form) = body
                .split_once(&format!("<form method=\"post\" action=\"{CALLBACK}\""))
                .unwrap_or_else(|| panic!("no form that leads there: {body}"));
            let fields = form.split("type=\"hidden\" name=\"").skip(1);
            return fields
                .map(|field| {
                    let (name, rest) = field.split_once('"').unwrap();
                    let value = rest.split('"').nth(1).unwrap();
                    (name.to_owned(), value.to_owned())
                })
                .collect();
        }
        let onward = match seen.location.as_str() {
            "" => seen.refresh(),
            location => location.to_owned(),
        };
        assert!(onward.starts_with(CALLBACK), "{onward} {}", seen.body);
        let url = url::Url::parse(&onward).unwrap();
        assert_eq!(url.fragment(), None, "{onward}");
        url.query_pairs().into_owned().collect()
    }

    /// What a request is refused with, told to the application with its state.
    async fn refused(&self, app: &App, browser: &Visitor, changes: &[(&str, &str)]) -> String {
        let params = self.answered(app, browser, changes).await;
        assert_eq!(
            params.get("state").map(String::as_str),
            Some("st4te"),
            "{params:?}"
        );
        assert_eq!(params.get("iss").map(String::as_str), Some(self.issuer()));
        assert!(!params.contains_key("code"), "{params:?}");
        params.get("error").cloned().unwrap_or_default()
    }

    /// Asks the token endpoint as the application.
    async fn token(&self, app: &App, fields: &[(&str, &str)]) -> Answer {
        if self.variant != Variant::Dynamic {
            return self.server.ask(&app.json, "/oauth2/token", fields).await;
        }
        let mut claims = self.server.claims(&app.json);
        claims["aud"] = self.url("/oauth2/token").into();
        let assertion = app.key.token("JWT", &claims);
        self.server.assert_at("/oauth2/token", &assertion, fields).await
    }

    async fn redeem(&self, app: &App, code: &str) -> Answer {
        self.token(app, &redeeming(code)).await
    }

    async fn refresh(&self, app: &App, token: &str) -> Answer {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.token(app, &fields).await
    }

    /// A sign-in from the request to an ID token that holds.
    async fn flow(&self, app: &App, browser: &Visitor, changes: &[(&str, &str)]) -> Flow {
        let params = self.answered(app, browser, changes).await;
        let code = params
            .get("code")
            .unwrap_or_else(|| panic!("{changes:?}: no code: {params:?}"));
        let state = changes.iter().find(|(name, _)| *name == "state");
        let state = state.map_or("st4te", |(_, value)| value);
        assert_eq!(params.get("state").map(String::as_str), Some(state));
        assert_eq!(params.get("iss").map(String::as_str), Some(self.issuer()));
        let answer = self.redeem(app, code).await;
        assert_eq!(answer.status, 200, "{changes:?}: {}", answer.json);
        let tokens = answer.json;
        let claims = self.verified(app, &text(&tokens, "id_token")).await;
        Flow {
            params,
            tokens,
            claims,
        }
    }

    /// The same in a browser that was never here.
    async fn fresh_flow(&self, app: &App, changes: &[(&str, &str)]) -> Flow {
        self.flow(app, &self.browser(), changes).await
    }

    /// The claims of a token for this application that a published key signed, checked by somebody else's code.
    async fn verified(&self, app: &App, token: &str) -> Value {
        let head = jsonwebtoken::decode_header(token).unwrap();
        let answer = http().get(self.url("/oauth2/jwks")).send().await.unwrap();
        let set: JwkSet = answer.json().await.unwrap();
        let kid = head.kid.as_deref().expect("a kid");
        let key = set.find(kid).expect("a published key");
        let mut rules = Validation::new(head.alg);
        rules.set_audience(&[app.id()]);
        rules.set_issuer(&[self.issuer()]);
        // What is no ID token has no end; those are asked for theirs.
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_jwk(key).unwrap();
        let found = jsonwebtoken::decode::<Value>(token, &key, &rules);
        found.expect("a token that holds").claims
    }

    /// What userinfo answers, as it came.
    async fn userinfo(&self, method: Method, token: &str, in_body: bool) -> reqwest::Response {
        let request = http().request(method, self.url("/oauth2/userinfo"));
        let request = match in_body {
            true => request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("access_token={token}")),
            false => request.bearer_auth(token),
        };
        request.send().await.unwrap()
    }

    /// What is told of the person of a flow.
    async fn told(&self, flow: &Flow) -> Value {
        let answer = self.userinfo(Method::GET, &flow.access(), false).await;
        assert_eq!(answer.status().as_u16(), 200);
        let said: Value = answer.json().await.unwrap();
        assert_eq!(said["sub"], flow.claims["sub"]);
        said
    }

    async fn opens_userinfo(&self, token: &str) -> bool {
        let answer = self.userinfo(Method::GET, token, false).await;
        answer.status().as_u16() == 200
    }

    /// A request that is answered with the page to sign in, though somebody may be signed in; where that is.
    async fn sign_in_page(&self, app: &App, browser: &Visitor, changes: &[(&str, &str)]) -> String {
        let seen = browser.get(&self.request(app, changes)).await;
        let on = browser.get(&seen.location).await;
        assert!(on.location.contains("/sign-in"), "{changes:?}: {}", on.location);
        on.location
    }
}

/// The fields that redeem a code.
fn redeeming(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

/// Somebody at an address that was not here yet: of one address only so many registrations are taken in a minute.
fn from_elsewhere() -> reqwest::Client {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    let client = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 7, last]));
    client.no_proxy().build().expect("an HTTP client")
}

/// A page as it reads.
fn unescaped(body: &str) -> String {
    let mut text = body.to_owned();
    for (from, to) in [("&#x2F;", "/"), ("&#x3D;", "="), ("&quot;", "\""), ("&amp;", "&")] {
        text = text.replace(from, to);
    }
    text
}

/// What the plans for both channels want to read of the server.
async fn announces(channel: &str) {
    let plan = Plan::begin(Variant::Logout).await;
    let document = plan.document().await;
    for name in ["supported", "session_supported"] {
        assert_eq!(document[format!("{channel}_logout_{name}")], true, "{document}");
    }
    let end = text(&document, "end_session_endpoint");
    assert_eq!(end, plan.url("/oauth2/logout"));
    let known = document["claims_supported"].as_array().unwrap();
    assert!(known.contains(&json!("sid")));
    // What is announced is there: nobody is signed in, so there is nothing to ask.
    let answer = http().get(end).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

/// Makes tests of a plan of functions in [`modules`].
macro_rules! plan_tests {
    ($variant:ident: $($name:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            super::modules::$name(super::Plan::begin(super::Variant::$variant).await).await;
        }
    )+};
}
use plan_tests;
