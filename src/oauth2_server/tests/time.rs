//! What ends by itself.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::crypto::{SigningAlg, new_signing_key, public_jwk, sign_jwt};
use crate::oauth2_server::dpop::{self, Expected};
use crate::oauth2_server::{Credentials, DeviceFrom, TokenFormat};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[tokio::test]
async fn n28_a_code_lives_for_a_minute() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let code = world.code(&client, "openid tickets:read").await;
    world.later(61);
    assert_eq!(code_of(world.redeem(&client, &code).await), "invalid_grant");
    let code = world.code(&client, "openid tickets:read").await;
    world.later(59);
    assert!(world.redeem(&client, &code).await.is_ok());
}

#[tokio::test]
async fn n35_a_refresh_token_ends_when_it_idles_and_in_the_end_always() {
    let world = World::new().await;
    let client = world
        .client(|fields| {
            fields.access_seconds = 60;
            fields.refresh_idle_seconds = 1_000;
            fields.refresh_absolute_seconds = 3_000;
        })
        .await;
    let scopes = "openid offline_access tickets:read";
    let code = world.code(&client, scopes).await;
    let mut token = world.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
    for _ in 0..3 {
        world.later(900);
        token = world
            .refresh(&client, &token)
            .await
            .unwrap()
            .refresh_token
            .unwrap();
    }
    world.later(301);
    assert_eq!(
        code_of(world.refresh(&client, &token).await),
        "invalid_grant",
        "absolute"
    );
    let code = world.code(&client, scopes).await;
    let token = world.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
    world.later(1_001);
    assert_eq!(
        code_of(world.refresh(&client, &token).await),
        "invalid_grant",
        "idle"
    );
    // Consent taken back.
    let code = world.code(&client, scopes).await;
    let given = world.redeem(&client, &code).await.unwrap();
    super::super::disconnect(&world.ctx, &world.user.id, &client.id)
        .await
        .unwrap();
    assert!(!world.is_live(&given.access_token).await);
    assert_eq!(
        code_of(world.refresh(&client, &given.refresh_token.unwrap()).await),
        "invalid_grant"
    );
    // Everything of a person ended: their password changed, or they were switched off.
    let code = world.code(&client, scopes).await;
    let given = world.redeem(&client, &code).await.unwrap();
    let waiting = world.code(&client, scopes).await;
    let now = world.ctx.clock.now_ms();
    super::super::end_all_of_user(world.ctx.db.write(), now, &world.user.id, "password_changed")
        .await
        .unwrap();
    assert!(!world.is_live(&given.access_token).await);
    assert_eq!(
        code_of(world.refresh(&client, &given.refresh_token.unwrap()).await),
        "invalid_grant"
    );
    assert_eq!(code_of(world.redeem(&client, &waiting).await), "invalid_grant");
}

#[tokio::test]
async fn n31_a_token_that_comes_back_after_weeks_is_still_known_as_stolen() {
    for format in [TokenFormat::Opaque, TokenFormat::Jwt] {
        let world = World::new().await;
        let client = world.client(|fields| fields.token_format = format).await;
        let code = world.code(&client, "openid offline_access tickets:read").await;
        let first = world.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
        let second = world.refresh(&client, &first).await.unwrap();
        assert!(world.is_live(&second.access_token).await, "it arrived");
        // Access tokens are forgotten a day after their end.
        for _ in 0..3 {
            world.later(86_400);
            super::super::purge(&world.ctx).await.unwrap();
        }
        assert_eq!(code_of(world.refresh(&client, &first).await), "invalid_grant");
        let of_owner = world.refresh(&client, &second.refresh_token.unwrap()).await;
        assert_eq!(code_of(of_owner), "invalid_grant", "the family ended with it");
    }
}

#[tokio::test]
async fn n32_a_lost_answer_is_forgiven_after_days_unless_tokens_are_used_unseen() {
    for (format, days, forgiven) in [
        (TokenFormat::Opaque, 20, true),
        (TokenFormat::Jwt, 0, true),
        (TokenFormat::Jwt, 2, false),
    ] {
        let world = World::new().await;
        let client = world.client(|fields| fields.token_format = format).await;
        let code = world.code(&client, "openid offline_access tickets:read").await;
        let first = world.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
        let lost = world.refresh(&client, &first).await.unwrap();
        world.later(days * 86_400 + 60);
        super::super::purge(&world.ctx).await.unwrap();
        let again = world.refresh(&client, &first).await;
        assert_eq!(again.is_ok(), forgiven, "{format:?} after {days} days");
        world.later(61);
        let lost = world.refresh(&client, &lost.refresh_token.unwrap()).await;
        assert_eq!(code_of(lost), "invalid_grant", "one chain lives at most");
    }
}

#[tokio::test]
async fn a_narrower_decision_ends_what_went_beyond_it() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let scopes = "openid offline_access tickets:read tickets:write";
    let code = world.code(&client, scopes).await;
    let given = world.redeem(&client, &code).await.unwrap();
    let waiting = world.code(&client, scopes).await;
    // The same again takes nothing away.
    assert!(world.is_live(&given.access_token).await);
    let pending = world.ask(&client, &[("scope", scopes)]).await.unwrap();
    world
        .allow(&pending, "openid offline_access tickets:read", &[])
        .await
        .unwrap();
    assert!(!world.is_live(&given.access_token).await);
    assert_eq!(
        code_of(world.refresh(&client, &given.refresh_token.unwrap()).await),
        "invalid_grant"
    );
    assert_eq!(code_of(world.redeem(&client, &waiting).await), "invalid_grant");
    let code = world.code(&client, "openid tickets:read").await;
    let given = world.redeem(&client, &code).await.unwrap();
    let pending = world
        .ask(&client, &[("scope", "openid tickets:read")])
        .await
        .unwrap();
    world
        .allow(&pending, "openid tickets:read", &["prj_1".to_owned()])
        .await
        .unwrap();
    assert!(
        !world.is_live(&given.access_token).await,
        "all projects are more than one"
    );
}

#[tokio::test]
async fn n39_a_device_waits_ten_minutes_and_asks_every_five_seconds() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let begin = async || {
        let from = DeviceFrom {
            address: "203.0.113.9",
            agent: "tv",
        };
        super::super::begin_device(
            &world.ctx,
            &client,
            &form(&[("scope", "openid tickets:read")]),
            from,
        )
        .await
        .unwrap()
    };
    let poll = async |code: &SecretString| {
        let fields = [("grant_type", DEVICE), ("device_code", code.expose_secret())];
        code_of(world.token(&client, &fields).await)
    };
    let begun = begin().await;
    for (wait, answer) in [
        (0, "authorization_pending"),
        (5, "authorization_pending"),
        (3, "slow_down"),
        (5, "slow_down"),
        (15, "authorization_pending"),
        (15, "authorization_pending"),
        (600, "expired_token"),
    ] {
        world.later(wait);
        assert_eq!(poll(&begun.device_code).await, answer, "after {wait} s more");
    }
    let late = super::super::open_device(&world.ctx, &begun.user_code, BROWSER)
        .await
        .unwrap();
    assert!(late.is_none());
    // Allowed in time, fetched too late.
    let begun = begin().await;
    let id = super::super::open_device(&world.ctx, &begun.user_code, BROWSER)
        .await
        .unwrap()
        .unwrap();
    let pending = super::super::take(&world.ctx, &id, BROWSER).await.unwrap();
    let step = super::super::next_step(
        &world.ctx,
        &client,
        &pending.request,
        Some((&world.session, &world.user)),
        None,
    );
    assert_eq!(step.await.unwrap(), Step::Consent);
    world.allow(&pending, "openid tickets:read", &[]).await.unwrap();
    world.later(601);
    assert_eq!(poll(&begun.device_code).await, "expired_token");
    // Allowed, and taken back before it was fetched.
    let begun = begin().await;
    let id = super::super::open_device(&world.ctx, &begun.user_code, BROWSER)
        .await
        .unwrap()
        .unwrap();
    let pending = super::super::take(&world.ctx, &id, BROWSER).await.unwrap();
    world.allow(&pending, "openid tickets:read", &[]).await.unwrap();
    super::super::disconnect(&world.ctx, &world.user.id, &client.id)
        .await
        .unwrap();
    assert_eq!(poll(&begun.device_code).await, "access_denied");
}

#[tokio::test]
async fn a_pushed_request_waits_ninety_seconds() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let fields = form(&[
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    for (wait, works) in [(89, true), (91, false)] {
        let pushed = super::super::push(&world.ctx, &client, &fields, None)
            .await
            .unwrap();
        world.later(wait);
        let params = [
            ("client_id".to_owned(), client.client_id.clone()),
            ("request_uri".to_owned(), pushed.request_uri),
        ];
        assert_eq!(
            super::super::check(&world.ctx, &params).await.is_ok(),
            works,
            "{wait}"
        );
    }
}

#[tokio::test]
async fn n66_a_token_of_the_key_before_holds_until_that_key_is_retired() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let code = world.code(&client, "openid").await;
    let id_token = world.redeem(&client, &code).await.unwrap().id_token.unwrap();
    let holds = async || {
        let hint = [("scope", "openid"), ("id_token_hint", id_token.as_str())];
        world.ask(&client, &hint).await.is_ok()
    };
    super::super::rotate_now(&world.ctx, "cli", false).await.unwrap();
    assert!(holds().await, "within the overlap");
    world.later(3 * 86_400);
    assert!(!holds().await, "after it");
    let code = world.code(&client, "openid").await;
    let id_token = world.redeem(&client, &code).await.unwrap().id_token.unwrap();
    super::super::rotate_now(&world.ctx, "cli", true).await.unwrap();
    let hint = [("scope", "openid"), ("id_token_hint", id_token.as_str())];
    assert!(
        world.ask(&client, &hint).await.is_err(),
        "a key in wrong hands is worth nothing at once"
    );
    // Also one that was replaced before, and is published still.
    let code = world.code(&client, "openid").await;
    let id_token = world.redeem(&client, &code).await.unwrap().id_token.unwrap();
    super::super::rotate_now(&world.ctx, "cli", false).await.unwrap();
    super::super::rotate_now(&world.ctx, "cli", true).await.unwrap();
    let hint = [("scope", "openid"), ("id_token_hint", id_token.as_str())];
    assert!(
        world.ask(&client, &hint).await.is_err(),
        "and so is the one before it"
    );
}

#[tokio::test]
async fn n50_a_nonce_is_ours_for_five_minutes() {
    let world = World::new().await;
    let ctx = &world.ctx;
    let pem = new_signing_key(SigningAlg::Es256).unwrap();
    let jwk = public_jwk(SigningAlg::Es256, "k", &pem).unwrap();
    let proof = |claims: Value| {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let header = json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": { "kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"] } });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let key = jsonwebtoken::EncodingKey::from_ec_pem(pem.expose_secret().as_bytes()).unwrap();
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    };
    let claims = |jti: &str, made: i64| json!({ "htm": "POST", "htu": "https://a.example/t", "iat": made, "jti": jti });
    let check = async |claims: Value, needs_nonce: bool| {
        let expected = Expected {
            method: "POST",
            url: "https://a.example/t",
            access_token: None,
            needs_nonce,
        };
        dpop::check(ctx, &proof(claims), expected)
            .await
            .err()
            .map_or("good", |error| error.code)
    };
    let now = || ctx.clock.now_ms() / 1000;
    assert_eq!(check(claims("a", now()), false).await, "good");
    assert_eq!(
        check(claims("a", now()), false).await,
        "invalid_dpop_proof",
        "twice"
    );
    assert_eq!(check(claims("b", now() - 61), false).await, "invalid_dpop_proof");
    assert_eq!(check(claims("c", now() + 20), false).await, "invalid_dpop_proof");
    assert_eq!(check(claims("d", now()), true).await, "use_dpop_nonce");
    let nonce = dpop::nonce(ctx);
    let with = |jti: &str, made: i64, nonce: &str| {
        let mut all = claims(jti, made);
        all["nonce"] = nonce.into();
        all
    };
    assert_eq!(check(with("e", now() - 200, &nonce), true).await, "good");
    let mut forged = nonce.clone();
    for number in [i64::MIN, i64::MAX] {
        use base64::Engine;
        let foreign = [&number.to_be_bytes()[..], &[0; 16]].concat();
        let foreign = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(foreign);
        assert_eq!(check(with("e2", now(), &foreign), false).await, "use_dpop_nonce");
    }
    forged.replace_range(0..1, if nonce.starts_with('B') { "C" } else { "B" });
    assert_eq!(check(with("f", now(), &forged), false).await, "use_dpop_nonce");
    world.later(301);
    assert_eq!(check(with("g", now(), &nonce), false).await, "use_dpop_nonce");
    // What was seen is forgotten only when it is worth nothing any more.
    let kept = dpop::nonce(ctx);
    let old = with("h", now() - 100, &kept);
    assert_eq!(check(old.clone(), true).await, "good");
    for wait in [100, 99] {
        world.later(wait);
        super::super::purge(ctx).await.unwrap();
        assert_ne!(check(old.clone(), true).await, "good");
    }
    // Addresses are compared as addresses.
    for (claimed, good) in [
        ("https://A.example:443/t", true),
        ("https://a.example/t?x=1#y", true),
        ("https://a.example/T", false),
        ("https://a.example/t/", false),
        ("http://a.example/t", false),
        ("https://a.example.evil/t", false),
        ("/t", false),
    ] {
        let mut all = claims(claimed, now());
        all["htu"] = claimed.into();
        assert_eq!(check(all, false).await == "good", good, "{claimed}");
    }
}

/// Answers with these key sets, one after the other, then never again.
pub(super) async fn serve(listener: tokio::net::TcpListener, sets: Vec<String>) {
    for set in sets {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0_u8; 4096];
        let _ = socket.read(&mut buffer).await.unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
            set.len()
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_key_of_a_client_is_looked_for_once_a_minute_and_an_old_set_bridges_a_day() {
    let mut world = World::new().await;
    world.ctx.webhook_dialer = world.ctx.dialer.clone();
    let (first, second) = (
        new_signing_key(SigningAlg::EdDsa).unwrap(),
        new_signing_key(SigningAlg::EdDsa).unwrap(),
    );
    let sets: Vec<String> = [("one", &first), ("two", &second)]
        .iter()
        .map(|(kid, pem)| json!({ "keys": [public_jwk(SigningAlg::EdDsa, kid, pem).unwrap()] }).to_string())
        .collect();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/keys", listener.local_addr().unwrap());
    let serving = tokio::spawn(serve(listener, sets));
    let client = world
        .client(|fields| {
            fields.auth_method = ClientAuth::PrivateKeyJwt;
            fields.protocol.jwks_uri = uri;
        })
        .await;
    let try_with = async |kid: &str, pem: &SecretString| {
        let now = world.ctx.clock.now_ms() / 1000;
        let id = &client.client_id;
        let claims = json!({
            "iss": id, "sub": id, "aud": super::super::metadata::issuer(&world.ctx.config), "exp": now + 60,
            "jti": crate::crypto::random_token(9),
        });
        let assertion = sign_jwt(SigningAlg::EdDsa, kid, "JWT", pem, &claims).unwrap();
        let credentials = Credentials {
            assertion_type: Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer".into()),
            assertion: Some(SecretString::from(assertion)),
            ..Credentials::default()
        };
        super::super::authenticate_client(&world.ctx, &credentials, None)
            .await
            .is_ok()
    };
    assert!(try_with("one", &first).await);
    assert!(!try_with("two", &second).await, "within the minute");
    world.later(61);
    assert!(try_with("two", &second).await, "the set was asked for again");
    assert!(!try_with("one", &first).await, "and the old key is gone with it");
    serving.await.unwrap();
    world.later(2 * 3_600);
    assert!(
        try_with("two", &second).await,
        "nobody answers, the set of two hours ago bridges it"
    );
    world.later(25 * 3_600);
    assert!(!try_with("two", &second).await, "not for ever");
}
