//! The door itself: where people go afterwards, cookies, the first administrator, other ways of a client to prove who
//! it is, and another Mailgrant as the provider.

use reqwest::Method;
use serde_json::{Value, json};

use super::liar::Answer;
use super::stage::{ADMIN, Alone, PASSWORD, Stage, add_person, code_of, given};
use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider, Options};
use crate::support::process::{Mailgrant, Settings, http};
use crate::support::visitor::Visitor;
use crate::world::text;

on_each_database!(n63_n68_after_signing_in_nobody_is_sent_elsewhere_and_the_session_is_a_new_one,);

async fn n63_n68_after_signing_in_nobody_is_sent_elsewhere_and_the_session_is_a_new_one(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    for next in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "%2F%2Fevil.example",
        "/%2f%2fevil.example",
        "javascript:alert(1)",
        "/a/../..//evil.example",
    ] {
        let browser = stage.visitor();
        let asked: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let seen = browser
            .get(&format!("/sso/{}/start?next={asked}", stage.id))
            .await;
        let (state, nonce) = (seen.param("state").unwrap(), seen.param("nonce").unwrap());
        stage
            .liar
            .gives(&stage.liar.sign(&stage.liar.claims("grace", &nonce)));
        let iss: String = url::form_urlencoded::byte_serialize(stage.liar.issuer.as_bytes()).collect();
        let seen = browser
            .get(&format!(
                "/sso/{}/callback?code=x&iss={iss}&state={state}",
                stage.id
            ))
            .await;
        assert_eq!((seen.status, seen.location.as_str()), (303, "/"), "{next}");
    }
    // A session id that was there before the sign-in, planted or not, opens nothing afterwards.
    let browser = stage.visitor();
    let cookie = |seen: &crate::support::visitor::Seen| {
        let all = seen.headers.get_all("set-cookie").iter();
        all.filter_map(|value| value.to_str().ok())
            .find(|value| value.starts_with("mailgrant="))
            .map(str::to_owned)
    };
    let make = |nonce: &str| stage.liar.sign(&stage.liar.claims("grace", nonce));
    let first = cookie(&stage.come_in(&browser, make).await).unwrap();
    assert!(
        first.contains("HttpOnly") && first.contains("SameSite=Lax") && first.contains("Path=/"),
        "{first}"
    );
    let second = cookie(&stage.come_in(&browser, make).await).unwrap();
    assert_ne!(first.split(';').next(), second.split(';').next());
    let old = first.split(';').next().unwrap();
    let answer = http()
        .get(format!("{}/settings/apps", stage.mailgrant.base_url))
        .header("cookie", old)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303, "the session before ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn n67_a_spoofed_host_changes_neither_the_redirect_url_nor_the_issuer() {
    let stage = Alone::start().await;
    let answer = http()
        .get(format!("{}/sso/{}/start", stage.mailgrant.base_url, stage.id))
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .send()
        .await
        .unwrap();
    let location = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let redirect = location
        .query_pairs()
        .find(|(name, _)| name == "redirect_uri")
        .unwrap()
        .1
        .into_owned();
    assert_eq!(
        redirect,
        format!("{}/sso/{}/callback", stage.mailgrant.base_url, stage.id)
    );
    assert!(location.as_str().starts_with(&stage.liar.issuer));
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_18_local_sign_in_can_be_switched_off_and_a_link_of_the_machine_still_lets_an_admin_in() {
    let stage = Alone::start().await;
    let page = stage.visitor().get("/sign-in").await;
    assert!(page.body.contains("Sign in with Company") && page.body.contains("name=\"password\""));
    stage.patch(&json!({ "localSignIn": false })).await;
    let browser = stage.visitor();
    let page = browser.get("/sign-in").await;
    assert!(
        page.body.contains("Sign in with Company") && !page.body.contains("name=\"password\""),
        "at once"
    );
    let fields = [("email", ADMIN), ("password", PASSWORD), ("next", "/")];
    let csrf_page = browser.get("/sign-in").await;
    let seen = browser.submit(&csrf_page, "/sign-in", &fields).await;
    assert_eq!(seen.status, 403, "{}", seen.body);
    // Nor does a new password: it would let somebody in without the provider.
    assert_eq!(browser.get("/forgot-password").await.status, 403);
    let fields = [("email", ADMIN)];
    let seen = browser.submit(&csrf_page, "/forgot-password", &fields).await;
    assert_eq!(seen.status, 403, "{}", seen.body);
    let users = stage
        .rest
        .send(Method::GET, "/api/v1/users", None)
        .await
        .ok("users");
    let path = format!("/api/v1/users/{}/password-links", text(&users["items"][0], "id"));
    let made = stage.rest.post(&path, &json!({})).await;
    let link = text(&made, "url");
    let seen = browser.get(&link).await;
    assert_eq!(seen.status, 403, "{}", seen.body);
    let fields = [("password", "a sentence that nobody guesses")];
    let seen = browser.submit(&csrf_page, &link, &fields).await;
    assert_eq!(seen.status, 403, "{}", seen.body);
    let printed = stage.mailgrant.run_ok(&["user", "recover", "--email", ADMIN]);
    let url = printed
        .split_whitespace()
        .find(|word| word.starts_with("http"))
        .unwrap()
        .to_owned();
    let seen = browser.get(&url).await;
    assert!(
        seen.status == 303 || seen.status == 200,
        "the way round is open: {}",
        seen.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_14_cb_15_every_endpoint_by_hand_client_authentication_by_post_and_scopes_work_without_discovery()
{
    let mut provider = OidcProvider::start_with(Options {
        token_endpoint_auth_method: "client_secret_post",
        ..Options::default()
    })
    .await;
    let mailgrant = Mailgrant::start(Settings::new()).await;
    add_person(&mailgrant, ADMIN, "Root");
    let at = |path: &str| format!("{}{path}", provider.issuer);
    let rest = mailgrant.rest();
    let made = rest
        .post(
            "/api/v1/identity-providers",
            &given(&provider.issuer, &json!({
                "discovery": false, "authorizationEndpoint": at("/auth"), "tokenEndpoint": at("/token"),
                "jwksUri": at("/jwks"), "userinfoEndpoint": at("/me"), "endSessionEndpoint": at("/session/end"),
                "tokenEndpointAuthMethod": "client_secret_post", "scopes": ["openid", "profile", "email"],
                "nameClaims": ["preferred_username", "name"],
            })),
        )
        .await;
    assert_eq!(made["clientSecret"], Value::Null, "never shown");
    assert_eq!(made["hasClientSecret"], true);
    provider
        .register_redirect(&text(&made["register"], "redirectUrl"))
        .await;
    let stage = Stage {
        provider,
        mailgrant,
        rest,
        id: text(&made, "id"),
        database: None,
    };
    stage.test_and_enable("ada@example.test").await;
    let seen = stage.sign_in(&stage.visitor(), "ada@example.test", "/").await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
    // A wrong secret is told apart from everything else.
    stage.patch(&json!({ "clientSecret": "wrong" })).await;
    let seen = stage.sign_in(&stage.visitor(), "ada@example.test", "/").await;
    assert_eq!(code_of(&seen), "invalid_client");
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_13_a_signed_assertion_stands_in_for_a_secret() {
    let mut stage = Stage::start(
        None,
        json!({ "tokenEndpointAuthMethod": "private_key_jwt", "clientSecret": "" }),
    )
    .await;
    let made = stage.rest.get(&stage.path()).await;
    let jwks = text(&made["register"], "jwksUrl");
    let keys: Value = http().get(&jwks).send().await.unwrap().json().await.unwrap();
    assert_eq!(keys["keys"][0]["kty"], "EC");
    assert!(keys["keys"][0].get("d").is_none());
    stage
        .provider
        .register(json!({
            "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256", "jwks": keys,
        }))
        .await;
    stage.test_and_enable("ada@example.test").await;
    let seen = stage.sign_in(&stage.visitor(), "ada@example.test", "/").await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_7_cb_17_a_provider_of_the_file_makes_the_first_administrator_who_was_named_and_nobody_else() {
    let mut provider = OidcProvider::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mailgrant.toml");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
    let issuer = provider.issuer.clone();
    let write = |more: &str| {
        let text = format!(
            "[[identity_providers]]\nid = \"company\"\nname = \"Company\"\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n\
             client_secret_file = \"{}\"\n{more}\n",
            issuer,
            secret.display(),
        );
        std::fs::write(&file, text).unwrap();
    };
    write("first_admin_email = \"ada@example.test\"");
    let mut mailgrant = Mailgrant::prepare(Settings::new().set("MAILGRANT_CONFIG", file.to_string_lossy()));
    let redirect = format!("{}/sso/idp_company/callback", mailgrant.base_url);
    provider.register_redirect(&redirect).await;
    let checked = mailgrant.run_ok(&["config", "check", "--online"]);
    assert!(checked.contains("identity provider Company: ok"), "{checked}");
    mailgrant.resume().await;
    assert!(
        !mailgrant.log().contains("/setup?token="),
        "in place of the set-up link"
    );
    let off = async |browser: &Visitor, login: &str| {
        let seen = browser.get("/sso/idp_company/start").await;
        let back = provider.consent(&seen.location, login).await;
        browser.get(back.as_str()).await
    };
    let mallory = Visitor::new(&mailgrant);
    let page = mallory.get("/").await;
    assert!(page.location.contains("/sign-in"), "{}", page.location);
    let seen = off(&mallory, "mallory@example.test").await;
    assert_eq!(code_of(&seen), "not_the_first_admin");
    // Many at once who are all the one that was named: one account.
    let browsers: Vec<Visitor> = (0..8).map(|_| Visitor::new(&mailgrant)).collect();
    let mut addresses = Vec::new();
    for browser in &browsers {
        let seen = browser.get("/sso/idp_company/start").await;
        addresses.push(provider.consent(&seen.location, "ada@example.test").await);
    }
    let all = browsers
        .iter()
        .zip(&addresses)
        .map(|(browser, address)| browser.get(address.as_str()));
    let all = futures_util::future::join_all(all).await;
    assert!(
        all.iter().all(|seen| seen.status == 303),
        "{:?}",
        all.iter().map(code_of).collect::<Vec<_>>()
    );
    let rest = mailgrant.rest();
    let users = rest.all("/api/v1/users").await;
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["isSiteAdmin"], true);
    // From now on the rule rests: others are nobody in particular.
    let seen = off(&mallory, "mallory@example.test").await;
    assert_eq!(seen.status, 303);
    let users = rest.all("/api/v1/users").await;
    assert_eq!(users.iter().filter(|user| user["isSiteAdmin"] == true).count(), 1);
    // The file is the only place to change it.
    for (method, path) in [(Method::PATCH, ""), (Method::DELETE, "")] {
        let reply = rest
            .send(
                method,
                &format!("/api/v1/identity-providers/idp_company{path}"),
                Some(&json!({})),
            )
            .await;
        assert_eq!((reply.status, &reply.json["code"]), (409, &json!("set_in_file")));
    }
    mailgrant.stop();
    std::fs::write(&file, "").unwrap();
    mailgrant.resume().await;
    assert!(
        rest.all("/api/v1/identity-providers").await.is_empty(),
        "gone from the file, gone from the page"
    );
    // A wrong secret is found without anybody signing in.
    std::fs::write(&secret, "wrong").unwrap();
    write("");
    let out = mailgrant.run(&["config", "check", "--online"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.code() == Some(1) && said.contains("invalid_client"),
        "{said}"
    );
    assert!(!said.contains("wrong\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_2_another_mailgrant_is_the_provider() {
    let there = Mailgrant::start(Settings::new()).await;
    let email = "ada@example.test";
    add_person(&there, email, "Ada");
    let here = Mailgrant::start(Settings::new()).await;
    add_person(&here, ADMIN, "Root");
    let rest = here.rest();
    let there_rest = there.rest();
    let body = |id: &str, secret: &str| {
        json!({
            "name": "Head office", "preset": "mailgrant", "issuer": there.base_url, "clientId": id, "clientSecret": secret,
            "trustEmail": true,
        })
    };
    let made = rest
        .post("/api/v1/identity-providers", &body("not-yet", "s3cret-not-yet"))
        .await;
    let client = there_rest
        .post("/api/v1/clients", &json!({
            "name": "Branch", "redirectUris": [made["register"]["redirectUrl"]], "scopes": ["openid", "profile", "email"],
            "grantTypes": ["authorization_code"], "autoGrant": true,
        }))
        .await;
    let path = format!("/api/v1/identity-providers/{}", text(&made, "id"));
    let changes = json!({ "clientId": client["clientId"], "clientSecret": client["clientSecret"] });
    rest.send(Method::PATCH, &path, Some(&changes)).await.ok("PATCH");
    let begun = rest.post(&format!("{path}/tests"), &json!({})).await;
    let walk = async |start: String| {
        let (browser, office) = (Visitor::new(&here), Visitor::new(&there));
        let mut seen = browser.get(&start).await;
        for _ in 0..10 {
            let to = match seen.location.as_str() {
                "" => seen.refresh(),
                location => location.to_owned(),
            };
            if to.starts_with(&format!("{}/sso/", here.base_url)) {
                return browser.get(&to).await;
            }
            let to = to.strip_prefix(&there.base_url).unwrap_or(&to).to_owned();
            seen = office.get(&to).await;
            if seen.body.contains("name=\"password\"") {
                seen = office
                    .sign_in(&seen, email, &secrecy::SecretString::from(PASSWORD))
                    .await;
            }
        }
        seen
    };
    walk(text(&begun, "testUrl")).await;
    let run = rest.get(&format!("{path}/tests/{}", text(&begun, "id"))).await;
    assert_eq!(run["state"], "passed", "{run}");
    rest.post(&format!("{path}/enable"), &json!({})).await;
    let seen = walk(format!("/sso/{}/start?next=/", text(&made, "id"))).await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
    let users = rest.all("/api/v1/users").await;
    assert!(
        users
            .iter()
            .any(|user| user["email"] == email && user["name"] == "Ada"),
        "{users:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_slow_down_or_changed_meanwhile_has_a_page_that_says_so() {
    let stage = Alone::start().await;
    let browser = stage.visitor();
    let off = stage.off(&browser).await;
    stage.patch(&json!({ "scopes": ["openid"] })).await;
    let seen = browser.get(&stage.back(&off)).await;
    assert_eq!(code_of(&seen), "provider_changed");
    // Down: nobody signs in, and the page says what to do.
    let issuer = stage.liar.issuer.clone();
    drop(stage.liar);
    let mut alone = stage.mailgrant;
    let gone = Visitor::new(&alone)
        .get(&format!("/sso/{}/start?next=/tickets", stage.id))
        .await;
    assert_eq!(
        (gone.status, code_of(&gone).as_str()),
        (502, "connection_refused"),
        "{issuer}"
    );
    assert!(gone.body.contains("next=%2Ftickets") && gone.body.contains("Try again"));
    let page = Visitor::new(&alone).get("/sign-in").await;
    assert!(
        page.body.contains("name=\"password\""),
        "and the other door is open"
    );
    alone.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_10_who_narrows_what_the_provider_says_comes_in_with_the_subject_as_the_name() {
    let stage = Alone::start().await;
    stage.liar.discovery(&json!({ "userinfo_endpoint": null }));
    stage.patch(&json!({ "scopes": ["openid"] })).await;
    let seen = stage
        .come_back_with(|nonce| {
            let mut claims = stage.liar.claims("4711", nonce);
            for name in ["email", "email_verified", "name"] {
                claims.as_object_mut().unwrap().remove(name);
            }
            stage.liar.sign(&claims)
        })
        .await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
    let users = stage.rest.all("/api/v1/users").await;
    assert!(users.iter().any(|user| user["name"] == "4711"), "{users:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_11_cb_12_cb_13_what_to_register_is_shown_as_absolute_addresses_and_scopes_can_be_added() {
    let stage = Alone::start().await;
    let made = stage
        .rest
        .get(&format!("/api/v1/identity-providers/{}", stage.id))
        .await;
    assert_eq!(made["scopes"], json!(["openid", "profile", "email"]));
    for name in [
        "redirectUrl",
        "postLogoutRedirectUrl",
        "frontchannelLogoutUrl",
        "backchannelLogoutUrl",
        "jwksUrl",
    ] {
        assert!(
            text(&made["register"], name).starts_with(&stage.mailgrant.base_url),
            "{made}"
        );
    }
    let changed = stage
        .patch(&json!({ "scopes": ["profile", "phone", "address", "offline_access", "phone"] }))
        .await;
    assert_eq!(
        changed["scopes"],
        json!(["openid", "profile", "phone", "address", "offline_access"])
    );
    assert_eq!(changed["enabled"], true, "another scope is no other provider");
    let browser = stage.visitor();
    let off = browser.get(&format!("/sso/{}/start", stage.id)).await;
    assert_eq!(
        off.param("scope").as_deref(),
        Some("openid profile phone address offline_access")
    );
    assert_eq!(off.param("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(off.param("response_type").as_deref(), Some("code"));
    // With `offline_access` the person is asked (OpenID Connect Core, section 11).
    assert_eq!(off.param("prompt").as_deref(), Some("consent"));
    let off = browser.get(&format!("/sso/{}/start?again=1", stage.id)).await;
    assert_eq!(off.param("prompt").as_deref(), Some("login consent"));
    stage.patch(&json!({ "scopes": ["profile"] })).await;
    let off = browser.get(&format!("/sso/{}/start", stage.id)).await;
    assert_eq!(off.param("prompt"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn n61_several_tenants_of_entra_are_told_apart_and_nothing_they_say_but_the_subject_counts() {
    const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let stage = Alone::start().await;
    let base = stage.liar.issuer.clone();
    let template = format!("{base}/{{tenantid}}/v2.0");
    let at = |path: &str| format!("{base}{path}");
    stage.liar.set(
        "/organizations/v2.0/.well-known/openid-configuration",
        Answer::json(&json!({
            "issuer": template, "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })),
    );
    let entra = json!({ "preset": "entra", "issuer": template, "tenant": "organizations" });
    for (more, field) in [
        (json!({ "trustEmail": true }), "/trustEmail"),
        (json!({ "linkClaim": "preferred_username" }), "/linkClaim"),
        (
            json!({ "groupsClaim": "roles", "groupRules": [{ "group": "a", "role": "site_admin" }] }),
            "/groupRules",
        ),
    ] {
        let mut body = entra.clone();
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = stage.try_to_add("Entra", &body).await;
        assert_eq!(
            (reply.status, &reply.json["errors"][0]["pointer"]),
            (422, &json!(field)),
            "{}",
            reply.json
        );
    }
    let id = stage.add("Entra", &entra).await;
    let path = format!("/api/v1/identity-providers/{id}");
    let walk = async |start: String, changes: Value| {
        let browser = stage.visitor();
        let off = browser.get(&start).await;
        let mut claims = stage.liar.claims("mallory", &off.param("nonce").unwrap());
        claims["tid"] = json!(TENANT);
        claims["iss"] = json!(format!("{base}/{TENANT}/v2.0"));
        claims["email"] = json!(ADMIN);
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        stage.liar.gives(&stage.liar.sign(&claims));
        let state = off.param("state").unwrap();
        browser
            .get(&format!("/sso/{id}/callback?code=x&state={state}"))
            .await
    };
    let begun = stage.rest.post(&format!("{path}/tests"), &json!({})).await;
    walk(text(&begun, "testUrl"), json!({})).await;
    stage.rest.post(&format!("{path}/enable"), &json!({})).await;
    let start = || format!("/sso/{id}/start");
    let before = stage.rest.all("/api/v1/users").await.len();
    for changes in [
        json!({ "iss": template }),
        json!({ "tid": "another" }),
        json!({ "tid": "00000000-0000-0000-0000-000000000000" }),
        json!({ "tid": null }),
        json!({ "iss": base }),
    ] {
        let seen = walk(start(), changes.clone()).await;
        assert_eq!(code_of(&seen), "id_token_issuer", "{changes}");
    }
    // The address of our administrator, "verified" by the admin of some organisation.
    let seen = walk(start(), json!({ "email_verified": true })).await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
    let users = stage.rest.all("/api/v1/users").await;
    assert_eq!(users.len(), before + 1);
    let made = users.last().unwrap();
    assert!(
        text(made, "email").ends_with("@no-address.invalid") && made["isSiteAdmin"] == false,
        "{made}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_answer_is_given_up_after_some_seconds_with_a_page() {
    let stage = Alone::start().await;
    let mut slow = Answer::of(200, "application/json", "{}");
    slow.delay = std::time::Duration::from_secs(600);
    let seen = stage.come_back_to(slow).await;
    assert_eq!((seen.status, code_of(&seen).as_str()), (502, "http_timeout"));
    assert!(seen.body.contains("Try again"));
}
