//! Applications that act for people, and those who manage them: what one must not get through the other.

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::people;
use super::tests::{Site, site};
use crate::access::{Projects, Role};
use crate::account::{self, Session, User};
use crate::audit::{self, Filter};
use crate::crypto::sha256_hex;
use crate::oauth2_server::{
    self, Allowed, Client, ClientFields, Fields, Given, GrantType, Issued, NewClient, OAuthError, SignIn,
};
use crate::project::{self, NewProject};

const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// What a browser is known by: 43 characters.
const VISIT: &str = "a-browser-a-browser-a-browser-a-browser-abc";

/// Somebody at their browser.
pub(super) struct Person {
    pub(super) user: User,
    pub(super) session: Session,
    cookie: String,
}

pub(super) async fn person(site: &Site, email: &str, is_site_admin: bool) -> Person {
    let ctx = site.ctx();
    let new = account::NewUser {
        email: email.into(),
        is_site_admin,
        ..account::tests::ada()
    };
    let user = account::create(&ctx.db, &ctx.clock, &new, "cli").await.unwrap();
    sign_in(site, user).await
}

async fn sign_in(site: &Site, user: User) -> Person {
    let ctx = site.ctx();
    let started = account::start(&ctx.db, &ctx.clock, &user.id, None).await.unwrap();
    let cookie = format!(
        "mailgrant={}; mailgrant-visit={VISIT}",
        started.cookie.expose_secret()
    );
    Person {
        user,
        session: started.session,
        cookie,
    }
}

async fn new_project(site: &Site, key: &str) -> String {
    let new = NewProject {
        key: key.into(),
        name: key.into(),
        description: String::new(),
    };
    project::create(site.ctx(), new).await.unwrap().id
}

async fn join(site: &Site, project: &str, user: &User, role: Role) {
    let ctx = site.ctx();
    project::set_member(&ctx.db, &ctx.clock, project, &user.id, role, "cli")
        .await
        .unwrap();
}

pub(super) async fn client(site: &Site, project_id: &str, change: impl FnOnce(&mut ClientFields)) -> Client {
    let mut fields = ClientFields {
        name: "App".into(),
        redirect_uris: vec![CALLBACK.into()],
        scopes: words("openid tickets:read projects:read projects:write clients:manage"),
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        ..ClientFields::default()
    };
    change(&mut fields);
    let new = NewClient {
        fields,
        project_id: project_id.to_owned(),
        ..NewClient::default()
    };
    oauth2_server::create(site.ctx(), "cli", new)
        .await
        .unwrap()
        .client
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Puts a request aside as the endpoint does, for [`VISIT`].
async fn ask(site: &Site, client: &Client, more: &[(&str, &str)]) -> String {
    let mut params = vec![
        ("response_type", "code"),
        ("client_id", client.client_id.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    params.extend(more);
    let params: Vec<(String, String)> = params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let (client, request) = oauth2_server::check(site.ctx(), &params).await.unwrap();
    let browser = sha256_hex(format!("visit browser {VISIT}").as_bytes());
    oauth2_server::put_aside(site.ctx(), &client, request, &browser)
        .await
        .unwrap()
}

/// An access token of somebody who allowed everything that was asked.
pub(super) async fn given(site: &Site, client: &Client, person: &Person, scopes: &str) -> SecretString {
    issued(site, client, person, scopes).await.access_token
}

/// The same with all that comes with it.
async fn issued(site: &Site, client: &Client, person: &Person, scopes: &str) -> Issued {
    let id = ask(site, client, &[("scope", scopes)]).await;
    let browser = sha256_hex(format!("visit browser {VISIT}").as_bytes());
    let pending = oauth2_server::take(site.ctx(), &id, &browser).await.unwrap();
    let allowed = Allowed {
        scopes: words(scopes),
        projects: Vec::new(),
        seconds: None,
    };
    let given = oauth2_server::allow(site.ctx(), &pending, &person.session, &person.user, allowed).await;
    let Given::Reply(reply) = given.unwrap() else {
        panic!("no device asked");
    };
    let params = reply.params();
    let code = params.iter().find(|(name, _)| *name == "code").unwrap().1;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    token(site, client, &fields).await.unwrap()
}

async fn token(site: &Site, client: &Client, fields: &[(&str, &str)]) -> Result<Issued, OAuthError> {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    oauth2_server::token(site.ctx(), client, &Fields::new(fields.collect()).unwrap(), None).await
}

async fn send(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_use_one_application_do_not_get_each_others_answers() {
    let site = site().await;
    let (ada, bob) = (
        person(&site, "ada@example.org", true).await,
        person(&site, "bob@example.org", true).await,
    );
    let app = client(&site, "", |_| {}).await;
    let scopes = "openid projects:read projects:write";
    let (of_ada, of_bob) = (
        given(&site, &app, &ada, scopes).await,
        given(&site, &app, &bob, scopes).await,
    );
    let make = async |token: &SecretString| {
        send(
            site.ask(Method::POST, "/api/v1/projects")
                .bearer_auth(token.expose_secret())
                .header("idempotency-key", "one")
                .json(&json!({ "key": "HELP", "name": "Help" })),
        )
        .await
    };
    let (first, made) = make(&of_ada).await;
    assert_eq!(first, StatusCode::CREATED, "{made}");
    assert_eq!(
        make(&of_ada).await,
        (StatusCode::CREATED, made.clone()),
        "repeated"
    );
    let (second, answer) = make(&of_bob).await;
    assert_ne!(
        second,
        StatusCode::CREATED,
        "the key is Bob's own, and HELP is there already: {answer}"
    );
    assert_ne!(answer, made);
    // Whoever asks is who did it; through which application, the log says.
    let everything = Filter {
        projects: Projects::All,
        action: Some("project.created".into()),
        ..Filter::default()
    };
    let log = audit::list(site.ctx().db.read(), &everything, None, 10)
        .await
        .unwrap();
    let seen: Vec<_> = log
        .iter()
        .map(|event| (event.actor.as_str(), event.summary["throughClient"].as_str()))
        .collect();
    assert_eq!(seen, [(ada.user.id.as_str(), Some(app.id.as_str()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_does_not_pass_what_the_page_before_it_would_have_refused() {
    let site = site().await;
    let ada = person(&site, "ada@example.org", true).await;
    let app = client(&site, "", |_| {}).await;
    let claims =
        json!({ "id_token": { "acr": { "essential": true, "values": [SignIn::MULTI] } } }).to_string();
    let id = ask(&site, &app, &[("scope", "openid"), ("claims", &claims)]).await;
    // Signed in after the request came, and not in the way it demands.
    site.ctx().clock.advance(chrono::Duration::seconds(5));
    let ada = sign_in(&site, ada.user).await;
    let answer = site
        .ask(Method::POST, &format!("/oauth2/interactions/{id}"))
        .header("cookie", &ada.cookie)
        .form(&[
            ("decision", "allow"),
            ("scope", "openid"),
            ("csrf", ada.session.csrf_token.as_str()),
        ])
        .send()
        .await
        .unwrap();
    // By a page: a redirect after the form would be held against its policy.
    assert_eq!(answer.status(), StatusCode::OK);
    let page = answer
        .text()
        .await
        .unwrap()
        .replace("&#x2F;", "/")
        .replace("&#x3D;", "=");
    assert!(
        page.contains(&format!("url={CALLBACK}?error=unmet_authentication_requirements")),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_manages_a_project_does_not_inherit_what_a_site_admin_gave_its_client() {
    let site = site().await;
    let ctx = site.ctx();
    let help = new_project(&site, "HELP").await;
    let bob = person(&site, "bob@example.org", false).await;
    join(&site, &help, &bob.user, Role::ProjectAdmin).await;
    let (_, token) = account::create_token(&ctx.db, &ctx.clock, "bob", &bob.user.id)
        .await
        .unwrap();
    let asked = async |method: Method, path: String, body: Value| {
        let request = site.ask(method, &path).bearer_auth(token.expose_secret());
        send(request.json(&body)).await
    };
    let plain = client(&site, &help, |_| {}).await;
    let changes = [
        json!({ "redirectUris": ["https://evil.example/cb"] }),
        json!({ "jwksUri": "https://evil.example/keys" }),
        json!({ "tokenEndpointAuthMethod": "none" }),
        json!({ "applicationType": "native" }),
        json!({ "requirePkce": false }),
        json!({ "grantTypes": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"] }),
        json!({ "scopes": ["openid", "tickets:write"] }),
    ];
    let gifts: [fn(&mut ClientFields); 3] = [
        |fields| fields.auto_grant = true,
        |fields| fields.may_introspect = true,
        |fields| fields.scopes.push("audit:read".into()),
    ];
    for gift in gifts {
        let given = client(&site, &help, gift).await;
        let path = format!("/api/v1/clients/{}", given.id);
        for change in &changes {
            let (status, answer) = asked(Method::PATCH, path.clone(), change.clone()).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{change}: {answer}");
            assert!(answer.to_string().contains("site_admin_only"), "{answer}");
        }
        let (status, _) = asked(Method::POST, format!("{path}/secrets"), json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let page = site
            .ask(Method::POST, &format!("/clients/{}/secrets", given.id))
            .header("cookie", &bob.cookie)
            .form(&[("csrf", &bob.session.csrf_token)]);
        let page = page.send().await.unwrap().text().await.unwrap();
        assert!(page.contains("what only a site admin gives"), "{page}");
        // What does not move it stays theirs, and so does ending it; switching it on again is not.
        let (status, answer) = asked(Method::PATCH, path.clone(), json!({ "description": "ours" })).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let (status, _) = asked(Method::PATCH, path.clone(), json!({ "state": "disabled" })).await;
        assert_eq!(status, StatusCode::OK);
        let (status, _) = asked(Method::PATCH, path, json!({ "state": "approved" })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let page = site
            .ask(Method::POST, &format!("/clients/{}/state", given.id))
            .header("cookie", &bob.cookie)
            .form(&[("csrf", bob.session.csrf_token.as_str()), ("state", "approved")]);
        let page = page.send().await.unwrap().text().await.unwrap();
        assert!(page.contains("what only a site admin gives"), "{page}");
    }
    // A client without such gifts is the project's alone.
    let path = format!("/api/v1/clients/{}", plain.id);
    let (status, answer) = asked(
        Method::PATCH,
        path.clone(),
        json!({ "redirectUris": ["https://other.example/cb"] }),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (status, _) = asked(Method::POST, format!("{path}/secrets"), json!({})).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_of_a_project_stays_in_it_whoever_uses_it() {
    let site = site().await;
    let (help, ops) = (new_project(&site, "HELP").await, new_project(&site, "OPS").await);
    let ada = person(&site, "ada@example.org", true).await;
    let app = client(&site, &help, |_| {}).await;
    let id = ask(&site, &app, &[("scope", "openid projects:read")]).await;
    let page = site
        .get(&format!("/oauth2/interactions/{id}"))
        .header("cookie", &ada.cookie);
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("In the project HELP") && !page.contains("name=\"reach\""),
        "{page}"
    );
    let token = given(&site, &app, &ada, "openid projects:read").await;
    let see = async |path: String| send(site.get(&path).bearer_auth(token.expose_secret())).await;
    let (status, list) = see("/api/v1/projects".into()).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let keys: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key"].clone())
        .collect();
    assert_eq!(keys, ["HELP"]);
    assert_eq!(
        see(format!("/api/v1/projects/{ops}")).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_about_projects_chooses_them_and_nobody_else() {
    let site = site().await;
    let help = new_project(&site, "HELP").await;
    let ada = person(&site, "ada@example.org", true).await;
    let app = client(&site, "", |fields| {
        fields.scopes = words("openid email groups projects:read")
    })
    .await;
    let single = r#"{"userinfo":{"groups":null}}"#;
    for (scopes, claims, is_asked) in [
        ("openid email", "", false),
        ("openid projects:read", "", true),
        ("openid groups", "", true),
        ("openid", single, true),
    ] {
        let id = ask(&site, &app, &[("scope", scopes), ("claims", claims)]).await;
        let page = site
            .get(&format!("/oauth2/interactions/{id}"))
            .header("cookie", &ada.cookie);
        let page = page.send().await.unwrap().text().await.unwrap();
        assert!(page.contains("name=\"decision\""), "{page}");
        let offered = page.contains("name=\"reach\"") && page.contains(&help);
        assert_eq!(offered, is_asked, "{scopes} {claims}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n48_a_token_for_another_audience_opens_nothing() {
    let site = site().await;
    let ada = person(&site, "ada@example.org", true).await;
    let app = client(&site, "", |_| {}).await;
    let token = given(&site, &app, &ada, "openid projects:read").await;
    let status = async || {
        let request = site.get("/api/v1/projects").bearer_auth(token.expose_secret());
        let answer = request.send().await.unwrap();
        let demand = answer.headers().get("www-authenticate").cloned();
        (
            answer.status().as_u16(),
            demand.map(|value| value.to_str().unwrap().to_owned()),
        )
    };
    assert_eq!(status().await, (200, None));
    let moved = "UPDATE oauth2_families SET audience = 'https://other.example'";
    sea_orm::ConnectionTrait::execute_unprepared(site.ctx().db.write(), moved)
        .await
        .unwrap();
    let (refused, demand) = status().await;
    assert_eq!(refused, 401);
    assert!(demand.unwrap().contains("error=\"invalid_token\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_end_what_applications_do_in_their_name_and_nobody_elses() {
    let site = site().await;
    let ctx = site.ctx();
    let (ada, bob) = (
        person(&site, "ada@example.org", true).await,
        person(&site, "bob@example.org", false).await,
    );
    let app = client(&site, "", |fields| fields.auto_grant = true).await;
    let of_ada = given(&site, &app, &ada, "openid projects:read").await;
    let of_bob = given(&site, &app, &bob, "openid projects:read").await;
    let (_, token) = account::create_token(&ctx.db, &ctx.clock, "own", &bob.user.id)
        .await
        .unwrap();
    let asked = async |method: Method, path: String| {
        send(site.ask(method, &path).bearer_auth(token.expose_secret())).await
    };
    let (status, list) = asked(Method::GET, "/api/v1/connected-apps".into()).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["items"][0]["id"], app.id);
    let path = format!("/api/v1/connected-apps/{}", app.id);
    let (status, one) = asked(Method::GET, path.clone()).await;
    assert_eq!((status, &one), (StatusCode::OK, &list["items"][0]));
    assert_eq!(
        asked(Method::DELETE, path.clone()).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(asked(Method::DELETE, path).await.0, StatusCode::NOT_FOUND);
    let is_live =
        async |token: &SecretString| oauth2_server::authenticate(ctx, token).await.unwrap().is_some();
    assert!(!is_live(&of_bob).await && is_live(&of_ada).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_keeps_somebody_out_ends_what_applications_hold_of_them_for_good() {
    let site = site().await;
    let ctx = site.ctx();
    let app = client(&site, "", |_| {}).await;
    let help = new_project(&site, "HELP").await;
    for (at, way) in ["disabled", "new password", "link", "removed"]
        .into_iter()
        .enumerate()
    {
        let ada = person(&site, &format!("ada{at}@example.org"), false).await;
        let bob = person(&site, &format!("bob{at}@example.org"), false).await;
        for one in [&ada, &bob] {
            join(&site, &help, &one.user, Role::Agent).await;
        }
        let scopes = "tickets:read projects:read";
        let of_ada = issued(&site, &app, &ada, scopes).await;
        let of_bob = issued(&site, &app, &bob, scopes).await;
        let id = ada.user.id.as_str();
        match way {
            "disabled" => {
                people::disable(ctx, id, "usr_1").await.unwrap();
                assert!(!opens(&site, &of_ada).await, "{way}");
                // Who comes back does not bring it back.
                account::enable(&ctx.db, &ctx.clock, id, "usr_1").await.unwrap();
            }
            "new password" => {
                let password = SecretString::from("a sentence of mine");
                let new = account::new_password(&ada.user, "", &password).await.unwrap();
                let session = account::NewSession {
                    user_id: id,
                    replaces: None,
                    proof: account::Proof::of(&["pwd"]),
                    browser: "",
                    address: "",
                };
                people::change_password(ctx, &new, account::Tokens::Keep, &session, &ada.session)
                    .await
                    .unwrap();
            }
            "link" => {
                let txn = ctx.db.begin().await.unwrap();
                let url = account::password_link(&txn, ctx, id, account::LinkKind::Reset, "usr_1")
                    .await
                    .unwrap();
                txn.commit().await.unwrap();
                let (_, link) = url.expose_secret().rsplit_once("token=").unwrap();
                let link = SecretString::from(link);
                let found = account::look_at_link(ctx, &link).await.unwrap();
                let password = SecretString::from("a sentence of mine");
                people::password_by_link(ctx, &link, &found, "", &password)
                    .await
                    .unwrap();
            }
            _ => people::remove(ctx, id, None, "usr_1").await.unwrap(),
        }
        assert!(!opens(&site, &of_ada).await, "{way}");
        assert!(opens(&site, &of_bob).await, "{way}: somebody else's");
        let held = of_ada.refresh_token.unwrap();
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", held.expose_secret()),
        ];
        let refused = token(&site, &app, &fields).await.unwrap_err();
        assert_eq!(refused.code, "invalid_grant", "{way}");
        // Ended, and not only of no use to somebody who may not sign in.
        let left = oauth2_server::client_sessions(ctx, &app.id, None, 50)
            .await
            .unwrap();
        assert!(
            left.iter().all(|session| session.user_id != id),
            "{way}: {left:?}"
        );
    }
}

/// Whether an access token opens the API.
async fn opens(site: &Site, issued: &Issued) -> bool {
    let token = issued.access_token.expose_secret();
    let answer = send(site.get("/api/v1/projects").bearer_auth(token)).await;
    assert!(
        matches!(answer.0, StatusCode::OK | StatusCode::UNAUTHORIZED),
        "{answer:?}"
    );
    answer.0 == StatusCode::OK
}
