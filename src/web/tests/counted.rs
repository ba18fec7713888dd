//! How often the endpoints for applications answer: each counts by address and by client.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::apps_tests::{client, given, person};
use super::tests::{Site, site_with};
use crate::config::Config;
use crate::oauth2_server::{self, ClientAuth, GrantType, NewClient};

/// A site where this is different.
async fn counting(change: impl FnOnce(&mut Config)) -> Site {
    site_with(|ctx| {
        let mut config = Config::clone(&ctx.config);
        change(&mut config);
        ctx.config = Arc::new(config);
    })
    .await
}

async fn status(request: reqwest::RequestBuilder) -> StatusCode {
    let answer = request.send().await.unwrap();
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        assert!(answer.headers().contains_key("retry-after"));
    }
    answer.status()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_that_asks_without_end_keeps_no_other_from_its_answers() {
    let site = counting(|config| config.requests_per_token = 3).await;
    let mut machines: Vec<(String, SecretString)> = Vec::new();
    for name in ["A", "B"] {
        let mut new = NewClient::default();
        new.fields.name = name.into();
        new.fields.scopes = vec!["tickets:read".into()];
        new.fields.grant_types = vec![GrantType::ClientCredentials];
        new.fields.auth_method = ClientAuth::Basic;
        let made = oauth2_server::create(site.ctx(), "cli", new).await.unwrap();
        machines.push((made.client.client_id.clone(), made.secret.unwrap()));
    }
    let token = |at: usize| {
        let (id, secret) = &machines[at];
        site.ask(Method::POST, "/oauth2/token")
            .basic_auth(id, Some(secret.expose_secret()))
            .form(&[("grant_type", "client_credentials")])
    };
    for _ in 0..3 {
        assert_eq!(status(token(0)).await, StatusCode::OK);
    }
    assert_eq!(status(token(0)).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(token(1)).await, StatusCode::OK);
    // Those who bring tokens count as the client the tokens are of.
    let ada = person(&site, "ada@example.org", true).await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let app = client(&site, "", |_| {}).await;
        tokens.push(given(&site, &app, &ada, "openid").await);
    }
    let userinfo = |at: usize| {
        site.get("/oauth2/userinfo")
            .bearer_auth(tokens[at].expose_secret())
    };
    for _ in 0..3 {
        assert_eq!(status(userinfo(0)).await, StatusCode::OK);
    }
    assert_eq!(status(userinfo(0)).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(userinfo(1)).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_ask_without_end_with_tokens_or_for_a_sign_out() {
    let site = counting(|config| config.requests_per_address = 3).await;
    for (path, first) in [
        ("/oauth2/userinfo", StatusCode::UNAUTHORIZED),
        ("/oauth2/logout?id_token_hint=x", StatusCode::BAD_REQUEST),
    ] {
        for _ in 0..3 {
            assert_eq!(status(site.get(path)).await, first, "{path}");
        }
        assert_eq!(
            status(site.get(path)).await,
            StatusCode::TOO_MANY_REQUESTS,
            "{path}"
        );
    }
}
