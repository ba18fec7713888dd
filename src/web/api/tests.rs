//! What the API promises, asked over a real socket.

use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::message::{self, NewRaw, Stored};
use crate::project::{self, NewProject};
use crate::sandbox::{Decision, Sandbox, SandboxOptions};
use crate::ticket::{self, Incoming};
use crate::web::tests::{Site, site};

struct Api {
    site: Site,
    token: String,
}

async fn api() -> Api {
    let site = site().await;
    let token = site.token().await;
    Api { site, token }
}

impl Api {
    fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.site
            .ask(method, &format!("/api/v1{path}"))
            .bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.ask(Method::GET, path)).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.ask(Method::POST, path).json(&body)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn has_members(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value.get(name).is_some(), "{name} is missing in {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_made_once_and_listed_in_parts() {
    let api = api().await;
    let (status, made) = api
        .post("/projects", json!({"key": "HELP", "name": "Help", "later": 1}))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    has_members(
        &made,
        &["id", "key", "name", "description", "createdAt", "updatedAt"],
    );
    assert_eq!(made["description"], Value::Null);
    let (status, again) = api
        .post("/projects", json!({"key": "HELP", "name": "Other"}))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(again["errors"][0]["pointer"], "/key");
    let (status, wrong) = api.post("/projects", json!({"key": "1", "name": ""})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty()),
        "{wrong}"
    );
    for key in ["IT", "OPS"] {
        api.post("/projects", json!({"key": key, "name": key})).await;
    }

    let mut seen = Vec::new();
    let mut next = Some("/api/v1/projects?limit=2".to_owned());
    while let Some(path) = next {
        let (status, page) = answer(api.site.get(&path).bearer_auth(&api.token)).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["key"].clone()),
        );
        next = page["next"].as_str().map(str::to_owned);
        assert!(page.get("next").is_some());
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_a_problem_and_changes_nothing() {
    let api = api().await;
    let post = || {
        api.ask(Method::POST, "/projects")
            .header("content-type", "application/json")
    };
    let cases = [
        (post().body("{\"key\": "), 400, "malformed_json"),
        (post().body("[]"), 400, "not_an_object"),
        (
            post().body("{\"key\": \"A\", \"key\": \"B\"}"),
            400,
            "repeated_member",
        ),
        (
            post().body(format!(
                "{{\"name\": {}1{}}}",
                "[".repeat(60_000),
                "]".repeat(60_000)
            )),
            400,
            "nested_too_deeply",
        ),
        (
            api.ask(Method::GET, "/tickets?state=open&state=open"),
            400,
            "repeated_parameter",
        ),
        (post().body("{\"key\": 1, \"name\": \"x\"}"), 422, "wrong_type"),
        (post().body("{}"), 422, "invalid_fields"),
        (
            post().body(format!(
                "{{\"key\":\"BIG\",\"name\":\"{}\"}}",
                "x".repeat(300_000)
            )),
            413,
            "too_large",
        ),
        (
            api.ask(Method::POST, "/projects").body("key=HELP"),
            415,
            "unsupported_media_type",
        ),
        (api.ask(Method::GET, "/projects?limit="), 400, "bad_limit"),
        (api.ask(Method::GET, "/projects?limit=0"), 400, "bad_limit"),
        (api.ask(Method::GET, "/projects?limit=201"), 400, "bad_limit"),
        (api.ask(Method::GET, "/projects?after=%25"), 400, "bad_cursor"),
        (api.ask(Method::GET, "/tickets?state=odd"), 400, "bad_parameter"),
        (api.ask(Method::GET, "/tickets?after=eA"), 400, "bad_cursor"),
        (api.ask(Method::GET, "/projects/prj_none"), 404, "not_found"),
        (api.ask(Method::GET, "/nothing"), 404, "not_found"),
        (api.ask(Method::PUT, "/projects"), 405, "method_not_allowed"),
    ];
    for (request, status, code) in cases {
        let (got, problem) = answer(request).await;
        assert_eq!(
            (got.as_u16(), &problem["code"]),
            (status, &json!(code)),
            "{problem}"
        );
        has_members(&problem, &["type", "title", "status", "detail", "code", "errors"]);
    }
    assert_eq!(api.get("/projects").await.1["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_from_an_old_state_is_refused() {
    let api = api().await;
    let (_, made) = api
        .post("/projects", json!({"key": "HELP", "name": "Help"}))
        .await;
    let path = format!("/projects/{}", made["id"].as_str().unwrap());
    let patch = |tag: &str, name: &str| {
        api.ask(Method::PATCH, &path)
            .header("if-match", tag)
            .json(&json!({ "name": name }))
            .send()
    };
    let tag = api.ask(Method::GET, &path).send().await.unwrap().headers()["etag"].clone();
    let tag = tag.to_str().unwrap();
    let first = patch(tag, "First").await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    assert_ne!(first.headers()["etag"], tag);
    assert_eq!(
        patch(tag, "Second").await.unwrap().status(),
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(api.get(&path).await.1["name"], "First");
    assert_eq!(patch("*", "Third").await.unwrap().status(), StatusCode::OK);
}

fn custom(sandbox: &Sandbox, secret: &str) -> Value {
    json!({
        "provider": "custom",
        "name": "Sandbox",
        "clientId": sandbox.client_id(),
        "clientSecret": secret,
        "scopes": sandbox.scopes(),
        "authorizationEndpoint": sandbox.authorization_endpoint(),
        "tokenEndpoint": sandbox.token_endpoint(),
        "tokenEndpointAuthMethod": "client_secret_basic",
        "flow": "authorization_code",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_started_by_rest_becomes_a_grant_once() {
    use secrecy::ExposeSecret;

    let api = api().await;
    let sandbox = Sandbox::start(SandboxOptions::default(), crate::clock::Clock::system())
        .await
        .unwrap();
    let secret = sandbox.client_secret().expose_secret().to_owned();
    let (status, made) = api.post("/integrations", custom(&sandbox, &secret)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert!(!made.to_string().contains(&secret));
    assert_eq!(made["hasClientSecret"], true);
    let (status, again) = api.post("/integrations", custom(&sandbox, &secret)).await;
    assert_eq!(
        (status, &again["errors"][0]["pointer"]),
        (StatusCode::CONFLICT, &json!("/name"))
    );
    let redirect = made["redirectUrl"].as_str().unwrap();
    sandbox.allow_redirect(redirect).await.unwrap();
    let integration = made["id"].as_str().unwrap();

    let (status, started) = api
        .post(&format!("/integrations/{integration}/authorizations"), json!({}))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{started}");
    has_members(&started, &["id", "authorizationUrl", "expiresAt", "grantId"]);
    assert_eq!(started["grantId"], Value::Null);
    let back = sandbox
        .decide(started["authorizationUrl"].as_str().unwrap(), Decision::Allow)
        .await
        .unwrap();
    let callback = back.strip_prefix("http://127.0.0.1:8080").unwrap().to_owned();
    let page = api.site.get(&callback).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK, "{}", page.text().await.unwrap());
    let replay = api.site.get(&callback).send().await.unwrap();
    assert_eq!(replay.status(), StatusCode::BAD_REQUEST);
    let code = callback
        .split("code=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .to_owned();
    assert!(
        !replay.text().await.unwrap().contains(&code),
        "the page shows the code"
    );

    let (_, finished) = api
        .get(&format!("/authorizations/{}", started["id"].as_str().unwrap()))
        .await;
    let grant = finished["grantId"].as_str().unwrap().to_owned();
    let (_, grants) = api.get("/grants").await;
    let shown = &grants["items"][0];
    assert_eq!(shown["id"], json!(grant));
    has_members(
        shown,
        &[
            "integrationId",
            "state",
            "identity",
            "scopes",
            "expiresAt",
            "lastError",
            "startedBy",
        ],
    );
    assert_eq!(
        (&shown["state"], &shown["identity"]),
        (&json!("active"), &json!(sandbox.mailbox()))
    );

    let (status, refreshed) = api.post(&format!("/grants/{grant}/refresh"), json!({})).await;
    assert_eq!(status, StatusCode::OK, "{refreshed}");

    mailbox_by_rest(&api, &sandbox, &grant).await;

    let (status, test) = api
        .post(&format!("/integrations/{integration}/tests"), json!({}))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let run = end_of_test(&api, &test).await;
    assert!(
        run["steps"].as_array().is_some_and(|steps| steps.len() >= 4),
        "{run}"
    );
    for step in run["steps"].as_array().unwrap() {
        has_members(step, &["name", "state", "ms", "detail", "cause", "remedy"]);
    }

    let (status, revoked) = api.post(&format!("/grants/{grant}/revoke"), json!({})).await;
    assert_eq!((status, &revoked["state"]), (StatusCode::OK, &json!("revoked")));
    let (status, dead) = api.post(&format!("/grants/{grant}/refresh"), json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{dead}");
    sandbox.stop().await;
}

/// Makes, changes, pauses, tests and deletes a mailbox with a grant.
async fn mailbox_by_rest(api: &Api, sandbox: &Sandbox, grant: &str) {
    let (_, project) = api
        .post("/projects", json!({"key": "HELP", "name": "Help"}))
        .await;
    let body = json!({
        "name": "Support",
        "projectId": project["id"],
        "grantId": grant,
        "protocol": "imap",
        "host": sandbox.imap_host(),
        "port": sandbox.imap_plain_port(),
        "tls": "none",
        "loginName": sandbox.mailbox(),
        "folder": "INBOX",
        "startFrom": "all",
        "afterIngest": "leave",
        "schedule": "0 */5 * * * *",
        "idle": true,
    });
    let (status, made) = api.post("/mailboxes", body.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    has_members(
        &made,
        &[
            "state",
            "paused",
            "lastError",
            "lastMailAt",
            "moveTo",
            "createdAt",
        ],
    );
    let (status, again) = api.post("/mailboxes", body.clone()).await;
    assert_eq!(
        (status, &again["errors"][0]["pointer"]),
        (StatusCode::CONFLICT, &json!("/name"))
    );
    let mut never = body.clone();
    never["name"] = json!("Other");
    never["schedule"] = json!("0 0 0 31 2 *");
    let (status, problem) = api.post("/mailboxes", never).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/schedule"))
    );

    let path = format!("/mailboxes/{}", made["id"].as_str().unwrap());
    let patched = answer(
        api.ask(Method::PATCH, &path)
            .json(&json!({"name": "Desk", "idle": false})),
    )
    .await;
    assert_eq!(
        (patched.0, &patched.1["name"], &patched.1["idle"]),
        (StatusCode::OK, &json!("Desk"), &json!(false))
    );
    assert_eq!(
        patched.1["loginName"], made["loginName"],
        "what nobody sent stays"
    );
    assert_eq!(
        api.post(&format!("{path}/pause"), json!({})).await.1["paused"],
        true
    );
    assert_eq!(
        api.post(&format!("{path}/resume"), json!({})).await.1["paused"],
        false
    );
    assert_eq!(
        api.post(&format!("{path}/poll"), json!({})).await.0,
        StatusCode::ACCEPTED
    );

    let (status, test) = api.post(&format!("{path}/tests"), json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let run = end_of_test(api, &test).await;
    assert!(
        run["steps"].as_array().is_some_and(|steps| steps.len() >= 5),
        "{run}"
    );
    let gone = api.ask(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(api.get(&path).await.0, StatusCode::NOT_FOUND);
}

/// Waits for the end of a test that was started.
async fn end_of_test(api: &Api, started: &Value) -> Value {
    let path = format!("/tests/{}", started["id"].as_str().unwrap());
    loop {
        let (_, run) = api.get(&path).await;
        if run["state"] != "running" {
            return run;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_belongs_to_nothing_is_refused_with_a_page() {
    let api = api().await;
    let unknown = api
        .site
        .get("/oauth2/callback/none?code=c0de-canary&state=st4te-canary&error_description=%3Cscript%3E")
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let text = unknown.text().await.unwrap();
    for canary in ["c0de-canary", "st4te-canary", "<script>"] {
        assert!(!text.contains(canary), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_tls_is_refused_beside_its_field() {
    let api = api().await;
    let body = json!({
        "provider": "custom",
        "name": "Plain",
        "clientId": "x",
        "clientSecret": "y",
        "scopes": ["mail"],
        "authorizationEndpoint": "https://127.0.0.1:9/a",
        "tokenEndpoint": "http://192.0.2.1/token",
    });
    let (status, problem) = api.post("/integrations", body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let pointers = problem["errors"].to_string();
    assert!(pointers.contains("/tokenEndpoint"), "{pointers}");
    let (_, list) = api.get("/integrations").await;
    assert_eq!(list, json!({ "items": [], "next": null }));
    let (status, problem) = api
        .post("/integrations", json!({"provider": "yahoo", "name": 7}))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(2), "{problem}");
}

const MAIL: &[u8] = b"From: Ada <ada@example.org>\r\nTo: help@example.org\r\nSubject: Printer\r\n\
Message-ID: <a1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Type: text/plain\r\n\r\nIt is on fire.\r\n\
--b\r\nContent-Type: text/html; name=evil.html\r\nContent-Disposition: attachment; filename=evil.html\r\n\r\n\
<script>alert(1)</script>\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: Bo <bo@example.org>\r\nSubject: Inside\r\n\r\nWater helps.\r\n\
--b--\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_shown_with_its_ticket_and_its_files_are_only_downloaded() {
    let api = api().await;
    let ctx = api.site.ctx();
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let project = project::create(ctx, new).await.unwrap();
    // The mailbox itself is not asked about: messages may stand alone here.
    ctx.db
        .write()
        .execute_unprepared("PRAGMA foreign_keys = OFF")
        .await
        .unwrap();
    let mailbox = "mbx_1".to_owned();
    let raw = NewRaw {
        mailbox_id: &mailbox,
        project_id: &project.id,
        folder: "INBOX",
        uid_validity: 7,
        uid: 42,
        internal_date: None,
        bytes: MAIL,
        is_partial: false,
        size: u64::try_from(MAIL.len()).unwrap(),
    };
    let stored = message::insert_raws(ctx.db.write(), &ctx.clock, &[raw])
        .await
        .unwrap();
    let [Stored::New(id)] = &stored[..] else {
        panic!("it is new");
    };
    let (_, unparsed) = api.get(&format!("/messages/{id}")).await;
    has_members(
        &unparsed,
        &[
            "from",
            "subject",
            "textBody",
            "bodyValues",
            "sentAt",
            "threadId",
            "mailgrant",
        ],
    );

    let understood = message::understand(MAIL, &[]);
    let saved = message::save_parsed(ctx.db.write(), &[(id, &understood)]).await;
    let message = saved.unwrap().remove(0);
    let incoming = Incoming {
        message_id: id,
        project_id: &project.id,
        project_key: "HELP",
        mail: &understood,
        own_addresses: &[],
        sender_is_agent: false,
    };
    let resolution = ticket::resolve(ctx.db.write(), &ctx.keys, &ctx.clock, &incoming)
        .await
        .unwrap();
    let placed = ticket::place(ctx.db.write(), &ctx.clock, &incoming, &resolution)
        .await
        .unwrap();
    ticket::enter(ctx.db.write(), std::slice::from_ref(&placed))
        .await
        .unwrap();
    let why = resolution.to_json().to_string();
    let place = message::Place {
        message,
        ticket_id: placed.ticket_id.clone(),
        entry_id: placed.entry_id.clone(),
        resolution: why,
        node: String::new(),
        words: None,
    };
    message::mark_placed(ctx.db.write(), &[place]).await.unwrap();

    let (_, shown) = api.get(&format!("/messages/{id}")).await;
    assert_eq!(shown["from"][0]["email"], "ada@example.org");
    assert_eq!(shown["messageId"][0], "a1@example.org");
    assert!(shown["bodyValues"].to_string().contains("on fire"));
    let extras = &shown["mailgrant"];
    assert_eq!(
        (&extras["uid"], &extras["uidValidity"], &extras["folder"]),
        (&json!(42), &json!(7), &json!("INBOX"))
    );
    assert_eq!(extras["ticketId"], json!(placed.ticket_id));
    assert_eq!(extras["entryId"], json!(placed.entry_id));
    assert_eq!(extras["mailboxId"], json!(mailbox));
    assert_eq!(extras["resolution"]["rule"], "new_ticket");
    assert_eq!(extras["senderVerdict"], "unknown");
    let (_, list) = api.get(&format!("/messages?ticketId={}", placed.ticket_id)).await;
    assert_eq!(list["items"][0]["id"], json!(id));
    assert_eq!(list["items"][0]["bodyValues"], json!({}));
    assert_eq!(list["items"][0]["mailgrant"]["text"], "");

    let raw = api
        .ask(Method::GET, &format!("/messages/{id}/raw"))
        .send()
        .await
        .unwrap();
    assert_eq!(raw.headers()["content-type"], "message/rfc822");
    assert!(
        raw.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
    assert_eq!(raw.bytes().await.unwrap(), MAIL);
    let part = shown["attachments"][0]["partId"].as_str().unwrap();
    let file = api
        .ask(Method::GET, &format!("/messages/{id}/attachments/{part}"))
        .send()
        .await
        .unwrap();
    assert_eq!(file.status(), StatusCode::OK);
    assert_eq!(file.headers()["content-type"], "application/octet-stream");
    assert!(
        file.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .contains("evil.html")
    );
    assert_eq!(
        api.get(&format!("/messages/{id}/attachments/99")).await.0,
        StatusCode::NOT_FOUND
    );
    let (status, refused) = api.get(&format!("/messages/{id}/attached-mails/{part}")).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("not_a_mail")));
    let inner = shown["attachments"][1]["partId"].as_str().unwrap();
    let (status, inside) = api.get(&format!("/messages/{id}/attached-mails/{inner}")).await;
    assert_eq!(status, StatusCode::OK, "{inside}");
    assert_eq!(inside["subject"], "Inside");
    assert!(inside["mailgrant"]["text"].to_string().contains("Water helps."));

    let (_, tickets) = api.get("/tickets?project=HELP&state=open&q=printer").await;
    let line = &tickets["items"][0];
    assert_eq!((&line["key"], &line["entryCount"]), (&json!("HELP-1"), &json!(1)));
    assert!(line.get("entries").is_none());
    assert_eq!(api.get("/tickets?q=nothing-like-it").await.1["items"], json!([]));
    for name in ["HELP-1", placed.ticket_id.as_str()] {
        let (status, ticket) = api.get(&format!("/tickets/{name}")).await;
        assert_eq!(status, StatusCode::OK, "{ticket}");
        has_members(
            &ticket,
            &[
                "id",
                "key",
                "projectId",
                "subject",
                "requester",
                "state",
                "assigneeId",
                "labels",
                "priority",
            ],
        );
        assert_eq!(
            ticket["requester"],
            json!({"name": "Ada", "email": "ada@example.org"})
        );
        assert_eq!(ticket["entries"][0]["messageId"], json!(id));
        assert_eq!(ticket["entries"][0]["kind"], "message");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_without_their_secret_and_a_revoked_one_opens_nothing() {
    let api = api().await;
    let (_, list) = api.get("/tokens").await;
    assert!(!list.to_string().contains(&api.token));
    let id = list["items"][0]["id"].as_str().unwrap();
    assert_eq!(list["items"][0]["actor"], "cli");
    let gone = api
        .ask(Method::DELETE, &format!("/tokens/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(api.get("/tokens").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_mail_has_none_sent_elsewhere() {
    let api = api().await;
    let (_, project) = api
        .post("/projects", json!({ "key": "HELP", "name": "Help" }))
        .await;
    let scopes = json!(["webhooks:manage", "messages:send", "tickets:write"]);
    let (_, made) = api
        .post("/tokens", json!({ "name": "app", "scopes": scopes }))
        .await;
    let blind = made["token"].as_str().unwrap();
    let ask = |token: &str, method: Method, path: &str, body: &Value| {
        let request = api.site.ask(method, &format!("/api/v1{path}"));
        request
            .bearer_auth(token)
            .header("idempotency-key", "k")
            .json(body)
    };
    let post = |body: Value| {
        let request = api.site.ask(Method::POST, "/api/v1/webhooks");
        answer(request.bearer_auth(blind).json(&body))
    };
    let refused = |(status, told): (StatusCode, Value)| {
        let code = told["errors"][0]["code"].clone();
        assert_eq!(
            (status.as_u16(), code),
            (422, json!("needs_messages_read")),
            "{told}"
        );
    };
    let url = "https://93.184.215.14/hook";
    for body in [
        json!({ "url": url, "payload": "full" }),
        json!({ "url": url, "format": "postmark" }),
        json!({ "url": url, "format": "mailgun", "payload": "thin" }),
    ] {
        refused(post(body).await);
    }
    let (status, made) = post(json!({ "url": url })).await;
    assert_eq!(
        (status.as_u16(), &made["payload"]),
        (201, &json!("thin")),
        "{made}"
    );
    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    let patch = |token: &str, body: Value| answer(ask(token, Method::PATCH, &path, &body));
    refused(patch(blind, json!({ "payload": "full" })).await);
    assert_eq!(
        patch(&api.token, json!({ "payload": "full" })).await.0,
        StatusCode::OK
    );
    // Neither is one turned that somebody else made.
    for body in [
        json!({ "url": "https://93.184.215.15/hook" }),
        json!({ "projectIds": [project["id"]] }),
    ] {
        refused(patch(blind, body).await);
    }
    assert_eq!(
        patch(blind, json!({ "description": "App" })).await.0,
        StatusCode::OK
    );

    let ticket = json!({ "projectId": project["id"], "subject": "Printer" });
    let (status, ticket) = api.post("/tickets", ticket).await;
    assert_eq!(status, StatusCode::CREATED, "{ticket}");
    let path = format!("/tickets/{}/replies", ticket["id"].as_str().unwrap());
    let reply = json!({ "text": "x", "quote": true });
    let (status, told) = answer(ask(blind, Method::POST, &path, &reply)).await;
    assert_eq!(
        (status.as_u16(), &told["scope"]),
        (403, &json!("messages:read")),
        "{told}"
    );
    for path in [path.as_str(), "/users"] {
        let (status, told) = api
            .post(path, json!({ "text": "x", "email": "a@b.example" }))
            .await;
        assert_eq!(
            (status.as_u16(), &told["code"]),
            (400, &json!("idempotency_key_required"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_can_be_parsed_without_being_stored() {
    let api = api().await;
    let send = |kind: &'static str, body: &'static [u8]| {
        answer(
            api.ask(Method::POST, "/messages/parse")
                .header("content-type", kind)
                .body(body),
        )
    };
    let (status, parsed) = send("message/rfc822", MAIL).await;
    assert_eq!(status, StatusCode::OK, "{parsed}");
    assert_eq!(
        (&parsed["subject"], &parsed["id"]),
        (&json!("Printer"), &Value::Null)
    );
    assert_eq!(
        send("message/rfc822", b"").await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        send("application/json", b"{}").await.0,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(api.get("/messages").await.1["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_says_which_methods_it_takes() {
    let api = api().await;
    let options = api.ask(Method::OPTIONS, "/projects").send().await.unwrap();
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    assert_eq!(options.headers()["allow"], "GET, POST, HEAD");
    let head = api.ask(Method::HEAD, "/projects").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-type"], "application/json");
    let wrong = api.ask(Method::PUT, "/projects").send().await.unwrap();
    assert_eq!(
        (wrong.status(), wrong.headers()["allow"].clone()),
        (
            StatusCode::METHOD_NOT_ALLOWED,
            reqwest::header::HeaderValue::from_static("GET, POST, HEAD")
        )
    );
}

fn keyed(api: &Api, key: &str, body: &Value) -> reqwest::RequestBuilder {
    api.ask(Method::POST, "/projects")
        .header("idempotency-key", key)
        .json(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_happens_once_and_its_answer_comes_again() {
    let api = api().await;
    let body = json!({"key": "ONCE", "name": "Once"});
    let first = keyed(&api, "k-1", &body).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::CREATED);
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let told = |answer: &reqwest::Response| {
        ["location", "etag", "content-type"].map(|name| answer.headers().get(name).cloned())
    };
    let expected = told(&first);
    let first = first.text().await.unwrap();
    for key in ["k-1", "\"k-1\""] {
        let again = keyed(&api, key, &body).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::CREATED);
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        assert_eq!(told(&again), expected);
        assert_eq!(again.text().await.unwrap(), first);
    }
    let (status, other) = answer(keyed(&api, "k-1", &json!({"key": "TWO", "name": "Two"}))).await;
    assert_eq!(
        (status, &other["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused"))
    );
    assert_eq!(api.get("/projects").await.1["items"].as_array().unwrap().len(), 1);
    // A refusal leaves the key free for the corrected request.
    let (status, _) = answer(keyed(&api, "k-2", &json!({"key": "ONCE", "name": "x"}))).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, _) = answer(keyed(&api, "k-2", &json!({"key": "OTHER", "name": "x"}))).await;
    assert_eq!(status, StatusCode::CREATED);
    for bad in ["", "a b", &"x".repeat(256)] {
        let (status, problem) = answer(keyed(&api, bad, &body)).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_REQUEST, &json!("bad_idempotency_key")),
            "{bad}"
        );
    }
    // Another token's keys are its own.
    let other = api.site.token().await;
    let theirs = api
        .site
        .ask(Method::POST, "/api/v1/projects")
        .bearer_auth(other)
        .header("idempotency-key", "k-1")
        .json(&json!({"key": "THEIRS", "name": "x"}));
    assert_eq!(answer(theirs).await.0, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_repetitions_at_once_make_one_thing() {
    let api = api().await;
    let body = json!({"key": "ONCE", "name": "Once"});
    let all = futures_util::future::join_all((0..100).map(|_| answer(keyed(&api, "k", &body)))).await;
    let mut made = std::collections::BTreeSet::new();
    for (status, answer) in all {
        match status.as_u16() {
            201 => {
                made.insert(answer["id"].as_str().unwrap().to_owned());
            }
            409 => assert_eq!(answer["code"], "idempotency_key_in_flight", "{answer}"),
            other => panic!("{other} {answer}"),
        }
    }
    assert_eq!(made.len(), 1);
    assert_eq!(api.get("/projects").await.1["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_list_is_refused() {
    let api = api().await;
    for key in ["AA", "BB", "CC"] {
        api.post("/projects", json!({"key": key, "name": key})).await;
    }
    let (_, part) = api.get("/projects?limit=1").await;
    let next = part["next"].as_str().unwrap();
    let cursor = next.split("after=").nth(1).unwrap();
    assert_eq!(
        api.get(&format!("/projects?after={cursor}")).await.0,
        StatusCode::OK
    );
    let (status, log) = api.get("/events").await;
    assert_eq!(status, StatusCode::OK);
    let of_log = log["cursor"].as_str().unwrap();
    for foreign in [
        format!("/projects?after={of_log}"),
        format!("/audit-events?after={of_log}"),
        format!("/event-types?after={of_log}"),
        format!("/events?after={cursor}"),
        format!("/mailboxes?after={cursor}"),
        format!("/projects?after={cursor}&sort=name"),
        "/projects?after=cHJqXzAx".to_owned(),
    ] {
        let (status, problem) = api.get(&foreign).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_REQUEST, &json!("bad_cursor")),
            "{foreign}"
        );
        assert!(
            problem["type"]
                .as_str()
                .unwrap()
                .ends_with("/api/problems/bad_cursor")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let site = crate::web::tests::site_with(|ctx| {
        let mut config = (*ctx.config).clone();
        config.requests_per_token = 3;
        config.requests_per_address = 8;
        ctx.config = config.into();
    })
    .await;
    let token = site.token().await;
    let ask = |token: String| site.get("/api/v1/projects").bearer_auth(token).send();
    for _ in 0..3 {
        assert_eq!(ask(token.clone()).await.unwrap().status(), StatusCode::OK);
    }
    let refused = ask(token.clone()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "20");
    // Of other routes it has not asked too often.
    for path in ["/api/v1/tickets", "/api/v1/rules"] {
        let other = site.get(path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(
        ask("wrong".into()).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        ask("wrong".into()).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let refused = ask("wrong".into()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_counted_for_each_route_whatever_id_stands_in_the_address() {
    let site = crate::web::tests::site_with(|ctx| {
        let mut config = (*ctx.config).clone();
        config.requests_per_token = 3;
        ctx.config = config.into();
    })
    .await;
    let token = site.token().await;
    let mut seen = Vec::new();
    for path in [
        "tickets/tic_1",
        "tickets/tic_2",
        "tickets/tic_3",
        "tickets/tic_4",
        "tickets",
    ] {
        let request = site.get(&format!("/api/v1/{path}")).bearer_auth(&token);
        seen.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [404, 404, 404, 429, 200]);
}
