//! Signing out on both sides.

use mailgrant::crypto::{SigningAlg, new_signing_key, sign_jwt};
use reqwest::header::CONTENT_SECURITY_POLICY;
use serde_json::{Value, json};

use super::liar::{Answer, CLIENT, now};
use super::stage::{Alone, Stage, code_of, with_glewlwyd};
use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::oidc_provider::Options;
use crate::support::process::{Mailgrant, Settings, http};
use crate::support::visitor::Visitor;
use crate::support::wait::{SOON, eventually};

on_each_database!(
    n58_a_logout_token_that_is_not_right_ends_nothing_and_a_right_one_ends_its_sessions_once,
    n58_a_logout_token_that_comes_while_somebody_is_on_the_way_back_keeps_them_out,
    cb_9_n59_the_front_channel_ends_the_session_that_iss_and_sid_name_and_looks_at_no_cookie,
    cb_8_signing_out_here_goes_on_to_the_provider_and_back,
    cb_8_by_whichever_door_somebody_signs_out_the_provider_learns_of_it,
    what_changes_about_a_provider_counts_for_who_is_on_the_way_back,
);

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn is_signed_in(browser: &Visitor) -> bool {
    browser.get("/settings/apps").await.status == 200
}

/// Somebody who came in with this session at the provider.
async fn signed_in(stage: &Alone, subject: &str, sid: &str) -> Visitor {
    let browser = stage.visitor();
    let seen = stage
        .come_in(&browser, |nonce| {
            let mut claims = stage.liar.claims(subject, nonce);
            claims["sid"] = json!(sid);
            stage.liar.sign(&claims)
        })
        .await;
    assert_eq!(seen.status, 303, "{}", seen.body);
    assert!(is_signed_in(&browser).await);
    browser
}

fn logout_claims(stage: &Alone, changes: &Value) -> Value {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let jti = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut claims = json!({
        "iss": stage.liar.issuer, "aud": CLIENT, "iat": now(), "exp": now() + 120, "jti": format!("jti-{jti}"),
        "sid": "s1", "sub": "grace", "events": { EVENT: {} },
    });
    for (name, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => drop(claims.as_object_mut().unwrap().remove(name)),
            false => claims[name] = value.clone(),
        }
    }
    claims
}

async fn tell(stage: &Alone, token: &str) -> u16 {
    let url = format!("{}/sso/{}/backchannel-logout", stage.mailgrant.base_url, stage.id);
    let answer = http()
        .post(url)
        .form(&[("logout_token", token)])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.status().as_u16()
}

async fn n58_a_logout_token_that_is_not_right_ends_nothing_and_a_right_one_ends_its_sessions_once(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let browser = signed_in(&stage, "grace", "s1").await;
    let other = signed_in(&stage, "grace", "s2").await;
    for changes in [
        json!({ "nonce": "n" }),
        json!({ "events": null }),
        json!({ "events": { "https://evil.example": {} } }),
        json!({ "events": { EVENT: true } }),
        json!({ "events": EVENT }),
        json!({ "iss": "https://evil.example" }),
        json!({ "aud": "another" }),
        json!({ "aud": [CLIENT, "another"] }),
        json!({ "sub": null, "sid": null }),
        json!({ "sid": 7 }),
        json!({ "sub": ["grace"] }),
        json!({ "jti": null }),
        json!({ "exp": now() - 600 }),
        json!({ "exp": "later" }),
        json!({ "iat": now() + 600 }),
        json!({ "iat": now() - 3600 }),
        json!({ "iat": null }),
    ] {
        let token = stage.liar.sign_as("logout+jwt", &logout_claims(&stage, &changes));
        assert_eq!(tell(&stage, &token).await, 400, "{changes}");
    }
    let good = logout_claims(&stage, &json!({}));
    let token = stage.liar.sign_as("logout+jwt", &good);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (_, payload) = signed.split_once('.').unwrap();
    let none = format!(
        "{}.{payload}.",
        super::liar::part(&json!({ "alg": "none", "typ": "logout+jwt" }))
    );
    let as_access_token = stage.liar.sign_as("at+jwt", &good);
    for bad in [
        none.as_str(),
        "x",
        "",
        &format!("{signed}.AAAA"),
        &as_access_token,
    ] {
        assert_eq!(tell(&stage, bad).await, 400, "{bad}");
    }
    let url = format!("{}/sso/{}/backchannel-logout", stage.mailgrant.base_url, stage.id);
    let twice = [("logout_token", token.as_str()), ("logout_token", token.as_str())];
    assert_eq!(http().post(&url).form(&twice).send().await.unwrap().status(), 400);
    assert_eq!(
        http()
            .post(&url)
            .json(&json!({ "logout_token": token }))
            .send()
            .await
            .unwrap()
            .status(),
        400
    );
    assert!(
        is_signed_in(&browser).await && is_signed_in(&other).await,
        "nothing of that ended a session"
    );

    assert_eq!(tell(&stage, &token).await, 200);
    assert!(!is_signed_in(&browser).await);
    assert!(is_signed_in(&other).await, "only the session it names");
    assert_eq!(tell(&stage, &token).await, 400, "the same token again");
    // Somebody else's session under her name: nothing.
    let foreign = logout_claims(&stage, &json!({ "sid": "s2", "sub": "mallory" }));
    assert_eq!(
        tell(&stage, &stage.liar.sign_as("logout+jwt", &foreign)).await,
        200
    );
    assert!(is_signed_in(&other).await);
    // Without a session's name: all of hers.
    let all = logout_claims(&stage, &json!({ "sid": null }));
    assert_eq!(tell(&stage, &stage.liar.sign_as("logout+jwt", &all)).await, 200);
    assert!(!is_signed_in(&other).await);
}

async fn n58_a_logout_token_that_comes_while_somebody_is_on_the_way_back_keeps_them_out(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let browser = stage.visitor();
    let off = stage.off(&browser).await;
    let mut claims = stage.liar.claims("grace", &off.nonce);
    claims["sid"] = json!("s1");
    let given = json!({
        "access_token": "at-1", "token_type": "Bearer", "expires_in": 60, "id_token": stage.liar.sign(&claims),
    });
    // The code is being exchanged when the provider says that the session is over.
    let slowly = Answer {
        delay: std::time::Duration::from_secs(3),
        ..Answer::json(&given)
    };
    stage.liar.set("/token", slowly);
    let before = stage.liar.asked("/token").len();
    let back = stage.back(&off);
    let (seen, told) = tokio::join!(browser.get(&back), async {
        eventually("the code is sent", SOON, async || {
            (stage.liar.asked("/token").len() > before).then_some(())
        })
        .await;
        let token = stage
            .liar
            .sign_as("logout+jwt", &logout_claims(&stage, &json!({})));
        tell(&stage, &token).await
    });
    assert_eq!(told, 200);
    assert_eq!(
        (seen.status, code_of(&seen).as_str()),
        (400, "signed_out_meanwhile")
    );
    assert!(!is_signed_in(&browser).await);
    // Afterwards the same person comes in as ever.
    signed_in(&stage, "grace", "s2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_belonging_to_the_one_at_the_provider_when_its_person_chooses_a_password() {
    let stage = Alone::start().await;
    let browser = signed_in(&stage, "grace", "s1").await;
    let page = browser.get("/profile").await;
    let fields = [("password", "a sentence that nobody guesses")];
    let seen = browser.submit(&page, "/profile/password", &fields).await;
    assert_eq!(
        (seen.status, seen.location.as_str()),
        (303, "/profile"),
        "{}",
        seen.body
    );
    assert!(is_signed_in(&browser).await);
    let ended = stage
        .liar
        .sign_as("logout+jwt", &logout_claims(&stage, &json!({ "sid": "s1" })));
    assert_eq!(tell(&stage, &ended).await, 200);
    assert!(!is_signed_in(&browser).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_keys_strangers_name_the_provider_is_asked_for_its_own_once_a_minute() {
    let stage = Alone::start().await;
    let browser = signed_in(&stage, "grace", "s1").await;
    let before = stage.liar.asked("/jwks").len();
    let claims = logout_claims(&stage, &json!({}));
    let told = (0..20).map(|n| {
        let kid = format!("unknown-{n}");
        let token = sign_jwt(SigningAlg::Rs256, &kid, "logout+jwt", &stage.liar.key, &claims).unwrap();
        let stage = &stage;
        async move { tell(stage, &token).await }
    });
    let answers = futures_util::future::join_all(told).await;
    assert!(answers.iter().all(|status| *status == 400), "{answers:?}");
    assert_eq!(stage.liar.asked("/jwks").len(), before + 1);
    assert!(is_signed_in(&browser).await);
    assert_eq!(
        tell(&stage, &stage.liar.sign_as("logout+jwt", &claims)).await,
        200
    );
    assert!(!is_signed_in(&browser).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_exchanged_under_its_old_name_is_fetched() {
    let mut stage = Alone::start().await;
    signed_in(&stage, "grace", "s1").await;
    stage.liar.key = new_signing_key(SigningAlg::Rs256).unwrap();
    stage.liar.keys(&[stage.liar.public("k1")]);
    // Not more often than ten times a second.
    let browser = eventually("the new key is known", SOON, async || {
        let browser = stage.visitor();
        let make = |nonce: &str| {
            let mut claims = stage.liar.claims("grace", nonce);
            claims["sid"] = json!("s2");
            stage.liar.sign(&claims)
        };
        let seen = stage.come_in(&browser, make).await;
        (seen.status == 303).then_some(browser)
    })
    .await;
    stage.liar.key = new_signing_key(SigningAlg::Rs256).unwrap();
    stage.liar.keys(&[stage.liar.public("k1")]);
    let ended = stage
        .liar
        .sign_as("logout+jwt", &logout_claims(&stage, &json!({ "sid": "s2" })));
    eventually("its logout token is believed", SOON, async || {
        (tell(&stage, &ended).await == 200).then_some(())
    })
    .await;
    assert!(!is_signed_in(&browser).await);
}

async fn cb_9_n59_the_front_channel_ends_the_session_that_iss_and_sid_name_and_looks_at_no_cookie(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let browser = signed_in(&stage, "grace", "s1").await;
    let iss: String = url::form_urlencoded::byte_serialize(stage.liar.issuer.as_bytes()).collect();
    let path = format!("/sso/{}/frontchannel-logout", stage.id);
    for query in [
        "",
        "?sid=s1",
        &format!("?iss={iss}"),
        "?iss=https%3A%2F%2Fevil.example&sid=s1",
        &format!("?iss={iss}&sid=s2"),
        &format!("?iss={iss}&sid="),
    ] {
        // Asked with her own cookies: they count for nothing.
        let seen = browser.get(&format!("{path}{query}")).await;
        assert_eq!(seen.status, 200, "{query}");
        assert!(is_signed_in(&browser).await, "{query}");
    }
    let seen = stage.visitor().get(&format!("{path}?iss={iss}&sid=s1")).await;
    assert_eq!(seen.status, 200);
    let policy = seen.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert_eq!(
        policy,
        format!("default-src 'none'; frame-ancestors {}", stage.liar.issuer)
    );
    assert!(!seen.headers.contains_key("set-cookie") && !seen.headers.contains_key("x-frame-options"));
    assert!(!is_signed_in(&browser).await, "found by iss and sid alone");
    // Everything else stays out of frames.
    let sign_in = stage.visitor().get("/sign-in").await;
    assert!(
        sign_in.headers[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
}

async fn cb_8_signing_out_here_goes_on_to_the_provider_and_back(database: TestDatabase) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let browser = signed_in(&stage, "grace", "s1").await;
    let page = browser.get("/settings/apps").await;
    let seen = browser.submit(&page, "/sign-out", &[]).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let url = url::Url::parse(&seen.refresh()).unwrap();
    assert!(
        url.as_str().starts_with(&format!("{}/end?", stage.liar.issuer)),
        "{url}"
    );
    let param = |name: &str| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!(param("client_id").as_deref(), Some(CLIENT));
    assert_eq!(
        param("post_logout_redirect_uri"),
        Some(format!("{}/sign-in", stage.mailgrant.base_url))
    );
    assert!(param("id_token_hint").unwrap().matches('.').count() == 2);
    assert!(!is_signed_in(&browser).await, "here it is over already");
    // A provider without such a place, or one that is down, keeps nobody in.
    stage.liar.discovery(&json!({ "end_session_endpoint": null }));
    stage.patch(&json!({ "scopes": ["openid", "email"] })).await;
    let browser = signed_in(&stage, "grace", "s2").await;
    let page = browser.get("/settings/apps").await;
    assert_eq!(browser.submit(&page, "/sign-out", &[]).await.status, 303);
    assert!(!is_signed_in(&browser).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidc_provider_ends_sessions_by_the_back_channel_and_may_exchange_its_keys_in_mid_flight() {
    let options = Options {
        backchannel_logout: true,
        fresh_keys: true,
        ..Options::default()
    };
    let mut stage = Stage::start_with(None, options, json!({})).await;
    let back = format!("{}/sso/{}/backchannel-logout", stage.mailgrant.base_url, stage.id);
    let home = format!("{}/sign-in", stage.mailgrant.base_url);
    stage
        .provider
        .register(json!({
            "backchannel_logout_uri": back, "backchannel_logout_session_required": true,
            "post_logout_redirect_uris": [home],
        }))
        .await;
    stage.test_and_enable("ada@example.test").await;
    let browser = stage.visitor();
    assert_eq!(
        stage.sign_in(&browser, "grace@example.test", "/").await.status,
        303
    );
    assert!(is_signed_in(&browser).await);

    // New keys between the moment somebody leaves and the moment they come back; Mailgrant runs on.
    let waiting = stage.visitor();
    let off = waiting.get(&format!("/sso/{}/start", stage.id)).await;
    stage.provider.stop();
    stage.provider.resume().await;
    let mut walker = stage.provider.browser();
    let person = crate::support::oidc_provider::Person::Consents("lin@example.test");
    let came_back = walker.walk(&off.location, person).await.expect("a way back");
    // Keys that do not fit are fetched anew, though not more than every few seconds.
    let seen = waiting.get(came_back.as_str()).await;
    assert_eq!(seen.status, 303, "{}", super::stage::code_of(&seen));

    // Signing out there, as the provider's own page does it.
    let page = waiting.get("/settings/apps").await;
    let seen = waiting.submit(&page, "/sign-out", &[]).await;
    assert!(seen.refresh().contains("/session/end"), "{}", seen.body);
    let second = stage.visitor();
    let off = second.get(&format!("/sso/{}/start", stage.id)).await;
    let came_back = walker.walk(&off.location, person).await.expect("a way back");
    second.get(came_back.as_str()).await;
    assert!(is_signed_in(&second).await);
    walker.end_session(&seen.refresh()).await;
    eventually("the session here ended, too", SOON, async || {
        (!is_signed_in(&second).await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_2_cb_9_glewlwyd_signs_people_in_and_its_logout_page_ends_the_session_here() {
    let mailgrant = Mailgrant::start(Settings::new()).await;
    let rest = mailgrant.rest();
    let (_glewlwyd, mut there, id) = with_glewlwyd(&mailgrant).await;
    let browser = Visitor::new(&mailgrant);
    let off = browser.get(&format!("/sso/{id}/start?next=/")).await;
    let back = there.authorize(&off.location).await;
    let seen = browser.get(back.as_str()).await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
    assert!(is_signed_in(&browser).await);
    let users = rest.all("/api/v1/users").await;
    let ada = users
        .iter()
        .find(|user| user["email"] == "ada@example.test")
        .unwrap();
    assert_eq!(ada["name"], "Ada Lovelace");
    let framed = there.sign_out().await;
    assert_eq!(framed.len(), 1);
    assert!(!is_signed_in(&browser).await, "{framed:?}");
}

async fn cb_8_by_whichever_door_somebody_signs_out_the_provider_learns_of_it(database: TestDatabase) {
    let stage = Alone::start_on(Some(database), &json!({ "scopes": ["openid", "offline_access"] })).await;
    let revoke = format!("{}/revoke", stage.liar.issuer);
    stage.liar.discovery(&json!({ "revocation_endpoint": revoke }));
    stage.liar.set("/revoke", Answer::json(&json!({})));
    // Learnt anew.
    stage
        .patch(&json!({ "scopes": ["openid", "offline_access", "email"] }))
        .await;
    let client = json!({
        "name": "Desk", "redirectUris": ["https://app.example/cb"], "scopes": ["openid"],
        "postLogoutRedirectUris": ["https://app.example/bye"],
    });
    let client = stage.rest.post("/api/v1/clients", &client).await;
    let app = format!("client_id={}", client["clientId"].as_str().unwrap());
    let onward = format!("{app}&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye");
    let end = format!("{}/end?", stage.liar.issuer);
    for (n, door) in ["button", "profile", "application", "application, and back"]
        .into_iter()
        .enumerate()
    {
        let browser = stage.visitor();
        let off = stage.off(&browser).await;
        let given = json!({
            "access_token": "at-1", "token_type": "Bearer", "expires_in": 60, "refresh_token": format!("rt-{n}"),
            "id_token": stage.liar.sign(&stage.liar.claims("grace", &off.nonce)),
        });
        stage.liar.set("/token", Answer::json(&given));
        assert_eq!(browser.get(&stage.back(&off)).await.status, 303, "{door}");
        assert!(is_signed_in(&browser).await, "{door}");
        let asked = match door {
            "application" => Some(&app),
            "application, and back" => Some(&onward),
            _ => None,
        };
        let seen = match asked {
            Some(query) => {
                let page = browser.get(&format!("/oauth2/logout?{query}")).await;
                let fields: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
                    .into_owned()
                    .collect();
                let fields: Vec<(&str, &str)> = fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                browser.submit(&page, "/oauth2/logout/confirm", &fields).await
            }
            None => {
                let page = browser.get("/profile").await;
                let path = match door {
                    "button" => "/sign-out".to_owned(),
                    _ => own_session(&page.body),
                };
                browser.submit(&page, &path, &[]).await
            }
        };
        assert_eq!(seen.status, 200, "{door}: {}", seen.body);
        assert!(!is_signed_in(&browser).await, "{door}");
        match door {
            // Only one of the two can be gone to without asking.
            "application, and back" => assert!(
                seen.body.contains(&end)
                    && seen.body.contains("https://app.example/bye")
                    && !seen.body.contains("http-equiv=\"refresh\""),
                "{}",
                seen.body
            ),
            _ => assert!(seen.refresh().starts_with(&end), "{door}: {}", seen.refresh()),
        }
        let token = format!("token=rt-{n}");
        eventually("the token is given back", SOON, async || {
            let told = stage.liar.asked("/revoke");
            told.iter().any(|body| body.contains(&token)).then_some(())
        })
        .await;
        let log = stage.rest.all("/api/v1/audit-events?action=session.ended").await;
        assert_eq!(log.len(), n + 1, "{door}: {log:?}");
        assert_eq!(
            (&log[0]["via"], &log[0]["actor"]),
            (&json!("ui"), &log[0]["targetId"])
        );
    }
}

/// Where the form is sent that ends the session of this very browser.
fn own_session(page: &str) -> String {
    let found = page
        .split("action=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .find(|action| action.starts_with("/profile/sessions/") && action.ends_with("/end"));
    found.expect("a session").to_owned()
}

async fn what_changes_about_a_provider_counts_for_who_is_on_the_way_back(database: TestDatabase) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let browser = stage.visitor();
    let off = stage.off(&browser).await;
    let given = json!({
        "access_token": "at-1", "token_type": "Bearer", "expires_in": 60,
        "id_token": stage.liar.sign(&stage.liar.claims("grace", &off.nonce)),
    });
    let slowly = Answer {
        delay: std::time::Duration::from_secs(3),
        ..Answer::json(&given)
    };
    stage.liar.set("/token", slowly);
    let before = stage.liar.asked("/token").len();
    let back = stage.back(&off);
    let (seen, ()) = tokio::join!(browser.get(&back), async {
        eventually("the code is sent", SOON, async || {
            (stage.liar.asked("/token").len() > before).then_some(())
        })
        .await;
        stage.patch(&json!({ "createAccounts": false })).await;
    });
    assert_eq!((seen.status, code_of(&seen).as_str()), (400, "provider_changed"));
    assert!(!is_signed_in(&browser).await);
    assert_eq!(
        stage.rest.all("/api/v1/users").await.len(),
        1,
        "nobody got an account"
    );
}
