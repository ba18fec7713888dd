//! What a client is given once a grant was accepted: access tokens, refresh tokens, ID tokens.

use sea_orm::DatabaseTransaction;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::claims;
use super::error::OAuthError;
use super::keys::{self, Signer};
use super::model::{Client, Family, Legacy, TokenFormat};
use super::store::tokens;
use super::{metadata, rounds, scope};
use crate::account;
use crate::crypto::{self, new_prefixed, sha256_hex};
use crate::ctx::Ctx;

/// Prefix of opaque access tokens.
pub const ACCESS_PREFIX: &str = "mg_at_";
/// Prefix of refresh tokens.
pub const REFRESH_PREFIX: &str = "mg_rt_";

/// Life of an ID token.
const ID_TOKEN_SECONDS: i64 = 600;

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
    /// Whether the access token is bound to a key.
    pub is_bound: bool,
}

impl Issued {
    /// The answer of RFC 6749, section 5.1.
    pub fn json(&self) -> Value {
        let mut answer = Map::new();
        answer.insert("access_token".into(), self.access_token.expose_secret().into());
        let kind = if self.is_bound { "DPoP" } else { "Bearer" };
        answer.insert("token_type".into(), kind.into());
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

/// What the grants work with: everything that must be there before the transaction begins.
pub(super) struct Issuer<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) client: &'a Client,
    /// The key whose holder asks; empty if no proof came with the request.
    pub(super) jkt: String,
    /// Signs access tokens, where the client's are signed ones.
    access: Option<Signer>,
}

impl<'a> Issuer<'a> {
    /// `jkt` is the thumbprint of the key that a proof was made with.
    pub(super) async fn prepare(
        ctx: &'a Ctx,
        client: &'a Client,
        jkt: Option<String>,
    ) -> Result<Self, OAuthError> {
        let access = match client.token_format {
            TokenFormat::Opaque => None,
            TokenFormat::Jwt => Some(keys::signer(ctx, &client.id_token_alg).await?),
        };
        Ok(Self {
            ctx,
            client,
            jkt: jkt.unwrap_or_default(),
            access,
        })
    }

    /// Stores a pair of tokens of a family and returns it.
    pub(super) async fn issue(
        &self,
        txn: &DatabaseTransaction,
        family: &Family,
        scopes: &[String],
        with_refresh: bool,
    ) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let now = ctx.clock.now_ms();
        let refresh = with_refresh.then(|| new_prefixed(REFRESH_PREFIX));
        let refresh_hash = refresh
            .as_ref()
            .map(|token| sha256_hex(token.expose_secret().as_bytes()))
            .unwrap_or_default();
        if with_refresh {
            let idle_end = (now + client.refresh_idle_seconds * 1000).min(family.expires_at);
            tokens::insert_refresh(txn, &refresh_hash, &family.id, now, idle_end).await?;
        }
        let (mut issued, new) = self.draw(family, scopes, refresh_hash, now)?;
        tokens::insert_access(txn, &[&new]).await?;
        issued.refresh_token = refresh;
        Ok(issued)
    }

    /// Stores a family whose tokens nobody can refresh, and returns the one it has.
    pub(super) async fn issue_alone(&self, family: Family) -> Result<Issued, OAuthError> {
        let now = self.ctx.clock.now_ms();
        let (issued, new) = self.draw(&family, &family.scopes, String::new(), now)?;
        rounds::store(self.ctx, family, new).await?;
        Ok(issued)
    }

    /// An access token of a family, and what is stored of it.
    fn draw(
        &self,
        family: &Family,
        scopes: &[String],
        refresh_hash: String,
        now: i64,
    ) -> Result<(Issued, tokens::NewAccess), OAuthError> {
        let expires_at = (now + self.client.access_seconds * 1000).min(family.expires_at);
        let access_token = match &self.access {
            None => new_prefixed(ACCESS_PREFIX),
            Some(signer) => self.jwt(signer, family, scopes, (now, expires_at))?,
        };
        let new = tokens::NewAccess {
            kind: tokens::Kind::Access,
            hash: sha256_hex(access_token.expose_secret().as_bytes()),
            family_id: family.id.clone(),
            refresh_hash,
            scopes: scopes.to_vec(),
            jkt: self.jkt.clone(),
            now,
            expires_at,
        };
        let issued = Issued {
            access_token,
            expires_in: (expires_at - now) / 1000,
            refresh_token: None,
            scopes: scopes.to_vec(),
            id_token: None,
            is_bound: !self.jkt.is_empty(),
        };
        Ok((issued, new))
    }

    /// An access token as JWT (RFC 9068). It is stored by its hash like an opaque one, so that it can be revoked.
    fn jwt(
        &self,
        signer: &Signer,
        family: &Family,
        scopes: &[String],
        (now, expires_at): (i64, i64),
    ) -> Result<SecretString, OAuthError> {
        let mut claims = json!({
            "iss": metadata::issuer(&self.ctx.config),
            "sub": subject(self.client, family),
            "aud": family.audience,
            "client_id": self.client.client_id,
            "scope": scope::join(scopes),
            "iat": now / 1000,
            "exp": expires_at / 1000,
            "jti": crypto::random_token(16),
        });
        if !family.user_id.is_empty() {
            if let Some(at) = family.sign_in.seconds() {
                claims["auth_time"] = at.into();
            }
            claims["acr"] = family.sign_in.acr().into();
            claims["amr"] = json!(family.sign_in.amr);
        }
        if !self.jkt.is_empty() {
            claims["cnf"] = json!({ "jkt": self.jkt });
        }
        signer.sign("at+jwt", &claims).map(SecretString::from)
    }
}

/// Who a token speaks for: the person, or the client itself.
pub(super) fn subject<'a>(client: &'a Client, family: &'a Family) -> &'a str {
    match family.user_id.as_str() {
        "" => &client.client_id,
        user => user,
    }
}

/// What an ID token goes with.
#[derive(Default)]
pub(super) struct IdTokenOf<'a> {
    /// The value of the request that it answers.
    pub(super) nonce: Option<&'a str>,
    /// The access token beside it; none in the front channel, where it says nothing but who signed in.
    pub(super) access: Option<&'a Issued>,
    /// The code beside it.
    pub(super) code: Option<&'a SecretString>,
}

/// Whether the ID tokens of a family open the API, as a legacy switch has it. A key binds nothing of an ID token, so not
/// where tokens are bound to one.
fn opens_api(client: &Client, family: &Family) -> bool {
    client.may(Legacy::IdTokenAtApi) && !client.protocol.dpop_bound && family.jkt.is_empty()
}

impl Issuer<'_> {
    /// Puts an ID token beside tokens that were just stored.
    pub(super) async fn add_id_token(
        &self,
        issued: &mut Issued,
        family: &Family,
        nonce: Option<&str>,
    ) -> Result<(), OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        let about = IdTokenOf {
            nonce,
            access: Some(&*issued),
            code: None,
        };
        let token = id_token(ctx, client, family, &about).await?;
        if opens_api(client, family) {
            let now = ctx.clock.now_ms();
            let refresh = issued.refresh_token.as_ref();
            // What opens the API is stored, like access tokens, and ends with them.
            let new = tokens::NewAccess {
                kind: tokens::Kind::Id,
                hash: sha256_hex(token.as_bytes()),
                family_id: family.id.clone(),
                refresh_hash: refresh
                    .map(|token| sha256_hex(token.expose_secret().as_bytes()))
                    .unwrap_or_default(),
                scopes: issued.scopes.clone(),
                jkt: String::new(),
                now,
                expires_at: (now + ID_TOKEN_SECONDS * 1000).min(family.expires_at),
            };
            tokens::insert_access(ctx.db.write(), &[&new]).await?;
        }
        issued.id_token = Some(token);
        Ok(())
    }
}

pub(super) async fn id_token(
    ctx: &Ctx,
    client: &Client,
    family: &Family,
    about: &IdTokenOf<'_>,
) -> Result<String, OAuthError> {
    let now = ctx.clock.now_ms();
    let signer = keys::signer(ctx, &client.id_token_alg).await?;
    let mut claims = Map::new();
    claims.insert("iss".into(), metadata::issuer(&ctx.config).into());
    claims.insert("sub".into(), family.user_id.clone().into());
    claims.insert("aud".into(), client.client_id.clone().into());
    claims.insert("iat".into(), (now / 1000).into());
    claims.insert("exp".into(), (now / 1000 + ID_TOKEN_SECONDS).into());
    if let Some(at) = family.sign_in.seconds() {
        claims.insert("auth_time".into(), at.into());
    }
    claims.insert("acr".into(), family.sign_in.acr().into());
    claims.insert("amr".into(), json!(family.sign_in.amr));
    if let Some(code) = about.code {
        claims.insert("c_hash".into(), claims::half_hash(signer.alg(), code).into());
    }
    if !family.sign_in.sid.is_empty() {
        claims.insert("sid".into(), family.sign_in.sid.clone().into());
    }
    if let Some(nonce) = about.nonce {
        claims.insert("nonce".into(), nonce.into());
    }
    let Some(issued) = about.access else {
        return signer.sign("JWT", &Value::Object(claims));
    };
    claims.insert(
        "at_hash".into(),
        claims::half_hash(signer.alg(), &issued.access_token).into(),
    );
    if opens_api(client, family) {
        let api = metadata::api(&ctx.config);
        claims.insert("aud".into(), json!([client.client_id, api]));
        claims.insert("azp".into(), client.client_id.clone().into());
        // What it opens, so that nobody has to guess.
        let scopes: Vec<String> = issued
            .scopes
            .iter()
            .filter(|value| scope::known(value).is_some_and(|scope| !scope.is_personal))
            .cloned()
            .collect();
        claims.insert("scope".into(), scope::join(&scopes).into());
    }
    if let Some(user) = account::get(&ctx.db, &family.user_id).await? {
        claims.extend(claims::of(ctx, &user, family, &issued.scopes, &family.claims.id_token).await?);
    }
    signer.sign("JWT", &Value::Object(claims))
}
