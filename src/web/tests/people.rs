//! Signing in, asked as an attacker would: fixed cookies, guesses, codes, other people's things, old sign-ins.

use std::sync::Arc;

use chrono::Duration;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::tests::{Site, site, site_with};
use crate::account::{self, User};
use crate::config::{Config, SecondFactorFor};
use crate::ctx::Ctx;
use crate::sso;

const PASSWORD: &str = "correct horse battery";

/// A browser: its cookies as they come.
struct Browser<'a> {
    site: &'a Site,
    cookies: std::sync::Mutex<Vec<(String, String)>>,
}

struct Seen {
    status: u16,
    location: String,
    set: Vec<String>,
    body: String,
}

impl<'a> Browser<'a> {
    fn new(site: &'a Site) -> Self {
        Self {
            site,
            cookies: std::sync::Mutex::default(),
        }
    }

    fn plant(&self, name: &str, value: &str) {
        let mut jar = self.cookies.lock().unwrap();
        jar.retain(|(known, _)| known != name);
        jar.push((name.to_owned(), value.to_owned()));
    }

    fn cookie(&self, name: &str) -> Option<String> {
        let jar = self.cookies.lock().unwrap();
        let found = jar.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Seen {
        let jar: Vec<String> = {
            let jar = self.cookies.lock().unwrap();
            jar.iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        let answer = request.header("cookie", jar.join("; ")).send().await.unwrap();
        let set: Vec<String> = answer
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        for text in &set {
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            self.plant(name, value);
        }
        Seen {
            status: answer.status().as_u16(),
            location: answer
                .headers()
                .get("location")
                .map_or_else(String::new, |value| value.to_str().unwrap().to_owned()),
            set,
            body: answer.text().await.unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Seen {
        self.send(self.site.get(path)).await
    }

    async fn post(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Seen {
        let page = self.get(page).await;
        let csrf = value_of(&page.body, "csrf");
        let mut all = fields.to_vec();
        all.push(("csrf", &csrf));
        self.send(self.site.ask(Method::POST, path).form(&all)).await
    }

    async fn sign_in(&self, email: &str, password: &str) -> Seen {
        let fields = [("email", email), ("password", password), ("next", "/tickets")];
        self.post("/sign-in?again=1", "/sign-in", &fields).await
    }
}

fn value_of(page: &str, name: &str) -> String {
    let rest = page
        .split(&format!("name=\"{name}\" value=\""))
        .nth(1)
        .unwrap_or_default();
    rest.split('"').next().unwrap_or_default().to_owned()
}

async fn ada(ctx: &Ctx) -> User {
    account::create(&ctx.db, &ctx.clock, &account::tests::ada(), "cli")
        .await
        .unwrap()
}

async fn bob(ctx: &Ctx) -> User {
    let new = account::NewUser {
        email: "bob@example.org".into(),
        is_site_admin: false,
        ..account::tests::ada()
    };
    account::create(&ctx.db, &ctx.clock, &new, "cli").await.unwrap()
}

/// The secret that a page offers, and the code of now.
fn code_of(ctx: &Ctx, key: &str, steps: i64) -> String {
    let secret = SecretString::from(key.replace(' ', ""));
    account::tests::code(&secret, ctx.clock.now_ms() / 30_000 + steps)
}

fn key_of(page: &str) -> String {
    let rest = page.split("class=\"mg-key\">").nth(1).unwrap();
    rest.split('<').next().unwrap().to_owned()
}

fn with(config: &Config, change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = config.clone();
    change(&mut config);
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn n68_cookies_belong_to_this_host_and_a_sign_in_changes_the_session() {
    let https = site_with(|ctx| {
        ctx.config = with(&ctx.config, |config| {
            config.base_url = "https://mailgrant.example.org".parse().unwrap();
        });
    })
    .await;
    ada(https.ctx()).await;
    let browser = Browser::new(&https);
    browser.plant("__Host-mailgrant", "planted-by-somebody");
    let done = browser.sign_in("ada@example.org", PASSWORD).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/tickets"));
    let cookie = done
        .set
        .iter()
        .find(|text| text.starts_with("__Host-mailgrant="))
        .expect("a session");
    for part in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let first = browser.cookie("__Host-mailgrant").unwrap();
    assert_ne!(first, "planted-by-somebody");
    browser.sign_in("ada@example.org", PASSWORD).await;
    let second = browser.cookie("__Host-mailgrant").unwrap();
    assert_ne!(second, first);
    browser.plant("__Host-mailgrant", &first);
    assert_eq!(
        browser.get("/profile").await.status,
        303,
        "the one before has ended"
    );

    let http = site().await;
    ada(http.ctx()).await;
    let browser = Browser::new(&http);
    let done = browser.sign_in("ada@example.org", PASSWORD).await;
    let cookie = done
        .set
        .iter()
        .find(|text| text.starts_with("mailgrant="))
        .expect("a session");
    assert!(
        cookie.contains("HttpOnly") && !cookie.contains("Secure"),
        "{cookie}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_account_are_answered_alike() {
    let site = site().await;
    ada(site.ctx()).await;
    let mut bodies = Vec::new();
    for email in ["ada@example.org", "nobody@example.org"] {
        let browser = Browser::new(&site);
        let refused = browser.sign_in(email, "not the password").await;
        assert_eq!(refused.status, 422);
        let csrf = value_of(&refused.body, "csrf");
        let form_id = value_of(&refused.body, "form_id");
        bodies.push(
            refused
                .body
                .replace(&csrf, "")
                .replace(&form_id, "")
                .replace(email, ""),
        );
    }
    assert_eq!(bodies[0], bodies[1]);
    let mut answers = Vec::new();
    for email in ["ada@example.org", "nobody@example.org"] {
        let browser = Browser::new(&site);
        let asked = browser
            .post("/forgot-password", "/forgot-password", &[("email", email)])
            .await;
        let csrf = value_of(&asked.body, "csrf");
        answers.push((asked.status, asked.body.replace(&csrf, "")));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_slowed_down_and_the_wait_is_said() {
    let site = site().await;
    ada(site.ctx()).await;
    let browser = Browser::new(&site);
    for _ in 0..5 {
        assert_eq!(
            browser
                .sign_in("ada@example.org", "not the password")
                .await
                .status,
            422
        );
    }
    let page = browser.get("/sign-in?again=1").await;
    let csrf = value_of(&page.body, "csrf");
    let fields = [
        ("email", "ada@example.org"),
        ("password", PASSWORD),
        ("csrf", &csrf),
    ];
    let request = site.ask(Method::POST, "/sign-in").form(&fields).header(
        "cookie",
        format!("mailgrant-visit={}", browser.cookie("mailgrant-visit").unwrap()),
    );
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    site.ctx().clock.advance(Duration::seconds(2));
    assert_eq!(browser.sign_in("ada@example.org", PASSWORD).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_needs_a_second_factor_sets_one_up_before_the_session_begins() {
    let site = site_with(|ctx| {
        ctx.config = with(&ctx.config, |config| {
            config.require_second_factor = SecondFactorFor::Admins
        });
    })
    .await;
    let ctx = site.ctx().clone();
    ada(&ctx).await;
    bob(&ctx).await;
    let other = Browser::new(&site);
    assert_eq!(
        other.sign_in("bob@example.org", PASSWORD).await.location,
        "/tickets"
    );

    let browser = Browser::new(&site);
    let step = browser.sign_in("ada@example.org", PASSWORD).await;
    assert_eq!((step.status, step.location.as_str()), (303, "/sign-in/code"));
    assert_eq!(browser.cookie("mailgrant"), None);
    assert_eq!(browser.get("/profile").await.status, 303);
    let page = browser.get("/sign-in/code").await;
    let key = key_of(&page.body);
    assert_eq!(
        key_of(&browser.get("/sign-in/code").await.body),
        key,
        "the same key"
    );
    let wrong = browser
        .post("/sign-in/code", "/sign-in/code", &[("code", "1")])
        .await;
    assert_eq!(wrong.status, 422);
    let code = code_of(&ctx, &key, 0);
    let shown = browser
        .post("/sign-in/code", "/sign-in/code", &[("code", &code)])
        .await;
    assert_eq!(shown.status, 200);
    assert!(shown.body.contains("Your recovery codes"), "{}", shown.body);
    assert_eq!(browser.get("/profile").await.status, 200);
    let sessions = account::sessions_of(&ctx.db, &ctx.clock, None).await.unwrap();
    let strong: Vec<_> = sessions
        .iter()
        .filter(|session| session.proof.has("mfa"))
        .collect();
    assert_eq!(strong.len(), 1);

    // The step is over: its cookie opens nothing again.
    let again = Browser::new(&site);
    again.plant("mailgrant-step", step.set[0].split(['=', ';']).nth(1).unwrap());
    assert_eq!(again.get("/sign-in/code").await.location, "/sign-in");
    // And a session that has one factor only is none for an admin.
    let weak = account::start(&ctx.db, &ctx.clock, &sessions[0].user_id, None)
        .await
        .unwrap();
    let admin = strong[0].user_id.clone();
    let weak = if weak.session.user_id == admin {
        weak
    } else {
        account::start(&ctx.db, &ctx.clock, &admin, None).await.unwrap()
    };
    again.plant("mailgrant", weak.cookie.expose_secret());
    assert_eq!(again.get("/profile").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_cannot_be_guessed_and_a_step_does_not_last() {
    let site = site().await;
    let ctx = site.ctx().clone();
    let user = ada(&ctx).await;
    let offer = account::offer(&ctx, &user, None).unwrap();
    let code = code_of(&ctx, offer.secret.expose_secret(), 0);
    account::enrol(&ctx, &user, &offer.sealed, &code, "::1")
        .await
        .unwrap();
    let browser = Browser::new(&site);
    browser.sign_in("ada@example.org", PASSWORD).await;
    let mut refused = 0;
    for _ in 0..12 {
        let seen = browser
            .post("/sign-in/code", "/sign-in/code", &[("code", "000000")])
            .await;
        assert!(matches!(seen.status, 422 | 429), "{}", seen.status);
        refused +=
            usize::from(seen.body.contains("too many attempts") || seen.body.contains("Too many attempts"));
    }
    assert!(refused >= 6, "{refused}");
    let good = code_of(&ctx, offer.secret.expose_secret(), 1);
    let seen = browser
        .post("/sign-in/code", "/sign-in/code", &[("code", &good)])
        .await;
    assert_ne!(seen.status, 303, "also the right one has to wait");
    ctx.clock.advance(Duration::minutes(11));
    assert_eq!(
        browser.get("/sign-in/code").await.location,
        "/sign-in",
        "the step is over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_sessions_tokens_or_second_factors_of_others() {
    let site = site().await;
    let ctx = site.ctx().clone();
    let admin = ada(&ctx).await;
    bob(&ctx).await;
    let hers = account::start(&ctx.db, &ctx.clock, &admin.id, None)
        .await
        .unwrap();
    let (token, secret) = account::create_token(&ctx.db, &ctx.clock, "hers", &admin.id)
        .await
        .unwrap();
    let browser = Browser::new(&site);
    browser.sign_in("bob@example.org", PASSWORD).await;
    for path in [
        format!("/profile/sessions/{}/end", hers.session.id),
        format!("/profile/tokens/{}/revoke", token.id),
    ] {
        assert_eq!(browser.post("/profile", &path, &[]).await.status, 404, "{path}");
    }
    for path in [
        format!("/users/{}/delete", admin.id),
        format!("/users/{}/second-factor/remove", admin.id),
        format!("/users/{}/password-link", admin.id),
        format!("/tokens/{}/revoke", token.id),
    ] {
        assert_eq!(browser.post("/profile", &path, &[]).await.status, 403, "{path}");
    }
    let offer = account::offer(&ctx, &admin, None).unwrap();
    let code = code_of(&ctx, offer.secret.expose_secret(), 0);
    let fields = [("offer", offer.sealed.as_str()), ("code", code.as_str())];
    let seen = browser
        .post("/profile/second-factor", "/profile/second-factor", &fields)
        .await;
    assert_eq!(seen.status, 422, "an offer is its person's");
    assert!(
        account::find(&ctx.db, &ctx.clock, &hers.cookie)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        account::authenticate(&ctx.db, &ctx.clock, &secret)
            .await
            .unwrap()
            .is_some()
    );
    let (_, own) = account::create_token(&ctx.db, &ctx.clock, "his", &bob_id(&ctx).await)
        .await
        .unwrap();
    let listed = site
        .get("/api/v1/sessions")
        .bearer_auth(own.expose_secret())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        !listed.contains(&hers.session.id) && !listed.contains(&admin.id),
        "{listed}"
    );
    let ended = site
        .ask(Method::DELETE, &format!("/api/v1/sessions/{}", hers.session.id))
        .bearer_auth(own.expose_secret())
        .send()
        .await
        .unwrap();
    assert_eq!(ended.status(), StatusCode::NOT_FOUND);
}

async fn bob_id(ctx: &Ctx) -> String {
    account::get_by_email(&ctx.db, "bob@example.org")
        .await
        .unwrap()
        .unwrap()
        .id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dangerous_wants_a_sign_in_of_the_last_quarter_of_an_hour() {
    let site = site().await;
    let ctx = site.ctx().clone();
    ada(&ctx).await;
    let bob = bob(&ctx).await;
    let browser = Browser::new(&site);
    browser.sign_in("ada@example.org", PASSWORD).await;
    let path = format!("/users/{}/delete", bob.id);
    assert_eq!(browser.get(&path).await.status, 200);
    ctx.clock.advance(Duration::minutes(16));
    for path in [
        path.clone(),
        "/profile/second-factor".to_owned(),
        "/profile/tokens/new".to_owned(),
    ] {
        let away = browser.get(&path).await;
        assert!(
            away.location.starts_with("/sign-in?again=1"),
            "{path}: {}",
            away.location
        );
    }
    let away = browser.post("/profile", &path, &[]).await;
    assert!(away.location.starts_with("/sign-in?again=1"), "{}", away.location);
    assert!(account::get(&ctx.db, &bob.id).await.unwrap().unwrap().is_active());
    browser.sign_in("ada@example.org", PASSWORD).await;
    assert_eq!(browser.post("/profile", &path, &[]).await.location, "/users");
    let gone = account::get(&ctx.db, &bob.id).await.unwrap().unwrap();
    assert_eq!(gone.name, "Removed person");
    assert!(!gone.email.contains("bob") && gone.removed_at.is_some());
}

/// An identity provider, with a rule that makes site admins or with none.
async fn provider(ctx: &Ctx, name: &str, makes_admins: bool) -> sso::IdentityProvider {
    let at = |path: &str| format!("http://127.0.0.1:1/{path}");
    let mut input = sso::ProviderInput {
        name: name.into(),
        connection: sso::Connection {
            issuer: at(name),
            authorization_endpoint: at("authorize"),
            token_endpoint: at("token"),
            jwks_uri: at("keys"),
            client_id: "mailgrant".into(),
            ..Default::default()
        },
        ..Default::default()
    };
    if makes_admins {
        input.policy.groups_claim = "groups".into();
        input.policy.group_rules = vec![sso::GroupRule {
            group: "root".into(),
            role: crate::access::Role::SiteAdmin,
            project_id: String::new(),
        }];
    }
    sso::create(ctx, "cli", input).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_to_make_a_site_admin_or_to_take_an_account_over_is_shorter_than_signing_in_again() {
    let site = site().await;
    let ctx = site.ctx().clone();
    ada(&ctx).await;
    let bob = bob(&ctx).await;
    let plain = provider(&ctx, "plain", false).await;
    let ruled = provider(&ctx, "ruled", true).await;
    let browser = Browser::new(&site);
    browser.sign_in("ada@example.org", PASSWORD).await;
    ctx.clock.advance(Duration::minutes(16));
    let user = format!("/users/{}", bob.id);
    let revision = bob.revision.to_string();
    let invited = [("email", "eve@example.org"), ("is_site_admin", "true")];
    let promoted = [
        ("name", "Bob"),
        ("email", "bob@example.org"),
        ("is_site_admin", "true"),
        ("revision", &revision),
    ];
    let moved = [
        ("name", "Bob"),
        ("email", "eve@example.org"),
        ("revision", &revision),
    ];
    let provider = format!("/identity-providers/{}", ruled.id);
    let seen = ruled.revision.to_string();
    let rule = [
        ("name", "Ruled"),
        ("issuer", "http://127.0.0.1:1/ruled"),
        ("group_rules", "root = site_admin"),
        ("groups_claim", "groups"),
        ("revision", &seen),
    ];
    let enable = format!("/identity-providers/{}/enable", plain.id);
    for (path, fields) in [
        ("/users", &invited[..]),
        (&user, &promoted),
        (&user, &moved),
        ("/identity-providers", &rule),
        (&provider, &rule),
        (&enable, &[]),
    ] {
        let sent = browser.post("/profile", path, fields).await;
        assert!(
            sent.status == 303 && sent.location.starts_with("/sign-in?again=1"),
            "{path}: {} {} {}",
            sent.status,
            sent.location,
            sent.body
        );
    }
    // What opens nothing is done without: somebody without rights, another name.
    let invited = [("email", "grace@example.org")];
    assert_eq!(browser.post("/profile", "/users", &invited).await.status, 200);
    let renamed = [
        ("name", "Robert"),
        ("email", "BOB@example.org"),
        ("revision", &revision),
    ];
    assert_eq!(browser.post("/profile", &user, &renamed).await.location, user);
    let people = account::list(&ctx.db, &crate::access::Projects::All)
        .await
        .unwrap();
    assert_eq!(people.iter().filter(|user| user.is_site_admin).count(), 1);
    assert!(people.iter().all(|user| user.email != "eve@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_whether_a_link_is_there_does_not_use_it_up() {
    let site = site().await;
    let ctx = site.ctx().clone();
    let ada = ada(&ctx).await;
    let provider = provider(&ctx, "company", false).await;
    let link = account::sign_in_link(&ctx, &ada.id).await.unwrap();
    let link = link.split_once("/sign-in/link").unwrap().1.to_owned();
    let (_, test) = sso::begin_test(&ctx, &provider.id, &ada.id).await.unwrap();
    for path in [format!("/sign-in/link{link}"), test] {
        let browser = Browser::new(&site);
        let looked = browser.send(site.ask(Method::HEAD, &path)).await;
        assert!(
            looked.status >= 400 && looked.set.is_empty(),
            "{path}: {}",
            looked.status
        );
        assert_eq!(browser.get(&path).await.status, 303, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_password_is_chosen_only_by_somebody_who_signed_in_a_moment_ago() {
    let site = site().await;
    let ctx = site.ctx().clone();
    ada(&ctx).await;
    let tx = ctx.db.begin().await.unwrap();
    let grace = account::invite_in(&tx, &ctx.clock, "grace@example.org", "Grace", false, "cli")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let new = account::NewSession {
        user_id: &grace.id,
        replaces: None,
        proof: account::Proof::of(&["pwd"]),
        browser: "",
        address: "",
    };
    let started = account::start_with(&ctx.db, &ctx.clock, &new).await.unwrap();
    let browser = Browser::new(&site);
    browser.plant("mailgrant", started.cookie.expose_secret());
    let fields = [("password", "a sentence that nobody guesses")];
    ctx.clock.advance(Duration::minutes(20));
    let sent = browser.post("/profile", "/profile/password", &fields).await;
    assert!(
        sent.status == 303 && sent.location.starts_with("/sign-in?again=1"),
        "{} {}",
        sent.status,
        sent.location
    );
    let user = account::get(&ctx.db, &grace.id).await.unwrap().unwrap();
    assert_eq!(user.password_set_at, None);

    let started = account::start_with(&ctx.db, &ctx.clock, &new).await.unwrap();
    browser.plant("mailgrant", started.cookie.expose_secret());
    let sent = browser.post("/profile", "/profile/password", &fields).await;
    assert_eq!((sent.status, sent.location.as_str()), (303, "/profile"));
    let user = account::get(&ctx.db, &grace.id).await.unwrap().unwrap();
    assert!(user.password_set_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_identity_provider_has_its_page_with_what_is_known_of_it() {
    let site = site().await;
    ada(site.ctx()).await;
    let browser = Browser::new(&site);
    browser.sign_in("ada@example.org", PASSWORD).await;
    for preset in ["generic", "google", "entra", "keycloak", "okta", "mailgrant"] {
        let page = browser
            .get(&format!("/identity-providers/new?preset={preset}"))
            .await;
        let start = sso::start(sso::Preset::parse(preset).unwrap());
        let host = start.connection.issuer.split('/').nth(2).unwrap_or_default();
        assert_eq!(page.status, 200, "{preset}");
        assert!(
            page.body.contains(host) && page.body.contains(start.name),
            "{preset}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_begin_sign_ins_without_end() {
    let site = site().await;
    ada(site.ctx()).await;
    for _ in 0..120 {
        let seen = site.get("/sso/idp_none/start").send().await.unwrap();
        assert_eq!(seen.status(), StatusCode::NOT_FOUND);
    }
    let refused = site.get("/sso/idp_none/start").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let other = site.get("/sso/idp_none/callback").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::BAD_REQUEST, "counted by itself");
}
