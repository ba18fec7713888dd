//! A real mail server that does not know a token, stops for a while, or loses a folder.

use std::time::Instant;

use super::*;
use crate::support::database::Kind;
use crate::support::mails;
use crate::support::oidc_provider::{CLIENT_ID, CLIENT_SECRET, Options};
use crate::support::wait::SOON;
use crate::world::World;

/// Only the announcement of the server can bring a mail in: no poll is due this year.
const NEVER: &str = "0 0 0 1 1 *";

/// A grant whose tokens come from a scripted endpoint, whatever they are worth.
async fn grant_with(world: &World, name: &str, tokens: &ScriptedHttp) -> String {
    let made = world
        .rest
        .post(
            "/api/v1/integrations",
            &json!({
                "provider": "custom", "name": name, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET,
                "scopes": ["mail"], "flow": "client_credentials", "tokenEndpoint": format!("{}/token", tokens.url),
                "authorizationEndpoint": world.provider.authorization_endpoint(),
                "tokenEndpointAuthMethod": "client_secret_basic",
            }),
        )
        .await;
    let path = format!("/api/v1/integrations/{}/authorizations", text(&made, "id"));
    text(&world.rest.post(&path, &json!({})).await, "grantId")
}

/// A token the mail server believes, fresh from the provider.
async fn good_token(world: &World) -> String {
    let answer = world
        .provider
        .token_request(&[("grant_type", "client_credentials"), ("scope", "mail")])
        .await;
    text(&answer, "access_token")
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_foreign_tokens_are_shown_and_an_expired_one_is_replaced() {
    let options = Options {
        app_mailbox: Some(ACCOUNT.to_owned()),
        access_token_life: Duration::from_secs(6),
        ..Options::default()
    };
    let world = World::start_with(TestDatabase::create(Kind::Sqlite).await, options).await;
    world.dovecot.seed(ACCOUNT, 3);

    let garbage = ScriptedHttp::start().await;
    garbage.answer_always(token("garbage"));
    let grant = grant_with(&world, "Garbage", &garbage).await;
    let id = world
        .add_mailbox(json!({ "name": "Garbage", "grantId": grant }))
        .await;
    let failing = fails_with(&world.rest, &id, "xoauth2_401").await;
    assert!(
        text(&failing["lastError"], "remedy").contains("login name"),
        "{failing}"
    );
    assert_eq!(token_requests(&garbage), 2, "one forced refresh");

    // The token is good, but for another account.
    let foreign = ScriptedHttp::start().await;
    foreign.answer_always(token(&good_token(&world).await));
    let grant = grant_with(&world, "Foreign", &foreign).await;
    let changes = json!({ "name": "Foreign", "grantId": grant, "loginName": "stranger@example.test" });
    let id = world.add_mailbox(changes).await;
    let failing = fails_with(&world.rest, &id, "xoauth2_401").await;
    assert!(
        text(&failing["lastError"], "remedy").contains("login name"),
        "{failing}"
    );

    // The provider says an hour and means six seconds.
    let short = ScriptedHttp::start().await;
    let expired = good_token(&world).await;
    short.answer_always(token(&expired));
    let grant = grant_with(&world, "Short", &short).await;
    eventually("the token has ended", SOON, async || {
        (world.provider.introspect(&expired).await["active"] == false).then_some(())
    })
    .await;
    short.answer_always(token(&good_token(&world).await));
    let id = world
        .add_mailbox(json!({ "name": "Short", "grantId": grant, "schedule": NEVER, "idle": false }))
        .await;
    world.mailbox_is(&id, "ok").await;
    assert_eq!(world.ticketed(3).await.len(), 3);
    assert_eq!(token_requests(&short), 2, "one forced refresh was enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_announces_mail_is_heard_at_once_over_tls_and_starttls() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    let implicit = json!({ "name": "Implicit", "schedule": NEVER, "startFrom": "now" });
    let implicit = world.add_mailbox(implicit).await;
    let port = world.dovecot.imap_port;
    let starttls =
        json!({ "name": "STARTTLS", "schedule": NEVER, "startFrom": "now", "port": port, "tls": "starttls" });
    let starttls = world.add_mailbox(starttls).await;
    for id in [&implicit, &starttls] {
        world.mailbox_is(id, "ok").await;
    }
    for number in 1..=3 {
        let mail = mails::simple(&format!("<{number}@x.test>"), "a@example.test", "Hello", "Hello.");
        world.dovecot.deliver(ACCOUNT, &mail).await;
        let delivered = Instant::now();
        world.ticketed(2 * number).await;
        let took = delivered.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{took:?} until both mailboxes had it"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_and_comes_back_loses_nothing() {
    let mut world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    world.dovecot.seed(ACCOUNT, 30);
    let waiting = world.add_mailbox(json!({ "name": "Waiting" })).await;
    world.ticketed(30).await;
    world.dovecot.stop();
    let failing = fails_with(&world.rest, &waiting, "connection_refused").await;
    assert!(
        text(&failing["lastError"], "cause").contains("127.0.0.1"),
        "{failing}"
    );
    // A mailbox made during the outage, and mail that arrives in it.
    let polled = json!({ "name": "Polled", "idle": false });
    let polled = world.add_mailbox(polled).await;
    fails_with(&world.rest, &polled, "connection_refused").await;
    world.dovecot.seed_folder(ACCOUNT, "INBOX", 2, 0..10);
    world.dovecot.resume().await;
    for id in [&waiting, &polled] {
        let path = format!("/api/v1/messages?mailboxId={id}");
        polled_until(&world.rest, id, "every mail is there", async || {
            let all = world.rest.all(&path).await;
            assert!(all.len() <= 40, "a mail was doubled");
            let placed = all.iter().filter(|m| m["mailgrant"]["entryId"].is_string());
            (placed.count() == 40).then_some(())
        })
        .await;
        let mailbox = world.mailbox_is(id, "ok").await;
        assert_eq!(mailbox["lastError"], Value::Null);
        assert_eq!(mailbox["retryAt"], Value::Null);
    }
    let grant = world
        .rest
        .get(&format!("/api/v1/grants/{}", world.grant_id))
        .await;
    assert_eq!(
        (grant["state"].as_str(), &grant["lastError"]),
        (Some("active"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_gone_is_told_with_those_that_are_there() {
    let world = World::start(TestDatabase::create(Kind::Sqlite).await).await;
    world.dovecot.make_folder(ACCOUNT, "Anfragen/Büro");
    world.dovecot.make_folder(ACCOUNT, "Requests");
    world.dovecot.seed_folder(ACCOUNT, "Requests", 1, 0..3);
    let id = world
        .add_mailbox(json!({ "name": "Requests", "folder": "Requests" }))
        .await;
    world.ticketed(3).await;
    let other = world
        .add_mailbox(json!({ "name": "Inbox", "startFrom": "now" }))
        .await;
    world.mailbox_is(&other, "ok").await;

    world.dovecot.remove_folder(ACCOUNT, "Requests");
    // A session that has the folder open sees nothing of it; the next one does.
    world.dovecot.disconnect(ACCOUNT);
    let failing = polled_until(&world.rest, &id, "the loss is shown", async || {
        let mailbox = world.rest.get(&format!("/api/v1/mailboxes/{id}")).await;
        (mailbox["lastError"]["code"] == "imap_folder_missing").then_some(mailbox)
    })
    .await;
    assert!(
        text(&failing["lastError"], "cause").contains("Requests"),
        "{failing}"
    );
    let remedy = text(&failing["lastError"], "remedy");
    assert!(remedy.contains("INBOX"), "{remedy}");

    let mail = mails::simple("<a@x.test>", "a@example.test", "Meanwhile", "Hello.");
    world.dovecot.deliver(ACCOUNT, &mail).await;
    world.ticketed(4).await;
    world.mailbox_is(&other, "ok").await;

    // Made again, it has a new epoch: what was in it is not taken twice.
    world.dovecot.make_folder(ACCOUNT, "Requests");
    world.dovecot.seed_folder(ACCOUNT, "Requests", 1, 0..5);
    polled_until(&world.rest, &id, "it is well again", async || {
        let mailbox = world.rest.get(&format!("/api/v1/mailboxes/{id}")).await;
        (mailbox["state"] == "ok").then_some(())
    })
    .await;
    assert_eq!(
        world.ticketed(6).await.len(),
        6,
        "five in the folder, one in the inbox"
    );

    // The folder that mails are moved to is explained in the same way.
    let mover = json!({ "name": "Mover", "folder": "Requests", "afterIngest": "move", "moveTo": "Nowhere" });
    let mover = world.add_mailbox(mover).await;
    let failing = fails_with(&world.rest, &mover, "imap_folder_missing").await;
    assert!(
        text(&failing["lastError"], "cause").contains("Nowhere"),
        "{failing}"
    );
    assert!(
        text(&failing["lastError"], "remedy").contains("Requests"),
        "{failing}"
    );
    assert_eq!(
        world.dovecot.files(ACCOUNT, "Requests").len(),
        5,
        "nothing was moved"
    );
}
