//! Clients: list, detail, what is done with one. The form is in `form`, what lets applications
//! register themselves in `initial`, the keys that sign their tokens in `keys`.

mod form;
mod initial;
mod keys;

use actix_web::{HttpResponse, web};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::once::once;
use super::views::Section;
use super::views::clients::{ClientDetail, ClientList, ClientRow, ClientSecret, SecretRow, SessionRow};
use super::views::integrations::Fact;
use super::views::parts::{Badge, Choice, Confirm, Pager, Tone};
use super::words;
use crate::access::{Projects, Role};
use crate::oauth2_server::{
    self, ApplicationType, Client, ClientError, ClientSession, ClientState, TokenFormat,
};
use crate::project;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

const ADMIN: Guard = Guard::Role(Role::ProjectAdmin);

pub(super) use form::ROUTES as FORM;
pub(super) use initial::ROUTES as INITIAL;
pub(super) use keys::ROUTES as KEYS;

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/clients", ADMIN, || web::to(list)),
    Route::get("/clients/{id}", ADMIN, || web::to(detail)),
    Route::post("/clients/{id}/state", ADMIN, || web::to(set_state)),
    Route::get("/clients/{id}/disable", ADMIN, || web::to(confirm_disable)),
    Route::post("/clients/{id}/secrets", ADMIN, || web::to(rotate)),
    Route::get("/clients/{id}/revoke", ADMIN, || web::to(confirm_revoke)),
    Route::post("/clients/{id}/revoke", ADMIN, || web::to(revoke)),
    Route::post("/clients/{id}/sessions/{session}/end", ADMIN, || {
        web::to(end_session)
    }),
    Route::get("/clients/{id}/delete", ADMIN, || web::to(confirm_delete)),
    Route::post("/clients/{id}/delete", ADMIN, || web::to(delete)),
];

/// Sessions on one page.
const SESSIONS: usize = 50;

fn refused(error: ClientError) -> Problem {
    match error {
        ClientError::NotFound => Problem::not_found("client"),
        ClientError::Conflict => Problem::conflict("changed_meanwhile", error.to_string()),
        ClientError::NoSecret => Problem::conflict("public_client", error.to_string()),
        ClientError::Invalid(errors) => Problem::bad_request(
            "invalid_fields",
            errors
                .into_iter()
                .map(|error| error.message)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ClientError::Db(error) => error.into(),
    }
}

/// One client that whoever asks may manage.
async fn find(desk: &Desk, id: &str) -> Result<Client, Problem> {
    let found = oauth2_server::get(&desk.ctx, id).await.map_err(refused)?;
    match desk.access().projects().contains(&found.project_id) {
        true => Ok(found),
        false => Err(Problem::not_found("client")),
    }
}

fn discovery(desk: &Desk) -> String {
    desk.ctx.config.url("/.well-known/openid-configuration")
}

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let ids: Option<Vec<String>> = match desk.access().projects() {
        Projects::All => None,
        Projects::Only(ids) => Some(ids.into_iter().collect()),
    };
    let mut found = oauth2_server::list(&desk.ctx, ids.as_deref())
        .await
        .map_err(refused)?;
    found.sort_by_key(|client| {
        (
            client.state != ClientState::Pending,
            client.name.to_lowercase(),
            client.id.clone(),
        )
    });
    let mut clients = Vec::new();
    for client in found {
        clients.push(ClientRow {
            kind: kind(&client).to_owned(),
            state: badge(client.state),
            relaxed: relaxations(&client).into_iter().map(|(word, _)| word).collect(),
            owner: owner(&desk, &client).await,
            used: client.last_used_at.map(|at| words::when(now, at)),
            id: client.id,
            name: client.fields.name,
        });
    }
    desk.show(&ClientList {
        page: desk.page("Clients", Section::Clients).await?,
        clients,
    })
}

fn badge(state: ClientState) -> Badge {
    match state {
        ClientState::Draft => Badge::new(Tone::Muted, "Draft"),
        ClientState::Pending => Badge::new(Tone::Warn, "Waits for approval"),
        ClientState::Approved => Badge::new(Tone::Ok, "Approved"),
        ClientState::Disabled => Badge::new(Tone::Muted, "Disabled"),
    }
}

fn kind(client: &Client) -> &'static str {
    match (client.application_type, client.is_confidential()) {
        (ApplicationType::Native, _) => "Application on a device",
        (ApplicationType::Web, true) => "Application on a server",
        (ApplicationType::Web, false) => "Application in the browser",
    }
}

/// What is laxer than it should be: a word for the list, a sentence for the page.
fn relaxations(client: &Client) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |word: &str, sentence: &str| found.push((word.to_owned(), sentence.to_owned()));
    if !client.require_pkce {
        add("PKCE relaxed", "PKCE may be left out.");
    }
    if client.auto_grant {
        add("Asks nobody", "Nobody is asked for consent.");
    }
    for switch in &client.legacy {
        add(switch.badge(), &format!("{}: {}", switch.label(), switch.risk()));
    }
    found
}

async fn owner(desk: &Desk, client: &Client) -> String {
    match client.project_id.as_str() {
        "" => "The site".to_owned(),
        id => match project::get(&desk.ctx, &Projects::All, id).await {
            Ok(project) => format!("{} · {}", project.key, project.name),
            Err(_) => "A project that is gone".to_owned(),
        },
    }
}

#[derive(Deserialize)]
struct Part {
    before: Option<String>,
}

async fn detail(desk: Desk, id: web::Path<String>, part: web::Query<Part>) -> Answer {
    let now = desk.now();
    let client = find(&desk, &id).await?;
    let secrets = oauth2_server::secrets(&desk.ctx, &client.id)
        .await
        .map_err(refused)?;
    let limit = SESSIONS as u64 + 1;
    let mut sessions = oauth2_server::client_sessions(&desk.ctx, &client.id, part.before.as_deref(), limit)
        .await
        .map_err(refused)?;
    let more = sessions.len() > SESSIONS;
    sessions.truncate(SESSIONS);
    let here = format!("/clients/{}", client.id);
    let pager = Pager {
        first: part.before.as_ref().map(|_| here.clone()),
        next: sessions
            .last()
            .filter(|_| more)
            .map(|last| format!("{here}?before={}", last.id)),
        text: String::new(),
    };
    let mut rows = Vec::new();
    for session in &sessions {
        rows.push(session_row(&desk, session, now).await);
    }
    desk.show(&ClientDetail {
        page: desk.page(client.name.clone(), Section::Clients).await?,
        state: badge(client.state),
        state_word: client.state.as_str().to_owned(),
        revision: client.revision,
        description: client.description.clone(),
        client_id: client.client_id.clone(),
        discovery: discovery(&desk),
        facts: facts(&desk, &client, now).await,
        redirect_uris: client.redirect_uris.clone(),
        post_logout_redirect_uris: client.protocol.post_logout_redirect_uris.clone(),
        scopes: client
            .scopes
            .iter()
            .filter_map(|value| oauth2_server::known_scope(value))
            .map(|scope| Choice::new(scope.value, scope.sentence, true))
            .collect(),
        relaxed: relaxations(&client)
            .into_iter()
            .map(|(_, sentence)| sentence)
            .collect(),
        secrets: secrets
            .into_iter()
            .map(|secret| SecretRow {
                hint: secret.hint,
                created: words::when(now, secret.created_at),
                until: secret.expires_at.map(|at| words::when(now, at)),
            })
            .collect(),
        confidential: client.has_secret(),
        sessions: rows,
        pager,
        id: client.id,
    })
}

async fn facts(desk: &Desk, client: &Client, now: i64) -> Vec<Fact> {
    let grants: Vec<&str> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    let format = match client.token_format {
        TokenFormat::Opaque => "Opaque",
        TokenFormat::Jwt => "Signed (JWT)",
    };
    let mut facts = vec![
        Fact::new("Belongs to", owner(desk, client).await),
        Fact::new("Kind", kind(client)),
        Fact::exact("Ways to a token", grants.join(", ")),
        Fact::exact("Authenticates by", client.auth_method.as_str()),
        Fact::new("Access tokens", format),
        Fact::new("They live", form::duration(client.access_seconds)),
        Fact::new("Registered", words::relative(now, client.created_at)),
        Fact::new(
            "Last used",
            client
                .last_used_at
                .map_or("Never".to_owned(), |at| words::relative(now, at)),
        ),
    ];
    facts.extend(said_of_itself(client));
    if oauth2_server::registered_itself(&desk.ctx, &client.id)
        .await
        .unwrap_or(false)
    {
        facts.push(Fact::new("Registered", "By itself"));
    }
    if client.may_introspect {
        facts.push(Fact::new(
            "Resource server",
            "May look into tokens of other clients",
        ));
    }
    facts
}

/// Everything else that somebody who approves a client has to have seen: changing it makes one wait again.
fn said_of_itself(client: &Client) -> Vec<Fact> {
    let protocol = &client.protocol;
    let demands: Vec<&str> = [
        (protocol.dpop_bound, "tokens bound to a key"),
        (protocol.require_signed_request, "signed requests"),
        (protocol.require_pushed_request, "pushed requests"),
    ]
    .into_iter()
    .filter_map(|(is_on, what)| is_on.then_some(what))
    .collect();
    [
        ("Homepage", client.client_uri.clone()),
        ("Logo", client.logo_uri.clone()),
        ("Privacy policy", client.policy_uri.clone()),
        ("Terms", client.tos_uri.clone()),
        ("Contacts", client.contacts.join(", ")),
        ("Address of its keys", protocol.jwks_uri.clone()),
        ("Keys", names_of_keys(&protocol.jwks)),
        ("Demands", demands.join(", ")),
        ("A sign-in begins at", protocol.initiate_login_uri.clone()),
        ("Told by a call", protocol.backchannel_logout_uri.clone()),
        ("Told in the browser", protocol.frontchannel_logout_uri.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(label, value)| Fact::exact(label, value))
    .collect()
}

/// The keys of a set by name and kind: "2026 (EC), backup (RSA)".
fn names_of_keys(jwks: &str) -> String {
    let set: serde_json::Value = serde_json::from_str(jwks).unwrap_or_default();
    let keys = set.get("keys").and_then(serde_json::Value::as_array);
    let names = keys.into_iter().flatten().map(|key| {
        let text = |name| key.get(name).and_then(serde_json::Value::as_str);
        format!(
            "{} ({})",
            text("kid").unwrap_or("unnamed"),
            text("kty").unwrap_or("?")
        )
    });
    names.collect::<Vec<_>>().join(", ")
}

async fn session_row(desk: &Desk, session: &ClientSession, now: i64) -> SessionRow {
    let mut keys = Vec::new();
    for id in &session.projects {
        keys.push(match project::get(&desk.ctx, &Projects::All, id).await {
            Ok(project) => project.key,
            Err(_) => "a project that is gone".to_owned(),
        });
    }
    let tokens = match (session.access_tokens, session.has_refresh_token) {
        (0, true) => "Can be refreshed".to_owned(),
        (n, true) => format!("{}, can be refreshed", words::count(n, "access token")),
        (n, false) => words::count(n, "access token"),
    };
    SessionRow {
        id: session.id.clone(),
        who: match (session.user_id.as_str(), session.user_name.as_str()) {
            ("", _) => "The client itself".to_owned(),
            (_, "") => "Somebody who is gone".to_owned(),
            (_, name) => name.to_owned(),
        },
        email: session.user_email.clone(),
        scopes: session.scopes.join(" "),
        projects: keys.join(", "),
        tokens,
        last: session.last_token_at.map(|at| words::when(now, at)),
        until: words::when(now, session.expires_at),
    }
}

async fn set_state(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let client = find(&desk, &id).await?;
    let Some(state) = ClientState::parse(form.text("state")) else {
        return Err(Problem::bad_request("unknown_state", "the form names no state"));
    };
    if state == ClientState::Approved {
        check_reach(&desk, &client)?;
    }
    let here = format!("/clients/{}", client.id);
    // Whoever approves has looked at it as it was drawn; a client may change itself since. Off it goes whatever it became.
    let seen = match state {
        ClientState::Approved => Some(form.text("revision").parse().unwrap_or(0)),
        _ => None,
    };
    match oauth2_server::set_state(&desk.ctx, desk.actor(), &client.id, seen, state).await {
        Ok(_) if state == ClientState::Approved => desk.done("The client may be used now.", &here).await,
        Ok(_) => {
            desk.done("Nothing the client was given opens anything any more.", &here)
                .await
        }
        Err(ClientError::Invalid(errors)) => {
            let why: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            desk.failed(format!("Not yet: {}", why.join(" ")), &here).await
        }
        Err(ClientError::Conflict) => {
            let text = "It was changed since this page was drawn, and is not approved: look at it again, as it is now.";
            desk.failed(text, &here).await
        }
        Err(error) => Err(refused(error)),
    }
}

async fn confirm_disable(desk: Desk, id: web::Path<String>) -> Answer {
    let client = find(&desk, &id).await?;
    let title = format!("Disable {}?", client.name);
    desk.show(&Confirm {
        page: desk.page(title, Section::Clients).await?,
        consequences: vec![
            "Every token it has opens nothing from this moment on.".to_owned(),
            "Nobody can sign in with it.".to_owned(),
        ],
        kept: vec![
            "Its registration, and what people allowed it, in case it is switched on again.".to_owned(),
        ],
        blocked: None,
        action: format!("/clients/{}/state", client.id),
        fields: vec![Choice::new("state", "disabled", true)],
        button: "Disable".to_owned(),
        cancel: format!("/clients/{}", client.id),
    })
}

/// What makes a client with a site admin's gifts another one is a site admin's to do.
fn check_reach(desk: &Desk, client: &Client) -> Result<(), Problem> {
    if desk.access().is_site_admin() || !oauth2_server::reaches_beyond(client) {
        return Ok(());
    }
    Err(Problem::forbidden(
        "site_admin_only",
        "this client has what only a site admin gives, so this is a site admin's to do",
    )
    .with_remedy("Ask a site admin of this installation."))
}

async fn rotate(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let client = find(&desk, &id).await?;
    check_reach(&desk, &client)?;
    let back = format!("/clients/{}", client.id);
    once(&desk, &form, &back, draw_secret(&desk, &client, &form)).await
}

async fn draw_secret(desk: &Desk, client: &Client, form: &FormData) -> Answer {
    let at_once = form.is_checked("at_once");
    let secret = oauth2_server::rotate_secret(&desk.ctx, desk.actor(), &client.id, None, at_once)
        .await
        .map_err(refused)?;
    let text = match at_once {
        true => "The secrets before it work no more.",
        false => "The secrets before it work on for 24 hours.",
    };
    shown_once(desk, client, text, Some(&secret)).await
}

/// The page that shows a secret: the answer to the form itself, so that it is kept nowhere.
async fn shown_once(
    desk: &Desk,
    client: &Client,
    text: &str,
    secret: Option<&SecretString>,
) -> Result<HttpResponse, Problem> {
    desk.show(&ClientSecret {
        page: desk.page(client.name.clone(), Section::Clients).await?,
        text: text.to_owned(),
        client_id: client.client_id.clone(),
        secret: secret.map(|secret| secret.expose_secret().to_owned()),
        discovery: discovery(desk),
        href: format!("/clients/{}", client.id),
    })
}

async fn confirm_revoke(desk: Desk, id: web::Path<String>) -> Answer {
    let client = find(&desk, &id).await?;
    let title = format!("Revoke all tokens of {}?", client.name);
    desk.show(&Confirm {
        page: desk.page(title, Section::Clients).await?,
        consequences: vec!["Every token it has opens nothing from this moment on.".to_owned()],
        kept: vec![
            "What people allowed it stays: it can get new ones as soon as they use it again.".to_owned(),
        ],
        blocked: None,
        action: format!("/clients/{}/revoke", client.id),
        fields: vec![],
        button: "Revoke all".to_owned(),
        cancel: format!("/clients/{}", client.id),
    })
}

async fn revoke(desk: Desk, id: web::Path<String>) -> Answer {
    let client = find(&desk, &id).await?;
    oauth2_server::revoke_all(&desk.ctx, desk.actor(), &client.id, None)
        .await
        .map_err(refused)?;
    desk.done("All its tokens are revoked.", &format!("/clients/{}", client.id))
        .await
}

async fn end_session(desk: Desk, path: web::Path<(String, String)>) -> Answer {
    let (id, session) = path.into_inner();
    let client = find(&desk, &id).await?;
    oauth2_server::end_client_session(&desk.ctx, desk.actor(), &client.id, &session)
        .await
        .map_err(|error| match error {
            ClientError::NotFound => Problem::not_found("session"),
            other => refused(other),
        })?;
    desk.done("The session is ended.", &format!("/clients/{}", client.id))
        .await
}

async fn confirm_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let client = find(&desk, &id).await?;
    let title = format!("Remove {}?", client.name);
    desk.show(&Confirm {
        page: desk.page(title, Section::Clients).await?,
        consequences: vec![
            "Its tokens end, and what people allowed it is forgotten.".to_owned(),
            "Its client id never comes back.".to_owned(),
        ],
        kept: vec!["The event log still says what it did.".to_owned()],
        blocked: None,
        action: format!("/clients/{}/delete", client.id),
        fields: vec![],
        button: "Remove".to_owned(),
        cancel: format!("/clients/{}", client.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>) -> Answer {
    let client = find(&desk, &id).await?;
    oauth2_server::delete(&desk.ctx, desk.actor(), &client.id, None)
        .await
        .map_err(refused)?;
    desk.done(format!("{} is removed.", client.name), "/clients")
        .await
}
