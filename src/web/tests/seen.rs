//! Changes from one state, sent at once: whoever comes second finds another state than they looked at.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::access_tests::World;
use crate::access::{Scope, Scopes};

/// How many ask at once.
const AT_ONCE: usize = 6;

/// What is changed: the route by whose parameters a thing is made, and what is done to it.
fn changes() -> Vec<(&'static str, Method, &'static str, Value)> {
    let none = || json!({});
    vec![
        (
            "/api/v1/projects/{id}/members/{userId}",
            Method::PATCH,
            "",
            json!({ "role": "agent" }),
        ),
        (
            "/api/v1/projects/{id}/members/{userId}",
            Method::DELETE,
            "",
            none(),
        ),
        (
            "/api/v1/users/{id}",
            Method::PATCH,
            "",
            json!({ "isDisabled": true }),
        ),
        ("/api/v1/sessions/{id}", Method::DELETE, "", none()),
        ("/api/v1/connected-apps/{id}", Method::DELETE, "", none()),
        ("/api/v1/clients/{id}", Method::POST, "/secrets", none()),
        ("/api/v1/clients/{id}", Method::POST, "/revoke", none()),
        ("/api/v1/mailboxes/{id}", Method::POST, "/pause", none()),
        ("/api/v1/mailboxes/{id}", Method::POST, "/resume", none()),
        ("/api/v1/mailboxes/{id}", Method::DELETE, "", none()),
        ("/api/v1/integrations/{id}", Method::DELETE, "", none()),
        (
            "/api/v1/queues/{id}",
            Method::POST,
            "/seek",
            json!({ "to": "oldest" }),
        ),
        ("/api/v1/outgoing-mails/{id}", Method::POST, "/retry", none()),
        ("/api/v1/outgoing-mails/{id}", Method::POST, "/cancel", none()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_who_change_the_same_state_at_once_one_succeeds() {
    let world = World::new().await;
    let everything = Scopes::from_iter(Scope::ALL.iter().copied());
    let token = world.token(0, everything, false).await;
    let all = crate::web::routes();
    for (shown, method, action, body) in changes() {
        let what = format!("{method} {shown}{action}");
        let route = all
            .iter()
            .find(|route| route.path == shown && route.method == "GET")
            .unwrap_or_else(|| panic!("{what}: there is no such route"));
        let path = world.filled(route, 0).await;
        let looked = world.site.get(&path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(looked.status(), StatusCode::OK, "{what}");
        let tag = looked.headers()["etag"].to_str().unwrap().to_owned();
        let asked = (0..AT_ONCE).map(|n| {
            let mut request = world
                .site
                .ask(method.clone(), &format!("{path}{action}"))
                .bearer_auth(&token)
                .header("if-match", &tag)
                .header("idempotency-key", format!("{what}{n}").replace(' ', ""));
            if method != Method::DELETE {
                request = request.json(&body);
            }
            async move { request.send().await.unwrap().status() }
        });
        let told: Vec<StatusCode> = join_all(asked).await;
        let of = |wanted: fn(&StatusCode) -> bool| told.iter().filter(|status| wanted(status)).count();
        assert_eq!(of(|status| status.is_success()), 1, "{what}: {told:?}");
        // What is gone is not there for those who come later.
        let late = of(|status| [StatusCode::PRECONDITION_FAILED, StatusCode::NOT_FOUND].contains(status));
        assert_eq!(late, AT_ONCE - 1, "{what}: {told:?}");
    }
}
