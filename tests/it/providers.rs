//! Getting a grant from a foreign OAuth server, keeping it alive, losing it and getting it back.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::mails;
use crate::support::oidc_provider::{CLIENT_SECRET, Options, Person};
use crate::support::process::http;
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, World, integration, text};

on_each_database!(
    a_consent_gives_a_grant_that_reads_mail,
    tokens_are_renewed_before_they_end,
    a_dead_grant_is_shown_and_reconnecting_keeps_everything,
    a_wrong_client_secret_is_the_integrations_fault_and_heals_when_it_is_saved,
);

/// A code-flow integration whose redirect URL the provider knows.
async fn code_integration(world: &mut World) -> Value {
    let mut body = integration(&world.provider, "authorization_code");
    body["name"] = json!("With consent");
    let made = world.rest.post("/api/v1/integrations", &body).await;
    world
        .provider
        .register_redirect(&text(&made, "redirectUrl"))
        .await;
    made
}

async fn authorize(world: &World, integration: &Value, body: Value) -> Value {
    let path = format!("/api/v1/integrations/{}/authorizations", text(integration, "id"));
    world.rest.post(&path, &body).await
}

/// Calls the redirect back, as the browser would; returns status and page.
async fn come_back(url: &Url) -> (u16, String) {
    let answer = http().get(url.clone()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.text().await.unwrap())
}

async fn connect(world: &World, integration: &Value, body: Value, login: &str) -> Value {
    let started = authorize(world, integration, body).await;
    let back = world
        .provider
        .consent(&text(&started, "authorizationUrl"), login)
        .await;
    come_back(&back).await;
    world
        .rest
        .get(&format!("/api/v1/authorizations/{}", text(&started, "id")))
        .await
}

async fn a_consent_gives_a_grant_that_reads_mail(database: TestDatabase) {
    let mut world = World::start(database).await;
    let integration = code_integration(&mut world).await;
    let started = authorize(&world, &integration, json!({ "expectedIdentity": ACCOUNT })).await;
    let url: Url = text(&started, "authorizationUrl").parse().unwrap();
    let sent = |name: &str| {
        url.query_pairs()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.into_owned())
    };
    assert_eq!(sent("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(
        sent("redirect_uri"),
        integration["redirectUrl"].as_str().map(str::to_owned)
    );
    assert!(sent("state").is_some_and(|state| state.len() >= 43), "256 bits");
    let back = world.provider.consent(url.as_str(), ACCOUNT).await;
    let (status, page) = come_back(&back).await;
    assert!(status < 400, "{status} {page}");
    let done = world
        .rest
        .get(&format!("/api/v1/authorizations/{}", text(&started, "id")))
        .await;
    let grant = world
        .rest
        .get(&format!("/api/v1/grants/{}", text(&done, "grantId")))
        .await;
    assert_eq!(grant["identity"], ACCOUNT);
    assert_eq!(grant["state"], "active");
    assert_eq!(grant["lastError"], Value::Null);

    // The very same redirect a second time: the state was used up.
    let (status, page) = come_back(&back).await;
    assert!((400..500).contains(&status), "{status} {page}");
    let grants = world.rest.all("/api/v1/grants").await.len();

    world
        .add_mailbox(json!({ "grantId": grant["id"], "startFrom": "now" }))
        .await;
    world
        .dovecot
        .deliver(
            ACCOUNT,
            &mails::simple("<a@x.test>", "a@example.test", "Hello", "Hello."),
        )
        .await;
    world.ticketed(1).await;

    // Somebody else's consent is not the expected one.
    let started = authorize(&world, &integration, json!({ "expectedIdentity": ACCOUNT })).await;
    let back = world
        .provider
        .consent(&text(&started, "authorizationUrl"), "stranger@example.test")
        .await;
    let (status, page) = come_back(&back).await;
    assert!((400..500).contains(&status), "{status}");
    assert!(
        page.contains("stranger@example.test"),
        "the page names who consented: {page}"
    );
    let failed = world
        .rest
        .get(&format!("/api/v1/authorizations/{}", text(&started, "id")))
        .await;
    assert_eq!(failed["grantId"], Value::Null);

    // A refused consent says so.
    let started = authorize(&world, &integration, json!({})).await;
    let refused = world
        .provider
        .walk(&text(&started, "authorizationUrl"), Person::Refuses(ACCOUNT))
        .await;
    let (status, page) = come_back(&refused.unwrap()).await;
    assert!((400..500).contains(&status), "{status}");
    assert!(page.contains("access_denied"), "{page}");
    assert_eq!(
        world.rest.all("/api/v1/grants").await.len(),
        grants,
        "nothing was added"
    );

    nothing_leaked(&world);
}

/// The client secret stands in no log, no database file.
fn nothing_leaked(world: &World) {
    assert!(!world.mailgrant.log().contains(CLIENT_SECRET));
    let stored = match world.database.postgres() {
        Some(postgres) => {
            postgres.query("select * from integrations") + &postgres.query("select * from events")
        }
        None => {
            let path = world.database.url.trim_start_matches("sqlite:").to_owned();
            let read = |path: String| std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&[read(path.clone()), read(format!("{path}-wal"))].concat()).into_owned()
        }
    };
    assert!(stored.contains("With consent"), "this looks at the right place");
    assert!(!stored.contains(CLIENT_SECRET));
}

async fn tokens_are_renewed_before_they_end(database: TestDatabase) {
    let options = Options {
        app_mailbox: Some(ACCOUNT.to_owned()),
        access_token_life: Duration::from_secs(8),
        ..Options::default()
    };
    let mut world = World::start_with(database, options).await;
    let integration = code_integration(&mut world).await;
    let done = connect(&world, &integration, json!({}), ACCOUNT).await;
    let path = format!("/api/v1/grants/{}", text(&done, "grantId"));
    let mut ends = text(&world.rest.get(&path).await, "expiresAt");
    // Twice: the second time it is the rotated refresh token that is used, and reuse of the first would kill the grant.
    for _ in 0..2 {
        ends = eventually("the grant has a newer token", SOON, async || {
            let grant = world.rest.get(&path).await;
            assert_eq!(grant["state"], "active", "{grant}");
            let now = text(&grant, "expiresAt");
            (now > ends).then_some(now)
        })
        .await;
    }
}

async fn a_dead_grant_is_shown_and_reconnecting_keeps_everything(database: TestDatabase) {
    let mut world = World::start(database).await;
    let integration = code_integration(&mut world).await;
    let done = connect(&world, &integration, json!({}), ACCOUNT).await;
    let grant_id = text(&done, "grantId");
    world.dovecot.seed(ACCOUNT, 5);
    let mailbox_id = world.add_mailbox(json!({ "grantId": grant_id })).await;
    world.ticketed(5).await;

    // The provider forgets everything: access token and refresh token are worth nothing from now on.
    world.provider.stop();
    world.provider.resume().await;
    world.dovecot.disconnect(ACCOUNT);
    let path = format!("/api/v1/grants/{grant_id}");
    world
        .rest
        .post(&format!("/api/v1/mailboxes/{mailbox_id}/poll"), &json!({}))
        .await;
    let grant = eventually("the grant needs somebody", SOON * 3, async || {
        let grant = world.rest.get(&path).await;
        (grant["state"] == "needs_reauth").then_some(grant)
    })
    .await;
    assert_eq!(grant["lastError"]["code"], "invalid_grant");
    assert!(!text(&grant["lastError"], "remedy").is_empty());
    world.mailbox_is(&mailbox_id, "failing").await;
    world.dovecot.seed_folder(ACCOUNT, "INBOX", 2, 0..3);

    // Another account is refused until somebody confirms; the right one restores it.
    connect(
        &world,
        &integration,
        json!({ "grantId": grant_id }),
        "stranger@example.test",
    )
    .await;
    assert_eq!(world.rest.get(&path).await["state"], "needs_reauth");
    let done = connect(&world, &integration, json!({ "grantId": grant_id }), ACCOUNT).await;
    assert_eq!(
        text(&done, "grantId"),
        grant_id,
        "the same grant, so mailbox and cursor stay"
    );
    let messages = world.ticketed(8).await;
    assert_eq!(messages.len(), 8);
    world.mailbox_is(&mailbox_id, "ok").await;
}

async fn a_wrong_client_secret_is_the_integrations_fault_and_heals_when_it_is_saved(database: TestDatabase) {
    let world = World::start(database).await;
    let id = text(&world.integration, "id");
    let path = format!("/api/v1/integrations/{id}");
    let change = async |secret: &str| {
        let reply = world
            .rest
            .send(Method::PATCH, &path, Some(&json!({ "clientSecret": secret })))
            .await;
        reply.ok(&path)
    };
    change("not the secret").await;
    let refreshed = format!("/api/v1/grants/{}/refresh", world.grant_id);
    world.rest.send(Method::POST, &refreshed, Some(&json!({}))).await;
    let broken = eventually("the integration is misconfigured", SOON, async || {
        let integration = world.rest.get(&path).await;
        (integration["state"] == "misconfigured").then_some(integration)
    })
    .await;
    assert_eq!(broken["lastError"]["code"], "invalid_client");
    let told = world
        .rest
        .all("/api/v1/events?types=integration.misconfigured")
        .await;
    let told: Vec<_> = told.iter().map(|event| text(event, "subjectId")).collect();
    assert_eq!(told, [id.as_str()], "said once");
    let grant = world
        .rest
        .get(&format!("/api/v1/grants/{}", world.grant_id))
        .await;
    assert_eq!(grant["state"], "active", "it is not the grant's fault");
    let saved = change(CLIENT_SECRET).await;
    assert_eq!(saved["state"], "ok");
    world.rest.post(&refreshed, &json!({})).await;
    let shown = world.rest.get(&path).await.to_string();
    assert!(!shown.contains(CLIENT_SECRET), "the secret is never shown again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_flow_without_a_refresh_token_is_refused_naming_what_is_missing() {
    let database = TestDatabase::create(crate::support::database::Kind::Sqlite).await;
    let mut world = World::start(database).await;
    let mut body = integration(&world.provider, "authorization_code");
    body["name"] = json!("No offline");
    body["scopes"] = json!(["openid", "email", "mail"]);
    let made = world.rest.post("/api/v1/integrations", &body).await;
    world
        .provider
        .register_redirect(&text(&made, "redirectUrl"))
        .await;
    let before = world.rest.all("/api/v1/grants").await.len();
    let started = authorize(&world, &made, json!({})).await;
    let back = world
        .provider
        .consent(&text(&started, "authorizationUrl"), ACCOUNT)
        .await;
    let (status, page) = come_back(&back).await;
    assert!((400..500).contains(&status), "{status}");
    assert!(page.contains("offline_access"), "{page}");
    assert_eq!(world.rest.all("/api/v1/grants").await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_endpoint_draws_a_new_redirect_url_and_the_old_one_names_it() {
    let database = TestDatabase::create(crate::support::database::Kind::Sqlite).await;
    let mut world = World::start(database).await;
    let made = code_integration(&mut world).await;
    let started = authorize(&world, &made, json!({})).await;
    let back = world
        .provider
        .consent(&text(&started, "authorizationUrl"), ACCOUNT)
        .await;
    let path = format!("/api/v1/integrations/{}", text(&made, "id"));
    let same = world
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "description": "x" })))
        .await
        .ok(&path);
    assert_eq!(
        same["redirectUrl"], made["redirectUrl"],
        "other fields do not change it"
    );
    let other = format!("{}/elsewhere", world.provider.issuer);
    let changed = world
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "tokenEndpoint": other })))
        .await
        .ok(&path);
    assert_ne!(changed["redirectUrl"], made["redirectUrl"]);
    let (status, page) = come_back(&back).await;
    assert!((400..500).contains(&status), "{status}");
    assert!(page.contains(&text(&changed, "redirectUrl")), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tests_say_each_step_and_what_is_wrong() {
    let database = TestDatabase::create(crate::support::database::Kind::Sqlite).await;
    let world = World::start(database).await;
    world.dovecot.seed(ACCOUNT, 2);
    let run = async |path: String| {
        let started = world.rest.post(&path, &json!({})).await;
        eventually("the test ends", SOON * 2, async || {
            let test = world
                .rest
                .get(&format!("/api/v1/tests/{}", text(&started, "id")))
                .await;
            (test["state"] != "running").then_some(test)
        })
        .await
    };
    let names = |test: &Value| -> Vec<String> {
        test["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| text(step, "name"))
            .collect()
    };
    let mailbox = world.add_mailbox(json!({})).await;
    let good = run(format!("/api/v1/mailboxes/{mailbox}/tests")).await;
    assert_eq!(good["state"], "ok", "{good}");
    assert_eq!(
        names(&good),
        [
            "dns",
            "tcp",
            "tls",
            "greeting",
            "capability",
            "token",
            "authenticate",
            "folder",
            "newest message"
        ]
    );
    let stranger = world
        .add_mailbox(json!({ "name": "Other", "loginName": "other@example.test" }))
        .await;
    let refused = run(format!("/api/v1/mailboxes/{stranger}/tests")).await;
    assert_eq!(refused["state"], "failed");
    let last = refused["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["name"], "authenticate");
    assert!(!text(last, "remedy").is_empty(), "{last}");
    let starttls = json!({ "name": "Start", "tls": "starttls", "port": world.dovecot.imap_port });
    let starttls = world.add_mailbox(starttls).await;
    assert_eq!(
        run(format!("/api/v1/mailboxes/{starttls}/tests")).await["state"],
        "ok"
    );
    let integration = run(format!(
        "/api/v1/integrations/{}/tests",
        text(&world.integration, "id")
    ))
    .await;
    assert_ne!(integration["state"], "failed", "{integration}");
    let out = world.mailgrant.run(&["test-connection", "Support"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}
