//! Clients: register, change, secrets.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::client_reach::relaxations;
use super::model::{Client, ClientAuth, ClientFields, ClientState, SecretInfo};
use super::store::{self, registrations};
use super::{registration, scope};
use crate::audit::{self, NewAuditEvent};
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
    let client = Client {
        id: id::new("cli", &ctx.clock),
        client_id: match chosen {
            "" => new_prefixed(CLIENT_ID_PREFIX).expose_secret().to_owned(),
            chosen => chosen.to_owned(),
        },
        project_id: new.project_id,
        fields: trimmed(new.fields),
        created_by: actor.to_owned(),
        last_used_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let secret = client.has_secret().then(|| match supplied {
        "" => new_prefixed(SECRET_PREFIX),
        _ => new.client_secret.clone(),
    });
    Ok(Registered { client, secret })
}

/// Fields as they are stored.
fn trimmed(mut fields: ClientFields) -> ClientFields {
    for text in [&mut fields.name, &mut fields.description] {
        *text = text.trim().to_owned();
    }
    fields
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
    // Asked once the id is ours: whoever removes a client of this id at the moment has finished by then.
    if store::is_gone(txn, &client.client_id).await? {
        return Err(ClientError::Invalid(vec![FieldError::new(
            "clientId",
            "gone",
            "A client with this id was removed, and its id never comes back: tokens and logs name it. Choose another one.",
        )]));
    }
    if let Some(secret) = secret {
        let row = secret_row(ctx, secret, client.created_at);
        store::insert_secret(txn, &row, &client.id, &hash(secret)).await?;
    }
    note(ctx, txn, "client.created", actor, client).await?;
    note_relaxations(ctx, txn, actor, client, None).await?;
    Ok(made)
}

/// Changes a client that still has the revision `seen`. Switching it off, or taking away what its tokens live on, ends
/// them. A scope that is taken from a client that registered itself is none it may register again.
pub async fn update(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: i64,
    fields: ClientFields,
) -> Result<Client, ClientError> {
    change(ctx, actor, id, seen, fields, By::Person).await
}

/// Who changes a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Somebody who manages it.
    Person,
    /// Its registration access token.
    Itself,
}

/// [`update`], by whomever.
pub(super) async fn change(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: i64,
    fields: ClientFields,
    by: By,
) -> Result<Client, ClientError> {
    let errors = registration::check(&fields);
    if !errors.is_empty() {
        return Err(ClientError::Invalid(errors));
    }
    let old = get(ctx, id).await?;
    let relaxed = relaxations(&fields, Some(&old));
    if !relaxed.is_empty() && super::dynamic::registered_itself(ctx, id).await? {
        let never = |field| {
            FieldError::new(
                field,
                "registered_itself",
                "A client that registered itself is never relaxed: register it by hand.",
            )
        };
        return Err(ClientError::Invalid(
            relaxed.into_iter().map(|(field, _)| never(field)).collect(),
        ));
    }
    let client = Client {
        fields: trimmed(fields),
        updated_at: ctx.clock.now_ms(),
        ..old.clone()
    };
    let txn = ctx.db.begin().await?;
    if !store::update_client(&txn, &client, seen).await? {
        return Err(ClientError::Conflict);
    }
    let narrowed = !scope::covers(&client.scopes, &old.scopes);
    let kept_out = client.state != ClientState::Approved && old.state == ClientState::Approved;
    if narrowed || kept_out {
        store::revoke_families_of_client(&txn, id, client.updated_at, "client_changed").await?;
    } else if !scope::covers(&client.redirect_uris, &old.redirect_uris) {
        // Nothing is sent to an address that was taken out.
        store::end_requests_of_client(&txn, id).await?;
    }
    if by == By::Person && narrowed {
        registrations::take_from_limit(&txn, id, &old.scopes, &client.scopes).await?;
    }
    if old.has_secret() && !client.has_secret() {
        // They must not open anything when it has secrets again.
        store::end_secrets(&txn, id, client.updated_at).await?;
    }
    note(ctx, &txn, "client.updated", actor, &client).await?;
    note_relaxations(ctx, &txn, actor, &client, Some(&old)).await?;
    txn.commit().await?;
    get(ctx, id).await
}

/// Approves a client that still has the revision `seen`, or switches it off. Without `seen` whatever somebody, or the
/// client itself, changed meanwhile: for those who looked at nothing of it.
pub async fn set_state(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: Option<i64>,
    state: ClientState,
) -> Result<Client, ClientError> {
    let client = get(ctx, id).await?;
    let fields = ClientFields {
        state,
        ..client.fields.clone()
    };
    update(ctx, actor, id, seen.unwrap_or(client.revision), fields).await
}

/// Removes a client with everything that was given to it, if it still is as it was `seen`.
pub async fn delete(ctx: &Ctx, actor: &str, id: &str, seen: Option<i64>) -> Result<(), ClientError> {
    let client = get(ctx, id).await?;
    let txn = ctx.db.begin().await?;
    // It is counted first, as in every change, so that none of them waits for another in a circle; and removed last:
    // whoever redeems a code at this moment holds the code and asks for the client.
    if !store::count_change(&txn, id, seen).await? {
        return Err(ClientError::Conflict);
    }
    store::revoke_families_of_client(&txn, id, ctx.clock.now_ms(), "client_deleted").await?;
    if !store::delete_client(&txn, id).await? {
        return Err(ClientError::Conflict);
    }
    // Those made here are random; a chosen one could be chosen again, and it is the `sub` of client credentials.
    if !client.client_id.starts_with(CLIENT_ID_PREFIX) {
        store::keep_gone(&txn, &client.client_id, ctx.clock.now_ms()).await?;
    }
    note(ctx, &txn, "client.deleted", actor, &client).await?;
    txn.commit().await?;
    Ok(())
}

/// Makes a new secret, of a client that is still as it was `seen`; the ones before work on for [`SECRET_OVERLAP_MS`], or end
/// at once. It counts as a change of the client, so that of two who saw the same one makes a secret.
pub async fn rotate_secret(
    ctx: &Ctx,
    actor: &str,
    id: &str,
    seen: Option<i64>,
    at_once: bool,
) -> Result<SecretString, ClientError> {
    let client = get(ctx, id).await?;
    if !client.has_secret() {
        return Err(ClientError::NoSecret);
    }
    let now = ctx.clock.now_ms();
    let secret = new_prefixed(SECRET_PREFIX);
    let txn = ctx.db.begin().await?;
    if !store::count_change(&txn, id, seen).await? {
        return Err(ClientError::Conflict);
    }
    let end = if at_once { now } else { now + SECRET_OVERLAP_MS };
    store::end_secrets(&txn, id, end).await?;
    store::insert_secret(&txn, &secret_row(ctx, &secret, now), id, &hash(&secret)).await?;
    note(ctx, &txn, "client.secret_rotated", actor, &client).await?;
    txn.commit().await?;
    Ok(secret)
}

/// Ends every token of a client that is still as it was `seen`, and counts as a change of it.
pub async fn revoke_all(ctx: &Ctx, actor: &str, id: &str, seen: Option<i64>) -> Result<(), ClientError> {
    let client = get(ctx, id).await?;
    let txn = ctx.db.begin().await?;
    // The client before what hangs on it, as every change of it does.
    if !store::count_change(&txn, id, seen).await? {
        return Err(ClientError::Conflict);
    }
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

/// The client that calls itself this, if there is one.
pub async fn by_client_id(ctx: &Ctx, client_id: &str) -> Result<Option<Client>, ClientError> {
    Ok(store::client_by_client_id(ctx.db.read(), client_id).await?)
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
pub(super) fn is_secret<'a>(hashes: impl Iterator<Item = &'a str>, given: &SecretString) -> bool {
    let given = hash(given);
    hashes.fold(false, |found, known| crypto::same_secret(known, &given) | found)
}

fn is_client_id(text: &str) -> bool {
    (3..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        // `sub` of client credentials is the client id, and must never name a person.
        && !text.starts_with("usr_")
        && !text.starts_with(CLIENT_ID_PREFIX)
}

/// Notes what protection was taken away from a client, and what was given back.
async fn note_relaxations(
    ctx: &Ctx,
    txn: &sea_orm::DatabaseTransaction,
    actor: &str,
    client: &Client,
    before: Option<&Client>,
) -> Result<(), sea_orm::DbErr> {
    let relaxed = relaxations(client, before);
    let tightened = before.map_or_else(Vec::new, |before| relaxations(before, Some(client)));
    for (action, changes) in [("client.relaxed", relaxed), ("client.tightened", tightened)] {
        for (field, what) in changes {
            let noted = NewAuditEvent::new(action, "client", &client.id)
                .by(actor)
                .in_project(&client.project_id)
                .saying(json!({ "clientId": client.client_id, "field": field, "what": what }));
            audit::append(txn, &ctx.clock, noted).await?;
        }
    }
    Ok(())
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
            "legacy": client.legacy.iter().map(|switch| switch.as_str()).collect::<Vec<_>>(),
        }),
    };
    event::append(txn, &ctx.clock, event).await.map(|_| ())
}
