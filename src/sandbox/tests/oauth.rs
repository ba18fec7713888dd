//! The authorization server, driven as a client would.

use hmac::{Hmac, KeyInit, Mac};

use super::*;

#[tokio::test]
async fn discovery_names_endpoints_that_answer() {
    let (sandbox, _) = sandbox().await;
    let url = format!("{}/.well-known/openid-configuration", sandbox.issuer());
    let found: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["issuer"], sandbox.issuer());
    assert_eq!(found["token_endpoint"], sandbox.token_endpoint());
    assert_eq!(found["code_challenge_methods_supported"][0], "S256");
    assert_eq!(found["authorization_response_iss_parameter_supported"], true);
}

#[tokio::test]
async fn the_consent_page_asks_and_its_form_leads_back_with_code_state_and_iss() {
    let (sandbox, _) = sandbox().await;
    let page = http().get(authorization_url(&sandbox, &[])).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("form-action 'self' http://127.0.0.1:9")
    );
    let html = page.text().await.unwrap();
    assert!(
        html.contains("demo@sandbox.test") && html.contains("read and change your mail"),
        "{html}"
    );
    let request = html
        .split("name=\"request\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let answer = |decision: &str| {
        let form = [("request", request.to_owned()), ("decision", decision.to_owned())];
        http()
            .post(format!("{}/authorize/decision", sandbox.issuer()))
            .form(&form)
            .send()
    };
    let back = answer("allow").await.unwrap();
    assert_eq!(back.status(), 303);
    let back = query(back.headers()["location"].to_str().unwrap());
    assert_eq!(back["state"], "some-state");
    assert_eq!(back["iss"], sandbox.issuer());
    let (status, token) = redeem(&sandbox, &back["code"]).await;
    assert_eq!(status, 200);
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["expires_in"], 3600);
    assert!(token["refresh_token"].is_string());
    // The same form again: the question was answered.
    assert_eq!(answer("allow").await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_refused_consent_goes_back_as_access_denied() {
    let (sandbox, _) = sandbox().await;
    let back = sandbox
        .decide(&authorization_url(&sandbox, &[]), Decision::Refuse)
        .unwrap();
    let back = query(&back);
    assert_eq!(back["error"], "access_denied");
    assert_eq!(back["state"], "some-state");
    assert!(!back.contains_key("code"));
}

#[tokio::test]
async fn an_unknown_redirect_url_or_client_is_told_on_the_page_and_not_redirected() {
    let (sandbox, _) = sandbox().await;
    for change in [
        ("redirect_uri", Some("http://127.0.0.1:9/elsewhere")),
        ("client_id", Some("nobody")),
    ] {
        let url = authorization_url(&sandbox, &[change]);
        let page = http().get(&url).send().await.unwrap();
        assert_eq!(page.status(), 400);
        assert!(page.headers().get("location").is_none());
        assert!(sandbox.decide(&url, Decision::Allow).is_err());
    }
}

#[tokio::test]
async fn pkce_scope_and_response_type_errors_go_back_to_the_client() {
    let (sandbox, _) = sandbox().await;
    for (change, error) in [
        (("code_challenge", None), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("response_type", Some("token")), "unsupported_response_type"),
        (("scope", Some("imap world")), "invalid_scope"),
    ] {
        let answer = http()
            .get(authorization_url(&sandbox, &[change]))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 303);
        assert_eq!(
            query(answer.headers()["location"].to_str().unwrap())["error"],
            error
        );
    }
}

#[tokio::test]
async fn any_loopback_redirect_is_accepted_only_when_asked_for() {
    let other = [("redirect_uri", Some("http://localhost:4711/cb"))];
    let (strict, _) = sandbox().await;
    assert!(
        strict
            .decide(&authorization_url(&strict, &other), Decision::Allow)
            .is_err()
    );
    let (open, _) = sandbox_with(|options| options.any_loopback_redirect = true).await;
    assert!(
        open.decide(&authorization_url(&open, &other), Decision::Allow)
            .is_ok()
    );
    let away = [("redirect_uri", Some("https://localhost.evil.example/cb"))];
    assert!(
        open.decide(&authorization_url(&open, &away), Decision::Allow)
            .is_err()
    );
}

#[tokio::test]
async fn a_replayed_code_is_refused_and_ends_the_tokens_it_gave() {
    let (sandbox, _) = sandbox().await;
    let code = allowed_code(&sandbox, &[]);
    let (_, token) = redeem(&sandbox, &code).await;
    assert!(is_active(&sandbox, &token).await);
    let (status, refused) = redeem(&sandbox, &code).await;
    assert_eq!((status, refused["error"].as_str()), (400, Some("invalid_grant")));
    assert!(!is_active(&sandbox, &token).await);
}

#[tokio::test]
async fn a_code_needs_its_verifier_its_redirect_url_and_its_minute() {
    let (sandbox, clock) = sandbox().await;
    let code = allowed_code(&sandbox, &[]);
    let try_with = async |verifier: &str, redirect: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        post_token(&sandbox, &form).await.1["error"].clone()
    };
    assert_eq!(try_with("another", REDIRECT).await, "invalid_grant");
    assert_eq!(try_with(VERIFIER, "http://127.0.0.1:9/").await, "invalid_grant");
    clock.advance(chrono::Duration::seconds(61));
    assert_eq!(try_with(VERIFIER, REDIRECT).await, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_rotates_and_a_reused_refresh_token_kills_the_family() {
    let (sandbox, _) = sandbox().await;
    let first = connect(&sandbox).await;
    let (status, second) = refresh(&sandbox, &first).await;
    assert_eq!(status, 200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert!(is_active(&sandbox, &second).await);
    let (status, refused) = refresh(&sandbox, &first).await;
    assert_eq!((status, refused["error"].as_str()), (400, Some("invalid_grant")));
    assert!(!is_active(&sandbox, &second).await);
    assert_eq!(refresh(&sandbox, &second).await.0, 400);
    assert_eq!(sandbox.token_calls("refresh_token", "ok"), 1);
    assert_eq!(sandbox.token_calls("refresh_token", "invalid_grant"), 2);
}

#[tokio::test]
async fn without_rotation_the_refresh_token_stays() {
    let (sandbox, _) = sandbox_with(|options| options.rotate_refresh = false).await;
    let first = connect(&sandbox).await;
    let (_, second) = refresh(&sandbox, &first).await;
    assert!(second["refresh_token"].is_null());
    assert_eq!(refresh(&sandbox, &first).await.0, 200);
}

#[tokio::test]
async fn a_refresh_token_comes_only_with_offline_access() {
    let (sandbox, _) = sandbox().await;
    let online = allowed_code(&sandbox, &[("scope", Some("openid imap"))]);
    assert!(redeem(&sandbox, &online).await.1["refresh_token"].is_null());
    let typed = allowed_code(
        &sandbox,
        &[("scope", Some("imap")), ("access_type", Some("offline"))],
    );
    assert!(redeem(&sandbox, &typed).await.1["refresh_token"].is_string());
}

#[tokio::test]
async fn the_client_may_name_itself_in_the_header_or_in_the_form_and_a_wrong_secret_is_invalid_client() {
    let (sandbox, _) = sandbox().await;
    let by_form = async |secret: &str| {
        let id = sandbox.client_id();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &id),
            ("client_secret", secret),
        ];
        http()
            .post(sandbox.token_endpoint())
            .form(&form)
            .send()
            .await
            .unwrap()
    };
    let right = sandbox.client_secret();
    let token: Value = by_form(right.expose_secret()).await.json().await.unwrap();
    assert!(is_active(&sandbox, &token).await);
    assert!(token["refresh_token"].is_null());
    let wrong = by_form("wrong").await;
    assert_eq!(wrong.status(), 401);
    assert!(wrong.headers().contains_key("www-authenticate"));
    assert_eq!(wrong.json::<Value>().await.unwrap()["error"], "invalid_client");
    sandbox.change_client_secret();
    assert_eq!(by_form(right.expose_secret()).await.status(), 401);
    let (status, _) = post_token(&sandbox, &[("grant_type", "client_credentials")]).await;
    assert_eq!(status, 200, "the new secret works");
}

#[tokio::test]
async fn a_token_of_one_client_cannot_be_refreshed_by_another() {
    let (sandbox, _) = sandbox().await;
    let token = connect(&sandbox).await;
    let (id, secret) = sandbox.foreign_client();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token["refresh_token"].as_str().unwrap()),
    ];
    let answer = http()
        .post(sandbox.token_endpoint())
        .basic_auth(id, Some(secret.expose_secret()))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(refresh(&sandbox, &token).await.0, 200, "and it did no harm");
}

#[tokio::test]
async fn the_id_token_is_signed_with_the_client_secret_and_names_the_account() {
    let (sandbox, _) = sandbox().await;
    let code = allowed_code(&sandbox, &[("nonce", Some("n-1"))]);
    let token = redeem(&sandbox, &code).await.1;
    let id_token = token["id_token"].as_str().unwrap();
    let (signed, signature) = id_token.rsplit_once('.').unwrap();
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(sandbox.client_secret().expose_secret().as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], sandbox.issuer());
    assert_eq!(claims["aud"], sandbox.client_id());
    assert_eq!(claims["email"], "demo@sandbox.test");
    assert_eq!(claims["nonce"], "n-1");
    let userinfo: Value = http()
        .get(sandbox.userinfo_endpoint())
        .bearer_auth(token["access_token"].as_str().unwrap())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(userinfo["sub"], claims["sub"]);
}

#[tokio::test]
async fn introspection_tells_a_mail_server_whose_token_it_is_until_it_ends() {
    let (sandbox, clock) = sandbox().await;
    let token = connect(&sandbox).await;
    let url = format!(
        "{}?token={}",
        sandbox.introspection_endpoint(),
        token["access_token"].as_str().unwrap()
    );
    let found: Value = http().get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["active"], true);
    assert_eq!(found["username"], "demo@sandbox.test");
    assert_eq!(found["scope"], "email imap offline_access openid");
    assert_eq!(found["exp"], start_of_time().timestamp() + 3600);
    let by_bearer = http().post(sandbox.introspection_endpoint());
    let by_bearer = by_bearer
        .bearer_auth(token["access_token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(by_bearer.json::<Value>().await.unwrap()["active"], true);
    let wrong = http()
        .post(sandbox.introspection_endpoint())
        .basic_auth("nobody", Some("x"))
        .send()
        .await;
    assert_eq!(wrong.unwrap().status(), 401);
    clock.advance(chrono::Duration::seconds(3600));
    let found: Value = http().get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(found, serde_json::json!({ "active": false }));
}

#[tokio::test]
async fn expired_tokens_can_be_refreshed_and_a_revoked_consent_cannot() {
    let (sandbox, _) = sandbox().await;
    let first = connect(&sandbox).await;
    sandbox.expire_tokens();
    assert!(!is_active(&sandbox, &first).await);
    let (_, second) = refresh(&sandbox, &first).await;
    assert!(is_active(&sandbox, &second).await);
    sandbox.revoke_consent();
    assert!(!is_active(&sandbox, &second).await);
    assert_eq!(refresh(&sandbox, &second).await.1["error"], "invalid_grant");
    assert!(
        is_active(&sandbox, &connect(&sandbox).await).await,
        "a new consent works"
    );
}

#[tokio::test]
async fn a_client_can_revoke_its_token() {
    let (sandbox, _) = sandbox().await;
    let token = connect(&sandbox).await;
    let answer = http()
        .post(format!("{}/revoke", sandbox.issuer()))
        .basic_auth(sandbox.client_id(), Some(sandbox.client_secret().expose_secret()))
        .form(&[("token", token["refresh_token"].as_str().unwrap())])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!is_active(&sandbox, &token).await);
}

#[tokio::test]
async fn another_account_can_consent_and_fewer_scopes_can_be_granted() {
    let (sandbox, _) =
        sandbox_with(|options| options.other_mailboxes = vec!["other@sandbox.test".to_owned()]).await;
    let page = http()
        .get(authorization_url(&sandbox, &[]))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("value=\"other@sandbox.test\""));
    sandbox.faults().limit_scopes(Some(&["imap"]));
    let url = authorization_url(&sandbox, &[]);
    let back = sandbox
        .decide_as(&url, Decision::Allow, Some("other@sandbox.test"))
        .unwrap();
    let token = redeem(&sandbox, &query(&back)["code"]).await.1;
    assert_eq!(token["scope"], "imap");
    let url = format!(
        "{}?token={}",
        sandbox.introspection_endpoint(),
        token["access_token"].as_str().unwrap()
    );
    let found: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["username"], "other@sandbox.test");
}

#[tokio::test]
async fn queued_token_faults_are_used_in_order_for_their_grant_type_and_then_over() {
    let (sandbox, _) = sandbox().await;
    let token = connect(&sandbox).await;
    let faults = sandbox.faults();
    let busy = TokenFault::answer(429, "slow down").with_header("retry-after", "30");
    faults.queue_token_fault(busy.only("refresh_token").times(2));
    faults.queue_token_fault(TokenFault::oauth_error(400, "invalid_grant", "gone").only("refresh_token"));
    assert!(faults.any());
    assert_eq!(
        post_token(&sandbox, &[("grant_type", "client_credentials")])
            .await
            .0,
        200
    );
    for _ in 0..2 {
        let answer = http()
            .post(sandbox.token_endpoint())
            .form(&[("grant_type", "refresh_token")])
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "30");
        assert_eq!(answer.text().await.unwrap(), "slow down");
    }
    assert_eq!(refresh(&sandbox, &token).await.1["error_description"], "gone");
    assert_eq!(refresh(&sandbox, &token).await.0, 200);
    assert!(!faults.any());
    assert_eq!(sandbox.token_calls("refresh_token", "fault"), 3);
}

#[tokio::test]
async fn an_answer_can_be_rewritten_and_can_be_lost_after_the_rotation() {
    let (sandbox, _) = sandbox().await;
    let first = connect(&sandbox).await;
    sandbox.faults().queue_token_fault(TokenFault::rewrite(|answer| {
        answer["expires_in"] = Value::from("3599.5");
    }));
    let (_, second) = refresh(&sandbox, &first).await;
    assert_eq!(second["expires_in"], "3599.5");
    sandbox.faults().queue_token_fault(TokenFault::lose_answer());
    let lost = http()
        .post(sandbox.token_endpoint())
        .basic_auth(sandbox.client_id(), Some(sandbox.client_secret().expose_secret()))
        .form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", second["refresh_token"].as_str().unwrap()),
        ])
        .send()
        .await;
    let arrived = match lost {
        Ok(answer) => answer.bytes().await.is_ok(),
        Err(_) => false,
    };
    assert!(!arrived, "the answer was to be lost");
    assert_eq!(
        refresh(&sandbox, &second).await.0,
        400,
        "the rotation had happened"
    );
}

#[tokio::test]
async fn a_delayed_answer_is_the_real_one_but_late() {
    let (sandbox, _) = sandbox().await;
    let code = allowed_code(&sandbox, &[]);
    sandbox
        .faults()
        .queue_token_fault(TokenFault::delay(Duration::from_millis(80)));
    let asked = std::time::Instant::now();
    assert_eq!(redeem(&sandbox, &code).await.0, 200);
    assert!(asked.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn restoring_everything_empties_the_fault_queues() {
    let (sandbox, _) = sandbox().await;
    sandbox
        .faults()
        .queue_token_fault(TokenFault::answer(500, "").times(100));
    sandbox.faults().cut_connections();
    sandbox.faults().refuse_tls(true);
    sandbox.faults().restore_all();
    assert!(!sandbox.faults().any());
    connect(&sandbox).await;
}

#[tokio::test]
async fn no_token_code_or_secret_reaches_the_log() {
    let (sandbox, _) = sandbox().await;
    let code = allowed_code(&sandbox, &[]);
    let token = redeem(&sandbox, &code).await.1;
    post_token(
        &sandbox,
        &[("grant_type", token["access_token"].as_str().unwrap())],
    )
    .await;
    let log = format!("{:?}", sandbox.log());
    assert!(log.contains("authorization_code"));
    assert!(!log.contains("sbx_"), "{log}");
}

#[tokio::test]
async fn a_stopped_sandbox_gives_its_ports_back() {
    let (sandbox, _) = sandbox().await;
    let (http, imap) = (
        Url::parse(&sandbox.issuer()).unwrap().port().unwrap(),
        sandbox.imap_port(),
    );
    sandbox.stop().await;
    let free = async |port| loop {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let both = async { (free(http).await, free(imap).await) };
    tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_not_loopback_is_refused() {
    let options = SandboxOptions {
        bind: "0.0.0.0".parse().unwrap(),
        ..SandboxOptions::default()
    };
    let refused = Sandbox::start(options, Clock::manual(start_of_time())).await;
    assert!(matches!(refused, Err(SandboxError::NotLoopback(_))));
}
