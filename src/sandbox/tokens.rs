//! What the sandbox provider has issued: codes, access tokens, refresh tokens, and the families they belong to.
//!
//! Plain memory and plain rules (rotation, reuse detection, expiry); time comes in as an argument. Nothing
//! here talks HTTP or IMAP, and nothing here can be printed: the types have no `Debug`.

use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};

/// How long an authorization code can be redeemed.
const CODE_LIFE: Duration = Duration::minutes(1);

/// What one authorization allowed: carried from the code into every token of its family.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    /// The client it was given to.
    pub client_id: String,
    /// The scopes that were granted, which may be fewer than were asked for.
    pub scopes: BTreeSet<String>,
    /// The mailbox owner, or none for a client acting for itself (client credentials).
    pub account: Option<String>,
    /// Echoed in the id_token (OpenID Connect Core, section 3.1.2.1).
    pub nonce: Option<String>,
    /// Whether a refresh token comes with it.
    pub offline: bool,
}

struct Code {
    authorization: Authorization,
    redirect_uri: String,
    code_challenge: String,
    expires_at: DateTime<Utc>,
    redeemed_by: Option<u64>,
}

struct AccessToken {
    family: u64,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    dead: bool,
}

struct RefreshToken {
    family: u64,
    used: bool,
}

struct Family {
    authorization: Authorization,
    alive: bool,
}

/// A freshly issued pair.
pub(super) struct IssuedTokens {
    /// The bearer token.
    pub access_token: String,
    /// The refresh token, unless the authorization brings none or a refresh without rotation keeps the old.
    pub refresh_token: Option<String>,
    /// Life of the access token.
    pub expires_in: Duration,
    /// What the pair allows.
    pub authorization: Authorization,
}

/// What is known about a live access token (RFC 7662).
pub(super) struct TokenInfo {
    /// What the token allows.
    pub authorization: Authorization,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Why a code or refresh token was not honoured. Every one of them is `invalid_grant` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GrantRefused {
    #[error("the code is unknown or has expired")]
    UnknownCode,
    #[error("the code was used before; every token that came from it is revoked")]
    CodeReplayed,
    #[error("the redirect_uri is not the one of the authorization request")]
    RedirectMismatch,
    #[error("the code_verifier does not match the code_challenge")]
    WrongVerifier,
    #[error("the refresh token is unknown")]
    UnknownRefreshToken,
    #[error("the refresh token was used before; every token of its family is revoked")]
    RefreshReplayed,
    #[error("the consent was revoked")]
    Revoked,
    #[error("the token belongs to another client")]
    OtherClient,
    #[error("the scope is wider than the one that was granted")]
    ScopeTooWide,
}

/// All tokens of the sandbox.
#[derive(Default)]
pub(super) struct TokenStore {
    codes: HashMap<String, Code>,
    access: HashMap<String, AccessToken>,
    refresh: HashMap<String, RefreshToken>,
    families: HashMap<u64, Family>,
    next_family: u64,
}

/// 256 random bits as text, after a prefix that says what the value is for.
pub(super) fn random_text(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

impl TokenStore {
    /// A code for `authorization`, to be redeemed with the verifier of `code_challenge` (S256).
    pub fn issue_code(
        &mut self,
        authorization: Authorization,
        redirect_uri: &str,
        code_challenge: &str,
        now: DateTime<Utc>,
    ) -> String {
        let code = random_text("sbx_code_");
        self.codes.insert(
            code.clone(),
            Code {
                authorization,
                redirect_uri: redirect_uri.to_owned(),
                code_challenge: code_challenge.to_owned(),
                expires_at: now + CODE_LIFE,
                redeemed_by: None,
            },
        );
        code
    }

    /// Redeems a code once. A second try revokes what the first one got (RFC 6749, section 4.1.2).
    pub fn redeem_code(
        &mut self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        code_verifier: &str,
        life: Duration,
        now: DateTime<Utc>,
    ) -> Result<IssuedTokens, GrantRefused> {
        let known = self.codes.get(code).ok_or(GrantRefused::UnknownCode)?;
        if known.authorization.client_id != client_id {
            return Err(GrantRefused::OtherClient);
        }
        if let Some(family) = known.redeemed_by {
            self.kill(family);
            return Err(GrantRefused::CodeReplayed);
        }
        if known.expires_at <= now {
            return Err(GrantRefused::UnknownCode);
        }
        if known.redirect_uri != redirect_uri {
            return Err(GrantRefused::RedirectMismatch);
        }
        if URL_SAFE_NO_PAD.encode(Sha256::digest(code_verifier.as_bytes())) != known.code_challenge {
            return Err(GrantRefused::WrongVerifier);
        }
        let authorization = known.authorization.clone();
        let family = self.open_family(authorization);
        if let Some(known) = self.codes.get_mut(code) {
            known.redeemed_by = Some(family);
        }
        Ok(self.issue(family, None, life, now))
    }

    /// A pair without a person: client credentials, hence no refresh token (RFC 6749, section 4.4.3).
    pub fn issue_for_client(
        &mut self,
        client_id: &str,
        scopes: BTreeSet<String>,
        life: Duration,
        now: DateTime<Utc>,
    ) -> IssuedTokens {
        let family = self.open_family(Authorization {
            client_id: client_id.to_owned(),
            scopes,
            account: None,
            nonce: None,
            offline: false,
        });
        self.issue(family, None, life, now)
    }

    /// Refreshes. With rotation the old token dies, and showing it again kills the whole family.
    pub fn refresh(
        &mut self,
        refresh_token: &str,
        client_id: &str,
        narrowed: Option<BTreeSet<String>>,
        rotate: bool,
        life: Duration,
        now: DateTime<Utc>,
    ) -> Result<IssuedTokens, GrantRefused> {
        let known = self
            .refresh
            .get(refresh_token)
            .ok_or(GrantRefused::UnknownRefreshToken)?;
        let family = known.family;
        let used = known.used;
        let authorization = match self.families.get(&family) {
            Some(found) if found.alive => found.authorization.clone(),
            _ => return Err(GrantRefused::Revoked),
        };
        if authorization.client_id != client_id {
            return Err(GrantRefused::OtherClient);
        }
        if used {
            self.kill(family);
            return Err(GrantRefused::RefreshReplayed);
        }
        if narrowed
            .as_ref()
            .is_some_and(|scopes| !scopes.is_subset(&authorization.scopes))
        {
            return Err(GrantRefused::ScopeTooWide);
        }
        if rotate && let Some(known) = self.refresh.get_mut(refresh_token) {
            known.used = true;
        }
        let mut issued = self.issue(family, narrowed, life, now);
        if !rotate && let Some(unused) = issued.refresh_token.take() {
            self.refresh.remove(&unused);
        }
        Ok(issued)
    }

    /// What an access token allows, while it lives.
    pub fn inspect(&self, access_token: &str, now: DateTime<Utc>) -> Option<TokenInfo> {
        let token = self.access.get(access_token)?;
        let family = self.families.get(&token.family)?;
        (family.alive && !token.dead && token.expires_at > now).then(|| TokenInfo {
            authorization: family.authorization.clone(),
            issued_at: token.issued_at,
            expires_at: token.expires_at,
        })
    }

    /// Revokes the family of a token, whichever kind it is (RFC 7009). Unknown tokens are not an error.
    pub fn revoke(&mut self, token: &str) {
        let family = (self.refresh.get(token).map(|known| known.family))
            .or_else(|| self.access.get(token).map(|known| known.family));
        if let Some(family) = family {
            self.kill(family);
        }
    }

    /// Every access token dies now; refresh tokens live on.
    pub fn expire_access_tokens(&mut self) {
        for token in self.access.values_mut() {
            token.dead = true;
        }
    }

    /// Every authorization given so far ends, with all its tokens. New ones can be given.
    pub fn revoke_everything(&mut self) {
        for family in self.families.values_mut() {
            family.alive = false;
        }
        self.codes.clear();
    }

    fn open_family(&mut self, authorization: Authorization) -> u64 {
        self.next_family += 1;
        self.families.insert(
            self.next_family,
            Family {
                authorization,
                alive: true,
            },
        );
        self.next_family
    }

    fn kill(&mut self, family: u64) {
        if let Some(family) = self.families.get_mut(&family) {
            family.alive = false;
        }
    }

    fn issue(
        &mut self,
        family: u64,
        narrowed: Option<BTreeSet<String>>,
        life: Duration,
        now: DateTime<Utc>,
    ) -> IssuedTokens {
        let mut authorization = self.families.get(&family).map_or_else(
            || Authorization {
                client_id: String::new(),
                scopes: BTreeSet::new(),
                account: None,
                nonce: None,
                offline: false,
            },
            |family| family.authorization.clone(),
        );
        if let Some(scopes) = narrowed {
            authorization.scopes = scopes;
        }
        let access_token = random_text("sbx_at_");
        self.access.insert(
            access_token.clone(),
            AccessToken {
                family,
                issued_at: now,
                expires_at: now + life,
                dead: false,
            },
        );
        let refresh_token = authorization.offline.then(|| {
            let token = random_text("sbx_rt_");
            self.refresh
                .insert(token.clone(), RefreshToken { family, used: false });
            token
        });
        IssuedTokens {
            access_token,
            refresh_token,
            expires_in: life,
            authorization,
        }
    }
}
