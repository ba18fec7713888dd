//! What the page that asks shows of an application, and how long what is allowed there lasts.

use serde_json::{Value, json};

use super::{EMAIL, PASSWORD, Server};
use crate::support::process::{Mailgrant, Settings, http};
use crate::support::visitor::{Seen, Visitor};
use crate::world::text;

/// Ada, as far as the page that asks.
async fn asked(server: &Server, client: &Value, visitor: &Visitor) -> (String, Seen) {
    let seen = visitor.get(&server.request_of(client, &[])).await;
    let path = seen.location.clone();
    let page = visitor.get(&path).await;
    let sign_in = visitor.get(&page.location).await;
    let password = secrecy::SecretString::from(PASSWORD);
    let next = visitor.sign_in(&sign_in, EMAIL, &password).await;
    (path, visitor.get(&next.location).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_10_what_is_allowed_lasts_as_long_as_its_person_chose() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let (path, consent) = asked(&server, &server.client, &visitor).await;
    let allow = [
        ("decision", "allow"),
        ("scope", "openid"),
        ("scope", "tickets:read"),
        ("reach", "all"),
        ("lasts", "3600"),
    ];
    let allowed = visitor.submit(&consent, &path, &allow).await;
    let tokens = server.redeem(&allowed.param("code").unwrap()).await;
    assert_eq!(
        tokens.text("scope"),
        "openid tickets:read",
        "the profile was unticked"
    );
    let words = [
        "token", "create", "--name", "own", "--user", EMAIL, "--scope", "admin", "--json",
    ];
    let own: Value = serde_json::from_str(&server.mailgrant.run_ok(&words)).unwrap();
    let apps: Value = http()
        .get(format!("{}/api/v1/connected-apps", server.mailgrant.base_url))
        .bearer_auth(text(&own, "token"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let app = &apps["items"][0];
    let at = |name: &str| chrono::DateTime::parse_from_rfc3339(app[name].as_str().unwrap()).unwrap();
    let lasts = (at("expiresAt") - at("grantedAt")).num_seconds();
    assert!((3_599..=3_601).contains(&lasts), "{lasts}: {app}");
    assert_eq!(app["scopes"], json!(["openid", "tickets:read"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_11_what_is_registered_of_an_application_is_kept_and_shown_before_anybody_allows_it() {
    let server = Server::start().await;
    let shown = json!({
        "name": "Shown", "description": "Prints labels.", "clientUri": "https://app.example/home",
        "logoUri": "https://app.example/logo.png", "policyUri": "https://app.example/privacy",
        "tosUri": "https://app.example/terms",
    });
    let mut given = shown.clone();
    given["applicationType"] = json!("web");
    given["contacts"] = json!(["desk@app.example", "chief@app.example"]);
    let client = server.add_client(&given).await;
    let path = format!("/api/v1/clients/{}", text(&client, "id"));
    let kept = server.rest.get(&path).await;
    for (name, value) in given.as_object().unwrap() {
        assert_eq!(&kept[name], value, "{name}");
    }
    let visitor = Visitor::new(&server.mailgrant);
    let (_, consent) = asked(&server, &client, &visitor).await;
    let body = consent.body.replace("&#x2F;", "/");
    for (name, value) in shown.as_object().unwrap() {
        assert!(body.contains(value.as_str().unwrap()), "{name}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nx_4_a_folder_of_pages_takes_the_place_of_ours_and_a_broken_one_is_told_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("consent.html");
    let page = include_str!("../../../templates/oauth2/consent.html");
    std::fs::write(
        &file,
        page.replace("wants access", "knocks at the house of Example"),
    )
    .unwrap();
    let named = folder.path().display().to_string();
    let settings = || Settings::new().set("MAILGRANT_OAUTH_TEMPLATES", &named);
    let server = Server::start_with(settings(), None).await;
    server.mailgrant.run_ok(&["config", "check"]);
    let visitor = Visitor::new(&server.mailgrant);
    let (path, consent) = asked(&server, &server.client, &visitor).await;
    assert!(
        consent.body.contains("knocks at the house of Example"),
        "{}",
        consent.body
    );
    let allow = [
        ("decision", "allow"),
        ("scope", "openid"),
        ("reach", "all"),
        ("lasts", ""),
    ];
    let allowed = visitor.submit(&consent, &path, &allow).await;
    assert!(allowed.param("code").is_some(), "{}", allowed.body);
    // A word that no page of ours has, on the third line.
    std::fs::write(&file, "<p>\n</p>\n{{ nobody.knows }}\n").unwrap();
    let broken = Mailgrant::prepare(settings());
    for command in [["config", "check"].as_slice(), &["serve"]] {
        let out = broken.run(command);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{command:?}: {told}");
        assert!(
            told.contains("consent.html") && told.contains('3'),
            "{command:?}: {told}"
        );
    }
}
