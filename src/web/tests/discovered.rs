//! Where applications find what the server promises, also where its issuer has a path.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::tests::site_with;
use crate::config::Config;

#[tokio::test(flavor = "multi_thread")]
async fn the_discovery_document_is_found_under_each_of_its_names() {
    let issuer = "https://mail.example.org/idp";
    let site = site_with(|ctx| {
        let mut config = Config::clone(&ctx.config);
        config.base_url = issuer.parse().unwrap();
        ctx.config = Arc::new(config);
    })
    .await;
    let read = async |path: &str| {
        let answer = site.get(&format!("/.well-known/{path}")).send().await.unwrap();
        (
            answer.status(),
            answer.json::<Value>().await.unwrap_or(Value::Null),
        )
    };
    let (status, document) = read("openid-configuration").await;
    assert_eq!((status, &document["issuer"]), (StatusCode::OK, &json!(issuer)));
    for name in [
        "oauth-authorization-server",
        // Teamwork Cloud's.
        "oidc-configuration",
        "oauth2.0-configuration",
        // The path of the issuer behind the name (RFC 8414, section 3.1).
        "oauth-authorization-server/idp",
        "openid-configuration/idp",
        "openid-configuration/idp/",
    ] {
        assert_eq!(read(name).await, (StatusCode::OK, document.clone()), "{name}");
    }
    let (status, resource) = read("oauth-protected-resource").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(resource["resource"], format!("{issuer}/api/v1"));
    assert_eq!(resource["authorization_servers"], json!([issuer]));
    assert_eq!(resource["bearer_methods_supported"], json!(["header"]));
    let scopes = resource["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("tickets:read")) && !scopes.contains(&json!("openid")));
    for name in ["idp/api/v1", "api/v1"] {
        let name = format!("oauth-protected-resource/{name}");
        assert_eq!(read(&name).await, (StatusCode::OK, resource.clone()), "{name}");
    }
    for name in [
        "oauth-authorization-server/other",
        "openid-configuration/idp/x",
        "oauth-protected-resource/idp/api/v2",
    ] {
        assert_eq!(read(name).await.0, StatusCode::NOT_FOUND, "{name}");
    }
}
