//! What grants promise, against a real database and a scripted provider on loopback.

use chrono::Duration;
use secrecy::{ExposeSecret, SecretString};

use super::testkit::{FakeProvider, Place, Reply, START_MS, place, registered, registration};
use super::*;
use crate::access::Projects;
use crate::account;
use crate::connection_test::StepState;
use crate::ctx::Ctx;
use crate::event;
use crate::integration::{self, Flow, Integration, IntegrationChange, IntegrationError, IntegrationState};
use crate::oauth2_client::TokenError;

/// The state in an authorization URL.
fn state_of(authorization: &Authorization) -> String {
    let url = url::Url::parse(authorization.authorization_url.as_deref().unwrap()).unwrap();
    url.query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned()
}

fn back(state: &str) -> CallbackParams {
    CallbackParams::of_query(&format!("code=abc&state={state}"))
}

fn with_identity(access: &str, refresh: &str, sub: &str, email: &str) -> Reply {
    use base64::Engine;
    let claims = serde_json::json!({ "sub": sub, "email": email, "aud": "client" }).to_string();
    let id_token = format!(
        "e30.{}.x",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims)
    );
    let body = serde_json::json!({
        "access_token": access, "refresh_token": refresh, "expires_in": 3600, "token_type": "Bearer",
        "id_token": id_token,
    });
    Reply::json(200, &body.to_string())
}

async fn connect(
    ctx: &Ctx,
    integration: &Integration,
    input: StartAuthorization,
) -> Result<CallbackOutcome, CallbackError> {
    let started = start(ctx, integration, input).await.unwrap();
    finish_callback(ctx, &integration.callback_id, None, back(&state_of(&started))).await
}

async fn granted(place: &Place, provider: &FakeProvider, integration: &Integration) -> String {
    provider.then(with_identity("access-1", "refresh-1", "1", "ada@example.org"));
    match connect(&place.ctx, integration, StartAuthorization::default())
        .await
        .unwrap()
    {
        CallbackOutcome::Connected { grant_id, .. } => grant_id,
        other => panic!("{other:?}"),
    }
}

async fn ready() -> (Place, FakeProvider, Integration, String) {
    let place = place().await;
    let provider = FakeProvider::start().await;
    let integration = registered(&place.ctx, &provider, Flow::AuthorizationCode).await;
    let grant = granted(&place, &provider, &integration).await;
    (place, provider, integration, grant)
}

async fn kinds(ctx: &Ctx, id: &str) -> Vec<String> {
    let events = event::of_subject(ctx.db.read(), id, 50).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_consent_becomes_a_grant_that_says_who_consented_and_who_started_it() {
    let place = place().await;
    let provider = FakeProvider::start().await;
    let integration = registered(&place.ctx, &provider, Flow::AuthorizationCode).await;
    provider.then(with_identity("a", "r", "1", "ada@example.org"));
    let input = StartAuthorization {
        actor: "tok_1".into(),
        ..Default::default()
    };
    let started = start(&place.ctx, &integration, input).await.unwrap();
    let url = started.authorization_url.clone().unwrap();
    assert!(
        url.contains("code_challenge_method=S256") && url.contains("response_type=code"),
        "{url}"
    );
    assert!(state_of(&started).len() >= 43, "256 bits");
    finish_callback(
        &place.ctx,
        &integration.callback_id,
        None,
        back(&state_of(&started)),
    )
    .await
    .unwrap();

    let read = authorization(&place.ctx, &started.id).await.unwrap();
    assert_eq!(
        (read.state, read.authorization_url),
        (AuthorizationState::Done, None)
    );
    let grant = get(&place.ctx, &Projects::All, &read.grant_id.unwrap())
        .await
        .unwrap();
    assert_eq!(
        (grant.identity.as_str(), grant.started_by.as_str()),
        ("ada@example.org", "tok_1")
    );
    assert_eq!(grant.state, GrantState::Active);
    assert_eq!(kinds(&place.ctx, &grant.id).await, ["grant.created"]);
    let form = provider.calls().pop().unwrap();
    assert!(
        form.contains("code_verifier=") && form.contains("grant_type=authorization_code"),
        "{form}"
    );
}

#[tokio::test]
async fn a_state_works_once_and_only_where_it_belongs() {
    let (place, provider, integration, _) = ready().await;
    let ctx = &place.ctx;
    let asked = provider.calls().len();
    let input = StartAuthorization {
        session_id: Some("mine".into()),
        ..Default::default()
    };
    let started = start(ctx, &integration, input).await.unwrap();
    let state = state_of(&started);
    let code = |error: CallbackError| error.code();
    let callback = integration.callback_id.as_str();

    let other = finish_callback(ctx, callback, Some("theirs"), back(&state))
        .await
        .unwrap_err();
    assert_eq!(code(other), "state_of_another_session");
    let mut second = registration(&provider, Flow::AuthorizationCode);
    second.name = "Second".into();
    let second = integration::create(ctx, "cli", second).await.unwrap();
    let other = finish_callback(ctx, &second.callback_id, Some("mine"), back(&state))
        .await
        .unwrap_err();
    assert_eq!(code(other), "state_of_another_integration");
    let unknown = finish_callback(ctx, callback, Some("mine"), back("guess"))
        .await
        .unwrap_err();
    assert_eq!(code(unknown), "state_unknown");
    let nowhere = finish_callback(ctx, "nowhere", Some("mine"), back(&state))
        .await
        .unwrap_err();
    assert_eq!(code(nowhere), "redirect_url_unknown");
    assert_eq!(provider.calls().len(), asked, "no token request was made");

    provider.then(with_identity("a", "r", "1", "ada@example.org"));
    finish_callback(ctx, callback, Some("mine"), back(&state))
        .await
        .unwrap();
    let replayed = finish_callback(ctx, callback, Some("mine"), back(&state))
        .await
        .unwrap_err();
    assert_eq!(code(replayed), "state_replayed");

    let started = start(ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    ctx.clock.advance(Duration::minutes(11));
    let late = finish_callback(ctx, callback, None, back(&state_of(&started)))
        .await
        .unwrap_err();
    assert_eq!(code(late), "state_expired");
    assert_eq!(provider.calls().len(), asked + 1);
}

#[tokio::test]
async fn a_changed_endpoint_retires_the_redirect_url_and_names_the_new_one() {
    let (place, provider, integration, grant) = ready().await;
    let ctx = &place.ctx;
    let started = start(ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    let same = IntegrationChange {
        revision: integration.revision,
        token_endpoint: Some(integration.token_endpoint.replace("http:", "HTTP:")),
        description: Some("new words".into()),
        ..Default::default()
    };
    let saved = integration::update(ctx, "cli", &integration.id, same)
        .await
        .unwrap();
    assert_eq!(
        saved.callback_id, integration.callback_id,
        "nothing really changed"
    );
    let change = IntegrationChange {
        revision: saved.revision,
        token_endpoint: Some(format!("{}/token2", provider.url)),
        ..Default::default()
    };
    let moved = integration::update(ctx, "cli", &integration.id, change)
        .await
        .unwrap();
    assert_ne!(moved.callback_id, integration.callback_id);
    let error = finish_callback(ctx, &integration.callback_id, None, back(&state_of(&started)))
        .await
        .unwrap_err();
    assert!(error.trouble().remedy.contains(&moved.callback_id), "{error:?}");
    assert_eq!(
        authorization(ctx, &started.id).await.unwrap().state,
        AuthorizationState::Failed
    );

    ctx.clock.advance(Duration::minutes(59));
    provider.then(Reply::tokens("access-2", "refresh-2"));
    assert_eq!(
        access_token(ctx, &grant).await.unwrap().expose_secret(),
        "access-2",
        "grants keep refreshing"
    );
    assert!(provider.calls().pop().unwrap().starts_with("POST /token2"));
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    let (place, provider, mut integration, _) = ready().await;
    let ctx = &place.ctx;
    integration.issuer = "https://right.example".into();
    integration.iss_announced = true;
    let text = "UPDATE integrations SET issuer = 'https://right.example', iss_announced = 1";
    use sea_orm::ConnectionTrait;
    ctx.db.write().execute_unprepared(text).await.unwrap();
    let asked = provider.calls().len();
    for query in [
        "code=a&iss=https://evil.example",
        "code=a",
        "error=access_denied&iss=https://evil.example",
    ] {
        let started = start(ctx, &integration, StartAuthorization::default())
            .await
            .unwrap();
        let params = CallbackParams::of_query(&format!("{query}&state={}", state_of(&started)));
        let error = finish_callback(ctx, &integration.callback_id, None, params)
            .await
            .unwrap_err();
        assert_eq!(error.code(), "issuer_mismatch", "{query}");
    }
    assert_eq!(provider.calls().len(), asked);
}

#[tokio::test]
async fn a_refused_consent_and_a_missing_refresh_token_are_explained() {
    let (place, provider, integration, _) = ready().await;
    let ctx = &place.ctx;
    let started = start(ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    let params = CallbackParams::of_query(&format!("error=access_denied&state={}", state_of(&started)));
    let error = finish_callback(ctx, &integration.callback_id, None, params)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "access_denied");
    assert_eq!(
        authorization(ctx, &started.id)
            .await
            .unwrap()
            .trouble
            .unwrap()
            .code,
        "access_denied"
    );

    provider.then(Reply::json(200, r#"{"access_token":"a","token_type":"Bearer"}"#));
    let error = connect(ctx, &integration, StartAuthorization::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "no_refresh_token");
    assert!(error.trouble().cause.contains("offline_access"));
    assert_eq!(
        list(ctx, &Projects::All, None, 10).await.unwrap().len(),
        1,
        "nothing was kept"
    );
}

#[tokio::test]
async fn an_expected_identity_is_enforced() {
    let (place, provider, integration, _) = ready().await;
    let expecting = || StartAuthorization {
        expected_identity: Some("Bob@Example.org".into()),
        ..Default::default()
    };
    provider.then(with_identity("a", "r", "1", "ada@example.org"));
    let error = connect(&place.ctx, &integration, expecting()).await.unwrap_err();
    assert_eq!(error.code(), "identity_unexpected");
    provider.then(Reply::tokens("a", "r"));
    let error = connect(&place.ctx, &integration, expecting()).await.unwrap_err();
    assert_eq!(error.code(), "identity_unknown");
    provider.then(with_identity("a", "r", "2", "bob@example.org"));
    connect(&place.ctx, &integration, expecting()).await.unwrap();
}

#[tokio::test]
async fn reconnecting_as_somebody_else_waits_for_an_admin() {
    let (place, provider, integration, grant) = ready().await;
    let ctx = &place.ctx;
    let reconnect = || StartAuthorization {
        reconnect_grant_id: Some(grant.clone()),
        ..Default::default()
    };
    ctx.clock.advance(Duration::seconds(1));
    provider.then(with_identity(
        "other-access",
        "other-refresh",
        "2",
        "eve@example.org",
    ));
    let outcome = connect(ctx, &integration, reconnect()).await.unwrap();
    let CallbackOutcome::IdentityMismatch {
        pinned,
        got,
        authorization_id,
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        (pinned.as_str(), got.as_str()),
        ("ada@example.org", "eve@example.org")
    );
    assert_eq!(
        access_token(ctx, &grant).await.unwrap().expose_secret(),
        "access-1",
        "nothing changed yet"
    );
    assert_eq!(kinds(ctx, &grant).await[0], "grant.identity_mismatch");

    confirm_identity_change(ctx, "usr_1", &authorization_id)
        .await
        .unwrap();
    assert_eq!(
        access_token(ctx, &grant).await.unwrap().expose_secret(),
        "other-access"
    );
    assert_eq!(
        get(ctx, &Projects::All, &grant).await.unwrap().identity,
        "eve@example.org"
    );
    let twice = confirm_identity_change(ctx, "usr_1", &authorization_id)
        .await
        .unwrap_err();
    assert_eq!(twice.code(), "state_replayed");

    provider.then(with_identity("again", "again-refresh", "2", "eve@example.org"));
    let outcome = connect(ctx, &integration, reconnect()).await.unwrap();
    assert!(
        matches!(outcome, CallbackOutcome::Connected { created: false, .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn twenty_that_want_a_token_at_once_make_one_request() {
    let (place, provider, _, grant) = ready().await;
    let ctx = &place.ctx;
    ctx.clock.advance(Duration::minutes(59) + Duration::seconds(30));
    provider.then(Reply::tokens("access-2", "refresh-2"));
    let before = provider.calls().len();
    let all = futures_util::future::join_all((0..20).map(|_| access_token(ctx, &grant))).await;
    for token in all {
        assert_eq!(token.unwrap().expose_secret(), "access-2");
    }
    assert_eq!(provider.calls().len(), before + 1);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_and_a_missing_one_keeps_the_old() {
    let (place, provider, _, grant) = ready().await;
    let ctx = &place.ctx;
    provider
        .then(Reply::tokens("access-2", "refresh-2"))
        .then(Reply::json(200, r#"{"access_token":"access-3"}"#))
        .then(Reply::json(
            200,
            r#"{"access_token":"access-4","refresh_token":""}"#,
        ));
    for (sent, got) in [
        ("refresh-1", "access-2"),
        ("refresh-2", "access-3"),
        ("refresh-2", "access-4"),
    ] {
        ctx.clock.advance(Duration::hours(2));
        assert_eq!(refresh_due(ctx).await.unwrap(), 1);
        assert!(
            provider
                .calls()
                .pop()
                .unwrap()
                .contains(&format!("refresh_token={sent}"))
        );
        assert_eq!(access_token(ctx, &grant).await.unwrap().expose_secret(), got);
    }
    assert_eq!(
        get(ctx, &Projects::All, &grant).await.unwrap().expires_at,
        Some(ctx.clock.now_ms() + 300_000),
        "default life"
    );
}

#[tokio::test]
async fn a_slow_refresh_never_overwrites_a_newer_grant() {
    let (place, provider, integration, grant) = ready().await;
    let ctx = place.ctx.clone();
    ctx.clock.advance(Duration::hours(2));
    let revision = get(&ctx, &Projects::All, &grant).await.unwrap().revision;
    provider.called().await; // the exchange of the code
    provider.hold();
    provider.then(Reply::tokens("stale", "stale-refresh"));
    let slow = tokio::spawn({
        let (ctx, grant) = (ctx.clone(), grant.clone());
        async move { access_token(&ctx, &grant).await }
    });
    provider.called().await;
    provider.then(with_identity("fresh", "fresh-refresh", "1", "ada@example.org"));
    let reconnect = StartAuthorization {
        reconnect_grant_id: Some(grant.clone()),
        ..Default::default()
    };
    connect(&ctx, &integration, reconnect).await.unwrap();
    provider.open();
    let late = slow.await.unwrap().unwrap();
    assert_eq!(
        late.expose_secret(),
        "fresh",
        "what came too late is not handed out either"
    );
    let row = get(&ctx, &Projects::All, &grant).await.unwrap();
    assert!(row.revision > revision);
    assert_eq!(access_token(&ctx, &grant).await.unwrap().expose_secret(), "fresh");
}

#[tokio::test]
async fn a_dead_grant_needs_reauth_once_and_is_restored_by_reconnecting() {
    let (place, provider, integration, grant) = ready().await;
    let ctx = &place.ctx;
    ctx.clock.advance(Duration::hours(2));
    provider.then(Reply::json(
        400,
        r#"{"error":"invalid_grant","error_description":"gone"}"#,
    ));
    refresh_due(ctx).await.unwrap();
    let dead = get(ctx, &Projects::All, &grant).await.unwrap();
    assert_eq!(dead.state, GrantState::NeedsReauth);
    assert_eq!(dead.trouble.unwrap().code, "invalid_grant");
    let asked = provider.calls().len();
    assert_eq!(refresh_due(ctx).await.unwrap(), 0);
    assert!(matches!(
        access_token(ctx, &grant).await,
        Err(GrantError::NeedsReauth(_))
    ));
    assert_eq!(provider.calls().len(), asked, "the retries stopped");

    provider.then(with_identity("access-2", "refresh-2", "1", "ada@example.org"));
    let reconnect = StartAuthorization {
        reconnect_grant_id: Some(grant.clone()),
        ..Default::default()
    };
    connect(ctx, &integration, reconnect).await.unwrap();
    assert_eq!(
        get(ctx, &Projects::All, &grant).await.unwrap().state,
        GrantState::Active
    );
    let kinds = kinds(ctx, &grant).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "grant.expired").count(), 1);
    assert!(kinds.contains(&"grant.restored".to_owned()));
}

#[tokio::test]
async fn a_wrong_client_is_the_integrations_fault_and_saving_tries_again() {
    let (place, provider, integration, grant) = ready().await;
    let ctx = &place.ctx;
    ctx.clock.advance(Duration::hours(2));
    provider.then(Reply::json(401, r#"{"error":"invalid_client"}"#));
    refresh_due(ctx).await.unwrap();
    let broken = integration::get(ctx, &Projects::All, &integration.id)
        .await
        .unwrap();
    assert_eq!(broken.state, IntegrationState::Misconfigured);
    assert_eq!(
        get(ctx, &Projects::All, &grant).await.unwrap().state,
        GrantState::Active,
        "the grant is not at fault"
    );
    assert_eq!(
        refresh_due(ctx).await.unwrap(),
        0,
        "nothing is tried until somebody saves"
    );

    let change = IntegrationChange {
        revision: broken.revision,
        client_secret: Some(SecretString::from("new")),
        ..Default::default()
    };
    let saved = integration::update(ctx, "cli", &integration.id, change)
        .await
        .unwrap();
    assert_eq!((saved.state, saved.trouble), (IntegrationState::Ok, None));
    provider.then(Reply::tokens("access-2", "refresh-2"));
    assert_eq!(refresh_due(ctx).await.unwrap(), 1);
    assert_eq!(
        access_token(ctx, &grant).await.unwrap().expose_secret(),
        "access-2"
    );
}

#[tokio::test]
async fn a_provider_in_trouble_is_retried_later_and_never_costs_the_grant() {
    let (place, provider, _, grant) = ready().await;
    let ctx = &place.ctx;
    ctx.clock.advance(Duration::minutes(59) + Duration::seconds(30));
    provider.then(Reply::json(503, "<html>sorry</html>"));
    let old = access_token(ctx, &grant).await.unwrap();
    assert_eq!(
        old.expose_secret(),
        "access-1",
        "the old token is used until it ends"
    );
    ctx.clock.advance(Duration::seconds(6));
    provider.then(Reply::json(429, r#"{"error":"slow_down"}"#).with_header("Retry-After: 315360000"));
    refresh_due(ctx).await.unwrap();
    let grant_now = get(ctx, &Projects::All, &grant).await.unwrap();
    assert_eq!(grant_now.state, GrantState::Active);
    assert_eq!(
        grant_now.next_refresh_at,
        Some(ctx.clock.now_ms() + 3_600_000),
        "capped at an hour"
    );
    assert_eq!(grant_now.failures, 2);
    let asked = provider.calls().len();
    ctx.clock.advance(Duration::minutes(5));
    assert!(matches!(
        access_token(ctx, &grant).await,
        Err(GrantError::Transient { .. })
    ));
    assert_eq!(provider.calls().len(), asked, "the wait is kept");
    ctx.clock.advance(Duration::hours(1));
    provider.then(Reply::tokens("access-2", "refresh-2"));
    refresh_due(ctx).await.unwrap();
    let healed = get(ctx, &Projects::All, &grant).await.unwrap();
    assert_eq!((healed.failures, healed.trouble), (0, None));
}

#[tokio::test]
async fn odd_answers_of_real_providers_are_read_or_retried() {
    let (place, provider, integration, _) = ready().await;
    let client = integration::token_client(&place.ctx, &integration).await.unwrap();
    let token = SecretString::from("r");
    let mut bom = b"\xEF\xBB\xBF".to_vec();
    bom.extend_from_slice(br#"{"access_token":"ok"}"#);
    let html = |status| Reply {
        status,
        headers: "Content-Type: text/html\r\n".into(),
        body: b"<html>x</html>".to_vec(),
    };
    let readable = [
        Reply::json(
            200,
            r#"{"access_token":"ok","expires_in":"3599","scope":["a","b"]}"#,
        ),
        Reply::json(
            200,
            r#"{"access_token":"ok","expires_in":3599.5,"token_type":null,"refresh_token":null}"#,
        ),
        Reply::json(201, r#"{"access_token":"ok","token_type":"bEARER"}"#),
        Reply {
            headers: "Content-Type: text/html\r\n".into(),
            ..Reply::json(200, r#"{"access_token":"ok"}"#)
        },
        Reply {
            body: bom,
            ..Reply::json(200, "")
        },
    ];
    for reply in readable {
        provider.then(reply.clone());
        let tokens = client
            .refresh(&token, &[])
            .await
            .unwrap_or_else(|error| panic!("{reply:?}: {error:?}"));
        assert_eq!(tokens.access_token.expose_secret(), "ok");
    }
    let transient = [
        html(200),
        html(502),
        Reply::json(200, ""),
        Reply::json(400, ""),
        Reply::json(200, r#"{"access_token":""}"#),
        Reply::json(200, r#"["a"]"#),
        Reply::json(302, ""),
        Reply {
            body: vec![b'x'; 1 << 20],
            ..Reply::json(200, "")
        },
        Reply::json(500, r#"{"error":"invalid_grant"}"#),
    ];
    for reply in transient {
        provider.then(reply.clone());
        let error = client.refresh(&token, &[]).await.unwrap_err();
        assert!(
            matches!(error, TokenError::Transient { .. }),
            "{} {error:?}",
            reply.status
        );
    }
    provider.then(Reply::json(200, r#"{"error":"invalid_grant"}"#));
    assert!(matches!(
        client.refresh(&token, &[]).await,
        Err(TokenError::GrantDead(_))
    ));
    provider.then(Reply::json(
        400,
        r#"{"error":"x","error_codes":[7000222],"error_description":null}"#,
    ));
    let error = client.refresh(&token, &[]).await.unwrap_err();
    assert_eq!(error.trouble().code, "AADSTS7000222");
}

#[tokio::test]
async fn a_mail_servers_refusal_forces_one_refresh_and_is_forgotten_after_a_success() {
    let (place, provider, _, grant) = ready().await;
    let ctx = &place.ctx;
    let first = current_token(ctx, &grant).await.unwrap();
    provider.then(Reply::tokens("access-2", "refresh-2"));
    let second = force_refresh(ctx, &grant, first.revision).await.unwrap();
    assert_eq!(second.secret.expose_secret(), "access-2");
    let asked = provider.calls().len();
    force_refresh(ctx, &grant, first.revision).await.unwrap();
    force_refresh(ctx, &grant, second.revision).await.unwrap();
    assert_eq!(provider.calls().len(), asked, "no storm of refreshes");

    let trouble =
        crate::oauth2_client::explain_imap(integration::Provider::Custom, None, "NO [AUTHENTICATIONFAILED]");
    ctx.clock.advance(Duration::seconds(1));
    note_imap_refusal(ctx, &grant, &trouble).await.unwrap();
    assert_eq!(
        get(ctx, &Projects::All, &grant)
            .await
            .unwrap()
            .trouble
            .unwrap()
            .code,
        "authenticationfailed"
    );
    ctx.clock.advance(Duration::seconds(1));
    note_success(ctx, &grant).await.unwrap();
    assert_eq!(get(ctx, &Projects::All, &grant).await.unwrap().trouble, None);
    assert_eq!(kinds(ctx, &grant).await[..2], ["grant.restored", "grant.refused"]);

    provider.then(Reply::json(400, r#"{"error":"invalid_grant"}"#));
    let refused = force_refresh(ctx, &grant, second.revision).await;
    assert!(
        matches!(refused, Err(GrantError::NeedsReauth(_))),
        "a token that was accepted and is refused now is a new matter"
    );
}

#[tokio::test]
async fn client_credentials_give_a_grant_at_once_and_are_asked_for_again() {
    let place = place().await;
    let provider = FakeProvider::start().await;
    let integration = registered(&place.ctx, &provider, Flow::ClientCredentials).await;
    provider.then(Reply::json(200, r#"{"access_token":"app-1","expires_in":3600}"#));
    let started = start(&place.ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    assert_eq!(started.authorization_url, None);
    let grant = started.grant_id.unwrap();
    place.ctx.clock.advance(Duration::hours(2));
    provider.then(Reply::json(200, r#"{"access_token":"app-2","expires_in":3600}"#));
    assert_eq!(
        access_token(&place.ctx, &grant).await.unwrap().expose_secret(),
        "app-2"
    );
    assert!(
        provider
            .calls()
            .pop()
            .unwrap()
            .contains("grant_type=client_credentials")
    );
}

#[tokio::test]
async fn of_several_who_saw_the_same_grant_one_refreshes_or_revokes_it() {
    let (place, provider, _, grant) = ready().await;
    let ctx = &place.ctx;
    let seen = get(ctx, &Projects::All, &grant).await.unwrap().revision;
    provider.then(Reply::tokens("access-2", "refresh-2"));
    let asked = provider.calls().len();
    let all = (0..5).map(|_| refresh_as_seen(ctx, &grant, seen));
    let told = futures_util::future::join_all(all).await;
    assert_eq!(told.iter().filter(|one| one.is_ok()).count(), 1, "{told:?}");
    let late = told.iter().filter(|one| matches!(one, Err(GrantError::Conflict)));
    assert_eq!(late.count(), 4, "{told:?}");
    assert_eq!(provider.calls().len(), asked + 1);
    let old = revoke(ctx, "cli", &grant, Some(seen)).await;
    assert!(matches!(old, Err(GrantError::Conflict)), "{old:?}");
    let row = get(ctx, &Projects::All, &grant).await.unwrap();
    assert_eq!(row.state, GrantState::Active);
    revoke(ctx, "cli", &grant, Some(row.revision)).await.unwrap();
    let again = revoke(ctx, "cli", &grant, Some(row.revision)).await;
    assert!(matches!(again, Err(GrantError::Conflict)), "{again:?}");
}

#[tokio::test]
async fn a_revoked_grant_has_no_tokens_and_then_the_integration_can_go() {
    let (place, provider, integration, grant) = ready().await;
    let ctx = &place.ctx;
    let error = integration::delete(ctx, "cli", &integration.id, None)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, IntegrationError::HasGrants(who) if who == &["ada@example.org"]),
        "{error:?}"
    );
    revoke(ctx, "cli", &grant, None).await.unwrap();
    assert!(matches!(
        access_token(ctx, &grant).await,
        Err(GrantError::Revoked(_))
    ));
    assert!(!get(ctx, &Projects::All, &grant).await.unwrap().has_refresh_token);
    ctx.clock.advance(Duration::hours(5));
    let asked = provider.calls().len();
    refresh_due(ctx).await.unwrap();
    assert_eq!(provider.calls().len(), asked);
    integration::delete(ctx, "cli", &integration.id, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn mistakes_in_a_form_are_told_beside_their_fields_and_change_nothing() {
    let place = place().await;
    let ctx = &place.ctx;
    let provider = FakeProvider::start().await;
    registered(ctx, &provider, Flow::AuthorizationCode).await;
    let mut bad = registration(&provider, Flow::AuthorizationCode);
    bad.authorization_endpoint = "http://192.0.2.1/authorize".into();
    bad.token_endpoint = "https://10.1.2.3/token".into();
    bad.client_id = String::new();
    bad.extra_auth_params = Some([("state".to_owned(), "x".to_owned())].into());
    let error = integration::create(ctx, "cli", bad).await.unwrap_err();
    let IntegrationError::Invalid(fields) = error else {
        panic!("{error:?}");
    };
    let said: Vec<(&str, &str)> = fields
        .iter()
        .map(|error| (error.field, error.code.as_str()))
        .collect();
    for wanted in [
        ("name", "duplicate_name"),
        ("client_id", "required"),
        ("extra_auth_params", "reserved"),
        ("authorization_endpoint", "endpoint_plain_http"),
        ("token_endpoint", "address_not_allowed"),
    ] {
        assert!(said.contains(&wanted), "{wanted:?} is missing in {said:?}");
    }
    assert_eq!(
        integration::list(ctx, &Projects::All, None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_form_opened_yesterday_or_changed_by_somebody_else_is_refused() {
    let place = place().await;
    let ctx = &place.ctx;
    let provider = FakeProvider::start().await;
    let (callback, url) = integration::draft_callback(ctx).await.unwrap();
    assert!(url.ends_with(&format!("/oauth2/callback/{callback}")));
    let mut input = registration(&provider, Flow::AuthorizationCode);
    input.callback_id = Some(callback.clone());
    ctx.clock.advance(Duration::hours(25));
    let error = integration::create(ctx, "cli", input.clone()).await.unwrap_err();
    assert!(
        matches!(&error, IntegrationError::Invalid(fields) if fields[0].code == "callback_expired"),
        "{error:?}"
    );
    let (callback, _) = integration::draft_callback(ctx).await.unwrap();
    input.callback_id = Some(callback.clone());
    let saved = integration::create(ctx, "cli", input).await.unwrap();
    assert_eq!(saved.callback_id, callback);
    let stale = IntegrationChange {
        revision: 0,
        ..Default::default()
    };
    let error = integration::update(ctx, "cli", &saved.id, stale)
        .await
        .unwrap_err();
    assert!(matches!(error, IntegrationError::Conflict));
}

#[tokio::test]
async fn a_test_run_tells_a_wrong_client_from_a_made_up_code() {
    let (place, provider, integration, _) = ready().await;
    let ctx = &place.ctx;
    provider
        .then(Reply::json(400, r#"{"error":"invalid_grant"}"#))
        .then(Reply::tokens("access-2", "refresh-2"));
    let mut steps = Vec::new();
    let worst = integration_test(ctx, &integration.id, |step| steps.push(step))
        .await
        .unwrap();
    assert_eq!(worst, StepState::Ok, "{steps:#?}");
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let wanted = [
        "DNS",
        "TLS",
        "discovery",
        "redirect URL",
        "client authentication",
        "refresh: ada@example.org",
    ];
    assert_eq!(names, wanted);

    provider
        .then(Reply::json(401, r#"{"error":"invalid_client"}"#))
        .then(Reply::json(401, r#"{"error":"invalid_client"}"#));
    let mut failed = Vec::new();
    integration_test(ctx, &integration.id, |step| failed.push(step))
        .await
        .unwrap();
    let client = failed
        .iter()
        .find(|step| step.name == "client authentication")
        .unwrap();
    assert_eq!(client.state, StepState::Failed);
    assert!(client.remedy.contains("client secret"), "{client:?}");
}

#[tokio::test]
async fn secrets_are_in_no_debug_text_and_in_no_column_in_the_clear() {
    let (place, provider, integration, grant) = ready().await;
    let ctx = &place.ctx;
    let started = start(ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    let state = state_of(&started);
    let token = current_token(ctx, &grant).await.unwrap();
    let client = integration::token_client(ctx, &integration).await.unwrap();
    provider.then(Reply::json(
        200,
        r#"{"access_token":"canary-access","expires_in":[]"#,
    ));
    let error = client
        .refresh(&SecretString::from("canary-refresh"), &[])
        .await
        .unwrap_err();
    let shown = format!(
        "{token:?} {client:?} {error:?} {error} {:?} {:?} {:?}",
        get(ctx, &Projects::All, &grant).await.unwrap(),
        back(&state),
        registration(&provider, Flow::AuthorizationCode),
    );
    for secret in [
        "access-1",
        "refresh-1",
        "s3cret-canary",
        "canary-access",
        "canary-refresh",
        state.as_str(),
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    // Everything else that opens something: tokens that wait for a confirmation, and what signs people in.
    let reconnect = StartAuthorization {
        reconnect_grant_id: Some(grant.clone()),
        ..Default::default()
    };
    provider.then(with_identity(
        "parked-access",
        "parked-refresh",
        "2",
        "bo@example.org",
    ));
    let parked = connect(ctx, &integration, reconnect).await.unwrap();
    assert!(
        matches!(parked, CallbackOutcome::IdentityMismatch { .. }),
        "{parked:?}"
    );
    let sent = provider.calls().pop().unwrap();
    let sent = sent.rsplit("\r\n\r\n").next().unwrap().to_owned();
    let verifier = url::form_urlencoded::parse(sent.as_bytes())
        .find(|(name, _)| name == "code_verifier")
        .map(|(_, value)| value.into_owned())
        .unwrap();
    let setup = account::print_setup_link(ctx).await.unwrap().unwrap();
    let password = "a canary of a password";
    let ada = account::NewUser {
        email: "ada@example.net".into(),
        name: "Ada".into(),
        password: SecretString::from(password),
        is_site_admin: true,
    };
    let ada = account::create(&ctx.db, &ctx.clock, &ada, "cli").await.unwrap();
    let sign_in = account::sign_in_link(ctx, &ada.id).await.unwrap();
    let session = account::start(&ctx.db, &ctx.clock, &ada.id, None).await.unwrap();
    let (_, api_token) = account::create_token(&ctx.db, &ctx.clock, "canary", "cli")
        .await
        .unwrap();
    let after_equals = |link: &str| link.rsplit_once('=').unwrap().1.to_owned();
    let others = [
        "parked-access".to_owned(),
        "parked-refresh".to_owned(),
        verifier,
        after_equals(&setup),
        after_equals(&sign_in),
        session.cookie.expose_secret().to_owned(),
        api_token.expose_secret().to_owned(),
        password.to_owned(),
    ];
    ctx.db.close().await;
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(place.dir()).unwrap() {
        let path = file.unwrap().path();
        if path.to_string_lossy().contains("t.db") {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    let stored = String::from_utf8_lossy(&bytes);
    for secret in ["access-1", "refresh-1", "s3cret-canary", state.as_str()] {
        assert!(!stored.contains(secret), "{secret} is in the database");
    }
    for secret in &others {
        assert!(
            secret.len() > 12 && !stored.contains(secret),
            "{secret} is in the database"
        );
    }
    assert!(
        START_MS > 0 && stored.contains("ada@example.org"),
        "the file was really read"
    );
}

#[tokio::test]
async fn of_twenty_callbacks_at_once_with_one_state_one_asks_for_a_token() {
    let (place, provider, integration, _) = ready().await;
    let asked = provider.calls().len();
    let started = start(&place.ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    let state = state_of(&started);
    provider.then(with_identity("a", "r", "1", "ada@example.org"));
    let callbacks =
        (0..20).map(|_| finish_callback(&place.ctx, &integration.callback_id, None, back(&state)));
    let outcomes = futures_util::future::join_all(callbacks).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.code(), "state_replayed");
    }
    assert_eq!(provider.calls().len(), asked + 1);
}

#[tokio::test]
async fn a_browser_that_hangs_up_during_the_exchange_loses_no_grant() {
    let (place, provider, integration, _) = ready().await;
    let ctx = &place.ctx;
    let started = start(ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    let state = state_of(&started);
    let asked = provider.calls().len();
    provider.then(with_identity("a", "r", "2", "bo@example.org"));
    provider.hold_codes();
    let request = async {
        while provider.calls().len() == asked {
            tokio::task::yield_now().await;
        }
    };
    let callback = finish_callback(ctx, &integration.callback_id, None, back(&state));
    tokio::select! {
        outcome = callback => panic!("the provider is held: {outcome:?}"),
        () = request => {}
    }
    provider.open_codes();
    let grant_id = loop {
        let now = authorization(ctx, &started.id).await.unwrap();
        match now.grant_id {
            Some(id) => break id,
            None => tokio::task::yield_now().await,
        }
    };
    assert_eq!(
        get(ctx, &Projects::All, &grant_id).await.unwrap().identity,
        "bo@example.org"
    );
}

#[tokio::test]
async fn an_exchange_that_a_crash_cut_off_is_not_shown_as_running_for_ever() {
    let (place, _, integration, _) = ready().await;
    let ctx = &place.ctx;
    let started = start(ctx, &integration, StartAuthorization::default())
        .await
        .unwrap();
    let (from, to) = (AuthorizationState::Pending, AuthorizationState::Exchanging);
    assert!(
        store::advance_authorization(ctx.db.write(), &started.id, from, to)
            .await
            .unwrap()
    );
    assert_eq!(authorization(ctx, &started.id).await.unwrap().state, to);
    ctx.clock.advance(Duration::minutes(13));
    let late = authorization(ctx, &started.id).await.unwrap();
    assert_eq!(late.state, AuthorizationState::Failed);
    assert!(late.trouble.is_some());
}
