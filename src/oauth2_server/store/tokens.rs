//! What clients are given: pending requests, consents, codes, families, tokens. Tokens and codes are stored as hashes.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::{from_list, parsed, run, to_list};
use crate::db::{sql, with_rows};
use crate::oauth2_server::model::{
    AuthorizeRequest, ClaimsRequest, Consent, Family, Legacy, SignIn, TokenUse,
};

/// Appended to a `SELECT` whose row must not change before the transaction ends. SQLite has one writer anyway.
pub(super) fn for_update<C: ConnectionTrait>(on: &C) -> &'static str {
    match on.get_database_backend() {
        sea_orm::DbBackend::Postgres => " FOR UPDATE",
        _ => "",
    }
}

// Pending requests.

/// A request that waits for a person.
#[derive(Clone, Debug)]
pub(crate) struct Interaction {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) request: AuthorizeRequest,
    pub(crate) browser: String,
    pub(crate) created_at: i64,
}

pub(crate) async fn insert_interaction<C: ConnectionTrait>(
    on: &C,
    found: &Interaction,
    expires_at: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_interactions (id, client, request, browser, created_at, expires_at) \
                VALUES ($1, $2, $3, $4, $5, $6)";
    let request = serde_json::to_string(&found.request).unwrap_or_default();
    let values = [
        found.id.clone().into(),
        found.client.clone().into(),
        request.into(),
        found.browser.clone().into(),
        found.created_at.into(),
        expires_at.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

pub(crate) async fn interaction<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
) -> Result<Option<Interaction>, DbErr> {
    let text = "SELECT id, client, request, browser, created_at FROM oauth2_interactions WHERE id = $1 AND expires_at > $2";
    let row = on.query_one_raw(sql(on, text, [id.into(), now.into()])).await?;
    row.as_ref().map(read_interaction).transpose()
}

/// Takes a pending request out: of two answers to it, one counts.
pub(crate) async fn take_interaction<C: ConnectionTrait>(
    on: &C,
    id: &str,
    browser: &str,
    now: i64,
) -> Result<Option<Interaction>, DbErr> {
    let text = "DELETE FROM oauth2_interactions WHERE id = $1 AND browser = $2 AND expires_at > $3 \
                RETURNING id, client, request, browser, created_at";
    let row = on
        .query_one_raw(sql(on, text, [id.into(), browser.into(), now.into()]))
        .await?;
    row.as_ref().map(read_interaction).transpose()
}

fn read_interaction(row: &QueryResult) -> Result<Interaction, DbErr> {
    let request: String = row.try_get("", "request")?;
    Ok(Interaction {
        id: row.try_get("", "id")?,
        client: row.try_get("", "client")?,
        request: read_request(&request)?,
        browser: row.try_get("", "browser")?,
        created_at: row.try_get("", "created_at")?,
    })
}

fn read_request(text: &str) -> Result<AuthorizeRequest, DbErr> {
    serde_json::from_str(text)
        .map_err(|error| DbErr::Custom(format!("a stored request cannot be read: {error}")))
}

// Consents.

pub(crate) async fn consent<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: &str,
    now: i64,
) -> Result<Option<Consent>, DbErr> {
    let text = "SELECT user_id, client, scopes, projects, granted_at, last_used_at, expires_at FROM oauth2_consents \
                WHERE user_id = $1 AND client = $2 AND (expires_at IS NULL OR expires_at > $3)";
    let row = on
        .query_one_raw(sql(on, text, [user_id.into(), client.into(), now.into()]))
        .await?;
    row.as_ref().map(read_consent).transpose()
}

pub(crate) async fn consents_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    now: i64,
) -> Result<Vec<Consent>, DbErr> {
    let text = "SELECT user_id, client, scopes, projects, granted_at, last_used_at, expires_at FROM oauth2_consents \
                WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY granted_at DESC";
    let rows = on
        .query_all_raw(sql(on, text, [user_id.into(), now.into()]))
        .await?;
    rows.iter().map(read_consent).collect()
}

fn read_consent(row: &QueryResult) -> Result<Consent, DbErr> {
    let scopes: String = row.try_get("", "scopes")?;
    let projects: String = row.try_get("", "projects")?;
    Ok(Consent {
        user_id: row.try_get("", "user_id")?,
        client: row.try_get("", "client")?,
        scopes: from_list(&scopes),
        projects: from_list(&projects),
        granted_at: row.try_get("", "granted_at")?,
        last_used_at: row.try_get("", "last_used_at")?,
        expires_at: row.try_get("", "expires_at")?,
    })
}

pub(crate) async fn put_consent<C: ConnectionTrait>(on: &C, consent: &Consent) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_consents (user_id, client, scopes, projects, granted_at, last_used_at, expires_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, client) DO UPDATE SET \
                scopes = excluded.scopes, projects = excluded.projects, granted_at = excluded.granted_at, \
                last_used_at = excluded.last_used_at, expires_at = excluded.expires_at";
    let values = [
        consent.user_id.clone().into(),
        consent.client.clone().into(),
        to_list(&consent.scopes).into(),
        to_list(&consent.projects).into(),
        consent.granted_at.into(),
        consent.last_used_at.into(),
        consent.expires_at.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

/// Notes that a consent was used. False if it was taken back meanwhile.
pub(crate) async fn touch_consent<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let text = "UPDATE oauth2_consents SET last_used_at = $1 WHERE user_id = $2 AND client = $3";
    Ok(run(on, text, [now.into(), user_id.into(), client.into()]).await? == 1)
}

pub(crate) async fn delete_consent<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: &str,
) -> Result<bool, DbErr> {
    let text = "DELETE FROM oauth2_consents WHERE user_id = $1 AND client = $2";
    Ok(run(on, text, [user_id.into(), client.into()]).await? == 1)
}

// Codes.

/// A code as stored.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) client: String,
    pub(crate) user_id: String,
    pub(crate) family_id: String,
    pub(crate) grant: CodeGrant,
    pub(crate) expires_at: i64,
    pub(crate) used_at: Option<i64>,
}

/// What a code carries to the token endpoint.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct CodeGrant {
    pub(crate) request: AuthorizeRequest,
    pub(crate) scopes: Vec<String>,
    pub(crate) projects: Vec<String>,
    pub(crate) sign_in: SignIn,
    pub(crate) claims: ClaimsRequest,
}

pub(crate) async fn insert_code<C: ConnectionTrait>(
    on: &C,
    hash: &str,
    code: &Code,
    now: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_codes (code_hash, client, user_id, family_id, request, created_at, expires_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let grant = serde_json::to_string(&code.grant).unwrap_or_default();
    let values = [
        hash.into(),
        code.client.clone().into(),
        code.user_id.clone().into(),
        code.family_id.clone().into(),
        grant.into(),
        now.into(),
        code.expires_at.into(),
    ];
    run(on, text, values).await.map(|_| ())
}

/// Who gave a code.
pub(crate) async fn user_of_code<C: ConnectionTrait>(on: &C, hash: &str) -> Result<Option<String>, DbErr> {
    let text = "SELECT user_id FROM oauth2_codes WHERE code_hash = $1";
    let row = on.query_one_raw(sql(on, text, [hash.into()])).await?;
    row.map(|row| row.try_get("", "user_id")).transpose()
}

/// A code, held until the transaction ends.
pub(crate) async fn code<C: ConnectionTrait>(on: &C, hash: &str) -> Result<Option<Code>, DbErr> {
    let text = format!(
        "SELECT client, user_id, family_id, request, expires_at, used_at FROM oauth2_codes WHERE code_hash = $1{}",
        for_update(on)
    );
    let Some(row) = on.query_one_raw(sql(on, &text, [hash.into()])).await? else {
        return Ok(None);
    };
    let grant: String = row.try_get("", "request")?;
    Ok(Some(Code {
        client: row.try_get("", "client")?,
        user_id: row.try_get("", "user_id")?,
        family_id: row.try_get("", "family_id")?,
        grant: serde_json::from_str(&grant)
            .map_err(|error| DbErr::Custom(format!("a stored code cannot be read: {error}")))?,
        expires_at: row.try_get("", "expires_at")?,
        used_at: row.try_get("", "used_at")?,
    }))
}

pub(crate) async fn use_code<C: ConnectionTrait>(on: &C, hash: &str, now: i64) -> Result<(), DbErr> {
    run(
        on,
        "UPDATE oauth2_codes SET used_at = $1 WHERE code_hash = $2",
        [now.into(), hash.into()],
    )
    .await
    .map(|_| ())
}

/// Ends the codes of a person that nobody used yet: those of one client, or all.
pub(crate) async fn delete_codes_of<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: Option<&str>,
) -> Result<(), DbErr> {
    let text = "DELETE FROM oauth2_codes WHERE user_id = $1 AND used_at IS NULL AND ($2 = '' OR client = $2)";
    run(on, text, [user_id.into(), client.unwrap_or_default().into()])
        .await
        .map(|_| ())
}

// Families.

const FAMILY: &str = "f.id, f.client, f.user_id, f.scopes, f.projects, f.audience, f.auth_time, f.amr, f.claims, \
                      f.jkt, f.sid, f.acr, f.created_at, f.expires_at, f.revoked_at";

fn read_family(row: &QueryResult) -> Result<Family, DbErr> {
    let scopes: String = row.try_get("", "scopes")?;
    let projects: String = row.try_get("", "projects")?;
    let amr: String = row.try_get("", "amr")?;
    let claims: String = row.try_get("", "claims")?;
    Ok(Family {
        id: row.try_get("", "id")?,
        client: row.try_get("", "client")?,
        user_id: row.try_get("", "user_id")?,
        scopes: from_list(&scopes),
        projects: from_list(&projects),
        audience: row.try_get("", "audience")?,
        sign_in: SignIn {
            auth_time: row.try_get("", "auth_time")?,
            amr: from_list(&amr),
            sid: row.try_get("", "sid")?,
            acr: row.try_get("", "acr")?,
        },
        claims: serde_json::from_str(&claims).unwrap_or_default(),
        jkt: row.try_get("", "jkt")?,
        created_at: row.try_get("", "created_at")?,
        expires_at: row.try_get("", "expires_at")?,
        revoked_at: row.try_get("", "revoked_at")?,
    })
}

pub(crate) async fn insert_family<C: ConnectionTrait>(on: &C, family: &Family) -> Result<(), DbErr> {
    insert_families(on, &[family]).await
}

/// Stores several at once.
pub(crate) async fn insert_families<C: ConnectionTrait>(on: &C, families: &[&Family]) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_families (id, client, user_id, scopes, projects, audience, auth_time, created_at, \
                last_used_at, expires_at, revoked_why, amr, claims, jkt, sid, acr) VALUES {rows}";
    let rows = families.iter().map(|family| -> [Value; 16] {
        [
            family.id.clone().into(),
            family.client.clone().into(),
            family.user_id.clone().into(),
            to_list(&family.scopes).into(),
            to_list(&family.projects).into(),
            family.audience.clone().into(),
            family.sign_in.auth_time.into(),
            family.created_at.into(),
            family.created_at.into(),
            family.expires_at.into(),
            "".into(),
            to_list(&family.sign_in.amr).into(),
            serde_json::to_string(&family.claims).unwrap_or_default().into(),
            family.jkt.clone().into(),
            family.sign_in.sid.clone().into(),
            family.sign_in.acr.clone().into(),
        ]
    });
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// Notes that a family was begun by what an issuer said.
pub(crate) async fn by_assertion<C: ConnectionTrait>(
    on: &C,
    family_id: &str,
    issuer_id: &str,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_assertion_families (family_id, issuer_id) VALUES ($1, $2)";
    run(on, text, [family_id.into(), issuer_id.into()])
        .await
        .map(|_| ())
}

/// Of a family that an issuer vouched for, whether that issuer still counts; `None` for every other.
pub(crate) async fn assertion_holds<C: ConnectionTrait>(
    on: &C,
    family_id: &str,
) -> Result<Option<bool>, DbErr> {
    let text = "SELECT t.enabled AS enabled FROM oauth2_assertion_families f \
                LEFT JOIN trusted_issuers t ON t.id = f.issuer_id WHERE f.family_id = $1";
    let Some(row) = on.query_one_raw(sql(on, text, [family_id.into()])).await? else {
        return Ok(None);
    };
    let enabled: Option<bool> = row.try_get("", "enabled")?;
    Ok(Some(enabled.unwrap_or(false)))
}

/// A family, held until the transaction ends.
pub(crate) async fn lock_family<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Family>, DbErr> {
    let text = format!(
        "SELECT {FAMILY} FROM oauth2_families f WHERE f.id = $1{}",
        for_update(on)
    );
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    row.as_ref().map(read_family).transpose()
}

pub(crate) async fn family<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Family>, DbErr> {
    let text = format!("SELECT {FAMILY} FROM oauth2_families f WHERE f.id = $1");
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    row.as_ref().map(read_family).transpose()
}

pub(crate) async fn revoke_family<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
    why: &str,
) -> Result<(), DbErr> {
    let text =
        "UPDATE oauth2_families SET revoked_at = $1, revoked_why = $2 WHERE id = $3 AND revoked_at IS NULL";
    run(on, text, [now.into(), why.into(), id.into()])
        .await
        .map(|_| ())
}

pub(crate) async fn revoke_families_of_client<C: ConnectionTrait>(
    on: &C,
    client: &str,
    now: i64,
    why: &str,
) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_families SET revoked_at = $1, revoked_why = $2 WHERE client = $3 AND revoked_at IS NULL";
    run(on, text, [now.into(), why.into(), client.into()]).await?;
    end_requests_of_client(on, client).await
}

/// Ends what is under way at a client: codes, devices, and requests that wait for their person.
pub(crate) async fn end_requests_of_client<C: ConnectionTrait>(on: &C, client: &str) -> Result<(), DbErr> {
    for text in [
        "DELETE FROM oauth2_codes WHERE client = $1 AND used_at IS NULL",
        "UPDATE oauth2_device_codes SET state = 'denied' WHERE client = $1 AND state = 'approved'",
        "DELETE FROM oauth2_interactions WHERE client = $1",
        "DELETE FROM oauth2_pushed_requests WHERE client = $1",
    ] {
        run(on, text, [client.into()]).await?;
    }
    Ok(())
}

/// What applications hold in a person's name, together for each, whether the person was asked or not.
pub(crate) async fn given_to_apps<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    now: i64,
) -> Result<Vec<Consent>, DbErr> {
    let text = "SELECT f.client, f.scopes, f.projects, f.created_at, f.expires_at, \
                (SELECT MAX(a.created_at) FROM oauth2_access_tokens a WHERE a.family_id = f.id) AS last_at \
                FROM oauth2_families f WHERE f.user_id = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 ORDER BY f.id";
    let rows = on
        .query_all_raw(sql(on, text, [user_id.into(), now.into()]))
        .await?;
    let mut apps: Vec<Consent> = Vec::new();
    for row in &rows {
        let one = read_given(user_id, row)?;
        match apps.iter_mut().find(|app| app.client == one.client) {
            Some(app) => add_given(app, one),
            None => apps.push(one),
        }
    }
    Ok(apps)
}

fn read_given(user_id: &str, row: &QueryResult) -> Result<Consent, DbErr> {
    let scopes: String = row.try_get("", "scopes")?;
    let projects: String = row.try_get("", "projects")?;
    let granted_at: i64 = row.try_get("", "created_at")?;
    let last_at: Option<i64> = row.try_get("", "last_at")?;
    Ok(Consent {
        user_id: user_id.to_owned(),
        client: row.try_get("", "client")?,
        scopes: from_list(&scopes),
        projects: from_list(&projects),
        granted_at,
        last_used_at: last_at.unwrap_or(granted_at),
        expires_at: Some(row.try_get("", "expires_at")?),
    })
}

/// Adds what was given later to what was given first. No project is every project.
fn add_given(app: &mut Consent, later: Consent) {
    for scope in later.scopes {
        if !app.scopes.contains(&scope) {
            app.scopes.push(scope);
        }
    }
    if later.projects.is_empty() {
        app.projects.clear();
    }
    if !app.projects.is_empty() {
        for project in later.projects {
            if !app.projects.contains(&project) {
                app.projects.push(project);
            }
        }
    }
    app.last_used_at = app.last_used_at.max(later.last_used_at);
    app.expires_at = app.expires_at.max(later.expires_at);
}

/// Lets what a client holds in a person's name end with their consent at the latest.
pub(crate) async fn shorten_families<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: &str,
    expires_at: i64,
) -> Result<(), DbErr> {
    let text =
        "UPDATE oauth2_families SET expires_at = $1 WHERE user_id = $2 AND client = $3 AND expires_at > $1";
    run(on, text, [expires_at.into(), user_id.into(), client.into()])
        .await
        .map(|_| ())
}

/// Ends every family of a person: those of one client, or all. False if none was alive.
pub(crate) async fn revoke_families_of_user<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
    client: Option<&str>,
    now: i64,
    why: &str,
) -> Result<bool, DbErr> {
    let text = "UPDATE oauth2_families SET revoked_at = $1, revoked_why = $2 \
                WHERE user_id = $3 AND revoked_at IS NULL AND ($4 = '' OR client = $4)";
    let values = [
        now.into(),
        why.into(),
        user_id.into(),
        client.unwrap_or_default().into(),
    ];
    Ok(run(on, text, values).await? > 0)
}

// Refresh tokens.

/// A refresh token as stored. Its state is `live`, `rotated` or `dead`.
#[derive(Clone, Debug)]
pub(crate) struct RefreshRow {
    pub(crate) hash: String,
    pub(crate) family_id: String,
    pub(crate) state: String,
    pub(crate) successor: String,
    /// When it was seen that the client has it: the access token that came with it was used.
    pub(crate) arrived_at: Option<i64>,
    pub(crate) changed_at: i64,
    pub(crate) expires_at: i64,
}

pub(crate) async fn insert_refresh<C: ConnectionTrait>(
    on: &C,
    hash: &str,
    family_id: &str,
    now: i64,
    expires_at: i64,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_refresh_tokens (token_hash, family_id, state, successor, changed_at, expires_at) \
                VALUES ($1, $2, 'live', '', $3, $4)";
    run(
        on,
        text,
        [hash.into(), family_id.into(), now.into(), expires_at.into()],
    )
    .await
    .map(|_| ())
}

pub(crate) async fn refresh<C: ConnectionTrait>(on: &C, hash: &str) -> Result<Option<RefreshRow>, DbErr> {
    let text = "SELECT token_hash, family_id, state, successor, arrived_at, changed_at, expires_at \
                FROM oauth2_refresh_tokens WHERE token_hash = $1";
    let Some(row) = on.query_one_raw(sql(on, text, [hash.into()])).await? else {
        return Ok(None);
    };
    Ok(Some(RefreshRow {
        hash: row.try_get("", "token_hash")?,
        family_id: row.try_get("", "family_id")?,
        state: row.try_get("", "state")?,
        successor: row.try_get("", "successor")?,
        arrived_at: row.try_get("", "arrived_at")?,
        changed_at: row.try_get("", "changed_at")?,
        expires_at: row.try_get("", "expires_at")?,
    }))
}

pub(crate) async fn set_refresh<C: ConnectionTrait>(
    on: &C,
    hash: &str,
    state: &str,
    successor: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text =
        "UPDATE oauth2_refresh_tokens SET state = $1, successor = $2, changed_at = $3 WHERE token_hash = $4";
    run(
        on,
        text,
        [state.into(), successor.into(), now.into(), hash.into()],
    )
    .await
    .map(|_| ())
}

pub(crate) async fn revoke_siblings<C: ConnectionTrait>(
    on: &C,
    refresh_hash: &str,
    now: i64,
) -> Result<(), DbErr> {
    let text =
        "UPDATE oauth2_access_tokens SET revoked_at = $1 WHERE refresh_hash = $2 AND revoked_at IS NULL";
    run(on, text, [now.into(), refresh_hash.into()]).await.map(|_| ())
}

// Access tokens.

/// What a token is: an ID token opens the API only where a legacy switch lets it, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Id,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Id => "id",
        }
    }
}

/// An access token that is about to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewAccess {
    pub(crate) kind: Kind,
    pub(crate) hash: String,
    pub(crate) family_id: String,
    /// The refresh token that came with it; empty if none did.
    pub(crate) refresh_hash: String,
    pub(crate) scopes: Vec<String>,
    /// The key it is bound to; empty for none.
    pub(crate) jkt: String,
    pub(crate) now: i64,
    pub(crate) expires_at: i64,
}

pub(crate) async fn insert_access<C: ConnectionTrait>(on: &C, new: &[&NewAccess]) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_access_tokens (token_hash, family_id, refresh_hash, scopes, created_at, \
                expires_at, jkt, kind) VALUES {rows}";
    let rows = new.iter().map(|new| -> [Value; 8] {
        [
            new.hash.clone().into(),
            new.family_id.clone().into(),
            new.refresh_hash.clone().into(),
            to_list(&new.scopes).into(),
            new.now.into(),
            new.expires_at.into(),
            new.jkt.clone().into(),
            new.kind.as_str().into(),
        ]
    });
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// Whom live access tokens speak for, by their hashes, and whether a refresh token waits for this first use of one.
/// Everything that can end one is asked in one query: its own life, its family, the client and the person. An ID token
/// is stored a moment after the tokens it came with, which may be dead by then.
pub(crate) async fn access<C: ConnectionTrait>(
    on: &C,
    kind: Kind,
    hashes: &[&str],
    now: i64,
) -> Result<HashMap<String, (TokenUse, bool)>, DbErr> {
    let places: Vec<String> = (3..hashes.len() + 3).map(|n| format!("${n}")).collect();
    let text = format!(
        "SELECT {FAMILY}, a.token_hash, a.refresh_hash, a.scopes AS token_scopes, a.jkt AS token_jkt, \
         a.created_at AS issued_at, a.expires_at AS ends_at, a.first_used_at, c.legacy, c.scopes AS client_scopes, \
         c.client_id, c.name AS client_name, c.project_id FROM oauth2_access_tokens a \
         JOIN oauth2_families f ON f.id = a.family_id JOIN oauth2_clients c ON c.id = f.client \
         LEFT JOIN users u ON u.id = f.user_id \
         WHERE a.token_hash IN ({}) AND a.kind = $2 AND (a.kind = 'access' OR a.refresh_hash NOT IN \
         (SELECT r.token_hash FROM oauth2_refresh_tokens r WHERE r.token_hash = a.refresh_hash AND r.state = 'dead')) \
         AND a.expires_at > $1 AND f.expires_at > $1 AND a.revoked_at IS NULL AND f.revoked_at IS NULL \
         AND c.state = 'approved' AND (f.user_id = '' OR (u.id IS NOT NULL AND u.disabled_at IS NULL AND u.removed_at IS NULL))",
        places.join(", ")
    );
    let values = [Value::from(now), kind.as_str().into()]
        .into_iter()
        .chain(hashes.iter().map(|hash| Value::from(*hash)));
    let found = on.query_all_raw(sql(on, &text, values)).await?;
    found.iter().map(read_access).collect()
}

fn read_access(row: &QueryResult) -> Result<(String, (TokenUse, bool)), DbErr> {
    let legacy: String = row.try_get("", "legacy")?;
    // What its client lost meanwhile no token has, however it was given.
    let scopes: String = row.try_get("", "token_scopes")?;
    let of_client: String = row.try_get("", "client_scopes")?;
    let of_client = from_list(&of_client);
    let mut scopes = from_list(&scopes);
    scopes.retain(|scope| of_client.contains(scope));
    let refresh_hash: String = row.try_get("", "refresh_hash")?;
    let first_used_at: Option<i64> = row.try_get("", "first_used_at")?;
    let found = TokenUse {
        family: read_family(row)?,
        client_id: row.try_get("", "client_id")?,
        client_name: row.try_get("", "client_name")?,
        project_id: row.try_get("", "project_id")?,
        scopes,
        legacy: parsed(&legacy, Legacy::parse),
        jkt: row.try_get("", "token_jkt")?,
        issued_at: row.try_get("", "issued_at")?,
        expires_at: row.try_get("", "ends_at")?,
    };
    // Of a token that came alone nobody asks later whether it arrived.
    let is_awaited = first_used_at.is_none() && !refresh_hash.is_empty();
    Ok((row.try_get("", "token_hash")?, (found, is_awaited)))
}

/// What of older protocols the client of an access token may do, whether the token is dead or alive.
pub(crate) async fn legacy_of_access<C: ConnectionTrait>(on: &C, hash: &str) -> Result<Vec<Legacy>, DbErr> {
    let text = "SELECT c.legacy FROM oauth2_access_tokens a JOIN oauth2_families f ON f.id = a.family_id \
                JOIN oauth2_clients c ON c.id = f.client WHERE a.token_hash = $1 AND a.kind = 'access'";
    let Some(row) = on.query_one_raw(sql(on, text, [hash.into()])).await? else {
        return Ok(Vec::new());
    };
    let legacy: String = row.try_get("", "legacy")?;
    Ok(parsed(&legacy, Legacy::parse))
}

/// The family of an access token, dead or alive.
pub(crate) async fn family_of_access<C: ConnectionTrait>(
    on: &C,
    hash: &str,
) -> Result<Option<String>, DbErr> {
    let text = "SELECT family_id FROM oauth2_access_tokens WHERE token_hash = $1";
    match on.query_one_raw(sql(on, text, [hash.into()])).await? {
        Some(row) => Ok(Some(row.try_get("", "family_id")?)),
        None => Ok(None),
    }
}

/// Notes the first use of an access token: the refresh token that came with it has arrived.
pub(crate) async fn mark_used<C: ConnectionTrait>(on: &C, hash: &str, now: i64) -> Result<(), DbErr> {
    // Noted where it stays for as long as the family: access tokens are forgotten long before. First, because whether
    // there is something to note is asked of the other row: between the two, it is noted once more.
    let text = "UPDATE oauth2_refresh_tokens SET arrived_at = $1 WHERE arrived_at IS NULL AND token_hash = \
                (SELECT refresh_hash FROM oauth2_access_tokens WHERE token_hash = $2)";
    run(on, text, [now.into(), hash.into()]).await?;
    let text =
        "UPDATE oauth2_access_tokens SET first_used_at = $1 WHERE token_hash = $2 AND first_used_at IS NULL";
    run(on, text, [now.into(), hash.into()]).await.map(|_| ())
}

/// Ends an access token, and the ID token that came with it, where that opens the API as well.
pub(crate) async fn revoke_access<C: ConnectionTrait>(on: &C, hash: &str, now: i64) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_access_tokens SET revoked_at = $1 WHERE revoked_at IS NULL AND (token_hash = $2 OR \
                (kind = 'id' AND (family_id, refresh_hash) IN \
                (SELECT family_id, refresh_hash FROM oauth2_access_tokens WHERE token_hash = $2)))";
    run(on, text, [now.into(), hash.into()]).await.map(|_| ())
}

/// Removes what is over. Codes and families stay a day longer, so that a late replay is still recognised.
pub(crate) async fn purge<C: ConnectionTrait>(on: &C, now: i64) -> Result<(), DbErr> {
    super::requests::purge(on, now).await?;
    const DAY_MS: i64 = 86_400_000;
    run(
        on,
        "DELETE FROM oauth2_interactions WHERE expires_at <= $1",
        [now.into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM oauth2_codes WHERE expires_at <= $1",
        [(now - DAY_MS).into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM oauth2_access_tokens WHERE expires_at <= $1",
        [(now - DAY_MS).into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM oauth2_families WHERE expires_at <= $1",
        [(now - DAY_MS).into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM oauth2_consents WHERE expires_at <= $1",
        [now.into()],
    )
    .await?;
    run(
        on,
        "DELETE FROM oauth2_client_secrets WHERE expires_at <= $1",
        [(now - DAY_MS).into()],
    )
    .await
    .map(|_| ())
}
