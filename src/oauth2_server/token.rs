//! The token endpoint (RFC 6749, section 3.2): who asks, by which grant, and what they get. Everything a grant decides is
//! decided and written in one transaction.

use sea_orm::DatabaseTransaction;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::claims;
use super::client::is_secret;
use super::error::OAuthError;
use super::keys::{self, Signer};
use super::model::{Client, ClientAuth, ClientState, Family, GrantType, TokenFormat};
use super::store::{self, tokens};
use super::{metadata, scope};
use crate::account;
use crate::crypto::{self, is_prefixed, new_prefixed, sha256_hex};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};
use crate::id;

/// Prefix of opaque access tokens.
pub const ACCESS_PREFIX: &str = "mg_at_";
/// Prefix of refresh tokens.
pub const REFRESH_PREFIX: &str = "mg_rt_";

/// A refresh token that was replaced unused may come back so long without ending its family: two answers were under
/// way at once.
const DEAD_SIBLING_GRACE_MS: i64 = 60_000;

/// What a request says about the client that sends it.
#[derive(Debug, Default)]
pub struct Credentials {
    /// From `Authorization: Basic`, decoded.
    pub basic: Option<(String, SecretString)>,
    /// `client_id` of the body.
    pub body_id: Option<String>,
    /// `client_secret` of the body.
    pub body_secret: Option<SecretString>,
}

/// A request of the token endpoint and its neighbours: the fields of the body, each at most once.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Takes the fields of a body.
    ///
    /// # Errors
    /// `invalid_request` if one is there twice.
    pub fn new(fields: Vec<(String, String)>) -> Result<Self, OAuthError> {
        let twice = fields
            .iter()
            .enumerate()
            .any(|(at, (name, _))| fields.iter().take(at).any(|(before, _)| before == name));
        if twice {
            return Err(OAuthError::invalid_request("a parameter is sent twice"));
        }
        Ok(Self(fields))
    }

    /// A field, unless it is missing or empty (RFC 6749, section 3.2: the same).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name)
            .ok_or_else(|| OAuthError::invalid_request(format!("{name} is missing")))
    }
}

/// What a client is given.
#[derive(Debug)]
pub struct Issued {
    /// The access token.
    pub access_token: SecretString,
    /// Its life, seconds.
    pub expires_in: i64,
    /// The refresh token.
    pub refresh_token: Option<SecretString>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The ID token.
    pub id_token: Option<String>,
}

impl Issued {
    /// The answer of RFC 6749, section 5.1.
    pub fn json(&self) -> Value {
        let mut answer = Map::new();
        answer.insert("access_token".into(), self.access_token.expose_secret().into());
        answer.insert("token_type".into(), "Bearer".into());
        answer.insert("expires_in".into(), self.expires_in.into());
        answer.insert("scope".into(), scope::join(&self.scopes).into());
        if let Some(token) = &self.refresh_token {
            answer.insert("refresh_token".into(), token.expose_secret().into());
        }
        if let Some(token) = &self.id_token {
            answer.insert("id_token".into(), token.clone().into());
        }
        Value::Object(answer)
    }
}

/// The client a request comes from.
///
/// # Errors
/// `invalid_client` (401) if it does not prove that it is itself, `invalid_request` if it tries in two ways.
pub async fn authenticate_client(ctx: &Ctx, credentials: &Credentials) -> Result<Client, OAuthError> {
    let wrong = || OAuthError::invalid_client("the client is unknown, or its credentials are wrong");
    let (client_id, secret, method) = match credentials {
        Credentials {
            basic: Some(_),
            body_secret: Some(_),
            ..
        } => {
            return Err(OAuthError::invalid_request(
                "the client authenticates in two ways; use one",
            ));
        }
        Credentials {
            basic: Some((id, secret)),
            body_id,
            ..
        } => {
            if body_id.as_ref().is_some_and(|body| body != id) {
                return Err(OAuthError::invalid_request(
                    "client_id names another client than the header",
                ));
            }
            (id, Some(secret), ClientAuth::Basic)
        }
        Credentials {
            body_id: Some(id),
            body_secret: Some(secret),
            ..
        } => (id, Some(secret), ClientAuth::Post),
        Credentials {
            body_id: Some(id), ..
        } => (id, None, ClientAuth::None),
        _ => return Err(OAuthError::invalid_client("the client does not say who it is")),
    };
    let client = store::client_by_client_id(ctx.db.read(), client_id).await?;
    let hashes: Vec<String> = match &client {
        Some(client) => store::live_secrets(ctx.db.read(), &client.id, ctx.clock.now_ms())
            .await?
            .into_iter()
            .map(|(_, hash)| hash)
            .collect(),
        None => Vec::new(),
    };
    let proven = secret.is_some_and(|secret| is_secret(&hashes, secret));
    let client = client.ok_or_else(wrong)?;
    let good = match client.auth_method {
        ClientAuth::None => method == ClientAuth::None,
        expected => method == expected && proven,
    };
    if !good || client.state != ClientState::Approved {
        return Err(wrong());
    }
    Ok(client)
}

/// Answers a request of the token endpoint.
pub async fn token(ctx: &Ctx, client: &Client, fields: &Fields) -> Result<Issued, OAuthError> {
    let asked = fields.required("grant_type")?;
    let grant = GrantType::parse(asked).ok_or_else(|| {
        OAuthError::new(
            "unsupported_grant_type",
            "this way to a token does not exist here",
        )
    })?;
    if !client.has_grant(grant) {
        return Err(OAuthError::new(
            "unauthorized_client",
            format!("{} is not registered for this client", grant.as_str()),
        ));
    }
    let issuer = Issuer::prepare(ctx, client).await?;
    let issued = match grant {
        GrantType::AuthorizationCode => issuer.redeem_code(fields).await?,
        GrantType::RefreshToken => issuer.refresh(fields).await?,
        GrantType::ClientCredentials => issuer.client_credentials(fields).await?,
    };
    if let Err(error) = store::touch_client(ctx.db.write(), &client.id, ctx.clock.now_ms()).await {
        tracing::debug!(%error, "the use of a client was not noted");
    }
    Ok(issued)
}

/// What the grants work with: everything that must be there before the transaction begins.
struct Issuer<'a> {
    ctx: &'a Ctx,
    client: &'a Client,
    /// Signs access tokens, where the client's are signed ones.
    access: Option<Signer>,
}

impl<'a> Issuer<'a> {
    async fn prepare(ctx: &'a Ctx, client: &'a Client) -> Result<Self, OAuthError> {
        let access = match client.token_format {
            TokenFormat::Opaque => None,
            TokenFormat::Jwt => Some(keys::signer(ctx, &client.id_token_alg).await?),
        };
        Ok(Self { ctx, client, access })
    }

    async fn redeem_code(&self, fields: &Fields) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let dead = || OAuthError::invalid_grant("the code is wrong, over, used, or not this client's");
        let code = fields.required("code")?;
        if !is_prefixed(super::authorize::CODE_PREFIX, code) {
            return Err(dead());
        }
        let hash = sha256_hex(code.as_bytes());
        let now = ctx.clock.now_ms();
        let txn = ctx.db.begin().await?;
        let Some(found) = tokens::code(&txn, &hash)
            .await?
            .filter(|found| found.client == client.id)
        else {
            return Err(dead());
        };
        if found.used_at.is_some() {
            // Two have the code: one of them should not (RFC 6749, section 4.1.2).
            tokens::revoke_family(&txn, &found.family_id, now, "code_replayed").await?;
            reuse_event(ctx, &txn, &found.family_id, &found.user_id, "code").await?;
            txn.commit().await?;
            return Err(dead());
        }
        if found.expires_at <= now {
            return Err(dead());
        }
        // From here on the code is spent, also if the rest does not fit: nobody tries verifiers on it.
        tokens::use_code(&txn, &hash, now).await?;
        let request = &found.grant.request;
        if !fits(request, fields) {
            txn.commit().await?;
            return Err(OAuthError::invalid_grant(
                "code_verifier or redirect_uri does not fit the code",
            ));
        }
        let until = match allowed_until(&txn, client, &found.user_id, now).await? {
            Some(until) => until,
            None => {
                txn.commit().await?;
                return Err(OAuthError::invalid_grant("what was allowed was taken back"));
            }
        };
        let family = Family {
            id: found.family_id.clone(),
            client: client.id.clone(),
            user_id: found.user_id.clone(),
            scopes: found.grant.scopes.clone(),
            projects: found.grant.projects.clone(),
            audience: request
                .resource
                .clone()
                .unwrap_or_else(|| metadata::api(&ctx.config)),
            auth_time: found.grant.auth_time,
            created_at: now,
            expires_at: until.min(now + client.refresh_absolute_seconds * 1000),
            revoked_at: None,
        };
        tokens::insert_family(&txn, &family).await?;
        let mut issued = self
            .issue(
                &txn,
                &family,
                &family.scopes,
                gets_refresh(client, &family.scopes),
            )
            .await?;
        txn.commit().await?;
        if scope::covers(&family.scopes, &["openid".to_owned()]) {
            issued.id_token = Some(
                id_token(
                    ctx,
                    client,
                    &family,
                    request.nonce.as_deref(),
                    &issued.access_token,
                )
                .await?,
            );
        }
        Ok(issued)
    }

    async fn refresh(&self, fields: &Fields) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let dead =
            || OAuthError::invalid_grant("the refresh token is wrong, over, revoked, or not this client's");
        let sent = fields.required("refresh_token")?;
        if !is_prefixed(REFRESH_PREFIX, sent) {
            return Err(dead());
        }
        let hash = sha256_hex(sent.as_bytes());
        let now = ctx.clock.now_ms();
        let txn = ctx.db.begin().await?;
        let Some(seen) = tokens::refresh(&txn, &hash).await? else {
            return Err(dead());
        };
        let Some(family) = tokens::lock_family(&txn, &seen.family_id).await? else {
            return Err(dead());
        };
        // Read again under the family's lock: another request may have rotated it meanwhile.
        let Some(row) = tokens::refresh(&txn, &hash).await? else {
            return Err(dead());
        };
        if family.client != client.id {
            tracing::warn!(client = %client.id, family = %family.id, "a refresh token was sent by another client");
            return Err(dead());
        }
        if family.revoked_at.is_some() || family.expires_at <= now || row.expires_at <= now {
            return Err(dead());
        }
        if !person_may(&txn, client, &family, now).await? {
            txn.commit().await?;
            return Err(dead());
        }
        let scopes = narrowed(fields, &family)?;
        match judge(&txn, &row, now).await? {
            Judgement::Rotate { unused } => {
                if let Some(unused) = unused {
                    tokens::set_refresh(&txn, &unused, "dead", "", now).await?;
                    tokens::revoke_siblings(&txn, &unused, now).await?;
                }
                let issued = self.issue(&txn, &family, &scopes, true).await?;
                let successor = issued
                    .refresh_token
                    .as_ref()
                    .map(|token| sha256_hex(token.expose_secret().as_bytes()))
                    .unwrap_or_default();
                tokens::set_refresh(&txn, &row.hash, "rotated", &successor, now).await?;
                txn.commit().await?;
                Ok(issued)
            }
            Judgement::Late => Err(dead()),
            Judgement::Stolen => {
                tokens::revoke_family(&txn, &family.id, now, "refresh_token_reused").await?;
                reuse_event(ctx, &txn, &family.id, &family.user_id, "refresh_token").await?;
                txn.commit().await?;
                Err(dead())
            }
        }
    }

    async fn client_credentials(&self, fields: &Fields) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        if !client.is_confidential() {
            return Err(OAuthError::new(
                "unauthorized_client",
                "a public client has no credentials",
            ));
        }
        let scopes = match fields.get("scope") {
            Some(asked) => scope::parse(asked, &client.scopes)?,
            None => client
                .scopes
                .iter()
                .filter(|value| scope::known(value).is_some_and(|scope| !scope.is_personal))
                .cloned()
                .collect(),
        };
        if scopes.is_empty() {
            return Err(OAuthError::invalid_scope(
                "no scope of this client fits a token without a person",
            ));
        }
        if scopes
            .iter()
            .any(|value| scope::known(value).is_some_and(|scope| scope.is_personal))
        {
            return Err(OAuthError::invalid_scope(
                "openid and its companions speak of a person, and there is none",
            ));
        }
        let resource = fields.get("resource");
        if resource.is_some_and(|resource| !metadata::is_resource(&ctx.config, resource)) {
            return Err(OAuthError::new(
                "invalid_target",
                "resource is not one this server issues tokens for",
            ));
        }
        let now = ctx.clock.now_ms();
        let family = Family {
            id: id::new("fam", &ctx.clock),
            client: client.id.clone(),
            user_id: String::new(),
            scopes,
            projects: match client.project_id.as_str() {
                "" => Vec::new(),
                project => vec![project.to_owned()],
            },
            audience: resource.map_or_else(|| metadata::api(&ctx.config), str::to_owned),
            auth_time: 0,
            created_at: now,
            expires_at: now + client.access_seconds * 1000,
            revoked_at: None,
        };
        let txn = ctx.db.begin().await?;
        tokens::insert_family(&txn, &family).await?;
        let issued = self.issue(&txn, &family, &family.scopes, false).await?;
        txn.commit().await?;
        Ok(issued)
    }

    /// Stores a pair of tokens of a family and returns it.
    async fn issue(
        &self,
        txn: &DatabaseTransaction,
        family: &Family,
        scopes: &[String],
        with_refresh: bool,
    ) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let now = ctx.clock.now_ms();
        let expires_at = (now + client.access_seconds * 1000).min(family.expires_at);
        let refresh = with_refresh.then(|| new_prefixed(REFRESH_PREFIX));
        let refresh_hash = refresh
            .as_ref()
            .map(|token| sha256_hex(token.expose_secret().as_bytes()))
            .unwrap_or_default();
        if with_refresh {
            let idle_end = (now + client.refresh_idle_seconds * 1000).min(family.expires_at);
            tokens::insert_refresh(txn, &refresh_hash, &family.id, now, idle_end).await?;
        }
        let access_token = match &self.access {
            None => new_prefixed(ACCESS_PREFIX),
            Some(signer) => self.jwt(signer, family, scopes, (now, expires_at))?,
        };
        let hash = sha256_hex(access_token.expose_secret().as_bytes());
        let new = tokens::NewAccess {
            hash: &hash,
            family_id: &family.id,
            refresh_hash: &refresh_hash,
            scopes,
            now,
            expires_at,
        };
        tokens::insert_access(txn, &new).await?;
        Ok(Issued {
            access_token,
            expires_in: (expires_at - now) / 1000,
            refresh_token: refresh,
            scopes: scopes.to_vec(),
            id_token: None,
        })
    }

    /// An access token as JWT (RFC 9068). It is stored by its hash like an opaque one, so that it can be revoked.
    fn jwt(
        &self,
        signer: &Signer,
        family: &Family,
        scopes: &[String],
        (now, expires_at): (i64, i64),
    ) -> Result<SecretString, OAuthError> {
        let claims = json!({
            "iss": metadata::issuer(&self.ctx.config),
            "sub": subject(self.client, family),
            "aud": family.audience,
            "client_id": self.client.client_id,
            "scope": scope::join(scopes),
            "iat": now / 1000,
            "exp": expires_at / 1000,
            "jti": crypto::random_token(16),
        });
        signer.sign("at+jwt", &claims).map(SecretString::from)
    }
}

fn fits(request: &super::model::AuthorizeRequest, fields: &Fields) -> bool {
    let redirect_fits = match fields.get("redirect_uri") {
        Some(sent) => sent == request.redirect_uri,
        None => !request.redirect_uri_given,
    };
    let verifier_fits = match (&request.code_challenge, fields.get("code_verifier")) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => {
            let is_verifier = (43..=128).contains(&verifier.len())
                && verifier
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
            is_verifier && crypto::same_secret(&crypto::pkce_challenge(verifier), challenge)
        }
        // A verifier without challenge is a downgrade (RFC 9700, section 4.8.2).
        _ => false,
    };
    redirect_fits && verifier_fits
}

/// Until when the person's consent holds; `None` if there is none (any more) and one is needed.
async fn allowed_until(
    txn: &DatabaseTransaction,
    client: &Client,
    user_id: &str,
    now: i64,
) -> Result<Option<i64>, OAuthError> {
    if client.auto_grant {
        return Ok(Some(i64::MAX));
    }
    let Some(consent) = tokens::consent(txn, user_id, &client.id, now).await? else {
        return Ok(None);
    };
    tokens::touch_consent(txn, user_id, &client.id, now).await?;
    Ok(Some(consent.expires_at.unwrap_or(i64::MAX)))
}

/// OpenID Connect asks for `offline_access`; without `openid` a client that may refresh gets what it needs for it.
fn gets_refresh(client: &Client, scopes: &[String]) -> bool {
    let has = |value: &str| scopes.iter().any(|scope| scope == value);
    client.has_grant(GrantType::RefreshToken) && (has("offline_access") || !has("openid"))
}

/// What a refresh token that is known means.
enum Judgement {
    /// It gets a successor; one that was given before and never used dies.
    Rotate { unused: Option<String> },
    /// It was replaced unused a moment ago: nothing happens.
    Late,
    /// It came back after its successor was used: two have it.
    Stolen,
}

async fn judge(
    txn: &DatabaseTransaction,
    row: &tokens::RefreshRow,
    now: i64,
) -> Result<Judgement, OAuthError> {
    Ok(match row.state.as_str() {
        "live" => Judgement::Rotate { unused: None },
        "rotated" => {
            let successor = tokens::refresh(txn, &row.successor).await?;
            match successor {
                Some(next) if next.state == "live" && !tokens::sibling_was_used(txn, &next.hash).await? => {
                    Judgement::Rotate {
                        unused: Some(next.hash),
                    }
                }
                _ => Judgement::Stolen,
            }
        }
        _ if now - row.changed_at <= DEAD_SIBLING_GRACE_MS => Judgement::Late,
        _ => Judgement::Stolen,
    })
}

/// Whether the person still exists, may sign in, and has not taken the consent back.
async fn person_may(
    txn: &DatabaseTransaction,
    client: &Client,
    family: &Family,
    now: i64,
) -> Result<bool, OAuthError> {
    let user = account::read_in(txn, &family.user_id).await?;
    if user.is_none_or(|user| user.disabled_at.is_some()) {
        return Ok(false);
    }
    Ok(allowed_until(txn, client, &family.user_id, now).await?.is_some())
}

fn narrowed(fields: &Fields, family: &Family) -> Result<Vec<String>, OAuthError> {
    match fields.get("scope") {
        None => Ok(family.scopes.clone()),
        Some(asked) => {
            let scopes = scope::parse(asked, &family.scopes)?;
            if scopes.is_empty() {
                return Err(OAuthError::invalid_scope("scope is empty"));
            }
            Ok(scopes)
        }
    }
}

/// Who a token speaks for: the person, or the client itself.
pub(super) fn subject<'a>(client: &'a Client, family: &'a Family) -> &'a str {
    match family.user_id.as_str() {
        "" => &client.client_id,
        user => user,
    }
}

async fn id_token(
    ctx: &Ctx,
    client: &Client,
    family: &Family,
    nonce: Option<&str>,
    access_token: &SecretString,
) -> Result<String, OAuthError> {
    let now = ctx.clock.now_ms();
    let mut claims = Map::new();
    claims.insert("iss".into(), metadata::issuer(&ctx.config).into());
    claims.insert("sub".into(), family.user_id.clone().into());
    claims.insert("aud".into(), client.client_id.clone().into());
    claims.insert("iat".into(), (now / 1000).into());
    claims.insert("exp".into(), (now / 1000 + 600).into());
    claims.insert("auth_time".into(), (family.auth_time / 1000).into());
    let signer = keys::signer(ctx, &client.id_token_alg).await?;
    claims.insert(
        "at_hash".into(),
        claims::at_hash(signer.alg(), access_token).into(),
    );
    if let Some(nonce) = nonce {
        claims.insert("nonce".into(), nonce.into());
    }
    if let Some(user) = account::get(&ctx.db, &family.user_id).await? {
        claims.extend(claims::of(&user, &family.scopes));
    }
    signer.sign("JWT", &Value::Object(claims))
}

async fn reuse_event(
    ctx: &Ctx,
    txn: &DatabaseTransaction,
    family: &str,
    user_id: &str,
    what: &str,
) -> Result<(), OAuthError> {
    let event = NewEvent {
        kind: "token.reused",
        project_id: "",
        subject_id: family,
        actor: SYSTEM,
        data: json!({ "userId": user_id, "what": what }),
    };
    event::append(txn, &ctx.clock, event).await?;
    Ok(())
}
