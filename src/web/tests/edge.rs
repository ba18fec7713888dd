//! What stands at the edge, for every route: headers, cookies, the proof that a form is ours, and the audit log.

use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::access::Projects;
use crate::account;
use crate::audit::{self, AuditEvent, Filter};
use crate::db::sql;
use crate::web::route::UNAUDITED;
use crate::web::tests::{Site, site, site_with};
use crate::web::{Effect, Route, routes};

fn method_of(route: &Route) -> Method {
    Method::from_bytes(route.method.as_str().as_bytes()).unwrap()
}

fn filled(path: &str) -> String {
    let part = |part: &str| {
        if part.starts_with('{') {
            "x".to_owned()
        } else {
            part.to_owned()
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn count(site: &Site, table: &str) -> i64 {
    let db = site.ctx().db.read();
    let row = db
        .query_one_raw(sql(db, &format!("SELECT COUNT(*) AS n FROM {table}"), []))
        .await
        .unwrap();
    row.unwrap().try_get("", "n").unwrap()
}

async fn log(site: &Site) -> Vec<AuditEvent> {
    let everything = Filter {
        projects: Projects::All,
        ..Filter::default()
    };
    let mut log = audit::list(site.ctx().db.read(), &everything, None, 1_000)
        .await
        .unwrap();
    log.reverse();
    log
}

/// A refusal in the log: who, by which way, why, with which status.
fn refusal(event: &AuditEvent) -> String {
    assert_eq!(event.action, "request.refused", "{event:?}");
    assert_eq!(event.address, "127.0.0.1");
    let summary = &event.summary;
    format!(
        "{} {} {} {}",
        event.actor,
        event.via,
        summary["code"].as_str().unwrap(),
        summary["status"]
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_in_the_audit_log_once_a_minute_with_how_often_and_no_secret() {
    let site = site().await;
    let ctx = site.ctx();
    let cli = site.token().await;
    let made: Value = site
        .ask(Method::POST, "/api/v1/clients")
        .bearer_auth(&cli)
        .json(&json!({ "name": "Desk", "scopes": ["tickets:read"], "grantTypes": ["client_credentials"] }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let client = (made["id"].as_str().unwrap(), made["clientId"].as_str().unwrap());
    let user = account::create(&ctx.db, &ctx.clock, &account::tests::ada(), "cli")
        .await
        .unwrap();
    let narrow = account::NewToken {
        scopes: crate::access::Scopes::from_iter([crate::access::Scope::TicketsRead]),
        ..account::NewToken::unlimited("narrow")
    };
    let (narrow_id, narrow) = account::issue_token(&ctx.db, &ctx.clock, &narrow, &user.id, &user.id)
        .await
        .unwrap();
    let before = log(&site).await.len();
    // Made up, and looking like ours or like nothing in particular; also in the address.
    let secrets = [
        "mg_pat_marked-secret-one",
        "marked-secret-two",
        "marked-secret-three",
        "marked-secret-four",
    ];
    for n in 0..30 {
        let path = format!("/api/v1/users/{}-{n}", secrets[2]);
        let asked = site.ask(Method::DELETE, &path).bearer_auth(secrets[n % 2]);
        assert_eq!(asked.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let asked = site
            .ask(Method::POST, "/api/v1/users")
            .bearer_auth(narrow.expose_secret());
        assert_eq!(
            asked.json(&json!({})).send().await.unwrap().status(),
            StatusCode::FORBIDDEN
        );
    }
    for id in [client.1, "nobody-we-know"] {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secrets[3]),
        ];
        let asked = site.ask(Method::POST, "/oauth2/token").form(&form);
        assert_eq!(asked.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let new = log(&site).await.split_off(before);
    let noted: Vec<String> = new.iter().map(refusal).collect();
    assert_eq!(
        noted,
        [
            "nobody api token_missing_or_wrong 401".to_owned(),
            format!("{} api insufficient_scope 403", narrow_id.id),
            "nobody api invalid_client 401".to_owned(),
        ]
    );
    let targets: Vec<&str> = new.iter().map(|event| event.target_id.as_str()).collect();
    assert_eq!(
        targets,
        ["DELETE /api/v1/users/{id}", "POST /api/v1/users", client.0]
    );
    ctx.refusals.close(&ctx.db, &ctx.clock, false).await.unwrap();
    assert_eq!(log(&site).await.len(), before + 3, "their minute is not over");
    ctx.refusals.close(&ctx.db, &ctx.clock, true).await.unwrap();
    let log = log(&site).await;
    let mut more: Vec<_> = log[before + 3..]
        .iter()
        .map(|event| {
            (
                event.summary["code"].as_str().unwrap(),
                event.summary["more"].as_i64().unwrap(),
            )
        })
        .collect();
    more.sort_unstable();
    assert_eq!(
        more,
        [
            ("insufficient_scope", 29),
            ("invalid_client", 1),
            ("token_missing_or_wrong", 29)
        ]
    );
    let text = format!("{log:?}");
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_a_form_that_is_not_ours_and_nothing_changes() {
    let site = site().await;
    let (cookie, csrf) = site.signed_in().await;
    let ctx = site.ctx();
    let ada = account::get_by_email(&ctx.db, &account::tests::ada().email)
        .await
        .unwrap()
        .unwrap();
    let other = account::start(&ctx.db, &ctx.clock, &ada.id, None).await.unwrap();
    let before = (log(&site).await.len(), count(&site, "events").await);
    let mut walked = 0;
    for route in routes() {
        let is_protocol = crate::web::oauth2::is_protocol(&route.method, route.path)
            || crate::web::sso::is_from_provider(&route.method, route.path);
        if route.guard.is_rest() || route.method.as_str() == "GET" || is_protocol {
            continue;
        }
        walked += 1;
        let path = filled(route.path);
        let ask = || site.ask(method_of(&route), &path).header("cookie", &cookie);
        let forms = [
            ("no token", ask()),
            ("an empty token", ask().form(&[("csrf", "")])),
            (
                "another session's token",
                ask().form(&[("csrf", &other.session.csrf_token)]),
            ),
            (
                "a token in the query",
                site.ask(method_of(&route), &format!("{path}?csrf={csrf}"))
                    .header("cookie", &cookie),
            ),
            (
                "a foreign origin",
                ask()
                    .header("origin", "https://evil.example")
                    .form(&[("csrf", &csrf)]),
            ),
            (
                "our name as a part of theirs",
                ask()
                    .header("origin", format!("{}.evil.example", site.base))
                    .form(&[("csrf", &csrf)]),
            ),
            (
                "no origin to tell",
                ask().header("origin", "null").form(&[("csrf", &csrf)]),
            ),
            (
                "another port",
                ask()
                    .header("origin", "http://127.0.0.1:1")
                    .form(&[("csrf", &csrf)]),
            ),
            (
                "another site",
                ask()
                    .header("sec-fetch-site", "same-site")
                    .form(&[("csrf", &csrf)]),
            ),
            (
                "a host that a stranger claims to be asked for",
                ask()
                    .header("origin", "http://evil.example")
                    .header("x-forwarded-host", "evil.example")
                    .form(&[("csrf", &csrf)]),
            ),
        ];
        for (what, request) in forms {
            let status = request.send().await.unwrap().status();
            assert_eq!(
                status,
                StatusCode::FORBIDDEN,
                "{} {path} with {what}",
                route.method
            );
        }
    }
    assert!(walked > 30, "{walked}");
    assert_eq!(count(&site, "events").await, before.1, "nothing happened");
    let mut noted: Vec<String> = log(&site).await.split_off(before.0).iter().map(refusal).collect();
    noted.sort();
    assert_eq!(
        noted,
        [
            format!("{} ui csrf_token_wrong 403", ada.id),
            format!("{} ui foreign_origin 403", ada.id)
        ],
        "hundreds of refusals in a minute are two lines"
    );
    let mine = site
        .ask(Method::POST, "/probe/mine")
        .header("cookie", &cookie)
        .form(&[("csrf", &csrf)]);
    assert_eq!(
        mine.send().await.unwrap().status(),
        StatusCode::OK,
        "and with all of it, it is let through"
    );
}

/// What may be kept by others than the browser that asked, because it is the same for everybody.
const FOR_EVERYBODY: [&str; 4] = ["/static/", "/.well-known/", "/oauth2/jwks", "/sso/"];

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_every_route_carries_the_headers() {
    let site = site().await;
    let (cookie, _) = site.signed_in().await;
    let token = site.token().await;
    let more = [
        "/no-such-page",
        "/api/v1/no-such-thing",
        "/sign-in/nothing",
        "/static/none.css",
    ];
    let mut asked: Vec<(Method, String)> = more
        .iter()
        .map(|path| (Method::GET, (*path).to_owned()))
        .collect();
    asked.extend(
        routes()
            .iter()
            .map(|route| (method_of(route), filled(route.path))),
    );
    asked.push((Method::PUT, "/tickets".to_owned()));
    for (method, path) in asked {
        for who in ["stranger", "session", "token"] {
            let request = site.ask(method.clone(), &path);
            let request = match who {
                "session" => request.header("cookie", &cookie),
                "token" => request.bearer_auth(&token),
                _ => request,
            };
            let answer = request.send().await.unwrap();
            let name = format!("{method} {path} by {who}: {}", answer.status());
            let says = |header: &str| {
                let value = answer.headers().get(header).map(|value| value.to_str().unwrap());
                value.unwrap_or_else(|| panic!("{name}: no {header}"))
            };
            let policy = says("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
                "{name}: {policy}"
            );
            let is_mail = path.starts_with("/messages/") && path.ends_with("/html");
            let framed = if is_mail && answer.status() == StatusCode::OK {
                "'self'"
            } else {
                "'none'"
            };
            assert!(
                policy.contains(&format!("frame-ancestors {framed}")),
                "{name}: {policy}"
            );
            assert_eq!(says("x-content-type-options"), "nosniff", "{name}");
            assert!(
                ["same-origin", "no-referrer"].contains(&says("referrer-policy")),
                "{name}"
            );
            let kept = says("cache-control");
            let is_public = FOR_EVERYBODY.iter().any(|begin| path.starts_with(begin));
            assert!(kept.contains("no-store") || is_public, "{name}: {kept}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_cookies_are_bound_to_the_host_and_the_browser_is_told_to_stay() {
    let https = site_with(|ctx| {
        let mut config = (*ctx.config).clone();
        config.base_url = "https://mail.example.com/".parse().unwrap();
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        ctx.config = config.into();
    })
    .await;
    https.signed_in().await;
    let page = https.get("/sign-in").send().await.unwrap();
    let set = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in [
        "__Host-mailgrant-visit=",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Path=/",
    ] {
        assert!(set.contains(part), "{part} in {set}");
    }
    assert!(!set.contains("Domain"), "{set}");
    assert_eq!(page.headers()["strict-transport-security"], "max-age=63072000");
    let clear = https
        .get("/sign-in")
        .header("x-forwarded-proto", "http")
        .send()
        .await
        .unwrap();
    assert!(!clear.headers().contains_key("strict-transport-security"));

    let http = site().await;
    http.signed_in().await;
    let page = http
        .get("/sign-in")
        .header("x-forwarded-proto", "https")
        .send()
        .await
        .unwrap();
    let set = page.headers()["set-cookie"].to_str().unwrap();
    assert!(
        set.starts_with("mailgrant-visit=") && !set.contains("Secure") && set.contains("HttpOnly"),
        "{set}"
    );
    assert!(
        !page.headers().contains_key("strict-transport-security"),
        "nobody who says so is believed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn n67_a_host_that_is_claimed_changes_no_address_that_is_given_out() {
    let site = site().await;
    for header in ["host", "x-forwarded-host", "forwarded"] {
        let value = if header == "forwarded" {
            "host=evil.example;proto=https"
        } else {
            "evil.example"
        };
        for path in [
            "/.well-known/openid-configuration",
            "/sign-in",
            "/no-such-page",
            "/api/v1/projects",
        ] {
            let answer = site.get(path).header(header, value).send().await.unwrap();
            let headers = format!("{:?}", answer.headers());
            let body = answer.text().await.unwrap();
            assert!(
                !body.contains("evil.example") && !headers.contains("evil.example"),
                "{path} with {header}: {body}"
            );
        }
    }
}

/// Sent to the service in the walk below; none of them may be in the log.
const SECRETS: [&str; 6] = [
    "marked-integration-secret-1",
    "marked-client-secret-2-0123456789abcdef",
    "marked-introspection-secret-3",
    "marked password number four",
    "marked-provider-secret-5",
    "marked-provider-secret-6",
];

/// One change: method, path (`$name` stands for an id that an earlier answer gave), body, and the action that must be in
/// the log for it. `=> name` keeps the id of the answer.
type Step = (&'static str, &'static str, Value, &'static str, &'static str);

fn steps() -> Vec<Step> {
    vec![
        (
            "POST",
            "/projects",
            json!({ "key": "HELP", "name": "Help" }),
            "project.created",
            "project",
        ),
        (
            "PATCH",
            "/projects/$project",
            json!({ "name": "Helpdesk" }),
            "project.updated",
            "",
        ),
        (
            "POST",
            "/users",
            json!({ "email": "grace@example.org", "name": "Grace" }),
            "user.created",
            "user",
        ),
        (
            "POST",
            "/projects/$project/members",
            json!({ "role": "agent", "userId": "$user" }),
            "member.added",
            "",
        ),
        (
            "PATCH",
            "/projects/$project/members/$user",
            json!({ "role": "viewer" }),
            "member.changed",
            "",
        ),
        (
            "DELETE",
            "/projects/$project/members/$user",
            json!({}),
            "member.removed",
            "",
        ),
        (
            "PATCH",
            "/users/$user",
            json!({ "isDisabled": true }),
            "user.disabled",
            "",
        ),
        (
            "POST",
            "/rules",
            json!({ "projectId": "$project", "name": "Spam", "matches": { "sender": ["spam.test"] }, "actions": { "place": "drop" } }),
            "rule.created",
            "rule",
        ),
        (
            "PATCH",
            "/rules/$rule",
            json!({ "enabled": false }),
            "rule.updated",
            "",
        ),
        ("DELETE", "/rules/$rule", json!({}), "rule.deleted", ""),
        (
            "POST",
            "/webhooks",
            json!({ "url": "https://hooks.example.com/x?token=marked" }),
            "webhook.created",
            "webhook",
        ),
        (
            "POST",
            "/webhooks/$webhook/secrets",
            json!({}),
            "webhook.secret_rotated",
            "",
        ),
        (
            "POST",
            "/webhooks/$webhook/disable",
            json!({}),
            "webhook.disabled_by_hand",
            "",
        ),
        ("DELETE", "/webhooks/$webhook", json!({}), "webhook.deleted", ""),
        (
            "POST",
            "/queues",
            json!({ "name": "desk" }),
            "queue.created",
            "queue",
        ),
        (
            "POST",
            "/queues/$queue/seek",
            json!({ "to": "latest" }),
            "queue.moved",
            "",
        ),
        ("DELETE", "/queues/$queue", json!({}), "queue.deleted", ""),
        (
            "POST",
            "/integrations",
            json!({ "provider": "google", "name": "Google", "clientId": "a.apps.googleusercontent.com", "clientSecret": SECRETS[0] }),
            "integration.created",
            "integration",
        ),
        (
            "DELETE",
            "/integrations/$integration",
            json!({}),
            "integration.deleted",
            "",
        ),
        (
            "POST",
            "/clients",
            json!({
                "name": "Desk", "scopes": ["tickets:read"], "grantTypes": ["client_credentials"], "clientId": "chosen-client",
                "clientSecret": SECRETS[1],
            }),
            "client.created",
            "client",
        ),
        (
            "POST",
            "/clients/$client/secrets",
            json!({}),
            "client.secret_rotated",
            "",
        ),
        (
            "PATCH",
            "/clients/$client",
            json!({ "description": "x" }),
            "client.updated",
            "",
        ),
        (
            "POST",
            "/trusted-issuers",
            json!({
                "name": "Company", "issuer": "https://idp.example", "uses": ["api"], "keySource": "introspection",
                "introspectionEndpoint": "https://idp.example/introspect", "introspectionClientId": "mailgrant",
                "secret": SECRETS[2], "audiences": ["mailgrant"], "subjectMapping": "service", "serviceClientId": "$client",
            }),
            "trusted_issuer.created",
            "issuer",
        ),
        (
            "PATCH",
            "/trusted-issuers/$issuer",
            json!({ "enabled": true }),
            "trusted_issuer.updated",
            "",
        ),
        (
            "DELETE",
            "/trusted-issuers/$issuer",
            json!({}),
            "trusted_issuer.deleted",
            "",
        ),
        ("DELETE", "/clients/$client", json!({}), "client.deleted", ""),
        (
            "POST",
            "/identity-providers",
            json!({
                "name": "Staff", "issuer": "http://127.0.0.1:1", "discovery": false,
                "authorizationEndpoint": "http://127.0.0.1:1/authorize", "tokenEndpoint": "http://127.0.0.1:1/token",
                "jwksUri": "http://127.0.0.1:1/keys", "clientId": "mailgrant", "clientSecret": SECRETS[4],
            }),
            "identity_provider.created",
            "provider",
        ),
        (
            "PATCH",
            "/identity-providers/$provider",
            json!({ "domains": ["example.org"], "clientSecret": SECRETS[5] }),
            "identity_provider.updated",
            "",
        ),
        (
            "DELETE",
            "/identity-providers/$provider",
            json!({}),
            "identity_provider.deleted",
            "",
        ),
        ("POST", "/jobs/tidy_up/run", json!({}), "request.succeeded", ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_the_audit_log_and_no_secret_is() {
    let site = site().await;
    let token = site.token().await;
    let mut known: Vec<(String, String)> = Vec::new();
    let mut secrets: Vec<String> = SECRETS.iter().map(|secret| (*secret).to_owned()).collect();
    secrets.push(token.clone());
    for (method, path, body, action, keeps) in steps() {
        let put_in = |mut text: String| {
            for (name, id) in &known {
                text = text.replace(&format!("${name}"), id);
            }
            text
        };
        let path = format!("/api/v1{}", put_in(path.to_owned()));
        let body: Value = serde_json::from_str(&put_in(body.to_string())).unwrap();
        let before = log(&site).await.len();
        let asked = site.ask(Method::from_bytes(method.as_bytes()).unwrap(), &path);
        let asked = asked.header("idempotency-key", format!("step-{before}"));
        let answer = asked.bearer_auth(&token).json(&body).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap_or_default();
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        let new = log(&site).await.split_off(before);
        let noted = new.iter().find(|event| event.action == action);
        let seen: Vec<&str> = new.iter().map(|event| event.action.as_str()).collect();
        let noted =
            noted.unwrap_or_else(|| panic!("{method} {path}: {action} is not in the log, but {seen:?}"));
        assert_eq!(
            (noted.via.as_str(), noted.address.as_str()),
            ("api", "127.0.0.1"),
            "{action}"
        );
        assert!(noted.actor.starts_with("tok_"), "{action} by {}", noted.actor);
        for name in ["secret", "clientSecret", "invitationUrl", "token"] {
            secrets.extend(answer[name].as_str().map(str::to_owned));
        }
        if !keeps.is_empty() {
            known.push((keeps.to_owned(), answer["id"].as_str().unwrap().to_owned()));
        }
    }
    // Signing in and out, and failing to.
    let (cookie, csrf) = site.signed_in().await;
    let page = site.get("/sign-in").send().await.unwrap();
    let visit = page.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let html = page.text().await.unwrap();
    let form_csrf = html
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let email = account::tests::ada().email;
    let password = account::tests::ada().password.expose_secret().to_owned();
    for (password, status) in [(SECRETS[3], 422), (password.as_str(), 303)] {
        let form = [("csrf", form_csrf), ("email", &email), ("password", password)];
        let answer = site
            .ask(Method::POST, "/sign-in")
            .header("cookie", &visit)
            .form(&form)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    secrets.push(password);
    let out = site
        .ask(Method::POST, "/sign-out")
        .header("cookie", &cookie)
        .form(&[("csrf", &csrf)]);
    assert_eq!(out.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    let log = log(&site).await;
    for action in ["session.refused", "session.started", "session.ended"] {
        let found = log
            .iter()
            .rfind(|event| event.action == action)
            .unwrap_or_else(|| panic!("{action}"));
        assert_eq!(found.via, "ui", "{action}");
        assert!(
            found.target_id.starts_with("usr_"),
            "{action}: {}",
            found.target_id
        );
    }
    let text = format!("{log:?}");
    assert!(text.len() > 5_000);
    for secret in secrets {
        assert!(
            !text.contains(&secret),
            "{} is in the audit log",
            secret.get(..12).unwrap_or(&secret)
        );
    }
    assert!(
        !text.contains("token=marked"),
        "an address of a webhook may hold a secret"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_narrowed_by_who_where_and_when_and_the_last_day_is_whole() {
    let site = site().await;
    let token = site.token().await;
    let ctx = site.ctx();
    let mut projects = Vec::new();
    for key in ["HELP", "OPS"] {
        let new = crate::project::NewProject {
            key: key.into(),
            name: key.into(),
            description: String::new(),
        };
        projects.push(crate::project::create(ctx, new).await.unwrap().id);
    }
    // Ids say when they were made, and those of one process never go back: the clocks of other tests are in it.
    let note = async |at: &str, target: &str, actor: &str, project: &str| {
        let at = chrono::DateTime::parse_from_rfc3339(at)
            .unwrap()
            .timestamp_millis();
        let text = "INSERT INTO audit_events (id, created_at, actor, via, address, request_id, action, target_kind, \
                    target_id, project_id, summary) VALUES ($1, $2, $3, 'ui', '', '', 'probe.made', 'probe', $4, $5, '{}')";
        let id = crate::id::first_of("aud", at);
        let values = [id.into(), at.into(), actor.into(), target.into(), project.into()];
        let db = ctx.db.write();
        db.execute_raw(sql(db, text, values)).await.unwrap();
    };
    note("2027-02-28T23:59:59.999Z", "seen-before", "usr_a", &projects[0]).await;
    note("2027-03-01T23:59:59.999Z", "seen-at-night", "usr_b", &projects[1]).await;
    note("2027-03-02T00:00:00Z", "seen-after", "usr_a", "").await;
    let (cookie, _) = site.signed_in().await;
    let all = ["seen-before", "seen-at-night", "seen-after"];
    for (rest, page, found) in [
        ("", "", &all[..]),
        ("&actor=usr_a", "&actor=usr_a", &["seen-before", "seen-after"]),
        (
            "&since=2027-03-01",
            "&since=2027-03-01",
            &["seen-at-night", "seen-after"],
        ),
        // The API names a moment, the page a day.
        (
            "&until=2027-03-02T00:00:00Z",
            "&until=2027-03-01",
            &["seen-before", "seen-at-night"],
        ),
        ("&until=2027-03-01", "&until=2027-02-28", &["seen-before"]),
        (
            "&since=2027-03-02T00:00:00Z",
            "&since=2027-03-02&until=2027-03-02",
            &["seen-after"],
        ),
        (
            &format!("&projectId={}", projects[1]),
            &format!("&project={}", projects[1]),
            &["seen-at-night"],
        ),
    ] {
        let answer = site
            .get(&format!("/api/v1/audit-events?action=probe.*{rest}"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        let mut targets: Vec<&str> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|event| event["targetId"].as_str())
            .collect();
        targets.reverse();
        assert_eq!(targets, found, "{rest}");
        let shown = site
            .get(&format!("/audit?action=probe.*{page}"))
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        let shown = shown.text().await.unwrap();
        let targets: Vec<&str> = all
            .into_iter()
            .filter(|target| shown.contains(&format!(">{target}<")))
            .collect();
        assert_eq!(targets, found, "{page}");
    }
}

#[test]
fn every_unsafe_route_for_somebody_known_leaves_a_trace_or_says_why_not() {
    let mut unsafe_routes = 0;
    for route in routes() {
        if route.method.as_str() == "GET" || route.guard.need().is_none() {
            continue;
        }
        unsafe_routes += 1;
        let excused = route.effect == Effect::None || UNAUDITED.iter().any(|(path, _)| *path == route.path);
        assert_eq!(route.is_audited(), !excused, "{} {}", route.method, route.path);
    }
    assert!(unsafe_routes > 80);
    for (path, reason) in UNAUDITED {
        assert!(routes().iter().any(|route| route.path == *path), "{path} is gone");
        assert!(!reason.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_says_nothing_is_noted_as_the_request_it_was() {
    let site = site().await;
    let (cookie, csrf) = site.signed_in().await;
    let before = log(&site).await.len();
    let sent = site
        .ask(Method::POST, "/probe/mine")
        .header("cookie", &cookie)
        .form(&[("csrf", &csrf)]);
    assert_eq!(sent.send().await.unwrap().status(), StatusCode::OK);
    let new = log(&site).await.split_off(before);
    let seen: Vec<_> = new
        .iter()
        .map(|e| (e.action.as_str(), e.target_id.as_str(), e.via.as_str()))
        .collect();
    assert_eq!(seen, [("request.succeeded", "POST /probe/mine", "ui")]);
    assert!(
        new[0].actor.starts_with("usr_") && new[0].request_id.starts_with("req_"),
        "{:?}",
        new[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_is_told_on_the_dashboard_until_it_is_mended() {
    let site = site().await;
    let (cookie, _) = site.signed_in().await;
    let dashboard = async || {
        site.get("/")
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    let title = "The TLS certificate cannot be used";
    assert!(!dashboard().await.contains(title));
    let trouble = crate::trouble::Trouble::new(
        "certificate_unusable",
        "It is not used.",
        "Put another one there.",
    );
    site.ctx()
        .certificate
        .set(Some((trouble, site.ctx().clock.now_ms())));
    let page = dashboard().await;
    assert!(
        page.contains(title) && page.contains("Put another one there."),
        "{page}"
    );
    site.ctx().certificate.set(None);
    assert!(!dashboard().await.contains(title));
}
