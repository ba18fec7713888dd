//! What time does to a sign-in through a provider; the rest is tested against real providers in `tests/it/sso`.

mod accounts;

use secrecy::SecretString;
use serde_json::json;

use super::flow::{self, Purpose};
use super::store::{self, attempts};
use super::*;
use crate::account::tests::{TestPlace, place};
use crate::ctx::Ctx;

const BROWSER: &str = "a browser";

/// A provider whose endpoints were entered by hand and which nobody serves.
async fn provider(ctx: &Ctx, name: &str) -> IdentityProvider {
    let at = |path: &str| format!("http://127.0.0.1:1/{path}");
    let input = ProviderInput {
        name: name.into(),
        connection: Connection {
            issuer: format!("http://127.0.0.1:1/{name}"),
            authorization_endpoint: at("authorize"),
            token_endpoint: at("token"),
            jwks_uri: at("keys"),
            client_id: "mailgrant".into(),
            ..Connection::default()
        },
        ..ProviderInput::default()
    };
    create(ctx, "cli", input).await.unwrap()
}

async fn enabled(place: &TestPlace) -> IdentityProvider {
    let ctx = &place.ctx;
    let made = provider(ctx, "company").await;
    store::set_tested(ctx.db.write(), &made.id, made.connection_revision)
        .await
        .unwrap();
    let now = get(ctx, &made.id).await.unwrap();
    set_enabled(ctx, "cli", &made.id, now.revision, true)
        .await
        .unwrap()
}

/// Leaves for the provider and gives what it would send back.
async fn leave(ctx: &Ctx, provider: &IdentityProvider) -> Returned {
    let url = flow::leave(ctx, provider, BROWSER, Purpose::SignIn("/", false))
        .await
        .unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1;
    Returned::of_query(&format!("code=abc&state={state}"))
}

async fn code_of(ctx: &Ctx, id: &str, browser: &str, returned: &Returned) -> String {
    match finish(ctx, id, browser, returned).await {
        Err(SignInError::Refused { trouble, .. }) => trouble.code,
        other => panic!("nobody could be let in: {other:?}"),
    }
}

#[tokio::test]
async fn n60_a_sign_in_waits_ten_minutes_for_its_own_browser_and_counts_once() {
    let place = place().await;
    let ctx = &place.ctx;
    let provider = enabled(&place).await;
    let returned = leave(ctx, &provider).await;
    ctx.clock.advance(chrono::Duration::seconds(599));
    assert_eq!(
        code_of(ctx, &provider.id, "another", &returned).await,
        "state_unknown"
    );
    let reached = code_of(ctx, &provider.id, BROWSER, &returned).await;
    assert_ne!(reached, "state_unknown", "as far as the token endpoint");
    assert_eq!(
        code_of(ctx, &provider.id, BROWSER, &returned).await,
        "state_unknown"
    );
    let returned = leave(ctx, &provider).await;
    ctx.clock.advance(chrono::Duration::seconds(600));
    assert_eq!(
        code_of(ctx, &provider.id, BROWSER, &returned).await,
        "state_unknown"
    );
}

#[tokio::test]
async fn the_address_of_a_test_works_once_for_its_provider_within_ten_minutes() {
    let place = place().await;
    let ctx = &place.ctx;
    let (one, other) = (provider(ctx, "one").await, provider(ctx, "other").await);
    let begin = async || {
        let (_, path) = begin_test(ctx, &one.id, "usr_1").await.unwrap();
        SecretString::from(path.split_once("ticket=").unwrap().1.to_owned())
    };
    let opens =
        async |id: &str, ticket: &SecretString| leave_for_test(ctx, id, ticket, BROWSER).await.is_ok();
    let ticket = begin().await;
    ctx.clock.advance(chrono::Duration::seconds(599));
    assert!(opens(&one.id, &ticket).await);
    assert!(!opens(&one.id, &ticket).await, "used already");
    let ticket = begin().await;
    ctx.clock.advance(chrono::Duration::seconds(600));
    assert!(!opens(&one.id, &ticket).await, "ten minutes are over");
    let ticket = begin().await;
    assert!(!opens(&other.id, &ticket).await, "another provider's");
}

#[tokio::test]
async fn a_logout_token_is_remembered_as_long_as_it_could_come_again() {
    let place = place().await;
    let ctx = &place.ctx;
    let provider = provider(ctx, "company").await;
    let now = ctx.clock.now_ms();
    let first = async |until: i64| {
        attempts::first_time(ctx.db.write(), &provider.id, "jti", until)
            .await
            .unwrap()
    };
    assert!(first(now + 3_600_000).await);
    ctx.clock.advance(chrono::Duration::minutes(11));
    purge(ctx).await.unwrap();
    assert!(
        !first(now + 3_600_000).await,
        "its `iat` counts for eleven minutes"
    );
    ctx.clock.advance(chrono::Duration::minutes(60));
    purge(ctx).await.unwrap();
    assert!(first(now + 3_600_000).await, "and is not kept for ever");
}

#[test]
fn what_a_test_shows_of_claims_opens_nothing() {
    let claims = json!({ "sub": "ada", "nonce": "n", "sid": "s", "jti": "j", "at_hash": "h", "long": "x".repeat(600) });
    let shown = claims::masked(claims.as_object().unwrap());
    assert_eq!(shown["sub"], "ada");
    for name in ["nonce", "sid", "jti", "at_hash"] {
        assert_eq!(shown[name], "••••••", "{name}");
    }
    assert!(shown["long"].as_str().unwrap().chars().count() <= 501);
}
