//! What the admin pages promise, asked as a browser without scripts would ask.

mod attached;
mod clients;
mod once;
mod webhooks;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;

use crate::access::Projects;
use crate::project::NewProject;
use crate::sandbox::{Decision, SampleKind, Sandbox, SandboxOptions};
use crate::web::routes;
use crate::web::tests::{Site, site, site_with};
use crate::{account, connection_test, grant, integration, jobs, mailbox, net, project, ticket};

/// A person at the pages.
struct Admin {
    site: Site,
    cookie: String,
    csrf: String,
}

/// A page as it came.
struct Seen {
    status: StatusCode,
    location: String,
    text: String,
}

impl Admin {
    async fn at(site: Site) -> Self {
        let (cookie, csrf) = site.signed_in().await;
        Self { site, cookie, csrf }
    }

    async fn get(&self, path: &str) -> Seen {
        seen(self.site.get(path).header("cookie", &self.cookie)).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        let request = self.site.ask(Method::POST, path).header("cookie", &self.cookie);
        seen(request.form(&fields)).await
    }
}

async fn seen(request: reqwest::RequestBuilder) -> Seen {
    let answer = request.send().await.unwrap();
    let location = answer.headers().get("location");
    Seen {
        status: answer.status(),
        location: location.map_or_else(String::new, |value| value.to_str().unwrap().to_owned()),
        text: answer.text().await.unwrap(),
    }
}

/// The value of a field in a page.
fn field(page: &str, name: &str) -> String {
    let from = page
        .split(&format!("name=\"{name}\" value=\""))
        .nth(1)
        .unwrap_or_else(|| panic!("no field {name} in {page}"));
    from.split('"').next().unwrap().to_owned()
}

fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&")
        .replace("&#x2F;", "/")
        .replace("&#x3D;", "=")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_on_an_empty_installation() {
    let admin = Admin::at(site().await).await;
    let mut walked = 0;
    for route in routes() {
        // The stream of events answers as well, and never ends.
        if !route.guard.is_page() || route.method.as_str() != "GET" || route.path == "/events/stream" {
            continue;
        }
        let path: Vec<_> = route
            .path
            .split('/')
            .map(|part| if part.starts_with('{') { "nothing" } else { part })
            .collect();
        let page = admin.get(&path.join("/")).await;
        let wanted = if route.path.contains('{') {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        };
        assert_eq!(page.status, wanted, "{}", route.path);
        walked += 1;
    }
    assert!(walked >= 25, "{walked}");
    for path in [
        "/connect/google",
        "/connect/microsoft",
        "/integrations/new?provider=microsoft",
    ] {
        assert_eq!(admin.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_link_makes_the_first_account_once() {
    let site = site().await;
    let link = account::print_setup_link(site.ctx()).await.unwrap().unwrap();
    let path = link.split_once("8080").unwrap().1;
    let page = site.get(path).send().await.unwrap();
    let visit = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    let text = page.text().await.unwrap();
    let csrf = field(&text, "csrf");
    let send = |password: &'static str| {
        let fields = [
            ("csrf", csrf.as_str()),
            ("email", "ada@example.org"),
            ("name", "Ada"),
            ("password", password),
        ];
        seen(
            site.ask(Method::POST, path)
                .header("cookie", &visit)
                .form(&fields),
        )
    };
    let refused = send("tiny-pw").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("id=\"password-error\""), "{}", refused.text);
    assert!(refused.text.contains("ada@example.org") && !refused.text.contains("tiny-pw"));
    assert_eq!(send("correct horse battery").await.location, "/");
    assert_eq!(send("correct horse battery").await.status, StatusCode::GONE);
    assert_eq!(
        site.get("/setup").send().await.unwrap().status(),
        StatusCode::GONE
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_with_a_wrong_password_says_so_and_keeps_the_address_only() {
    let site = site().await;
    site.signed_in().await;
    let page = site.get("/sign-in?next=%2Ftickets%3Fq%3Da").send().await.unwrap();
    let visit = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    let text = page.text().await.unwrap();
    let (csrf, next) = (field(&text, "csrf"), unescaped(&field(&text, "next")));
    let send = |password: &'static str| {
        let fields = [
            ("csrf", csrf.as_str()),
            ("next", &next),
            ("email", "ada@example.org"),
            ("password", password),
        ];
        seen(
            site.ask(Method::POST, "/sign-in")
                .header("cookie", &visit)
                .form(&fields),
        )
    };
    let refused = send("not the password").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text.contains("Address or password is wrong."),
        "{}",
        refused.text
    );
    assert!(refused.text.contains("ada@example.org") && !refused.text.contains("not the password"));
    assert_eq!(send("correct horse battery").await.location, "/tickets?q=a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_refreshes_itself_keeps_no_session_alive_and_takes_no_message() {
    let admin = Admin::at(site().await).await;
    admin
        .post("/projects", &[("key", "HELP"), ("name", "Help desk")])
        .await;
    let by_itself = || {
        let request = admin.site.get("/").header("cookie", &admin.cookie);
        seen(request.header("x-mailgrant-live", "1"))
    };
    assert!(!by_itself().await.text.contains("is saved."));
    assert!(admin.get("/").await.text.contains("The project HELP is saved."));
    assert!(!admin.get("/").await.text.contains("is saved."), "shown once");
    let clock = &admin.site.ctx().clock;
    for _ in 0..account::IDLE_MINUTES {
        clock.advance(chrono::Duration::minutes(1));
        by_itself().await;
    }
    assert_eq!(by_itself().await.status, StatusCode::SEE_OTHER);
}

const CUSTOM: &[(&str, &str)] = &[
    ("provider", "custom"),
    ("name", "Ours"),
    ("client_id", "client-1"),
    ("client_secret", "hush-hush-secret"),
    ("scopes", "imap\noffline_access"),
    ("authorization_endpoint", "https://93.184.216.34/authorize"),
    ("token_endpoint", "https://93.184.216.34/token"),
    ("token_endpoint_auth_method", "client_secret_basic"),
    ("flow", "authorization_code"),
    ("action", "save"),
];

fn with<'a>(fields: &[(&'a str, &'a str)], change: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<_> = fields
        .iter()
        .filter(|(name, _)| !change.iter().any(|(changed, _)| changed == name))
        .copied()
        .collect();
    all.extend(change);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_of_an_integration_is_named_beside_its_field_and_changes_nothing() {
    let admin = Admin::at(site().await).await;
    let count = || async {
        let all = integration::list(admin.site.ctx(), &Projects::All, None, 100)
            .await
            .unwrap();
        all.into_iter().map(|found| found.name).collect::<Vec<_>>()
    };
    let form = admin.get("/integrations/new?provider=custom").await.text;
    let callback = field(&form, "callback_id");
    let good = with(CUSTOM, &[("callback_id", &callback)]);
    let made = admin.post("/integrations", &good).await;
    assert!(made.location.starts_with("/integrations/int_"), "{}", made.text);
    let id = made.location.trim_start_matches("/integrations/").to_owned();

    let form = admin.get("/integrations/new?provider=custom").await.text;
    let callback = field(&form, "callback_id");
    let cases: &[(&str, &str, &str, &str)] = &[
        ("name", "Ours", "name", "has this name already"),
        ("name", "", "name", "Give the integration a name"),
        ("client_id", "", "client_id", "Enter the client id"),
        (
            "token_endpoint",
            "http://93.184.216.34/token",
            "token_endpoint",
            "http",
        ),
        (
            "token_endpoint",
            "https://10.0.0.5/token",
            "token_endpoint",
            "10.0.0.5",
        ),
        (
            "authorization_endpoint",
            "nonsense",
            "authorization_endpoint",
            "not a web address",
        ),
        ("extra_params", "access_type", "extra_params", "name=value"),
        (
            "extra_params",
            "state=x",
            "extra_params",
            "Mailgrant sets state itself",
        ),
        ("secret_expires_on", "tomorrow", "secret_expires_on", "2027-05-31"),
        ("scopes", "a\"b", "scopes", "quotes"),
    ];
    for (changed, value, at, says) in cases {
        let fields = with(
            CUSTOM,
            &[("callback_id", &callback), ("name", "Second"), (changed, value)],
        );
        let fields = with(&fields, &[(changed, value)]);
        let page = admin.post("/integrations", &fields).await;
        assert_eq!(
            page.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{changed} = {value}"
        );
        let beside = page.text.split(&format!("id=\"{at}-error\"")).nth(1);
        let beside = beside.unwrap_or_else(|| panic!("{changed} = {value}: nothing at {at}: {}", page.text));
        let beside = unescaped(beside.split("</p>").next().unwrap());
        assert!(beside.contains(says), "{changed} = {value}: {beside}");
        assert!(!page.text.contains("hush-hush-secret"), "the secret came back");
        assert_eq!(
            field(&page.text, "callback_id"),
            callback,
            "the redirect URL stays"
        );
    }
    assert_eq!(count().await, ["Ours"]);
    let edited = with(CUSTOM, &[("revision", "7"), ("client_secret", "")]);
    let page = admin.post(&format!("/integrations/{id}"), &edited).await;
    assert!(page.text.contains("changed by somebody else"), "{}", page.text);
    let asked = admin
        .post(
            "/integrations",
            &with(CUSTOM, &[("action", "discover"), ("callback_id", &callback)]),
        )
        .await;
    assert!(asked.text.contains("Enter the issuer"), "{}", asked.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_file_of_the_wrong_kind_is_named() {
    let admin = Admin::at(site().await).await;
    let form = admin.get("/connect/google").await.text;
    let callback = field(&form, "callback_id");
    let json = r#"{"installed":{"client_id":"x","client_secret":"hush"}}"#;
    let fields = [("callback_id", callback.as_str()), ("google_json", json)];
    let page = admin.post("/connect/google", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("Desktop app"), "{}", page.text);
    let empty = admin.post("/connect/google", &[("callback_id", &callback)]).await;
    for name in ["client_id", "client_secret"] {
        assert!(
            empty.text.contains(&format!("id=\"{name}-error\"")),
            "{name}: {}",
            empty.text
        );
    }
    let all = integration::list(admin.site.ctx(), &Projects::All, None, 10)
        .await
        .unwrap();
    assert!(all.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_made_and_changed_and_their_mistakes_named() {
    let admin = Admin::at(site().await).await;
    let made = admin
        .post("/projects", &[("key", "help"), ("name", "Help <desk>")])
        .await;
    assert!(made.location.starts_with("/projects/prj_"), "{}", made.text);
    let page = admin.get(&made.location).await;
    assert!(page.text.contains("Help &lt;desk&gt;") && !page.text.contains("<desk>"));
    let again = admin
        .post("/projects", &[("key", "HELP"), ("name", "Other")])
        .await;
    assert!(again.text.contains("id=\"key-error\""), "{}", again.text);
    let bad = admin.post("/projects", &[("key", "1"), ("name", "")]).await;
    assert!(bad.text.contains("id=\"key-error\"") && bad.text.contains("id=\"name-error\""));
    let stale = admin
        .post(&made.location, &[("name", "New"), ("revision", "9")])
        .await;
    assert!(stale.text.contains("changed meanwhile"), "{}", stale.text);
    let saved = admin
        .post(&made.location, &[("name", "New"), ("revision", "1")])
        .await;
    assert_eq!(saved.location, made.location);
    assert_eq!(
        project::list(admin.site.ctx(), &Projects::All)
            .await
            .unwrap()
            .len(),
        1
    );
}

/// A provider and mail server on loopback, and pages that reach them.
async fn connected_place() -> (Admin, Sandbox) {
    net::install_crypto_provider();
    let clock = crate::clock::Clock::system();
    let options = SandboxOptions {
        any_loopback_redirect: true,
        other_mailboxes: vec!["other@sandbox.test".to_owned()],
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options, clock.clone()).await.unwrap();
    let ca = sandbox.ca_pem().as_bytes().to_vec();
    let site = site_with(|ctx| {
        ctx.clock = clock;
        ctx.dialer = net::Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], Some(&ca)).unwrap();
    })
    .await;
    (Admin::at(site).await, sandbox)
}

/// Fills the form of the sandbox's integration in and presses *Save and connect*.
async fn consent_page(admin: &Admin, sandbox: &Sandbox) -> String {
    let form = admin.get("/integrations/new?provider=custom&wizard=1").await.text;
    let callback = field(&form, "callback_id");
    let (secret, scopes) = (sandbox.client_secret(), sandbox.scopes().join("\n"));
    let (client, authorize, token) = (
        sandbox.client_id(),
        sandbox.authorization_endpoint(),
        sandbox.token_endpoint(),
    );
    let fields = [
        ("provider", "custom"),
        ("wizard", "1"),
        ("callback_id", &callback),
        ("name", "Sandbox"),
        ("client_id", &client),
        ("client_secret", secret.expose_secret()),
        ("scopes", &scopes),
        ("authorization_endpoint", &authorize),
        ("token_endpoint", &token),
        ("flow", "authorization_code"),
        ("action", "save_and_connect"),
    ];
    let leaving = admin.post("/integrations", &fields).await;
    provider_url(&leaving)
}

/// Where a page leads by itself.
fn provider_url(page: &Seen) -> String {
    let url = page.text.split("content=\"0;url=").nth(1);
    let url = url.unwrap_or_else(|| panic!("{} {}", page.status, page.text));
    unescaped(url.split('"').next().unwrap())
}

/// The mailbox owner allows, and the browser comes back.
async fn allow(admin: &Admin, sandbox: &Sandbox, url: &str, account: &str) -> Seen {
    let back = sandbox.decide_as(url, Decision::Allow, Some(account)).await;
    let back = back.unwrap();
    let path = back.split_once("/oauth2/").unwrap().1;
    admin.get(&format!("/oauth2/{path}")).await
}

async fn until<F: std::future::Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited for {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_integration_form_to_a_ticket_and_no_page_ever_shows_a_secret() {
    let (admin, sandbox) = connected_place().await;
    let ctx = admin.site.ctx().clone();
    let url = consent_page(&admin, &sandbox).await;
    let back = allow(&admin, &sandbox, &url, &sandbox.mailbox()).await;
    assert!(
        back.location.starts_with("/mailboxes/new?grant=grt_"),
        "{} {}",
        back.status,
        back.text
    );
    let form = admin.get(&back.location).await.text;
    assert_eq!(field(&form, "login_name"), sandbox.mailbox());
    assert!(form.contains("is connected."), "{form}");

    admin
        .post("/projects", &[("key", "HELP"), ("name", "Help desk")])
        .await;
    let project_id = project::list(&ctx, &Projects::All).await.unwrap()[0].id.clone();
    let grant_id = grant::list(&ctx, &Projects::All, None, 10).await.unwrap()[0]
        .id
        .clone();
    let port = sandbox.imap_port().to_string();
    let (host, login) = (sandbox.imap_host(), sandbox.mailbox());
    let good = vec![
        ("name", "Support"),
        ("project_id", &project_id),
        ("grant_id", &grant_id),
        ("host", &host),
        ("port", &port),
        ("tls", "implicit"),
        ("login_name", &login),
        ("folder", "INBOX"),
        ("start_from", "all"),
        ("after_ingest", "leave"),
        ("schedule", "0 */5 * * * *"),
        ("idle", "true"),
        ("action", "save"),
    ];
    let cases: &[(&str, &str, &str, &str)] = &[
        ("name", "", "name", "name"),
        ("host", "10.0.0.5", "host", "10.0.0.5"),
        ("host", "", "host", "Name the mail server"),
        ("port", "imap", "port", "65535"),
        ("schedule", "0 0 0 31 2 *", "schedule", "never fires"),
        ("schedule", "often", "schedule", "six fields"),
        ("grant_id", "grt_none", "grant_id", "no such grant"),
        ("start_from", "date", "start_date", "Choose the date"),
        ("after_ingest", "move", "move_to", "another one"),
        ("login_name", "", "login_name", "account to read"),
    ];
    for (changed, value, at, says) in cases {
        let page = admin.post("/mailboxes", &with(&good, &[(changed, value)])).await;
        assert_eq!(
            page.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{changed} = {value}"
        );
        let beside = page.text.split(&format!("id=\"{at}-error\"")).nth(1);
        let beside = beside.unwrap_or_else(|| panic!("{changed} = {value}: {}", page.text));
        let beside = beside.split("</p>").next().unwrap();
        assert!(beside.contains(says), "{changed} = {value}: {beside}");
    }
    assert!(mailbox::list(&ctx, &Projects::All).await.unwrap().is_empty());
    let folders = admin
        .post("/mailboxes", &with(&good, &[("action", "folders")]))
        .await;
    assert!(
        folders.text.contains("<option value=\"INBOX\" selected"),
        "{}",
        folders.text
    );
    assert!(mailbox::list(&ctx, &Projects::All).await.unwrap().is_empty());

    sandbox.deliver_sample(SampleKind::HtmlOnly);
    let made = admin.post("/mailboxes", &good).await;
    assert!(made.location.starts_with("/tests/tst_"), "{}", made.text);
    let twice = admin.post("/mailboxes", &good).await;
    assert!(twice.text.contains("id=\"name-error\""), "{}", twice.text);
    let stream = admin.get(&format!("{}/events", made.location)).await.text;
    assert!(
        stream.contains("\"name\":\"authenticate\"") && stream.contains("event: done"),
        "{stream}"
    );
    let test = admin.get(&made.location).await.text;
    assert!(test.contains("Passed") && !test.contains("Running now"), "{test}");

    jobs::start(&ctx).await.unwrap();
    until("a ticket", || async {
        admin.get("/tickets").await.text.contains("HELP-1")
    })
    .await;
    let ticket = admin.get("/tickets/HELP-1").await.text;
    let frame = ticket
        .split("src=\"/messages/")
        .nth(1)
        .unwrap_or_else(|| panic!("{ticket}"));
    let frame = format!("/messages/{}", frame.split('"').next().unwrap());
    let request = admin.site.get(&frame).header("cookie", &admin.cookie);
    let html = request.send().await.unwrap();
    let policy = html.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("sandbox") && policy.contains("frame-ancestors 'self'"),
        "{policy}"
    );
    assert!(!html.text().await.unwrap().contains("<script"));
    let raw = admin
        .site
        .get(&frame.replace("/html", "/raw"))
        .header("cookie", &admin.cookie);
    let raw = raw.send().await.unwrap();
    assert!(
        raw.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
    assert_eq!(raw.headers()["x-content-type-options"], "nosniff");

    let integration_id = integration::list(&ctx, &Projects::All, None, 10).await.unwrap()[0]
        .id
        .clone();
    let mailbox_id = mailbox::list(&ctx, &Projects::All).await.unwrap()[0].id.clone();
    let started = admin
        .post(&format!("/integrations/{integration_id}/tests"), &[])
        .await;
    admin.get(&format!("{}/events", started.location)).await;
    let access = grant::current_token(&ctx, &grant_id).await.unwrap();
    let secret = sandbox.client_secret();
    for path in [
        "/",
        "/connect",
        "/integrations",
        &format!("/integrations/{integration_id}"),
        &format!("/integrations/{integration_id}/edit"),
        &format!("/integrations/{integration_id}/delete"),
        "/grants",
        &format!("/grants/{grant_id}"),
        &format!("/grants/{grant_id}/revoke"),
        "/mailboxes",
        &format!("/mailboxes/{mailbox_id}"),
        &format!("/mailboxes/{mailbox_id}/edit"),
        &format!("/mailboxes/{mailbox_id}/delete"),
        &format!("/connect/done/{mailbox_id}"),
        "/projects",
        &format!("/projects/{project_id}"),
        &format!("/projects/{project_id}/edit"),
        "/tickets?q=nothing&state=open",
        &started.location,
        &made.location,
        "/settings",
    ] {
        let page = admin.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        for secret in [secret.expose_secret(), access.secret.expose_secret()] {
            assert!(!page.text.contains(secret), "{path} shows a secret");
        }
    }
    let runs = connection_test::of_subject(ctx.db.read(), &mailbox_id, 10)
        .await
        .unwrap();
    assert_eq!(runs.len(), 1);
    ctx.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_takes_over_only_when_somebody_says_so() {
    let (admin, sandbox) = connected_place().await;
    let ctx = admin.site.ctx().clone();
    let url = consent_page(&admin, &sandbox).await;
    allow(&admin, &sandbox, &url, &sandbox.mailbox()).await;
    let grant_id = grant::list(&ctx, &Projects::All, None, 10).await.unwrap()[0]
        .id
        .clone();
    let whose = || async {
        grant::get(&ctx, &Projects::All, &grant_id)
            .await
            .unwrap()
            .identity
    };
    let owner = whose().await;
    for (decision, after) in [("refuse", owner.as_str()), ("accept", "other@sandbox.test")] {
        let leaving = admin.post(&format!("/grants/{grant_id}/reconnect"), &[]).await;
        let back = allow(&admin, &sandbox, &provider_url(&leaving), "other@sandbox.test").await;
        assert!(
            back.location.starts_with(&format!("/grants/{grant_id}/identity")),
            "{}",
            back.text
        );
        let question = admin.get(&back.location).await.text;
        assert!(
            question.contains("other@sandbox.test") && question.contains(&owner),
            "{question}"
        );
        assert_eq!(whose().await, owner, "asking changes nothing");
        let authorization = field(&question, "authorization");
        let fields = [("authorization", authorization.as_str()), ("decision", decision)];
        let path = format!("/grants/{grant_id}/identity");
        assert_eq!(
            admin.post(&path, &fields).await.location,
            format!("/grants/{grant_id}")
        );
        assert_eq!(whose().await, after);
        let late = admin.post(&path, &fields).await;
        assert_eq!(
            late.location,
            format!("/grants/{grant_id}"),
            "decided once: {}",
            late.text
        );
    }
    let refused = admin.post(&format!("/grants/{grant_id}/reconnect"), &[]).await;
    let back = sandbox.decide(&provider_url(&refused), Decision::Refuse).await;
    let back = back.unwrap();
    let path = back.split_once("/oauth2/").unwrap().1;
    let page = admin.get(&format!("/oauth2/{path}")).await;
    assert!(
        page.text.contains("access_denied") && page.text.contains("Try again"),
        "{}",
        page.text
    );
    let revoked = admin.post(&format!("/grants/{grant_id}/revoke"), &[]).await;
    assert_eq!(revoked.location, format!("/grants/{grant_id}"));
    assert!(admin.get(&revoked.location).await.text.contains("Revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_opens_changes_and_finds_a_ticket_with_forms_alone() {
    let admin = Admin::at(site().await).await;
    let ctx = admin.site.ctx().clone();
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let project_id = project::create(&ctx, new).await.unwrap().id;
    let form = |subject: &'static str| {
        [
            ("project", project_id.clone()),
            ("subject", subject.to_owned()),
            ("requester_email", "grace@example.com".to_owned()),
            ("priority", "high".to_owned()),
            ("text", "She <b>called</b> at nine.".to_owned()),
        ]
    };
    let send = async |path: &str, fields: &[(&str, String)]| {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        admin.post(path, &fields).await
    };
    let refused = send("/tickets/new", &form("")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text.contains("id=\"subject-error\"") && refused.text.contains("grace@example.com"),
        "{}",
        refused.text
    );
    let made = send("/tickets/new", &form("Printer on fire")).await;
    assert_eq!(made.location, "/tickets/HELP-1", "{}", made.text);
    let page = admin.get("/tickets/HELP-1").await.text;
    assert!(page.contains("She &lt;b&gt;called"), "{page}");
    assert!(page.contains("Internal note") && page.contains("High"), "{page}");

    let me = field(&page, "assignee");
    admin
        .post("/tickets/HELP-1", &[("assignee", &me), ("was_state", "open")])
        .await;
    admin
        .post(
            "/tickets/HELP-1",
            &[
                ("was_labels", ""),
                ("labels", "VIP, on site"),
                ("was_state", "open"),
                ("state", "pending"),
                // What was not touched on an old page stays as it is now.
                ("was_assignee", ""),
                ("assignee", ""),
            ],
        )
        .await;
    let page = admin.get("/tickets/HELP-1").await.text;
    for seen in [
        "State: open → pending",
        "Labels: none → on site, vip",
        "Assignee: nobody → ada@example.org",
    ] {
        assert!(page.contains(seen), "{seen}: {page}");
    }
    let refused = admin.post("/tickets/HELP-1/notes", &[("text", " ")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let noted = admin
        .post("/tickets/HELP-1/notes", &[("text", "Ask for the hose.")])
        .await;
    assert!(noted.location.starts_with("/tickets/HELP-1#ent_"));
    let found = admin.get("/search?q=hose+label:vip").await.text;
    assert!(found.contains("<mark>hose</mark>"), "{found}");
    assert!(
        admin
            .get("/search?q=%22%27*(")
            .await
            .text
            .contains("Nothing found")
    );

    let list = admin.get("/tickets?assignee=me&label=vip").await.text;
    let id = field(&list, "ticket");
    let nothing = admin
        .post("/tickets/bulk", &[("ticket", &id), ("back", "/tickets?q=a")])
        .await;
    assert_eq!(nothing.location, "/tickets?q=a");
    assert!(admin.get("/tickets").await.text.contains("Choose a state first"));
    admin
        .post(
            "/tickets/bulk",
            &[("ticket", &id), ("state", "closed"), ("back", "//evil.example")],
        )
        .await;
    let list = admin.get("/tickets?state=closed").await.text;
    assert!(
        list.contains("1 ticket is closed now.") && list.contains("HELP-1"),
        "{list}"
    );
    let page = admin.get("/tickets/HELP-1").await.text;
    assert!(page.contains("Reopen"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_conversation_is_remembered() {
    let admin = Admin::at(site().await).await;
    let ctx = admin.site.ctx().clone();
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let project_id = project::create(&ctx, new).await.unwrap().id;
    let new = ticket::NewTicket {
        project_id,
        subject: "Order".into(),
        note: "first note".into(),
        ..ticket::NewTicket::default()
    };
    let made = ticket::open(&ctx, "cli", "Ada", &new).await.unwrap();
    ticket::note(&ctx, "cli", "Ada", &made.id, "second note", None)
        .await
        .unwrap();
    let is_oldest_first = |page: &str| page.find("first note") < page.find("second note");
    assert!(is_oldest_first(&admin.get("/tickets/HELP-1").await.text));
    let path = format!("{}/tickets/HELP-1/order", admin.site.base);
    let answer = admin
        .site
        .client
        .post(path)
        .header("cookie", &admin.cookie)
        .form(&[("order", "newest"), ("csrf", admin.csrf.as_str())])
        .send()
        .await
        .unwrap();
    let remembered = answer.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let page = admin
        .site
        .get("/tickets/HELP-1")
        .header("cookie", format!("{}; {remembered}", admin.cookie));
    assert!(!is_oldest_first(&seen(page).await.text));
}
