//! What time does to a sign-in through a provider; the rest is tested against real providers in `tests/it/sso`.

mod accounts;

use secrecy::SecretString;
use serde_json::json;

use super::away::{self, Purpose};
use super::store::{self, attempts};
use super::*;
use crate::account;
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
    let url = away::leave(ctx, provider, BROWSER, Purpose::SignIn("/", false))
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
async fn google_is_asked_in_its_own_way_when_somebody_signed_in_there() {
    let place = place().await;
    let ctx = &place.ctx;
    let mut asked = provider(ctx, "company").await;
    for (preset, again, wanted) in [
        (Preset::Google, true, true),
        (Preset::Google, false, false),
        (Preset::Generic, true, false),
    ] {
        asked.connection.preset = preset;
        let url = away::leave(ctx, &asked, BROWSER, Purpose::SignIn("/", again))
            .await
            .unwrap();
        let claims = url.query_pairs().find(|(name, _)| name == "claims");
        let is_asked = claims.is_some_and(|(_, value)| value.contains(r#""auth_time":{"essential":true}"#));
        assert_eq!(is_asked, wanted, "{preset:?} {again}: {url}");
    }
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
        let token = attempts::LogoutToken {
            jti_hash: "jti".into(),
            issuer: "",
            sid: "s",
            subject: "",
            issued_at: 0,
            arrived_at: 0,
            expires_at: until,
        };
        attempts::first_time(ctx.db.write(), &provider.id, token)
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

/// Somebody with a way in through this provider, as far as their session.
fn on_their_way(provider: &IdentityProvider) -> (SessionLink, Given) {
    let link = SessionLink {
        provider_id: provider.id.clone(),
        issuer: provider.connection.issuer.clone(),
        subject: "ada".into(),
        sid: "s".into(),
        amr: Vec::new(),
        acr: String::new(),
        auth_time: None,
    };
    let given = Given {
        id_token: SecretString::from("x"),
        kept: Default::default(),
        look_at: None,
        checked_at: 0,
        left_at: 0,
        issued_at: 0,
    };
    (link, given)
}

#[tokio::test]
async fn n58_a_logout_token_that_is_faster_than_the_browser_ends_the_session_before_it_begins() {
    let place = place().await;
    let ctx = &place.ctx;
    let company = enabled(&place).await;
    let ada = crate::account::create(&ctx.db, &ctx.clock, &crate::account::tests::ada(), "cli")
        .await
        .unwrap();
    let new = crate::account::NewSession {
        user_id: &ada.id,
        replaces: None,
        proof: Default::default(),
        browser: "",
        address: "",
    };
    let made_at = 1_000;
    // Session and subject of the token, when it was made; whether somebody who left just before it came is met by it.
    for (n, (sid, subject, issued_at, meets)) in [
        ("s", "", 0, true),
        ("s", "ada", 0, true),
        ("s", "bob", 0, false),
        ("another", "ada", made_at + 9, false),
        ("", "ada", made_at + 9, true),
        ("", "ada", made_at, true),
        ("", "ada", made_at - 1, false),
        ("", "bob", made_at + 9, false),
    ]
    .into_iter()
    .enumerate()
    {
        ctx.clock.advance(chrono::Duration::minutes(1));
        let (link, mut given) = on_their_way(&company);
        (given.left_at, given.issued_at) = (ctx.clock.now_ms(), made_at);
        let token = attempts::LogoutToken {
            jti_hash: format!("jti-{n}"),
            issuer: &link.issuer,
            sid,
            subject,
            issued_at,
            arrived_at: ctx.clock.now_ms(),
            expires_at: ctx.clock.now_ms() + 3_600_000,
        };
        let meant = store::people::Meant::Sid("nobody has it yet");
        let ended = logout::end(ctx, &company, &link.issuer, meant, Some(token)).await;
        assert_eq!(ended.unwrap(), 0);
        let came_in = async |given: &Given| match begin_session(ctx, &ada, &new, (&link, given), "/").await {
            Ok(_) => true,
            Err(SignInError::Refused { trouble, .. }) if trouble.code == "signed_out_meanwhile" => false,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(came_in(&given).await, !meets, "{sid}/{subject} of {issued_at}");
        // Who leaves after it is somebody who signs in again.
        given.left_at += 1;
        assert!(
            came_in(&given).await,
            "{sid}/{subject} of {issued_at}, left later"
        );
    }
}

#[tokio::test]
async fn who_is_shut_out_between_their_proof_and_their_session_gets_none() {
    let place = place().await;
    let ctx = &place.ctx;
    let company = enabled(&place).await;
    let (link, given) = on_their_way(&company);
    let add = async |email: &str| {
        let new = crate::account::NewUser {
            email: email.into(),
            ..crate::account::tests::ada()
        };
        crate::account::create(&ctx.db, &ctx.clock, &new, "cli")
            .await
            .unwrap()
    };
    let (ada, bob) = (add("ada@example.org").await, add("bob@example.org").await);
    let begin = async |user: &crate::account::User| {
        let new = crate::account::NewSession {
            user_id: &user.id,
            replaces: None,
            proof: Default::default(),
            browser: "",
            address: "",
        };
        match begin_session(ctx, user, &new, (&link, &given), "/").await {
            Ok(_) => String::new(),
            Err(SignInError::Refused { trouble, .. }) => trouble.code,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(begin(&bob).await, "");
    let tx = ctx.db.begin().await.unwrap();
    crate::account::disable(&tx, &ctx.clock, &bob.id, "cli")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(begin(&bob).await, "changed_meanwhile");
    let now = get(ctx, &company.id).await.unwrap();
    set_enabled(ctx, "cli", &now.id, now.revision, false)
        .await
        .unwrap();
    assert_eq!(begin(&ada).await, "changed_meanwhile", "the way in was closed");
}

#[tokio::test]
async fn endpoints_entered_by_hand_are_looked_at_like_discovered_ones() {
    let place = place().await;
    let ctx = &place.ctx;
    let good = provider(ctx, "company").await.connection;
    assert!(discovery::learn(ctx, &good).await.is_ok());
    let bad = "http://192.0.2.1/x".to_owned();
    for change in [
        (|c: &mut Connection, bad| c.authorization_endpoint = bad) as fn(&mut Connection, String),
        |c, bad| c.token_endpoint = bad,
        |c, bad| c.jwks_uri = bad,
        |c, bad| c.userinfo_endpoint = bad,
        |c, bad| c.end_session_endpoint = bad,
        |c, bad| c.revocation_endpoint = bad,
    ] {
        let mut connection = good.clone();
        change(&mut connection, bad.clone());
        let fault = discovery::learn(ctx, &connection).await.unwrap_err();
        assert_eq!(fault.trouble.code, "endpoint_plain_http", "{connection:?}");
    }
}

#[tokio::test]
async fn a_provider_with_another_secret_goes_on_and_is_not_called_tested() {
    let place = place().await;
    let ctx = &place.ctx;
    let old = enabled(&place).await;
    let input = |change: fn(&mut ProviderInput)| {
        let mut input = ProviderInput {
            name: old.name.clone(),
            connection: old.connection.clone(),
            policy: old.policy.clone(),
            client_secret: None,
        };
        change(&mut input);
        input
    };
    let change = async |by: fn(&mut ProviderInput)| {
        let seen = get(ctx, &old.id).await.unwrap().revision;
        let new = update(ctx, "cli", &old.id, seen, input(by)).await.unwrap();
        (new.enabled, new.is_tested())
    };
    assert_eq!(change(|input| input.name = "Other".into()).await, (true, true));
    let wider = change(|input| input.connection.scopes.push("groups".into())).await;
    assert_eq!(wider, (true, true));
    let secret = change(|input| input.client_secret = Some(SecretString::from("new"))).await;
    assert_eq!(secret, (true, false));
}

#[tokio::test]
async fn what_the_file_changes_about_providers_is_in_the_audit_log_and_what_stays_is_not() {
    let mut place = place().await;
    let configured = |client_id: &str, secret: &str| crate::config::ConfiguredProvider {
        id: "company".into(),
        issuer: Some("https://idp.example".into()),
        client_id: Some(client_id.into()),
        client_secret: Some(SecretString::from(secret)),
        ..Default::default()
    };
    let mut said = Vec::new();
    for providers in [
        vec![configured("one", "s")],
        vec![configured("one", "s")],
        vec![configured("two", "s")],
        vec![configured("two", "t")],
        vec![configured("two", "t")],
        vec![],
    ] {
        place.ctx.config = std::sync::Arc::new(crate::config::Config {
            identity_providers: providers,
            ..(*place.ctx.config).clone()
        });
        take_over(&place.ctx).await.unwrap();
        let on = place.ctx.db.read();
        let text = "SELECT type FROM events WHERE type LIKE 'identity_provider.%'";
        let rows = sea_orm::ConnectionTrait::query_all_raw(on, crate::db::sql(on, text, []))
            .await
            .unwrap();
        said.push(rows.len());
        if let Some(provider) = list(&place.ctx).await.unwrap().first() {
            assert_eq!(provider.revision, i64::try_from(rows.len()).unwrap());
        }
    }
    assert_eq!(said, [1, 1, 2, 3, 3, 4]);
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

#[tokio::test]
async fn what_a_provider_gives_amid_a_change_goes_to_the_session_that_is_left_and_to_no_other() {
    let place = place().await;
    let ctx = &place.ctx;
    let company = enabled(&place).await;
    let (link, mut given) = on_their_way(&company);
    let token = |text: &str| model::Kept {
        refresh_token: Some(SecretString::from(text.to_owned())),
        ..model::Kept::default()
    };
    given.kept = token("first");
    given.look_at = Some(ctx.clock.now_ms());
    let (write, now) = (ctx.db.write(), ctx.clock.now_ms());
    let take = async |session: &str| {
        store::checks::take(write, session, now, now + 1)
            .await
            .unwrap()
            .unwrap()
    };
    let holds = async |session: &str| {
        let kept = store::checks::kept(ctx.db.read(), session)
            .await
            .unwrap()
            .unwrap();
        let token = kept.refresh_token(ctx, session).unwrap();
        token.map(|token| secrecy::ExposeSecret::expose_secret(&token).to_owned())
    };
    let user = account::create(&ctx.db, &ctx.clock, &account::tests::ada(), "cli")
        .await
        .unwrap();
    let start = async |replaces: Option<&str>| {
        let new = account::NewSession {
            user_id: &user.id,
            replaces,
            proof: Default::default(),
            browser: "",
            address: "",
        };
        let tx = ctx.db.begin().await.unwrap();
        let started = account::start_in(&tx, &ctx.clock, &new).await.unwrap();
        tx.commit().await.unwrap();
        started.session.id
    };
    let one = start(None).await;
    tie(ctx, write, &one, &link, &given).await.unwrap();
    let asked = take(&one).await;
    // Its password is changed: the session goes on as another one.
    let (link, taken) = tied(ctx, write, &one).await.unwrap().unwrap();
    let two = start(Some(&one)).await;
    tie(ctx, write, &two, &link, &taken).await.unwrap();
    let later = Some(now + 5);
    store::checks::passed(ctx, &one, &asked, &token("second"), now + 5, later)
        .await
        .unwrap();
    assert_eq!(holds(&two).await.as_deref(), Some("second"));
    // Nobody is to look again: what was under way is not kept.
    let asked = store::checks::kept(ctx.db.read(), &two).await.unwrap().unwrap();
    store::checks::set_pace(write, &company.id, 0, now).await.unwrap();
    store::checks::passed(ctx, &two, &asked, &token("third"), now + 9, later)
        .await
        .unwrap();
    assert_eq!(holds(&two).await, None);
}
