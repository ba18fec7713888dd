//! What the HTTP core promises, asked over a real socket.

use actix_web::{HttpResponse, web};
use reqwest::{Method, StatusCode, header};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{CurrentUser, Extras, FormData, Guard, Problem, Route, Visitor, routes, server};
use crate::access::Scopes;
use crate::account::{self, tests::TestPlace};
use crate::ctx::Ctx;

pub(super) struct Site {
    pub(super) place: TestPlace,
    pub(super) base: String,
    pub(super) client: reqwest::Client,
    handle: actix_web::dev::ServerHandle,
}

impl Drop for Site {
    fn drop(&mut self) {
        // Begins the stop; the runtime of the test ends the rest.
        drop(self.handle.stop(false));
    }
}

/// Routes that show what the core does with handlers.
const PROBES: &[Route] = &[
    Route::get("/probe/form", Guard::Public, || web::to(probe_form)),
    Route::post("/probe/form", Guard::Public, || web::to(probe_sent)),
    Route::get("/probe/mine", Guard::Person, || web::to(probe_mine)),
    Route::post("/probe/mine", Guard::Person, || web::to(probe_mine)),
    Route::get("/probe/panic", Guard::Public, || web::to(probe_panic)),
    Route::get("/probe/frame", Guard::Public, || web::to(probe_frame)),
    Route::get("/probe/mistake", Guard::Public, || web::to(probe_mistake)),
];

async fn probe_form(visitor: Visitor) -> String {
    visitor.csrf
}

async fn probe_sent(form: FormData) -> String {
    format!(
        "{}|{}",
        form.text("name"),
        form.all("many").collect::<Vec<_>>().join(",")
    )
}

async fn probe_mine(current: CurrentUser) -> String {
    format!("{} {}", current.user().email, current.csrf())
}

async fn probe_panic() -> HttpResponse {
    panic!("a handler's mistake");
}

async fn probe_frame() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("content-security-policy", "default-src 'none'; sandbox"))
        .body("")
}

async fn probe_mistake() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("<b>thing</b>"))
}

pub(super) async fn site() -> Site {
    site_with(|_| ()).await
}

/// The same with other parts than usual.
pub(super) async fn site_with(change: impl FnOnce(&mut Ctx)) -> Site {
    let mut place = account::tests::place().await;
    change(&mut place.ctx);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let extras = Extras {
        routes: PROBES.to_vec(),
        workers: 2,
        ..Extras::default()
    };
    let server = server(place.ctx.clone(), listener, extras).unwrap();
    let handle = server.handle();
    tokio::spawn(server);
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    Site {
        place,
        base,
        client,
        handle,
    }
}

impl Site {
    pub(super) fn ctx(&self) -> &Ctx {
        &self.place.ctx
    }

    pub(super) fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(super) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.ask(Method::GET, path)
    }

    /// Makes an admin and signs them in: the `Cookie` header and the token of their forms.
    pub(super) async fn signed_in(&self) -> (String, String) {
        let ctx = self.ctx();
        let user = account::create(&ctx.db, &ctx.clock, &account::tests::ada(), "cli")
            .await
            .unwrap();
        let started = account::start(&ctx.db, &ctx.clock, &user.id, None).await.unwrap();
        let cookie = format!("mailgrant={}", started.cookie.expose_secret());
        (cookie, started.session.csrf_token)
    }

    pub(super) async fn token(&self) -> String {
        let ctx = self.ctx();
        let (_, token) = account::create_token(&ctx.db, &ctx.clock, "test", "cli")
            .await
            .unwrap();
        token.expose_secret().to_owned()
    }
}

fn filled(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "x" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unsafe_page_route_without_a_token_is_refused() {
    let site = site().await;
    let (cookie, csrf) = site.signed_in().await;
    let mut walked = 0;
    for route in routes().into_iter().chain(PROBES.to_vec()) {
        // The protocol's endpoints look at no cookie, so there is nothing to forge; their own tests ask who calls.
        let is_protocol = super::oauth2::is_protocol(&route.method, route.path)
            || super::sso::is_from_provider(&route.method, route.path);
        if route.guard.is_rest() || route.method.as_str() == "GET" || is_protocol {
            continue;
        }
        walked += 1;
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let path = filled(route.path);
        for (name, request) in [
            ("nothing", site.ask(method.clone(), &path)),
            (
                "a session",
                site.ask(method.clone(), &path).header("cookie", &cookie),
            ),
            (
                "a wrong token",
                site.ask(method.clone(), &path)
                    .header("cookie", &cookie)
                    .form(&[("csrf", "wrong")]),
            ),
            (
                "the token from another site",
                site.ask(method.clone(), &path)
                    .header("cookie", &cookie)
                    .header("origin", "https://evil.example")
                    .form(&[("csrf", &csrf)]),
            ),
            (
                "the token from a page without an origin",
                site.ask(method.clone(), &path)
                    .header("cookie", &cookie)
                    .header("origin", "null")
                    .form(&[("csrf", &csrf)]),
            ),
            (
                "the token by a cross-site request",
                site.ask(method.clone(), &path)
                    .header("cookie", &cookie)
                    .header("sec-fetch-site", "cross-site")
                    .form(&[("csrf", &csrf)]),
            ),
        ] {
            let answer = request.send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::FORBIDDEN,
                "{method} {path} with {name}"
            );
        }
    }
    assert!(walked >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_route_sends_strangers_to_the_sign_in_page() {
    let site = site().await;
    let first = site.get("/probe/mine").send().await.unwrap();
    assert_eq!(first.headers()["location"], "/setup", "nobody has an account yet");
    site.signed_in().await;
    for route in routes().into_iter().chain(PROBES.to_vec()) {
        if !route.guard.is_page() || route.method.as_str() != "GET" {
            continue;
        }
        let answer = site.get(&filled(route.path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{}", route.path);
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(location.starts_with("/sign-in"), "{} → {location}", route.path);
    }
    let asked = site.get("/probe/mine?a=1&b=2").send().await.unwrap();
    assert_eq!(
        asked.headers()["location"],
        "/sign-in?next=%2Fprobe%2Fmine%3Fa%3D1%26b%3D2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_route_without_a_token_answers_401_before_anything_else() {
    let site = site().await;
    let (cookie, _) = site.signed_in().await;
    let mut asked: Vec<(Method, String)> = routes()
        .iter()
        .filter(|route| route.guard.is_rest())
        .map(|route| {
            (
                Method::from_bytes(route.method.as_str().as_bytes()).unwrap(),
                filled(route.path),
            )
        })
        .collect();
    asked.push((Method::GET, "/api/v1/nothing".into()));
    asked.push((Method::PUT, "/api/v1/grants".into()));
    for (method, path) in asked {
        for request in [
            site.ask(method.clone(), &path),
            site.ask(method.clone(), &path).header("cookie", &cookie),
            site.ask(method.clone(), &path)
                .bearer_auth("mg_pat_wrong")
                .body("{"),
            site.ask(method.clone(), &path).basic_auth("ada", Some("x")),
        ] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
            assert!(
                answer.headers()[header::WWW_AUTHENTICATE]
                    .to_str()
                    .unwrap()
                    .starts_with("Bearer")
            );
            let body: Value = answer.json().await.unwrap();
            assert_eq!(
                (&body["status"], &body["code"]),
                (&401.into(), &"token_missing_or_wrong".into())
            );
            for name in ["type", "title", "detail", "errors"] {
                assert!(!body[name].is_null(), "{name}");
            }
        }
    }
}

#[test]
fn every_route_says_who_may_use_it() {
    for route in routes() {
        let is_rest = route.path.starts_with("/api/v1/");
        assert_eq!(route.guard.is_rest(), is_rest, "{} {}", route.method, route.path);
        let said = !matches!(route.guard, Guard::Session | Guard::Bearer);
        assert!(said, "{} {} has no scope and no role", route.method, route.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_is_named_before_the_body_is_read() {
    let site = site().await;
    let ctx = site.ctx();
    let new = account::NewToken {
        scopes: Scopes::parse("tickets:read").unwrap(),
        ..account::NewToken::unlimited("reader")
    };
    let (_, token) = account::issue_token(&ctx.db, &ctx.clock, &new, "cli", "cli")
        .await
        .unwrap();
    let answer = site
        .ask(Method::POST, "/api/v1/mailboxes")
        .bearer_auth(token.expose_secret())
        .header("content-type", "text/plain")
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        answer.headers()[header::WWW_AUTHENTICATE],
        "Bearer realm=\"mailgrant\", error=\"insufficient_scope\", scope=\"mailboxes:write\""
    );
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "insufficient_scope");
    assert_eq!(body["scope"], "mailboxes:write");
    let allowed = site.get("/api/v1/tickets").bearer_auth(token.expose_secret());
    assert_eq!(allowed.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_a_role_is_not_told_to_ask_for_a_scope_that_their_token_has() {
    let site = site().await;
    let ctx = site.ctx();
    let new = account::NewUser {
        is_site_admin: false,
        ..account::tests::ada()
    };
    let bob = account::create(&ctx.db, &ctx.clock, &new, "cli").await.unwrap();
    let (_, token) = account::create_token(&ctx.db, &ctx.clock, "all", &bob.id)
        .await
        .unwrap();
    for (method, path, code) in [
        (Method::GET, "/api/v1/tickets", "insufficient_role"),
        (Method::POST, "/api/v1/projects", "site_admin_only"),
    ] {
        let answer = site.ask(method, path).bearer_auth(token.expose_secret());
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.headers().get(header::WWW_AUTHENTICATE), None, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(
            (&body["code"], &body["scope"]),
            (&code.into(), &Value::Null),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_addresses_and_methods_are_problems_in_the_api_and_pages_elsewhere() {
    let site = site().await;
    let token = site.token().await;
    let missing = site
        .get("/api/v1/nothing")
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        missing.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
    let page = site.get("/nothing").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    let text = page.text().await.unwrap();
    assert!(text.contains("<html") && !text.contains("<b>thing"), "{text}");
    let escaped = site
        .get("/probe/mistake")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!escaped.contains("<b>thing"), "{escaped}");
    let method = site.ask(Method::PUT, "/livez").send().await.unwrap();
    assert_eq!(method.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.headers()["allow"], "GET, HEAD");
    let method = site
        .ask(Method::PUT, "/api/v1/grants")
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert!(method.status().is_client_error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_passes_with_its_token_from_our_own_page() {
    let site = site().await;
    let page = site.get("/probe/form").send().await.unwrap();
    let set = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Lax") && !set.contains("Secure"),
        "{set}"
    );
    let visit = set.split(';').next().unwrap().to_owned();
    let csrf = page.text().await.unwrap();
    let sent = site
        .ask(Method::POST, "/probe/form")
        .header("cookie", &visit)
        .header("origin", &site.base)
        .header("sec-fetch-site", "same-origin")
        .form(&[
            ("csrf", csrf.as_str()),
            ("name", " Ada "),
            ("many", "1"),
            ("many", "2"),
        ])
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    assert_eq!(sent.text().await.unwrap(), "Ada|1,2");

    let boundary = "----x";
    let part = |name: &str, value: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = format!(
        "{}{}--{boundary}--\r\n",
        part("name", "{\"web\":{}}"),
        part("csrf", &csrf)
    );
    let sent = site
        .ask(Method::POST, "/probe/form")
        .header("cookie", &visit)
        .header(
            "content-type",
            format!("multipart/form-data; boundary={boundary}"),
        )
        .body(multipart)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.text().await.unwrap(), "{\"web\":{}}|");

    let other_visit = site
        .ask(Method::POST, "/probe/form")
        .form(&[("csrf", csrf.as_str())])
        .send()
        .await
        .unwrap();
    assert_eq!(other_visit.status(), StatusCode::FORBIDDEN);

    let big = site
        .ask(Method::POST, "/probe/form")
        .header("cookie", &visit)
        .body(vec![b'x'; super::gate::MAX_FORM_BYTES + 1])
        .send()
        .await
        .unwrap();
    assert_eq!(big.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_opens_its_pages_until_it_is_idle() {
    let site = site().await;
    let (cookie, csrf) = site.signed_in().await;
    let mine = || site.get("/probe/mine").header("cookie", &cookie).send();
    let text = mine().await.unwrap().text().await.unwrap();
    assert_eq!(text, format!("ada@example.org {csrf}"));
    let posted = site
        .ask(Method::POST, "/probe/mine")
        .header("cookie", &cookie)
        .header("x-csrf-token", &csrf)
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), StatusCode::OK);
    site.ctx()
        .clock
        .advance(chrono::Duration::minutes(account::IDLE_MINUTES));
    assert_eq!(mine().await.unwrap().status(), StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_link_gives_a_new_session_once() {
    let site = site().await;
    let (cookie, _) = site.signed_in().await;
    let user = account::get_by_email(&site.ctx().db, "ada@example.org")
        .await
        .unwrap()
        .unwrap();
    let link = account::sign_in_link(site.ctx(), &user.id).await.unwrap();
    let path = link.split_once("8080").unwrap().1;
    let used = site.get(path).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(used.status(), StatusCode::SEE_OTHER);
    assert_eq!(used.headers()["location"], "/");
    let set = used.headers()["set-cookie"].to_str().unwrap();
    let fresh = set.split(';').next().unwrap();
    assert_ne!(fresh, cookie);
    let status = async |cookie: &str| {
        site.get("/probe/mine")
            .header("cookie", cookie)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(status(fresh).await, StatusCode::OK);
    assert_eq!(
        status(&cookie).await,
        StatusCode::SEE_OTHER,
        "the old session ended"
    );
    assert_eq!(site.get(path).send().await.unwrap().status(), StatusCode::GONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_security_headers() {
    let site = site().await;
    for path in [
        "/livez",
        "/readyz",
        "/nothing",
        "/api/v1/nothing",
        "/probe/panic",
        "/static/none.css",
    ] {
        let answer = site.get(path).send().await.unwrap();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "same-origin");
        assert!(headers["x-request-id"].to_str().unwrap().starts_with("req_"));
        assert!(!headers.contains_key("strict-transport-security"), "not on http");
    }
    let own = site.get("/probe/frame").send().await.unwrap();
    assert_eq!(
        own.headers()["content-security-policy"],
        "default-src 'none'; sandbox; frame-ancestors 'none'"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_one_failed_request() {
    let site = site().await;
    let answer = site.get("/probe/panic").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.text().await.unwrap().contains("a handler's mistake"));
    assert_eq!(site.get("/livez").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(site.get("/readyz").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn static_files_are_kept_by_the_browser() {
    let site = site().await;
    let first = site.get("/static/mailgrant.css?v=1").send().await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    assert!(
        first.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let etag = first.headers()["etag"].clone();
    let again = site
        .get("/static/mailgrant.css")
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    for path in [
        "/static/../Cargo.toml",
        "/static/%2e%2e/Cargo.toml",
        "/static//etc/passwd",
        "/static/",
    ] {
        let refused = site.get(path).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let head = site
        .ask(Method::HEAD, "/static/mailgrant.css")
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::OK);
}
