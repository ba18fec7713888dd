//! Clients that register and manage themselves (RFC 7591, RFC 7592).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, CALLBACK, Server, client_with};
use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings, http};
use crate::support::visitor::Visitor;
use crate::world::text;

/// Sends JSON to the registration endpoint or one of its clients.
async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Answer {
    let url = match path.starts_with("http") {
        true => path.to_owned(),
        false => format!("{}{path}", server.mailgrant.base_url),
    };
    let mut request = http().request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    let answer = request.send().await.expect("an answer");
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        json: answer.json().await.unwrap_or(Value::Null),
    }
}

async fn register(server: &Server, token: Option<&str>, body: &Value) -> Answer {
    ask(server, Method::POST, "/oauth2/register", token, Some(body)).await
}

async fn initial_token(server: &Server, changes: &Value) -> String {
    let mut body =
        json!({ "name": "Test", "scopes": ["openid", "profile", "tickets:read"], "approves": true });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    text(
        &server.rest.post("/api/v1/initial-access-tokens", &body).await,
        "token",
    )
}

fn app() -> Value {
    json!({ "client_name": "Portal", "redirect_uris": [CALLBACK], "scope": "openid profile tickets:read" })
}

fn app_with(name: &str, value: Value) -> Value {
    let mut body = app();
    body[name] = value;
    body
}

on_each_database!(a_client_registers_uses_changes_and_removes_itself);

async fn a_client_registers_uses_changes_and_removes_itself(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let initial = initial_token(&server, &json!({ "uses": null })).await;
    let made = register(&server, Some(&initial), &app()).await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(made.headers["cache-control"], "no-store");
    assert_eq!(made.json["mailgrant_state"], "approved");
    assert_eq!(made.json["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(made.json["client_secret_expires_at"], 0);
    let client = json!({
        "clientId": made.json["client_id"], "clientSecret": made.json["client_secret"],
    });
    // A real sign-in with it.
    let code = server.code_of(&client, &[]).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", super::VERIFIER),
    ];
    let tokens = server.ask(&client, "/oauth2/token", &fields).await;
    let access = tokens.text("access_token");
    assert_eq!(server.api(&access, "/api/v1/tickets").await, 200);
    // It reads and changes itself; the token is a new one, and the one before is over as soon as that one is used.
    let uri = text(&made.json, "registration_client_uri");
    let first = text(&made.json, "registration_access_token");
    let read = ask(&server, Method::GET, &uri, Some(&first), None).await;
    assert_eq!((read.status, &read.json["client_name"]), (200, &json!("Portal")));
    assert!(read.json.get("client_secret").is_none());
    let mut change = app_with("client_name", json!("Portal 2"));
    change["client_id"] = made.json["client_id"].clone();
    let changed = ask(&server, Method::PUT, &uri, Some(&first), Some(&change)).await;
    assert_eq!(
        (changed.status, &changed.json["client_name"]),
        (200, &json!("Portal 2"))
    );
    let second = text(&changed.json, "registration_access_token");
    assert_ne!(first, second);
    // The answer was lost: the one before still opens. It does not when the new one arrived.
    assert_eq!(
        ask(&server, Method::GET, &uri, Some(&first), None).await.status,
        200
    );
    assert_eq!(
        ask(&server, Method::GET, &uri, Some(&second), None).await.status,
        200
    );
    assert_eq!(
        ask(&server, Method::GET, &uri, Some(&first), None).await.status,
        401
    );
    // What it leaves out is as it would be registered anew; scopes never grow beyond what the token allowed.
    let mut wide = change.clone();
    wide["scope"] = json!("openid admin");
    let refused = ask(&server, Method::PUT, &uri, Some(&second), Some(&wide)).await;
    assert_eq!(refused.error(), (400, "invalid_client_metadata"));
    for never in ["registration_access_token", "client_id_issued_at"] {
        let mut sent = change.clone();
        sent[never] = json!(1);
        let refused = ask(&server, Method::PUT, &uri, Some(&second), Some(&sent)).await;
        assert_eq!(refused.error(), (400, "invalid_request"), "{never}");
    }
    let mut other = change.clone();
    other["client_id"] = json!("mg_cid_other");
    assert_eq!(
        ask(&server, Method::PUT, &uri, Some(&second), Some(&other))
            .await
            .error(),
        (400, "invalid_client_metadata")
    );
    // N55: after its removal nothing of it opens anything.
    assert_eq!(
        ask(&server, Method::DELETE, &uri, Some(&second), None)
            .await
            .status,
        204
    );
    assert_eq!(
        ask(&server, Method::GET, &uri, Some(&second), None).await.status,
        401
    );
    assert_eq!(server.api(&access, "/api/v1/tickets").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn n52_registration_is_closed_unless_a_token_or_the_operator_opens_it() {
    let server = Server::start().await;
    for token in [None, Some("mg_iat_nonsense"), Some("mg_pat_x"), Some("")] {
        let refused = register(&server, token, &app()).await;
        assert_eq!(refused.error(), (401, "invalid_token"), "{token:?}");
        assert!(
            refused.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
    }
    // Each use counts, a mistake does not, and of two at once one gets the last.
    let once = initial_token(&server, &json!({ "uses": 1 })).await;
    let wrong = register(
        &server,
        Some(&once),
        &app_with("redirect_uris", json!(["http://app.example/cb"])),
    )
    .await;
    assert_eq!(wrong.error(), (400, "invalid_redirect_uri"));
    let body = app();
    let (a, b) = tokio::join!(
        register(&server, Some(&once), &body),
        register(&server, Some(&once), &body)
    );
    let mut both = [a.status, b.status];
    both.sort_unstable();
    assert_eq!(both, [201, 401]);
    let revoked = server
        .rest
        .post(
            "/api/v1/initial-access-tokens",
            &json!({ "name": "R", "scopes": ["openid"] }),
        )
        .await;
    let path = format!("/api/v1/initial-access-tokens/{}", text(&revoked, "id"));
    assert_eq!(server.rest.send(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(
        register(&server, Some(&text(&revoked, "token")), &app())
            .await
            .status,
        401
    );
    // The token's list never shows it.
    let list = server.rest.get("/api/v1/initial-access-tokens").await;
    assert!(!list.to_string().contains("mg_iat_"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn n52_n54_what_a_client_says_of_itself_is_checked() {
    let server = Server::start().await;
    let initial = initial_token(&server, &json!({ "uses": null })).await;
    let many: Vec<String> = (0..100).map(|n| format!("https://app.example/{n}")).collect();
    for (name, value, error) in [
        (
            "redirect_uris",
            json!(["https://app.example/cb#x"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["javascript:alert(1)"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["data:text/html,x"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["http://app.example/cb"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["https://*.example/cb"]),
            "invalid_redirect_uri",
        ),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        ("redirect_uris", json!(many), "invalid_redirect_uri"),
        (
            "post_logout_redirect_uris",
            json!(["http://app.example/bye"]),
            "invalid_client_metadata",
        ),
        ("grant_types", json!(["implicit"]), "invalid_client_metadata"),
        ("response_types", json!(["token"]), "invalid_client_metadata"),
        ("contacts", json!({}), "invalid_client_metadata"),
        ("scope", json!("openid admin"), "invalid_client_metadata"),
        (
            "token_endpoint_auth_method",
            json!("none of these"),
            "invalid_client_metadata",
        ),
        (
            "software_statement",
            json!("eyJ.e30."),
            "invalid_software_statement",
        ),
        (
            "logo_uri",
            json!("http://app.example/logo"),
            "invalid_client_metadata",
        ),
    ] {
        let refused = register(&server, Some(&initial), &app_with(name, value.clone())).await;
        assert_eq!(refused.error(), (400, error), "{name}={value}");
    }
    // On a device a scheme of its own is a reversed domain: others open what is installed there.
    for uri in [
        "search-ms:query=x",
        "intent://scan/#Intent;end",
        "javascript:alert(1)",
    ] {
        let mut body = app_with("post_logout_redirect_uris", json!([uri]));
        body["application_type"] = json!("native");
        body["redirect_uris"] = json!(["com.example.app:/cb"]);
        let refused = register(&server, Some(&initial), &body).await;
        assert_eq!(refused.error(), (400, "invalid_client_metadata"), "{uri}");
    }
    let long = app_with("client_name", json!("x".repeat(70_000)));
    assert_eq!(register(&server, Some(&initial), &long).await.status, 413);
    let clients = server.rest.get("/api/v1/clients").await;
    assert_eq!(clients["items"].as_array().unwrap().len(), 1, "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn n53_addresses_never_leave_the_public_network() {
    // As an operator would start it: nothing inside is allowed.
    let mailgrant = Mailgrant::start(Settings::default().set("MAILGRANT_OPEN_REGISTRATION", "true")).await;
    let rest = mailgrant.rest();
    let server = Server {
        client: rest.post("/api/v1/clients", &client_with(&json!({}))).await,
        rest,
        mailgrant: mailgrant.into(),
        database: None,
    };
    let inner = [
        "https://127.0.0.1/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://localhost/x",
        "https://2130706433/x",
        "https://192.168.0.1/x",
        "https://[fd00::1]/x",
    ];
    for (at, uri) in inner.into_iter().enumerate() {
        // Each name in turn: registration counts the address.
        let name = [
            "jwks_uri",
            "logo_uri",
            "backchannel_logout_uri",
            "frontchannel_logout_uri",
            "client_uri",
            "policy_uri",
            "tos_uri",
            "initiate_login_uri",
            "sector_identifier_uri",
        ][at % 9];
        let mut body = json!({ "redirect_uris": [CALLBACK] });
        body[name] = json!(uri);
        let refused = register(&server, None, &body).await;
        assert_eq!(refused.error(), (400, "invalid_client_metadata"), "{name} {uri}");
    }
    let both = json!({
        "redirect_uris": [CALLBACK], "jwks_uri": "https://app.example/k", "jwks": { "keys": [] },
    });
    assert_eq!(register(&server, None, &both).await.status, 400);
    // What is open: an application that people sign in to, nothing more, and it waits.
    let machine = json!({ "grant_types": ["client_credentials"], "scope": "openid" });
    assert_eq!(register(&server, None, &machine).await.status, 400);
    let wide = json!({ "redirect_uris": [CALLBACK], "scope": "tickets:read" });
    assert_eq!(register(&server, None, &wide).await.status, 400);
    let made = register(&server, None, &json!({ "redirect_uris": [CALLBACK] })).await;
    assert_eq!(
        (made.status, &made.json["mailgrant_state"]),
        (201, &json!("pending"))
    );
    let client = json!({ "clientId": made.json["client_id"], "clientSecret": made.json["client_secret"] });
    let visitor = Visitor::new(&server.mailgrant);
    let page = visitor
        .get(&server.request_of(&client, &[("scope", "openid")]))
        .await;
    assert_eq!(page.status, 400, "it waits for approval");
    // Somebody who tries on is told to wait.
    let mut last = 0;
    for _ in 0..30 {
        last = register(&server, Some("mg_iat_x"), &app()).await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn n55_a_client_manages_itself_and_no_other_and_what_it_changes_waits_again() {
    let server = Server::start().await;
    let initial = initial_token(&server, &json!({ "uses": null, "approves": false })).await;
    let mine = register(&server, Some(&initial), &app()).await;
    let other = register(&server, Some(&initial), &app()).await;
    assert_eq!(mine.json["mailgrant_state"], "pending");
    let (my_uri, my_token) = (
        text(&mine.json, "registration_client_uri"),
        text(&mine.json, "registration_access_token"),
    );
    let other_uri = text(&other.json, "registration_client_uri");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let mut body = app();
        body["client_id"] = other.json["client_id"].clone();
        let refused = ask(&server, method.clone(), &other_uri, Some(&my_token), Some(&body)).await;
        assert_eq!(refused.status, 401, "{method}");
        assert_eq!(
            ask(&server, method.clone(), &other_uri, None, Some(&body))
                .await
                .status,
            401
        );
    }
    // An admin approves it; a new redirect URI or name brings it back into the queue, and its tokens end.
    let id = |client_id: &Value, list: &Value| -> String {
        let items = list["items"].as_array().unwrap().clone();
        let found = items.iter().find(|item| item["clientId"] == *client_id).unwrap();
        text(found, "id")
    };
    let list = server.rest.get("/api/v1/clients").await;
    let path = format!("/api/v1/clients/{}", id(&mine.json["client_id"], &list));
    // As somebody read it, and not as whatever it made of itself since.
    let etag = async || server.rest.send(Method::GET, &path, None).await.etag;
    let yes = json!({ "state": "approved" });
    let blind = server.rest.send(Method::PATCH, &path, Some(&yes)).await;
    assert_eq!(
        (blind.status, &blind.json["code"]),
        (428, &json!("revision_required"))
    );
    let before = etag().await;
    let mut change = app();
    change["client_id"] = mine.json["client_id"].clone();
    change["client_name"] = "Another name".into();
    let renamed = ask(&server, Method::PUT, &my_uri, Some(&my_token), Some(&change)).await;
    let my_token = text(&renamed.json, "registration_access_token");
    let late = server.rest.send_seen(Method::PATCH, &path, &yes, &before).await;
    assert_eq!(late.status, 412, "{}", late.json);
    let approve = server
        .rest
        .send_seen(Method::PATCH, &path, &yes, &etag().await)
        .await;
    assert_eq!(approve.status, 200, "{}", approve.json);
    assert_eq!(approve.json["name"], "Another name");
    let same = ask(&server, Method::PUT, &my_uri, Some(&my_token), Some(&change)).await;
    assert_eq!(same.json["mailgrant_state"], "approved", "{}", same.json);
    let token = text(&same.json, "registration_access_token");
    change["redirect_uris"] = json!([CALLBACK, "https://elsewhere.example/cb"]);
    let moved = ask(&server, Method::PUT, &my_uri, Some(&token), Some(&change)).await;
    assert_eq!(moved.json["mailgrant_state"], "pending", "{}", moved.json);
    // Nobody leaves the consent page out for it, not even an admin by mistake.
    let granted = server
        .rest
        .send_seen(
            Method::PATCH,
            &path,
            &json!({ "state": "approved", "autoGrant": true }),
            &etag().await,
        )
        .await;
    assert_eq!(granted.status, 422);
    // Switched off by an admin it cannot bring itself back.
    let off = server
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "state": "disabled" })))
        .await;
    assert_eq!(off.status, 200);
    let token = text(&moved.json, "registration_access_token");
    let refused = ask(&server, Method::PUT, &my_uri, Some(&token), Some(&change)).await;
    assert_eq!(refused.error(), (403, "access_denied"));
    assert_eq!(
        ask(&server, Method::DELETE, &my_uri, Some(&token), None)
            .await
            .status,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_admin_lets_applications_register_for_the_project_and_no_further() {
    let server = Server::start().await;
    let project = async |key: &str| {
        let made = server
            .rest
            .post("/api/v1/projects", &json!({ "key": key, "name": key }))
            .await;
        text(&made, "id")
    };
    let (mine, other) = (project("MINE").await, project("OTHER").await);
    let path = "/api/v1/initial-access-tokens";
    let ask = |project: &str, scopes: &[&str]| json!({ "name": "p", "projectId": project, "scopes": scopes, "approves": true });
    let foreign = server.rest.post(path, &ask(&other, &["tickets:read"])).await;
    let site = server
        .rest
        .post(path, &json!({ "name": "s", "scopes": ["openid"] }))
        .await;
    let narrow = json!({ "name": "n", "scopes": ["clients:manage"], "projectIds": [mine] });
    let narrow = text(&server.rest.post("/api/v1/tokens", &narrow).await, "token");
    let narrow = Rest::new(&server.mailgrant.base_url, &narrow);
    for (body, field) in [
        (json!({ "name": "p", "scopes": ["openid"] }), "/projectId"),
        (ask(&other, &["openid"]), "/projectId"),
        (ask(&mine, &["admin"]), "/scopes"),
    ] {
        let refused = narrow.send(Method::POST, path, Some(&body)).await;
        assert_eq!(refused.status, 422, "{body}");
        assert_eq!(
            refused.json["errors"][0]["pointer"], field,
            "{body}: {}",
            refused.json
        );
    }
    let made = narrow.post(path, &ask(&mine, &["openid", "tickets:read"])).await;
    let seen = narrow.get(path).await;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
    for token in [&foreign, &site] {
        let one = format!("{path}/{}", text(token, "id"));
        assert_eq!(narrow.send(Method::DELETE, &one, None).await.status, 404);
    }
    let registered: Value = http()
        .post(format!("{}/oauth2/register", server.mailgrant.base_url))
        .bearer_auth(text(&made, "token"))
        .json(&json!({ "redirect_uris": ["https://app.example/cb"] }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let clients = narrow.get("/api/v1/clients").await;
    assert_eq!(
        clients["items"][0]["clientId"], registered["client_id"],
        "{clients}"
    );
    let one = format!("{path}/{}", text(&made, "id"));
    assert_eq!(narrow.send(Method::DELETE, &one, None).await.status, 204);
}
