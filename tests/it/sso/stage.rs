//! Mailgrant with an administrator and a provider, and the ways of a person between them.

use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use super::liar::{Answer, CLIENT, Liar};
use crate::support::database::TestDatabase;
use crate::support::glewlwyd::{self, Glewlwyd};
use crate::support::oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider, Options};
use crate::support::process::{Mailgrant, Rest, Settings};
use crate::support::visitor::{Seen, Visitor};
use crate::world::text;

/// The first administrator, who has a password.
pub const ADMIN: &str = "root@example.test";
pub const PASSWORD: &str = "correct horse battery staple";

pub struct Stage {
    pub provider: OidcProvider,
    pub mailgrant: Mailgrant,
    pub rest: Rest,
    pub id: String,
    #[allow(dead_code, reason = "lives as long as the stage")]
    pub database: Option<TestDatabase>,
}

impl Stage {
    /// With an identity provider that is not tested yet; `changes` go into it.
    pub async fn start(database: Option<TestDatabase>, changes: Value) -> Self {
        Self::start_with(database, Options::default(), changes).await
    }

    pub async fn start_with(database: Option<TestDatabase>, options: Options, changes: Value) -> Self {
        let mut settings = Settings::new();
        if let Some(database) = &database {
            settings = settings.database(&database.url);
        }
        let mailgrant = Mailgrant::start(settings).await;
        add_person(&mailgrant, ADMIN, "Root");
        let mut provider = OidcProvider::start_with(options).await;
        let rest = mailgrant.rest();
        let made = rest
            .post("/api/v1/identity-providers", &given(&provider.issuer, &changes))
            .await;
        provider
            .register_redirect(&text(&made["register"], "redirectUrl"))
            .await;
        Self {
            provider,
            mailgrant,
            rest,
            id: text(&made, "id"),
            database,
        }
    }

    pub fn path(&self) -> String {
        format!("/api/v1/identity-providers/{}", self.id)
    }

    pub async fn patch(&self, changes: &Value) -> Value {
        self.rest
            .send(Method::PATCH, &self.path(), Some(changes))
            .await
            .ok("PATCH")
    }

    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.mailgrant)
    }

    /// Walks a test sign-in and returns its result.
    pub async fn test(&self, login: &str) -> Value {
        let begun = self
            .rest
            .post(&format!("{}/tests", self.path()), &json!({}))
            .await;
        let browser = self.visitor();
        let off = browser.get(&text(&begun, "testUrl")).await;
        if off.status == 303 {
            let back = self.provider.consent(&off.location, login).await;
            browser.get(back.as_str()).await;
        }
        self.rest
            .get(&format!("{}/tests/{}", self.path(), text(&begun, "id")))
            .await
    }

    pub async fn test_and_enable(&self, login: &str) {
        let run = self.test(login).await;
        assert_eq!(run["state"], "passed", "{run}");
        self.rest
            .post(&format!("{}/enable", self.path()), &json!({}))
            .await;
    }

    /// Walks a sign-in up to what Mailgrant answers to the callback.
    pub async fn sign_in(&self, browser: &Visitor, login: &str, next: &str) -> Seen {
        let back = self.come_back(browser, login, next).await;
        browser.get(back.as_str()).await
    }

    /// Walks a sign-in up to the address the provider sends the browser back to.
    pub async fn come_back(&self, browser: &Visitor, login: &str, next: &str) -> url::Url {
        let off = browser.get(&format!("/sso/{}/start?next={next}", self.id)).await;
        assert_eq!(off.status, 303, "{}", off.body);
        self.provider.consent(&off.location, login).await
    }
}

/// What `POST /identity-providers` takes for a provider of the tests.
pub fn given(issuer: &str, changes: &Value) -> Value {
    let mut body = json!({
        "name": "Company", "issuer": issuer, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET,
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

pub fn add_person(mailgrant: &Mailgrant, email: &str, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let out = mailgrant
        .command(&["user", "create", "--email", email, "--name", name])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Runs a statement behind Mailgrant's back, and says how many rows it met.
pub async fn run(database: &Option<TestDatabase>, statement: &str) -> u64 {
    let url = &database.as_ref().expect("a database of its own").url;
    let db = mailgrant::db::Db::open(url).await.unwrap();
    let done = db.write().execute_unprepared(statement).await.unwrap();
    db.close().await;
    done.rows_affected()
}

/// The machine code a page shows; the status if it shows none.
pub fn code_of(seen: &Seen) -> String {
    match seen.body.split_once("<code class=\"mg-code\">") {
        Some((_, rest)) => rest.split('<').next().unwrap_or_default().to_owned(),
        None => format!("{} {}", seen.status, seen.location),
    }
}

/// Mailgrant with an administrator and a provider that lies on request, tested and enabled.
pub struct Alone {
    pub liar: Liar,
    pub mailgrant: Mailgrant,
    pub rest: Rest,
    pub id: String,
    #[allow(dead_code, reason = "lives as long as the stage")]
    pub database: Option<TestDatabase>,
}

/// What a browser was sent off with.
pub struct Off {
    pub state: String,
    pub nonce: String,
}

impl Alone {
    pub async fn start() -> Self {
        Self::start_with(&json!({})).await
    }

    pub async fn start_with(changes: &Value) -> Self {
        Self::start_on(None, changes).await
    }

    pub async fn start_on(database: Option<TestDatabase>, changes: &Value) -> Self {
        let mut settings = Settings::new();
        if let Some(database) = &database {
            settings = settings.database(&database.url);
        }
        let mailgrant = Mailgrant::start(settings).await;
        add_person(&mailgrant, ADMIN, "Root");
        let rest = mailgrant.rest();
        let mut stage = Self {
            liar: Liar::start().await,
            mailgrant,
            rest,
            id: String::new(),
            database,
        };
        stage.id = stage.add("Company", changes).await;
        stage.test_and_enable().await;
        stage
    }

    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.mailgrant)
    }

    pub async fn try_to_add(&self, name: &str, changes: &Value) -> crate::support::process::Reply {
        let mut body = json!({
            "name": name, "issuer": self.liar.issuer, "clientId": CLIENT, "clientSecret": "secret-of-the-liar",
        });
        for (member, value) in changes.as_object().unwrap() {
            body[member] = value.clone();
        }
        self.rest
            .send(Method::POST, "/api/v1/identity-providers", Some(&body))
            .await
    }

    pub async fn add(&self, name: &str, changes: &Value) -> String {
        text(&self.try_to_add(name, changes).await.ok("POST"), "id")
    }

    pub async fn patch(&self, changes: &Value) -> Value {
        let path = format!("/api/v1/identity-providers/{}", self.id);
        self.rest
            .send(Method::PATCH, &path, Some(changes))
            .await
            .ok("PATCH")
    }

    pub async fn test_and_enable(&self) {
        let path = format!("/api/v1/identity-providers/{}", self.id);
        let begun = self.rest.post(&format!("{path}/tests"), &json!({})).await;
        let browser = self.visitor();
        let off = Off::of(&browser.get(&text(&begun, "testUrl")).await);
        self.liar
            .gives(&self.liar.sign(&self.liar.claims("tester", &off.nonce)));
        browser.get(&self.back(&off)).await;
        self.rest.post(&format!("{path}/enable"), &json!({})).await;
    }

    /// Sends a browser off.
    pub async fn off(&self, browser: &Visitor) -> Off {
        Off::of(
            &browser
                .get(&format!("/sso/{}/start?next=/tickets", self.id))
                .await,
        )
    }

    /// The address it comes back to.
    pub fn back(&self, off: &Off) -> String {
        let iss: String = url::form_urlencoded::byte_serialize(self.liar.issuer.as_bytes()).collect();
        format!("/sso/{}/callback?code=x&iss={iss}&state={}", self.id, off.state)
    }

    /// A whole way with the ID token that is made for its nonce.
    pub async fn come_back_with(&self, make: impl FnOnce(&str) -> String) -> Seen {
        let browser = self.visitor();
        self.come_in(&browser, make).await
    }

    /// The same in a browser that goes on living.
    pub async fn come_in(&self, browser: &Visitor, make: impl FnOnce(&str) -> String) -> Seen {
        let off = self.off(browser).await;
        self.liar.gives(&make(&off.nonce));
        browser.get(&self.back(&off)).await
    }

    /// A whole way with this answer of the token endpoint.
    pub async fn come_back_to(&self, answer: Answer) -> Seen {
        let browser = self.visitor();
        let off = self.off(&browser).await;
        self.liar.set("/token", answer);
        browser.get(&self.back(&off)).await
    }
}

impl Off {
    fn of(seen: &Seen) -> Self {
        assert_eq!(seen.status, 303, "{}", seen.body);
        Self {
            state: seen.param("state").unwrap(),
            nonce: seen.param("nonce").unwrap(),
        }
    }
}

/// A Glewlwyd with Ada as a person of it, enabled here after a test sign-in: it, her browser there, and its id here.
pub async fn with_glewlwyd(mailgrant: &Mailgrant) -> (Glewlwyd, glewlwyd::Browser, String) {
    let glewlwyd = Glewlwyd::start().await;
    add_person(mailgrant, ADMIN, "Root");
    let rest = mailgrant.rest();
    let given = json!({
        "name": "Glewlwyd", "issuer": glewlwyd.issuer, "clientId": glewlwyd::CLIENT_ID,
        "clientSecret": glewlwyd::CLIENT_SECRET, "scopes": ["openid"], "trustEmail": true,
    });
    let made = rest.post("/api/v1/identity-providers", &given).await;
    let register = |name: &str| text(&made["register"], name);
    glewlwyd
        .add_client(&register("redirectUrl"), &register("frontchannelLogoutUrl"))
        .await;
    glewlwyd
        .add_person("ada", "Ada Lovelace", "ada@example.test")
        .await;
    let mut there = glewlwyd.browser_of("ada").await;
    let path = format!("/api/v1/identity-providers/{}", text(&made, "id"));
    let begun = rest.post(&format!("{path}/tests"), &json!({})).await;
    let tester = Visitor::new(mailgrant);
    let off = tester.get(&text(&begun, "testUrl")).await;
    tester.get(there.authorize(&off.location).await.as_str()).await;
    let run = rest.get(&format!("{path}/tests/{}", text(&begun, "id"))).await;
    assert_eq!(run["state"], "passed", "{run}");
    rest.post(&format!("{path}/enable"), &json!({})).await;
    (glewlwyd, there, text(&made, "id"))
}
