//! Clients: register, change, secrets.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::model::{Client, ClientAuth, ClientState, GrantType, SecretInfo, TokenFormat};
use super::redirect::ApplicationType;
use super::registration::{self, ClientProtocol};
use super::{scope, store};
use crate::access::{self, Role};
use crate::crypto::{self, new_prefixed, sha256_hex};
use crate::ctx::Ctx;
use crate::db::is_duplicate;
use crate::event::{self, NewEvent};
use crate::id;
use crate::trouble::FieldError;

/// Prefix of a client id that was made here.
pub const CLIENT_ID_PREFIX: &str = "mg_cid_";
/// Prefix of a client secret that was made here.
pub const SECRET_PREFIX: &str = "mg_cs_";

/// How long a secret works on after a newer one was made.
pub const SECRET_OVERLAP_MS: i64 = 24 * 3_600_000;

/// Why a client could not be made, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Fields that do not fit; nothing was changed.
    #[error("the client was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// There is none with this id.
    #[error("there is no such client")]
    NotFound,
    /// Somebody else changed it meanwhile.
    #[error("the client was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// It is a public client, or one that signs: it has no secret.
    #[error("only a client that authenticates with a secret has one")]
    NoSecret,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

/// What a client is registered with, and what can be changed of it.
#[derive(Clone, Debug)]
pub struct ClientFields {
    /// Shown on the consent page.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its homepage.
    pub client_uri: String,
    /// Its logo.
    pub logo_uri: String,
    /// Its privacy policy.
    pub policy_uri: String,
    /// Its terms.
    pub tos_uri: String,
    /// Whom to write to.
    pub contacts: Vec<String>,
    /// On a server or on a device.
    pub application_type: ApplicationType,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Ways to a token.
    pub grant_types: Vec<GrantType>,
    /// Scopes it may ask for.
    pub scopes: Vec<String>,
    /// How it authenticates.
    pub auth_method: ClientAuth,
    /// Whether PKCE is demanded.
    pub require_pkce: bool,
    /// Whether nobody is asked for consent.
    pub auto_grant: bool,
    /// Whether it may introspect tokens of other clients.
    pub may_introspect: bool,
    /// What its access tokens look like.
    pub token_format: TokenFormat,
    /// Algorithm of its ID tokens.
    pub id_token_alg: String,
    /// Life of an access token, seconds.
    pub access_seconds: i64,
    /// Idle limit of refresh tokens, seconds.
    pub refresh_idle_seconds: i64,
    /// Absolute limit of refresh tokens, seconds.
    pub refresh_absolute_seconds: i64,
    /// Whether it may be used.
    pub state: ClientState,
    /// Keys, and how far it goes beyond OAuth 2.0's basics.
    pub protocol: ClientProtocol,
}

impl Default for ClientFields {
    /// The defaults of a confidential web application: PKCE, one hour, 30 and 180 days.
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            client_uri: String::new(),
            logo_uri: String::new(),
            policy_uri: String::new(),
            tos_uri: String::new(),
            contacts: Vec::new(),
            application_type: ApplicationType::Web,
            redirect_uris: Vec::new(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            scopes: Vec::new(),
            auth_method: ClientAuth::Basic,
            require_pkce: true,
            auto_grant: false,
            may_introspect: false,
            token_format: TokenFormat::Opaque,
            id_token_alg: "RS256".into(),
            access_seconds: 3_600,
            refresh_idle_seconds: 30 * 86_400,
            refresh_absolute_seconds: 180 * 86_400,
            state: ClientState::Approved,
            protocol: ClientProtocol::default(),
        }
    }
}

impl ClientFields {
    /// What a stored client has: the beginning of a change.
    pub fn of(client: &Client) -> Self {
        let client = client.clone();
        Self {
            name: client.name,
            description: client.description,
            client_uri: client.client_uri,
            logo_uri: client.logo_uri,
            policy_uri: client.policy_uri,
            tos_uri: client.tos_uri,
            contacts: client.contacts,
            application_type: client.application_type,
            redirect_uris: client.redirect_uris,
            grant_types: client.grant_types,
            scopes: client.scopes,
            auth_method: client.auth_method,
            require_pkce: client.require_pkce,
            auto_grant: client.auto_grant,
            may_introspect: client.may_introspect,
            token_format: client.token_format,
            id_token_alg: client.id_token_alg,
            access_seconds: client.access_seconds,
            refresh_idle_seconds: client.refresh_idle_seconds,
            refresh_absolute_seconds: client.refresh_absolute_seconds,
            state: client.state,
            protocol: client.protocol,
        }
    }

    fn onto(self, client: &mut Client) {
        client.name = self.name.trim().to_owned();
        client.description = self.description.trim().to_owned();
        client.client_uri = self.client_uri;
        client.logo_uri = self.logo_uri;
        client.policy_uri = self.policy_uri;
        client.tos_uri = self.tos_uri;
        client.contacts = self.contacts;
        client.application_type = self.application_type;
        client.redirect_uris = self.redirect_uris;
        client.grant_types = self.grant_types;
        client.scopes = self.scopes;
        client.auth_method = self.auth_method;
        client.require_pkce = self.require_pkce;
        client.auto_grant = self.auto_grant;
        client.may_introspect = self.may_introspect;
        client.token_format = self.token_format;
        client.id_token_alg = self.id_token_alg;
        client.access_seconds = self.access_seconds;
        client.refresh_idle_seconds = self.refresh_idle_seconds;
        client.refresh_absolute_seconds = self.refresh_absolute_seconds;
        client.state = self.state;
        client.protocol = self.protocol;
    }
}

/// A registration: the fields, and what may be chosen once.
#[derive(Clone, Debug, Default)]
pub struct NewClient {
    /// The fields.
    pub fields: ClientFields,
    /// The project it belongs to; empty for the site.
    pub project_id: String,
    /// A `client_id` of the admin's choice; empty draws one.
    pub client_id: String,
    /// A secret of the admin's choice; empty draws one.
    pub client_secret: SecretString,
}

/// A client that was just registered.
#[derive(Debug)]
pub struct Registered {
    /// The client.
    pub client: Client,
    /// Its secret, here and never again; none for a public client.
    pub secret: Option<SecretString>,
}

/// Registers a client.
pub async fn create(ctx: &Ctx, actor: &str, new: NewClient) -> Result<Registered, ClientError> {
    let prepared = prepare(ctx, actor, new)?;
    let txn = ctx.db.begin().await?;
    let made = insert(ctx, &txn, actor, prepared).await?;
    txn.commit().await?;
    Ok(made)
}

/// A client that is checked and complete, and not stored yet.
pub(super) fn prepare(ctx: &Ctx, actor: &str, new: NewClient) -> Result<Registered, ClientError> {
    let mut errors = registration::check(&new.fields);
    let chosen = new.client_id.trim();
    if !chosen.is_empty() && !is_client_id(chosen) {
        errors.push(FieldError::new(
            "clientId",
            "invalid",
            "A client id has 3 to 100 letters, digits, full stops, hyphens and underscores, and does not look like \
             the id of a person.",
        ));
    }
    let supplied = new.client_secret.expose_secret();
    if !supplied.is_empty() && (supplied.len() < 24 || supplied.len() > 200) {
        errors.push(FieldError::new(
            "clientSecret",
            "invalid",
            "A secret of your own has 24 to 200 characters; leave it empty to have one drawn.",
        ));
    }
    if !supplied.is_empty() && !matches!(new.fields.auth_method, ClientAuth::Basic | ClientAuth::Post) {
        errors.push(FieldError::new(
            "clientSecret",
            "invalid",
            "Only a client that authenticates with a secret has one.",
        ));
    }
    if !errors.is_empty() {
        return Err(ClientError::Invalid(errors));
    }
    let now = ctx.clock.now_ms();
    let mut client = blank(ctx, actor, &new.project_id, now);
    if !chosen.is_empty() {
        chosen.clone_into(&mut client.client_id);
    }
    new.fields.onto(&mut client);
    let secret = client.has_secret().then(|| match supplied {
        "" => new_prefixed(SECRET_PREFIX),
        _ => new.client_secret.clone(),
    });
    Ok(Registered { client, secret })
}

/// Stores a client in the caller's transaction.
pub(super) async fn insert(
    ctx: &Ctx,
    txn: &sea_orm::DatabaseTransaction,
    actor: &str,
    made: Registered,
) -> Result<Registered, ClientError> {
    let Registered { client, secret } = &made;
    if let Err(error) = store::insert_client(txn, client).await {
        if is_duplicate(&error) {
            return Err(ClientError::Invalid(vec![FieldError::new(
                "clientId",
                "duplicate",
                "A client with this id exists already; choose another one.",
            )]));
        }
        return Err(error.into());
    }
    if let Some(secret) = secret {
        let row = secret_row(ctx, secret, client.created_at);
        store::insert_secret(txn, &row, &client.id, &hash(secret)).await?;
    }
    note(ctx, txn, "client.created", actor, client).await?;
    Ok(made)
}

/// Changes a client that still has the revision `seen`. Switching it off, or taking away what its tokens live on, ends
/// them.
pub async fn update(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: i64,
    fields: ClientFields,
) -> Result<Client, ClientError> {
    let errors = registration::check(&fields);
    if !errors.is_empty() {
        return Err(ClientError::Invalid(errors));
    }
    let old = get(ctx, id).await?;
    if fields.auto_grant && super::dynamic::registered_itself(ctx, id).await? {
        return Err(ClientError::Invalid(vec![FieldError::new(
            "autoGrant",
            "registered_itself",
            "People are always asked about a client that registered itself.",
        )]));
    }
    let mut client = old.clone();
    fields.onto(&mut client);
    client.updated_at = ctx.clock.now_ms();
    let txn = ctx.db.begin().await?;
    if !store::update_client(&txn, &client, seen).await? {
        return Err(ClientError::Conflict);
    }
    let narrowed = !scope::covers(&client.scopes, &old.scopes);
    let kept_out = client.state != ClientState::Approved && old.state == ClientState::Approved;
    if narrowed || kept_out {
        store::revoke_families_of_client(&txn, id, client.updated_at, "client_changed").await?;
    }
    note(ctx, &txn, "client.updated", actor, &client).await?;
    txn.commit().await?;
    get(ctx, id).await
}

/// Approves a client, or switches it off, whatever else somebody changed meanwhile.
pub async fn set_state(ctx: &Ctx, actor: &str, id: &str, state: ClientState) -> Result<Client, ClientError> {
    let client = get(ctx, id).await?;
    let mut fields = ClientFields::of(&client);
    fields.state = state;
    update(ctx, actor, id, client.revision, fields).await
}

/// What of these fields reaches beyond a project, and so is a site admin's to give; `before` is what the client has.
pub fn beyond_a_project(fields: &ClientFields, before: Option<&Client>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut only = |field: &'static str, what: &str| {
        errors.push(FieldError::new(
            field,
            "site_admin_only",
            format!("{what} is a site admin's to give."),
        ));
    };
    if fields.auto_grant && !before.is_some_and(|client| client.auto_grant) {
        only("autoGrant", "To leave the consent page out");
    }
    if fields.may_introspect && !before.is_some_and(|client| client.may_introspect) {
        only("mayIntrospect", "To introspect tokens of other clients");
    }
    for value in &fields.scopes {
        let reaches = access::Scope::parse(value).is_some_and(|scope| !Role::ProjectAdmin.allows(scope));
        let had = before.is_some_and(|client| client.scopes.contains(value));
        if reaches && !had {
            only("scopes", &format!("The scope {value}"));
        }
    }
    errors
}

/// Removes a client with everything that was given to it.
pub async fn delete(ctx: &Ctx, actor: &str, id: &str) -> Result<(), ClientError> {
    let client = get(ctx, id).await?;
    let txn = ctx.db.begin().await?;
    store::delete_client(&txn, id).await?;
    note(ctx, &txn, "client.deleted", actor, &client).await?;
    txn.commit().await?;
    Ok(())
}

/// Makes a new secret; the ones before work on for [`SECRET_OVERLAP_MS`], or end at once.
pub async fn rotate_secret(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    at_once: bool,
) -> Result<SecretString, ClientError> {
    let client = get(ctx, id).await?;
    if !client.has_secret() {
        return Err(ClientError::NoSecret);
    }
    let now = ctx.clock.now_ms();
    let secret = new_prefixed(SECRET_PREFIX);
    let txn = ctx.db.begin().await?;
    let end = if at_once { now } else { now + SECRET_OVERLAP_MS };
    store::end_secrets(&txn, id, end).await?;
    store::insert_secret(&txn, &secret_row(ctx, &secret, now), id, &hash(&secret)).await?;
    note(ctx, &txn, "client.secret_rotated", actor, &client).await?;
    txn.commit().await?;
    Ok(secret)
}

/// Ends every token of a client.
pub async fn revoke_all(ctx: &Ctx, actor: &str, id: &str) -> Result<(), ClientError> {
    let client = get(ctx, id).await?;
    let txn = ctx.db.begin().await?;
    store::revoke_families_of_client(&txn, id, ctx.clock.now_ms(), "revoked_by_admin").await?;
    note(ctx, &txn, "client.tokens_revoked", actor, &client).await?;
    txn.commit().await?;
    Ok(())
}

/// One client by its row's id.
pub async fn get(ctx: &Ctx, id: &str) -> Result<Client, ClientError> {
    store::client(ctx.db.read(), id)
        .await?
        .ok_or(ClientError::NotFound)
}

/// Clients of the projects (all if `None`), oldest first.
pub async fn list(ctx: &Ctx, projects: Option<&[String]>) -> Result<Vec<Client>, ClientError> {
    Ok(store::clients(ctx.db.read(), projects).await?)
}

/// The secrets of a client that still work, without the secrets.
pub async fn secrets(ctx: &Ctx, id: &str) -> Result<Vec<SecretInfo>, ClientError> {
    Ok(store::live_secrets(ctx.db.read(), id, ctx.clock.now_ms())
        .await?
        .into_iter()
        .map(|(info, _)| info)
        .collect())
}

fn blank(ctx: &Ctx, actor: &str, project_id: &str, now: i64) -> Client {
    let mut client = Client {
        id: id::new("cli", &ctx.clock),
        client_id: new_prefixed(CLIENT_ID_PREFIX).expose_secret().to_owned(),
        project_id: project_id.to_owned(),
        name: String::new(),
        description: String::new(),
        client_uri: String::new(),
        logo_uri: String::new(),
        policy_uri: String::new(),
        tos_uri: String::new(),
        contacts: Vec::new(),
        application_type: ApplicationType::Web,
        redirect_uris: Vec::new(),
        grant_types: Vec::new(),
        scopes: Vec::new(),
        auth_method: ClientAuth::Basic,
        require_pkce: true,
        auto_grant: false,
        may_introspect: false,
        token_format: TokenFormat::Opaque,
        id_token_alg: String::new(),
        access_seconds: 0,
        refresh_idle_seconds: 0,
        refresh_absolute_seconds: 0,
        state: ClientState::Draft,
        protocol: ClientProtocol::default(),
        created_by: actor.to_owned(),
        last_used_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    ClientFields::default().onto(&mut client);
    client
}

/// The last four characters of a secret, by which people tell it from others.
pub(super) fn hint(secret: &SecretString) -> String {
    let text = secret.expose_secret();
    text.char_indices()
        .nth_back(3)
        .map_or(text, |(at, _)| text.get(at..).unwrap_or_default())
        .to_owned()
}

fn secret_row(ctx: &Ctx, secret: &SecretString, now: i64) -> SecretInfo {
    SecretInfo {
        id: id::new("sec", &ctx.clock),
        hint: hint(secret),
        created_at: now,
        expires_at: None,
    }
}

/// The form in which a secret is stored. Secrets made here have 238 random bits, supplied ones are long: a slow hash
/// would only slow the token endpoint.
pub(super) fn hash(secret: &SecretString) -> String {
    sha256_hex(secret.expose_secret().as_bytes())
}

/// Whether a secret is one of a client's. Takes the same time for every wrong one.
pub(super) fn is_secret(hashes: &[String], given: &SecretString) -> bool {
    let given = hash(given);
    hashes
        .iter()
        .fold(false, |found, known| crypto::same_secret(known, &given) | found)
}

fn is_client_id(text: &str) -> bool {
    (3..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        // `sub` of client credentials is the client id, and must never name a person.
        && !text.starts_with("usr_")
        && !text.starts_with(CLIENT_ID_PREFIX)
}

pub(super) async fn note(
    ctx: &Ctx,
    txn: &sea_orm::DatabaseTransaction,
    kind: &str,
    actor: &str,
    client: &Client,
) -> Result<(), sea_orm::DbErr> {
    let event = NewEvent {
        kind,
        project_id: &client.project_id,
        subject_id: &client.id,
        actor,
        data: json!({
            "clientId": client.client_id,
            "state": client.state.as_str(),
            "requirePkce": client.require_pkce,
            "autoGrant": client.auto_grant,
        }),
    };
    event::append(txn, &ctx.clock, event).await.map(|_| ())
}
