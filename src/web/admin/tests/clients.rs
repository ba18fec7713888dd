//! Clients and keys at their pages: what is shown once, who may do what.

use reqwest::StatusCode;
use secrecy::ExposeSecret;

use super::{Admin, field};
use crate::access::Role;
use crate::account;
use crate::oauth2_server::{self, ClientState, NewClient};
use crate::project::{self, NewProject};
use crate::web::tests::site;

const FIELDS: [(&str, &str); 9] = [
    ("name", "Helpdesk"),
    ("application_type", "web"),
    (
        "redirect_uris",
        "https://desk.example/cb\r\nhttps://desk.example/other",
    ),
    ("grant_type", "authorization_code"),
    ("auth_method", "client_secret_basic"),
    ("scope", "tickets:read"),
    ("access", "15 m"),
    ("refresh_idle", "30 d"),
    ("refresh_absolute", "180 d"),
];

/// The fields with one replaced, or added where there is none.
fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields: Vec<(&str, &str)> = FIELDS.to_vec();
    fields.retain(|(have, _)| *have != name);
    fields.push((name, value));
    fields
}

/// The admin of a site, with a project.
async fn with_project() -> (Admin, String) {
    let admin = Admin::at(site().await).await;
    let new = NewProject {
        key: "HELP".to_owned(),
        name: "Helpdesk".to_owned(),
        description: String::new(),
    };
    let help = project::create(admin.site.ctx(), new).await.unwrap();
    (admin, help.id)
}

/// The same browser, in the hands of an admin of the project only.
async fn as_project_admin(mut admin: Admin, project: &str) -> Admin {
    let ctx = admin.site.ctx().clone();
    let bo = account::invite(&ctx.db, &ctx.clock, "bo@example.org", "Bo", false, "cli")
        .await
        .unwrap();
    project::set_member(&ctx.db, &ctx.clock, project, &bo.id, Role::ProjectAdmin, "cli")
        .await
        .unwrap();
    let started = account::start(&ctx.db, &ctx.clock, &bo.id, None).await.unwrap();
    admin.cookie = format!("mailgrant={}", started.cookie.expose_secret());
    admin.csrf = started.session.csrf_token;
    admin
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_registered_its_secret_shown_once_and_approved_or_switched_off() {
    let (admin, _) = with_project().await;
    for (name, value, told) in [
        ("redirect_uris", "http://desk.example/cb", "redirect_uris-error"),
        ("name", "", "name-error"),
        ("access", "soon", "access-error"),
        ("grant_type", "", "grant_types-error"),
        ("client_secret", "short", "client_secret"),
    ] {
        let seen = admin.post("/clients", &with(name, value)).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(seen.text.contains(told), "{name}: {}", seen.text);
    }
    let seen = admin.post("/clients", &with("name", "<b>Desk</b>")).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    assert!(seen.text.contains("mg_cs_") && seen.text.contains("mg_cid_"));
    assert!(!seen.text.contains("<b>Desk"), "names are text");
    let list = admin.get("/clients").await;
    let id = list.text.split("/clients/cli_").nth(1).unwrap();
    let id = format!("cli_{}", id.split('"').next().unwrap());
    let here = format!("/clients/{id}");
    let page = admin.get(&here).await;
    assert!(
        page.text.contains("desk.example/other") && page.text.contains("15 m"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("mg_cs_"), "a secret is shown once");
    // A change keeps what the form does not show, and an old form changes nothing.
    let mut change = with("relax_pkce", "true");
    change.push(("revision", "1"));
    assert_eq!(admin.post(&here, &change).await.status, StatusCode::SEE_OTHER);
    assert!(admin.get(&here).await.text.contains("PKCE may be left out."));
    assert_eq!(
        admin.post(&here, &change).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    // What older protocols did: off, then on, and then it stands in red on the page and in the list.
    assert!(
        !admin
            .get(&here)
            .await
            .text
            .contains("Access tokens in an address")
    );
    let mut change = with("legacy", "token_in_query");
    change.extend([("legacy", "nonsense"), ("revision", "2")]);
    assert_eq!(admin.post(&here, &change).await.status, StatusCode::SEE_OTHER);
    let ctx = admin.site.ctx().clone();
    let stored = oauth2_server::get(&ctx, &id).await.unwrap();
    assert_eq!(stored.legacy, [oauth2_server::Legacy::TokenInQuery]);
    assert!(stored.require_pkce, "the form was sent without it");
    for (page, words) in [
        (here.as_str(), "Access tokens in an address"),
        ("/clients", "Token in address"),
    ] {
        let seen = admin.get(page).await.text;
        assert!(seen.contains(words), "{page}: {seen}");
    }
    let form = admin.get(&format!("{here}/edit")).await.text;
    let ticked = form.split("value=\"token_in_query\"").nth(1).unwrap();
    assert!(ticked.starts_with(" checked"), "{form}");
    let rotated = admin.post(&format!("{here}/secrets"), &[]).await;
    assert!(rotated.text.contains("mg_cs_"), "{}", rotated.text);
    assert_eq!(admin.get(&format!("{here}/disable")).await.status, StatusCode::OK);
    admin
        .post(&format!("{here}/state"), &[("state", "disabled")])
        .await;
    let ctx = admin.site.ctx();
    assert_eq!(
        oauth2_server::get(ctx, &id).await.unwrap().state,
        ClientState::Disabled
    );
    let shown = field(&admin.get(&here).await.text, "revision");
    admin
        .post(
            &format!("{here}/state"),
            &[("state", "approved"), ("revision", &shown)],
        )
        .await;
    assert_eq!(
        oauth2_server::get(ctx, &id).await.unwrap().state,
        ClientState::Approved
    );
    admin.post(&format!("{here}/delete"), &[]).await;
    assert_eq!(admin.get(&here).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_bring_its_id_and_secret() {
    let (admin, _) = with_project().await;
    let mut fields = with("client_id", "nuxeo-drive");
    fields.push(("client_secret", "a secret that is long enough"));
    let seen = admin.post("/clients", &fields).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    assert!(seen.text.contains("nuxeo-drive"));
    let again = admin.post("/clients", &fields).await;
    assert!(again.text.contains("client_id-error"), "{}", again.text);
    assert!(!again.text.contains("long enough"), "a secret does not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_of_a_project_manages_its_clients_and_nothing_beyond() {
    let (admin, help) = with_project().await;
    let admin = as_project_admin(admin, &help).await;
    let ctx = admin.site.ctx().clone();
    let mut mine = with("project_id", &help);
    assert_eq!(admin.post("/clients", &mine).await.status, StatusCode::OK);
    for (name, value) in [
        ("project_id", ""),
        ("project_id", "prj_unknown"),
        ("scope", "admin"),
        ("scope", "audit:read"),
    ] {
        let mut fields = with(name, value);
        if name == "scope" {
            fields.push(("project_id", &help));
        }
        let seen = admin.post("/clients", &fields).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}");
    }
    // What only a site admin may give is not even read from the form.
    mine.push(("auto_grant", "true"));
    mine.push(("may_introspect", "true"));
    mine.push(("relax_pkce", "true"));
    mine.push(("legacy", "pkce_plain"));
    assert_eq!(admin.post("/clients", &mine).await.status, StatusCode::OK);
    let all = oauth2_server::list(&ctx, None).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(
        all.iter()
            .all(|client| !client.auto_grant && !client.may_introspect)
    );
    assert!(
        all.iter()
            .all(|client| client.require_pkce && client.legacy.is_empty())
    );
    assert!(all.iter().all(|client| client.project_id == help));
    // Another's client is not there.
    let mut foreign = NewClient::default();
    foreign.fields.name = "Foreign".to_owned();
    foreign.fields.redirect_uris = vec!["https://x.example/cb".to_owned()];
    let foreign = oauth2_server::create(&ctx, "cli", foreign).await.unwrap().client;
    assert!(!admin.get("/clients").await.text.contains("Foreign"));
    for path in ["", "/edit", "/delete", "/disable", "/revoke"] {
        let path = format!("/clients/{}{path}", foreign.id);
        assert_eq!(admin.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in [
        "",
        "/state",
        "/secrets",
        "/revoke",
        "/delete",
        "/sessions/fam_1/end",
    ] {
        let path = format!("/clients/{}{path}", foreign.id);
        assert_eq!(
            admin.post(&path, &with("state", "disabled")).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(admin.get("/settings/keys").await.status, StatusCode::FORBIDDEN);
    // Tokens with which applications register themselves: for the project, within what its admin may give.
    let new = oauth2_server::NewInitialToken {
        name: "The site's".into(),
        scopes: vec!["openid".into()],
        ..oauth2_server::NewInitialToken::default()
    };
    let (site, _) = oauth2_server::create_initial_token(&ctx, "cli", new)
        .await
        .unwrap();
    let page = admin.get("/clients/registration").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        !page.text.contains("The site&#x27;s") && !page.text.contains("value=\"audit:read\""),
        "{}",
        page.text
    );
    let wrong = StatusCode::UNPROCESSABLE_ENTITY;
    for (project, scope, status) in [
        ("", "openid", wrong),
        ("prj_unknown", "openid", wrong),
        (help.as_str(), "admin", wrong),
        (help.as_str(), "tickets:read", StatusCode::OK),
    ] {
        let fields = [
            ("name", "Partners"),
            ("project_id", project),
            ("scope", scope),
            ("uses", "1"),
            ("days", "7"),
        ];
        let seen = admin.post("/clients/registration", &fields).await;
        assert_eq!(seen.status, status, "{project} {scope}");
    }
    let revoke = format!("/clients/registration/{}/revoke", site.id);
    assert_eq!(admin.post(&revoke, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_a_button_and_the_old_ones_stay_unless_discarded() {
    let (admin, _) = with_project().await;
    let ctx = admin.site.ctx().clone();
    oauth2_server::jwks(&ctx).await.unwrap();
    let page = admin.get("/settings/keys").await;
    assert_eq!(page.text.matches("Signs</span>").count(), 3, "{}", page.text);
    admin.post("/settings/keys/rotate", &[]).await;
    assert_eq!(oauth2_server::signing_keys(&ctx).await.unwrap().len(), 6);
    let page = admin.get("/settings/keys").await;
    assert_eq!(
        page.text.matches("Published only</span>").count(),
        3,
        "{}",
        page.text
    );
    admin.post("/settings/keys/rotate", &[("discard", "true")]).await;
    let now = ctx.clock.now_ms();
    let left = oauth2_server::signing_keys(&ctx).await.unwrap();
    assert_eq!(left.iter().filter(|key| key.signs_at(now)).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_became_after_the_page_was_drawn_is_not_approved_by_it() {
    let (admin, _) = with_project().await;
    let ctx = admin.site.ctx();
    let new = oauth2_server::NewInitialToken {
        name: "Apps".into(),
        scopes: vec!["openid".into()],
        ..oauth2_server::NewInitialToken::default()
    };
    let (_, token) = oauth2_server::create_initial_token(ctx, "cli", new)
        .await
        .unwrap();
    let mut says = serde_json::json!({ "client_name": "Portal", "redirect_uris": ["https://a.example/cb"] });
    let told = oauth2_server::register(ctx, Some(&token), &says).await.unwrap();
    let client_id = told["client_id"].as_str().unwrap();
    let client = oauth2_server::by_client_id(ctx, client_id)
        .await
        .unwrap()
        .unwrap();
    let here = format!("/clients/{}", client.id);
    let approve = async |revision: &str| {
        let fields = [("state", "approved"), ("revision", revision)];
        admin.post(&format!("{here}/state"), &fields).await;
        oauth2_server::get(ctx, &client.id).await.unwrap().state
    };
    let drawn = field(&admin.get(&here).await.text, "revision");
    says["client_id"] = client_id.into();
    says["redirect_uris"] = serde_json::json!(["https://evil.example/cb"]);
    let manage = told["registration_access_token"].as_str().unwrap().into();
    oauth2_server::update_registration(ctx, client_id, Some(&manage), &says)
        .await
        .unwrap();
    for seen in [drawn.as_str(), ""] {
        assert_eq!(approve(seen).await, ClientState::Pending, "{seen}");
    }
    let page = admin.get(&here).await.text;
    assert!(
        page.contains("changed since this page was drawn") && page.contains("evil.example"),
        "{page}"
    );
    assert_eq!(approve(&field(&page, "revision")).await, ClientState::Approved);
    // Off it goes whatever it became.
    admin
        .post(&format!("{here}/state"), &[("state", "disabled")])
        .await;
    let client = oauth2_server::get(ctx, &client.id).await.unwrap();
    assert_eq!(client.state, ClientState::Disabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_approves_a_client_has_seen_all_that_would_make_it_wait_again() {
    let (admin, _) = with_project().await;
    let ctx = admin.site.ctx();
    let mut fields = oauth2_server::ClientFields {
        name: "Portal".into(),
        grant_types: vec![oauth2_server::GrantType::AuthorizationCode],
        redirect_uris: vec!["https://a.example/cb".into()],
        client_uri: "https://a.example/home".into(),
        logo_uri: "https://a.example/logo.png".into(),
        policy_uri: "https://a.example/privacy".into(),
        tos_uri: "https://a.example/terms".into(),
        contacts: vec!["desk@a.example".into()],
        state: ClientState::Pending,
        ..oauth2_server::ClientFields::default()
    };
    let protocol = &mut fields.protocol;
    protocol.jwks_uri = "https://a.example/keys".into();
    protocol.post_logout_redirect_uris = vec!["https://a.example/bye".into()];
    protocol.initiate_login_uri = "https://a.example/begin".into();
    protocol.backchannel_logout_uri = "https://a.example/back".into();
    protocol.frontchannel_logout_uri = "https://a.example/front".into();
    protocol.dpop_bound = true;
    let shown = async |fields: &oauth2_server::ClientFields| {
        let new = NewClient {
            fields: fields.clone(),
            ..NewClient::default()
        };
        let client = oauth2_server::create(ctx, "cli", new).await.unwrap().client;
        let page = admin.get(&format!("/clients/{}", client.id)).await.text;
        (client.id.clone(), page.replace("&#x2F;", "/"))
    };
    let (id, page) = shown(&fields).await;
    for end in [
        "cb", "home", "logo.png", "privacy", "terms", "keys", "bye", "begin", "back", "front",
    ] {
        assert!(
            page.contains(&format!("https://a.example/{end}<")),
            "{end}: {page}"
        );
    }
    assert!(
        page.contains("desk@a.example") && page.contains("tokens bound to a key"),
        "{page}"
    );
    let keys = r#"{"keys":[{"kty":"EC","kid":"spring"},{"kty":"RSA"}]}"#;
    fields.protocol.jwks_uri.clear();
    fields.protocol.jwks = keys.into();
    assert!(shown(&fields).await.1.contains("spring (EC), unnamed (RSA)"));
    // Its form has what the rest of the protocol is about, and shows it again.
    let form = admin.get(&format!("/clients/{id}/edit")).await.text;
    let mut change = FIELDS.to_vec();
    change.extend([
        ("revision", "1"),
        ("auth_signing_alg", "PS256"),
        ("request_object_alg", "ES384"),
        ("introspection_alg", "EdDSA"),
        ("userinfo_alg", "ES256"),
        ("backchannel_session", "true"),
    ]);
    for (name, _) in &change {
        assert!(form.contains(&format!("name=\"{name}\"")), "{name}: {form}");
    }
    let saved = admin.post(&format!("/clients/{id}"), &change).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    let protocol = oauth2_server::get(ctx, &id).await.unwrap().fields.protocol;
    assert!(protocol.backchannel_logout_session_required);
    assert_eq!(
        [
            protocol.auth_signing_alg.as_str(),
            &protocol.request_object_alg,
            &protocol.introspection_alg,
            &protocol.userinfo_alg,
        ],
        ["PS256", "ES384", "EdDSA", "ES256"]
    );
    let form = admin.get(&format!("/clients/{id}/edit")).await.text;
    for alg in ["PS256", "ES384"] {
        assert!(
            form.contains(&format!("value=\"{alg}\" selected")),
            "{alg}: {form}"
        );
    }
}
