//! The provider and the fault layer in front of it, driven as clients and browsers would.

use super::*;

#[tokio::test]
async fn the_provider_is_our_own_authorization_server_under_the_name_of_the_layer() {
    let (sandbox, _) = sandbox().await;
    let url = format!("{}/.well-known/openid-configuration", sandbox.issuer());
    let found: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["issuer"], sandbox.issuer());
    for (member, endpoint) in [
        ("authorization_endpoint", sandbox.authorization_endpoint()),
        ("token_endpoint", sandbox.token_endpoint()),
        ("userinfo_endpoint", sandbox.userinfo_endpoint()),
    ] {
        assert_eq!(found[member], endpoint);
    }
    let token = connect(&sandbox).await;
    let access = token["access_token"].as_str().unwrap();
    assert!(access.starts_with("mg_at_"), "{access}");
    let asked = http().get(sandbox.userinfo_endpoint()).bearer_auth(access).send();
    let claims: Value = asked.await.unwrap().json().await.unwrap();
    assert_eq!(claims["preferred_username"], "demo@sandbox.test");
    let id_token = token["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let told: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(id_token).unwrap()).unwrap();
    assert_eq!(
        (&told["iss"], &told["sub"]),
        (&Value::from(sandbox.issuer()), &claims["sub"])
    );
}

/// A browser that also has cookies of the Mailgrant that is being tried out, which stands on the same host.
struct Browser {
    cookies: HashMap<String, String>,
}

impl Browser {
    fn new() -> Browser {
        let cookies = ["mailgrant", "mailgrant-visit"].map(|name| (name.to_owned(), "theirs".repeat(8)));
        Browser {
            cookies: HashMap::from(cookies),
        }
    }

    async fn get(&mut self, url: &str) -> reqwest::Response {
        let cookies: Vec<String> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let answer = http()
            .get(url)
            .header("cookie", cookies.join("; "))
            .send()
            .await
            .unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let (name, value) = set
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .split_once('=')
                .unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}

#[tokio::test]
async fn a_browser_is_signed_in_by_itself_keeps_its_session_next_door_and_is_asked_on_a_page_that_says_where_it_is_from()
 {
    let (sandbox, _) = sandbox().await;
    let mut browser = Browser::new();
    let before = browser.cookies.clone();
    let mut url = authorization_url(&sandbox, &[]);
    let page = loop {
        let answer = browser.get(&url).await;
        let Some(next) = answer.headers().get("location") else {
            break answer;
        };
        url = Url::parse(&url)
            .unwrap()
            .join(next.to_str().unwrap())
            .unwrap()
            .into();
    };
    assert_eq!(page.status(), 200);
    for (name, value) in &before {
        assert_eq!(
            &browser.cookies[name], value,
            "the session at the Mailgrant next door"
        );
    }
    let html = page.text().await.unwrap();
    for said in [
        "Mailgrant wants access",
        "to your mailbox, as demo@sandbox.test",
        "Sandbox provider · only on this machine, no real account",
        "· Sandbox provider</title>",
        "<span>Sandbox provider</span>",
        "with your account here",
        "Read mail as it was received",
        "/sandbox.css",
    ] {
        assert!(html.contains(said), "{said}: {html}");
    }
    let style = http()
        .get(format!("{}/sandbox.css", sandbox.issuer()))
        .send()
        .await
        .unwrap();
    assert!(
        style.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/css")
    );
}

#[tokio::test]
async fn a_refused_consent_goes_back_as_access_denied_and_the_question_is_asked_each_time() {
    let (sandbox, _) = sandbox().await;
    connect(&sandbox).await;
    let url = authorization_url(&sandbox, &[]);
    let back = query(&sandbox.decide(&url, Decision::Refuse).await.unwrap());
    assert_eq!(back["error"], "access_denied");
    assert_eq!(back["state"], "some-state");
    assert!(!back.contains_key("code"));
}

#[tokio::test]
async fn what_the_provider_refuses_is_refused() {
    let (sandbox, _) = sandbox().await;
    for change in [
        ("redirect_uri", Some("http://127.0.0.1:9/elsewhere")),
        ("client_id", Some("nobody")),
    ] {
        let url = authorization_url(&sandbox, &[change]);
        assert!(sandbox.decide(&url, Decision::Allow).await.is_err());
    }
    let url = authorization_url(&sandbox, &[("code_challenge_method", Some("plain"))]);
    let back = query(&sandbox.decide(&url, Decision::Allow).await.unwrap());
    assert_eq!(back["error"], "invalid_request");
    sandbox
        .allow_redirect("http://127.0.0.1:9/elsewhere")
        .await
        .unwrap();
    let url = authorization_url(
        &sandbox,
        &[("redirect_uri", Some("http://127.0.0.1:9/elsewhere"))],
    );
    assert!(sandbox.decide(&url, Decision::Allow).await.is_ok());
}

#[tokio::test]
async fn any_loopback_redirect_is_accepted_only_when_asked_for() {
    let other = [("redirect_uri", Some("http://127.0.0.1:4711/cb"))];
    let (strict, _) = sandbox().await;
    let url = authorization_url(&strict, &other);
    assert!(strict.decide(&url, Decision::Allow).await.is_err());
    let (open, _) = sandbox_with(|options| options.any_loopback_redirect = true).await;
    let url = authorization_url(&open, &other);
    assert!(open.decide(&url, Decision::Allow).await.is_ok());
    let away = [("redirect_uri", Some("https://127.0.0.1.evil.example/cb"))];
    let url = authorization_url(&open, &away);
    assert!(open.decide(&url, Decision::Allow).await.is_err());
}

#[tokio::test]
async fn expired_tokens_can_be_refreshed_and_a_revoked_consent_cannot() {
    let (sandbox, _) = sandbox().await;
    let first = connect(&sandbox).await;
    let own = post_token(&sandbox, &[("grant_type", "client_credentials")])
        .await
        .1;
    sandbox.expire_tokens().await.unwrap();
    assert!(!is_active(&sandbox, &first).await);
    assert!(!is_active(&sandbox, &own).await);
    let (_, second) = refresh(&sandbox, &first).await;
    assert!(is_active(&sandbox, &second).await);
    sandbox.revoke_consent().await.unwrap();
    assert!(!is_active(&sandbox, &second).await);
    assert_eq!(refresh(&sandbox, &second).await.1["error"], "invalid_grant");
    assert_eq!(sandbox.token_calls("refresh_token", "ok"), 1);
    assert_eq!(sandbox.token_calls("refresh_token", "invalid_grant"), 1);
    assert!(
        is_active(&sandbox, &connect(&sandbox).await).await,
        "a new consent works"
    );
}

#[tokio::test]
async fn the_life_of_a_token_is_as_short_as_wished() {
    let (sandbox, clock) = sandbox_with(|options| options.access_token_life = Duration::from_secs(120)).await;
    let token = connect(&sandbox).await;
    assert_eq!(token["expires_in"], 120);
    clock.advance(chrono::Duration::seconds(121));
    assert!(!is_active(&sandbox, &token).await);
}

#[tokio::test]
async fn another_account_can_consent_and_fewer_scopes_can_be_granted() {
    let (sandbox, _) =
        sandbox_with(|options| options.other_mailboxes = vec!["other@sandbox.test".to_owned()]).await;
    sandbox.faults().limit_scopes(Some(&["openid", "messages:read"]));
    let url = authorization_url(&sandbox, &[]);
    let decided = sandbox.decide_as(&url, Decision::Allow, Some("other@sandbox.test"));
    let token = redeem(&sandbox, &query(&decided.await.unwrap())["code"]).await.1;
    assert_eq!(token["scope"], "openid messages:read");
    assert!(token["refresh_token"].is_null(), "offline_access was not granted");
    let access = token["access_token"].as_str().unwrap();
    let holder = sandbox.shared.provider.introspect(access).await.unwrap().unwrap();
    assert_eq!(holder.account.as_deref(), Some("other@sandbox.test"));
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
        sandbox.token_calls("refresh_token", "ok"),
        2,
        "the rotation had happened"
    );
    let (status, _) = refresh(&sandbox, &second).await;
    assert_eq!(
        status, 200,
        "what came next never arrived, so this one is taken once more"
    );
}

#[tokio::test]
async fn a_delayed_answer_is_the_real_one_but_late() {
    let (sandbox, _) = sandbox().await;
    let code = allowed_code(&sandbox, &[]).await;
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
    let code = allowed_code(&sandbox, &[]).await;
    let token = redeem(&sandbox, &code).await.1;
    post_token(
        &sandbox,
        &[("grant_type", token["access_token"].as_str().unwrap())],
    )
    .await;
    let log = format!("{:?}", sandbox.log());
    assert!(log.contains("authorization_code"));
    assert!(!log.contains("mg_"), "{log}");
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
