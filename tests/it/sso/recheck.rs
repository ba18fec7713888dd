//! Somebody who is not one of the provider's people any more: looked at again while they work here.

use serde_json::{Value, json};

use super::liar::Answer;
use super::stage::{ADMIN, Alone, Stage, run, with_glewlwyd};
use crate::on_each_database;
use crate::support::database::{Kind, TestDatabase};
use crate::support::oidc_provider::Options;
use crate::support::process::{Mailgrant, Settings, http};
use crate::support::visitor::Visitor;
use crate::support::wait::{SOON, eventually};
use crate::world::text;

on_each_database!(
    a_person_removed_at_the_provider_is_out_at_the_next_look_and_told_why,
    a_provider_that_is_silent_locks_nobody_out_for_two_hours_and_nobody_in_for_longer,
    cb_14_what_a_provider_gave_to_ask_again_is_sealed_used_once_and_gone_with_the_session,
    a_person_who_was_removed_here_is_somebody_new_and_a_password_is_no_way_out,
);

async fn is_in(browser: &Visitor) -> bool {
    browser.get("/settings/apps").await.status == 200
}

/// Whether a page shows what it asks for by itself.
async fn is_shown_by_itself(stage: &Stage, browser: &Visitor) -> bool {
    let cookie = format!("mailgrant={}", browser.cookie("mailgrant").unwrap());
    let request = http()
        .get(format!("{}/settings/apps", stage.mailgrant.base_url))
        .header("x-mailgrant-live", "1")
        .header("cookie", cookie);
    request.send().await.unwrap().status() == 200
}

/// Lets so many minutes pass since the provider last said yes.
async fn pass(database: &Option<TestDatabase>, minutes: i64) {
    let ms = minutes * 60_000;
    let statement = format!(
        "UPDATE sso_sessions SET checked_at = checked_at - {ms}, next_check_at = next_check_at - {ms}, \
         access_expires_at = access_expires_at - {ms}"
    );
    assert!(run(database, &statement).await > 0, "no session");
}

/// What the sign-in page says about why a session ended.
async fn told(browser: &Visitor) -> String {
    let seen = browser.get("/tickets").await;
    assert_eq!(seen.status, 303);
    let page = browser.get(&seen.location).await.body;
    match page.contains("You were signed out") {
        true => page
            .split("<code class=\"mg-code\">")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap()
            .to_owned(),
        false => "nothing".to_owned(),
    }
}

async fn a_person_removed_at_the_provider_is_out_at_the_next_look_and_told_why(database: TestDatabase) {
    let stage = Stage::start_with(Some(database), Options::default(), json!({})).await;
    stage.test_and_enable("ada@example.test").await;
    // By userinfo, and by a refresh token.
    for scopes in [
        json!(["openid", "email"]),
        json!(["openid", "email", "offline_access"]),
    ] {
        stage
            .patch(&json!({ "scopes": scopes, "recheckMinutes": 15 }))
            .await;
        stage.provider.remove_person("nobody");
        let (grace, lin) = (stage.visitor(), stage.visitor());
        for (browser, who) in [(&grace, "grace@example.test"), (&lin, "lin@example.test")] {
            let seen = stage.sign_in(browser, who, "/").await;
            assert_eq!(seen.status, 303, "{}", seen.body);
        }
        stage.provider.remove_person("grace@example.test");
        pass(&stage.database, 14).await;
        assert!(is_shown_by_itself(&stage, &grace).await);
        assert!(is_in(&grace).await, "not asked yet: {scopes}");
        pass(&stage.database, 2).await;
        // What a page asks by itself, or a picture in it, is no way around.
        assert!(!is_shown_by_itself(&stage, &grace).await, "{scopes}");
        assert!(!is_in(&grace).await, "{scopes}");
        assert_eq!(told(&grace).await, "refused_by_provider", "{scopes}");
        for _ in 0..3 {
            assert!(is_in(&lin).await, "{scopes}");
            pass(&stage.database, 16).await;
        }
        assert_eq!(told(&stage.visitor()).await, "nothing", "to nobody else");
        // Coming back to somebody whom the provider knows again.
        stage.provider.remove_person("nobody");
        assert_eq!(stage.sign_in(&grace, "grace@example.test", "/").await.status, 303);
        assert!(is_in(&grace).await);
    }
    let log = stage.rest.all("/api/v1/audit-events?action=session.ended").await;
    assert_eq!(log.len(), 2);
    assert_eq!(
        (&log[0]["actor"], &log[0]["summary"]["code"]),
        (&json!(stage.id), &json!("refused_by_provider"))
    );
}

/// Answers of the token endpoint to whoever comes with a code, and to whoever comes with a refresh token.
fn grant(id_token: &str, refresh_token: &str) -> Value {
    json!({
        "access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "id_token": id_token,
        "refresh_token": refresh_token,
    })
}

async fn come_in(stage: &Alone, subject: &str) -> Visitor {
    let browser = stage.visitor();
    let off = stage.off(&browser).await;
    let id_token = stage.liar.sign(&stage.liar.claims(subject, &off.nonce));
    stage
        .liar
        .set("/token", Answer::json(&grant(&id_token, "rt-marked-1")));
    assert_eq!(browser.get(&stage.back(&off)).await.status, 303);
    assert!(is_in(&browser).await);
    browser
}

/// The refresh tokens the provider was asked with since.
fn refreshed(stage: &Alone, from: usize) -> Vec<String> {
    let of = |body: &str| {
        let mut fields = url::form_urlencoded::parse(body.as_bytes());
        fields
            .find(|(name, _)| name == "refresh_token")
            .map(|(_, value)| value.into_owned())
    };
    let asked = stage.liar.asked("/token");
    asked[from..].iter().filter_map(|body| of(body)).collect()
}

async fn a_provider_that_is_silent_locks_nobody_out_for_two_hours_and_nobody_in_for_longer(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({ "recheckMinutes": 10 })).await;
    let browser = come_in(&stage, "grace").await;
    let error =
        |status, word: &str| Answer::of(status, "application/json", &json!({ "error": word }).to_string());
    for answer in [
        Answer::of(500, "text/plain", "down"),
        Answer::of(200, "text/html", "<p>Sign in to the hotel's network</p>"),
        error(503, "temporarily_unavailable"),
        error(429, "slow_down"),
        // Our own client's fault, not hers.
        error(401, "invalid_client"),
        error(400, "unauthorized_client"),
    ] {
        let before = stage.liar.asked("/token").len();
        stage.liar.set("/token", answer);
        pass(&stage.database, 11).await;
        assert!(is_in(&browser).await);
        assert_eq!(refreshed(&stage, before), ["rt-marked-1"]);
        assert!(
            is_in(&browser).await,
            "asked once in a while, not with every page"
        );
        assert_eq!(refreshed(&stage, before).len(), 1);
    }
    let admin = Visitor::new(&stage.mailgrant);
    let page = admin.get("/sign-in").await;
    admin
        .sign_in(&page, ADMIN, &super::stage::PASSWORD.to_owned().into())
        .await;
    let page = admin.get(&format!("/identity-providers/{}", stage.id)).await.body;
    assert!(page.contains("did not answer since"), "and it says so");
    // It answers again.
    stage.liar.set(
        "/token",
        Answer::json(&json!({ "access_token": "at-2", "expires_in": 3600 })),
    );
    pass(&stage.database, 11).await;
    assert!(is_in(&browser).await);
    let page = admin.get(&format!("/identity-providers/{}", stage.id)).await.body;
    assert!(!page.contains("did not answer since") && page.contains("Every 10 minutes, at 1 session now"));
    // Silent for longer than that.
    stage.liar.set("/token", Answer::of(500, "text/plain", "down"));
    pass(&stage.database, 119).await;
    assert!(is_in(&browser).await);
    pass(&stage.database, 6).await;
    assert!(!is_in(&browser).await);
    assert_eq!(told(&browser).await, "provider_silent");
}

async fn cb_14_what_a_provider_gave_to_ask_again_is_sealed_used_once_and_gone_with_the_session(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({ "recheckMinutes": 10 })).await;
    let browser = come_in(&stage, "grace").await;
    let before = stage.liar.asked("/token").len();
    for n in 2..5 {
        let answer = json!({ "access_token": "at-2", "refresh_token": format!("rt-marked-{n}") });
        stage.liar.set("/token", Answer::json(&answer));
        pass(&stage.database, 11).await;
        // Of many at once one asks.
        let (one, two, three) = tokio::join!(is_in(&browser), is_in(&browser), is_in(&browser));
        assert!(one && two && three);
    }
    assert_eq!(
        refreshed(&stage, before),
        ["rt-marked-1", "rt-marked-2", "rt-marked-3"],
        "each once, the newest next"
    );
    let plain =
        "SELECT 1 FROM sso_sessions WHERE refresh_sealed LIKE '%marked%' OR access_sealed LIKE '%at-%'";
    let sealed = format!("UPDATE sso_sessions SET sid = sid WHERE EXISTS ({plain})");
    assert_eq!(run(&stage.database, &sealed).await, 0, "sealed at rest");
    let kept = "UPDATE sso_sessions SET sid = sid WHERE refresh_sealed <> ''";
    assert_eq!(run(&stage.database, kept).await, 1);
    let log = stage.rest.all("/api/v1/audit-events").await;
    assert!(!format!("{log:?}").contains("rt-marked"));
    assert!(!stage.mailgrant.log().contains("rt-marked"));

    // Tokens of somebody else.
    let other =
        json!({ "id_token": stage.liar.sign(&stage.liar.claims("mallory", "x")), "access_token": "at-3" });
    stage.liar.set("/token", Answer::json(&other));
    pass(&stage.database, 11).await;
    assert!(!is_in(&browser).await);
    assert_eq!(run(&stage.database, kept).await, 0, "gone with the session");

    // Signing out gives back what was given.
    stage
        .liar
        .discovery(&json!({ "revocation_endpoint": format!("{}/revoke", stage.liar.issuer) }));
    stage.liar.set("/revoke", Answer::of(200, "text/plain", ""));
    stage.patch(&json!({ "scopes": ["openid", "email"] })).await;
    let browser = come_in(&stage, "grace").await;
    let page = browser.get("/settings/apps").await;
    browser.submit(&page, "/sign-out", &[]).await;
    assert_eq!(run(&stage.database, kept).await, 0);
    eventually("the token is given back", SOON, async || {
        let given = stage.liar.asked("/revoke");
        given
            .iter()
            .any(|body| body.contains("token=rt-marked-1"))
            .then_some(())
    })
    .await;

    // CB-14: the same with every endpoint by hand.
    let at = |path: &str| format!("{}{path}", stage.liar.issuer);
    let by_hand = json!({
        "discovery": false, "authorizationEndpoint": at("/auth"), "tokenEndpoint": at("/token"), "jwksUri": at("/jwks"),
        "revocationEndpoint": at("/revoke-by-hand"), "clientSecret": "secret-of-the-liar",
    });
    stage.patch(&by_hand).await;
    stage.test_and_enable().await;
    stage
        .liar
        .set("/revoke-by-hand", Answer::of(200, "text/plain", ""));
    let browser = come_in(&stage, "grace").await;
    let page = browser.get("/settings/apps").await;
    browser.submit(&page, "/sign-out", &[]).await;
    eventually("the token is given back there", SOON, async || {
        let given = stage.liar.asked("/revoke-by-hand");
        given
            .iter()
            .any(|body| body.contains("token=rt-marked-1"))
            .then_some(())
    })
    .await;

    // Switched off: nothing is kept, and nobody asked.
    let browser = come_in(&stage, "grace").await;
    let before = stage.liar.asked("/token").len();
    stage.patch(&json!({ "recheckMinutes": 0 })).await;
    assert_eq!(run(&stage.database, kept).await, 0);
    assert!(is_in(&browser).await);
    let later = come_in(&stage, "lin").await;
    assert_eq!(run(&stage.database, kept).await, 0);
    assert!(is_in(&later).await);
    assert_eq!(refreshed(&stage, before), [] as [&str; 0]);
    for wrong in [json!(-1), json!(721), json!("often")] {
        let path = format!("/api/v1/identity-providers/{}", stage.id);
        let refused = stage
            .rest
            .send(
                reqwest::Method::PATCH,
                &path,
                Some(&json!({ "recheckMinutes": wrong })),
            )
            .await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn glewlwyd_gives_a_token_to_ask_again_with_and_people_stay_in() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let mailgrant = Mailgrant::start(Settings::new().database(&database.url)).await;
    let database = Some(database);
    let (_glewlwyd, mut there, id) = with_glewlwyd(&mailgrant).await;
    let browser = Visitor::new(&mailgrant);
    let off = browser.get(&format!("/sso/{id}/start?next=/")).await;
    browser.get(there.authorize(&off.location).await.as_str()).await;
    for _ in 0..3 {
        assert!(is_in(&browser).await);
        pass(&database, 16).await;
    }
    // Whether it exchanges the token is its operator's choice; a refusal of our client signs nobody out at once.
    let kept = "UPDATE sso_sessions SET sid = sid WHERE refresh_sealed <> ''";
    assert_eq!(run(&database, kept).await, 1);
}

async fn a_person_who_was_removed_here_is_somebody_new_and_a_password_is_no_way_out(database: TestDatabase) {
    let stage = Alone::start_on(Some(database), &json!({ "recheckMinutes": 10 })).await;
    let browser = come_in(&stage, "grace").await;
    // A password of her own, under a new session: the provider's word counts for that as well.
    let page = browser.get("/profile").await;
    let set = browser
        .submit(
            &page,
            "/profile/password",
            &[("password", "a long and quiet afternoon")],
        )
        .await;
    assert_eq!(set.status, 303, "{}", set.body);
    assert!(is_in(&browser).await);
    let error = json!({ "error": "invalid_grant" }).to_string();
    stage
        .liar
        .set("/token", Answer::of(400, "application/json", &error));
    pass(&stage.database, 11).await;
    assert!(!is_in(&browser).await);
    assert_eq!(told(&browser).await, "refused_by_provider");

    let of = |users: &[Value]| -> Vec<String> {
        let graces = users.iter().filter(|user| user["email"] == "grace@example.test");
        graces.map(|user| text(user, "id")).collect()
    };
    let first = of(&stage.rest.all("/api/v1/users").await);
    let gone = stage
        .rest
        .send(
            reqwest::Method::DELETE,
            &format!("/api/v1/users/{}", first[0]),
            None,
        )
        .await;
    assert_eq!(gone.status, 204, "{gone:?}");
    let left = "UPDATE sso_identities SET issuer = issuer";
    assert_eq!(run(&stage.database, left).await, 0, "nothing lets them in");
    let browser = come_in(&stage, "grace").await;
    let second = of(&stage.rest.all("/api/v1/users").await);
    assert!(
        second.len() == 1 && second != first,
        "a new account with a new id: {first:?}, {second:?}"
    );
    assert!(is_in(&browser).await);
}
