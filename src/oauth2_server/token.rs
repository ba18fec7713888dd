//! The token endpoint (RFC 6749, section 3.2): who asks, by which grant, and what they get. Everything a grant decides is
//! decided and written in one transaction.

use sea_orm::DatabaseTransaction;
use serde_json::json;

use super::authorize::is_verifier;
use super::device::DEVICE_PREFIX;
use super::error::OAuthError;
use super::issue::{Issued, Issuer};
use super::model::{AuthorizeRequest, Client, Consent, Family, GrantType, Legacy, SignIn};
use super::store::tokens::CodeGrant;
use super::store::{self, requests, tokens};
use super::{logout, metadata, scope};
use crate::account;
use crate::config::Config;
use crate::crypto::{self, is_prefixed, sha256_hex};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};
use crate::id;

/// A device that asks too often has to wait so much longer from then on (RFC 8628, section 3.5).
const SLOWER_MS: i64 = 5_000;
/// An answer on its way may make two questions look closer than they were.
const JITTER_MS: i64 = 500;

/// A request of the token endpoint and its neighbours: the fields of the body, each at most once.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Takes the fields of a body.
    ///
    /// # Errors
    /// `invalid_request` if one is there twice.
    pub fn new(fields: Vec<(String, String)>) -> Result<Self, OAuthError> {
        if super::authorize::is_twice(&fields) {
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

    /// All of them, the empty ones apart.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Looks at the resources that are named (RFC 8707).
    pub(super) fn check_resources(&self, config: &Config) -> Result<(), OAuthError> {
        metadata::check_resources(config, &self.0)
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name)
            .ok_or_else(|| OAuthError::invalid_request(format!("{name} is missing")))
    }
}

/// Answers a request of the token endpoint. `jkt` is the key of the proof (RFC 9449) that came with it.
pub async fn token(
    ctx: &Ctx,
    client: &Client,
    fields: &Fields,
    jkt: Option<String>,
) -> Result<Issued, OAuthError> {
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
    if client.protocol.dpop_bound && jkt.is_none() {
        return Err(OAuthError::new(
            "invalid_dpop_proof",
            "the tokens of this client are bound to a key: send a proof in the header DPoP",
        ));
    }
    fields.check_resources(&ctx.config)?;
    let issuer = Issuer::prepare(ctx, client, jkt).await?;
    let issued = match grant {
        GrantType::AuthorizationCode => issuer.redeem_code(fields).await?,
        GrantType::RefreshToken => issuer.refresh(fields).await?,
        GrantType::ClientCredentials => issuer.client_credentials(fields).await?,
        GrantType::DeviceCode => issuer.redeem_device(fields).await?,
        GrantType::JwtBearer => issuer.jwt_bearer(fields).await?,
    };
    note_use(ctx, client).await;
    Ok(issued)
}

/// Notes that a client was given a token; once a minute is enough.
async fn note_use(ctx: &Ctx, client: &Client) {
    let now = ctx.clock.now_ms();
    if client.last_used_at.is_some_and(|before| now < before + 60_000) {
        return;
    }
    if let Err(error) = store::touch_client(ctx.db.write(), &client.id, now).await {
        tracing::debug!(%error, "the use of a client was not noted");
    }
}

impl Issuer<'_> {
    async fn redeem_code(&self, fields: &Fields) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let dead = || OAuthError::invalid_grant("the code is wrong, over, used, or not this client's");
        let code = fields.required("code")?;
        if !is_prefixed(super::decide::CODE_PREFIX, code) {
            return Err(dead());
        }
        let hash = sha256_hex(code.as_bytes());
        let now = ctx.clock.now_ms();
        let txn = ctx.db.begin().await?;
        let Some(user_id) = tokens::user_of_code(&txn, &hash).await? else {
            return Err(dead());
        };
        account::hold_person(&txn, &user_id).await?;
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
        if !fits(client, request, fields) {
            txn.commit().await?;
            return Err(OAuthError::invalid_grant(
                "code_verifier or redirect_uri does not fit the code",
            ));
        }
        if request.dpop_jkt.as_ref().is_some_and(|jkt| *jkt != self.jkt) {
            txn.commit().await?;
            return Err(OAuthError::invalid_grant(
                "the code is bound to a key, and the proof was not made with it",
            ));
        }
        let Some(family) = self
            .begin(&txn, &found.family_id, &found.user_id, &found.grant)
            .await?
        else {
            txn.commit().await?;
            return Err(OAuthError::invalid_grant("what was allowed was taken back"));
        };
        self.give(txn, &family, request.nonce.as_deref()).await
    }

    /// A device asks whether somebody allowed it (RFC 8628, section 3.4).
    async fn redeem_device(&self, fields: &Fields) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let dead = || OAuthError::invalid_grant("the device code is wrong, used, or not this client's");
        let code = fields.required("device_code")?;
        if !is_prefixed(DEVICE_PREFIX, code) {
            return Err(dead());
        }
        let hash = sha256_hex(code.as_bytes());
        let now = ctx.clock.now_ms();
        let txn = ctx.db.begin().await?;
        // Who allows it meanwhile is held when the device asks again.
        let held = requests::user_of_device(&txn, &hash).await?.unwrap_or_default();
        account::hold_person(&txn, &held).await?;
        let found = requests::device(&txn, &hash).await?;
        let Some(found) = found.filter(|found| found.client == client.id && found.state != "used") else {
            return Err(dead());
        };
        if found.expires_at <= now {
            return Err(OAuthError::new(
                "expired_token",
                "nobody allowed it in time; begin again",
            ));
        }
        let consented = match (found.state.as_str(), found.consented) {
            ("approved", Some(consented)) if found.user_id == held => consented,
            ("approved", Some(_)) => {
                return Err(OAuthError::new("authorization_pending", "nobody has decided yet"));
            }
            ("pending", _) => {
                let is_early = found
                    .polled_at
                    .is_some_and(|before| now < before + found.interval_ms - JITTER_MS);
                let interval = found.interval_ms + if is_early { SLOWER_MS } else { 0 };
                requests::polled(&txn, &hash, now, interval).await?;
                txn.commit().await?;
                return Err(match is_early {
                    true => OAuthError::new("slow_down", "wait five seconds longer from now on"),
                    false => OAuthError::new("authorization_pending", "nobody has decided yet"),
                });
            }
            _ => return Err(OAuthError::new("access_denied", "the person refused")),
        };
        requests::use_device(&txn, &hash).await?;
        let family_id = id::new("fam", &ctx.clock);
        let Some(family) = self.begin(&txn, &family_id, &found.user_id, &consented).await? else {
            txn.commit().await?;
            return Err(OAuthError::new(
                "access_denied",
                "what was allowed was taken back",
            ));
        };
        self.give(txn, &family, None).await
    }

    /// Begins the family of what somebody allowed; `None` if they took it back since, or may not sign in any more. The
    /// caller holds the person.
    async fn begin(
        &self,
        txn: &DatabaseTransaction,
        family_id: &str,
        user_id: &str,
        grant: &CodeGrant,
    ) -> Result<Option<Family>, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let now = ctx.clock.now_ms();
        let Some(until) = allowed_until(txn, client, user_id, now, Some(grant)).await? else {
            return Ok(None);
        };
        // What the client lost since it was allowed is not given any more.
        let mut grant = grant.clone();
        grant.scopes.retain(|scope| client.scopes.contains(scope));
        if grant.scopes.is_empty() {
            return Ok(None);
        }
        let family = grant.family(ctx, client, (family_id, user_id), self.jkt.clone(), until);
        tokens::insert_family(txn, &family).await?;
        Ok(Some(family))
    }

    /// Gives the first tokens of a family and ends the transaction.
    async fn give(
        &self,
        txn: DatabaseTransaction,
        family: &Family,
        nonce: Option<&str>,
    ) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let with_refresh = gets_refresh(client, &family.scopes);
        let mut issued = self.issue(&txn, family, &family.scopes, with_refresh).await?;
        txn.commit().await?;
        if scope::covers(&family.scopes, &["openid".to_owned()]) {
            logout::join(ctx, client, family).await?;
            self.add_id_token(&mut issued, family, nonce).await?;
        }
        Ok(issued)
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
            audience: metadata::api(&ctx.config),
            sign_in: SignIn::default(),
            claims: super::model::ClaimsRequest::default(),
            jkt: self.jkt.clone(),
            created_at: now,
            expires_at: now + client.access_seconds * 1000,
            revoked_at: None,
        };
        self.issue_alone(family).await
    }
}

impl CodeGrant {
    /// Whether a consent covers it.
    fn is_within(&self, consent: &Consent) -> bool {
        let of_claims = self.claims.names().filter_map(super::claims::scope_of);
        let scopes: Vec<String> = self
            .scopes
            .iter()
            .cloned()
            .chain(of_claims.map(str::to_owned))
            .collect();
        let in_projects = consent.projects.is_empty()
            || !scope::reach_projects(&scopes)
            || (!self.projects.is_empty() && scope::covers(&consent.projects, &self.projects));
        in_projects && scope::covers(&consent.scopes, &scopes)
    }

    /// The family that begins with what was granted: its id, and whose it is. `until` is when the consent ends.
    pub(super) fn family(
        &self,
        ctx: &Ctx,
        client: &Client,
        (id, user_id): (&str, &str),
        jkt: String,
        until: i64,
    ) -> Family {
        let now = ctx.clock.now_ms();
        Family {
            id: id.to_owned(),
            client: client.id.clone(),
            user_id: user_id.to_owned(),
            scopes: self.scopes.clone(),
            projects: self.projects.clone(),
            audience: metadata::api(&ctx.config),
            sign_in: self.sign_in.clone(),
            claims: self.claims.clone(),
            jkt,
            created_at: now,
            expires_at: until.min(now + client.refresh_absolute_seconds * 1000),
            revoked_at: None,
        }
    }
}

fn fits(client: &Client, request: &AuthorizeRequest, fields: &Fields) -> bool {
    let redirect_fits = match fields.get("redirect_uri") {
        Some(sent) => sent == request.redirect_uri,
        None => !request.redirect_uri_given,
    };
    let verifier_fits = match (&request.code_challenge, fields.get("code_verifier")) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => {
            let expected = match request.plain_challenge {
                true => verifier.to_owned(),
                false => crypto::pkce_challenge(verifier),
            };
            is_verifier(verifier)
                && crypto::same_secret(&expected, challenge)
                && (!request.plain_challenge || client.may(Legacy::PlainPkce))
        }
        // A verifier without challenge is a downgrade (RFC 9700, section 4.8.2).
        _ => false,
    };
    redirect_fits && verifier_fits
}

/// Until when a person's consent holds, and covers the grant that is about to begin; `None` if there is none (any more) and one is needed, or if the person may not
/// sign in any more.
pub(super) async fn allowed_until(
    txn: &DatabaseTransaction,
    client: &Client,
    user_id: &str,
    now: i64,
    grant: Option<&CodeGrant>,
) -> Result<Option<i64>, OAuthError> {
    let user = account::read_in(txn, user_id).await?;
    if !user.is_some_and(|user| user.is_active()) {
        return Ok(None);
    }
    if client.auto_grant {
        return Ok(Some(i64::MAX));
    }
    // A code may be of a consent that ended since, and another one be there by now.
    let consent = tokens::consent(txn, user_id, &client.id, now).await?;
    let Some(consent) = consent.filter(|consent| grant.is_none_or(|grant| grant.is_within(consent))) else {
        return Ok(None);
    };
    if !tokens::touch_consent(txn, user_id, &client.id, now).await? {
        return Ok(None);
    }
    Ok(Some(consent.expires_at.unwrap_or(i64::MAX)))
}

/// OpenID Connect asks for `offline_access`; without `openid` a client that may refresh gets what it needs for it.
fn gets_refresh(client: &Client, scopes: &[String]) -> bool {
    let has = |value: &str| scopes.iter().any(|scope| scope == value);
    client.has_grant(GrantType::RefreshToken) && (has("offline_access") || !has("openid"))
}

pub(super) async fn reuse_event(
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
