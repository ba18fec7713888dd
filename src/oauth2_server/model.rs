//! Plain types: requests, consents, families of tokens; clients are in `registered`. No secret is in any of them.

use serde::{Deserialize, Serialize};

pub use super::registered::{
    Client, ClientAuth, ClientFields, ClientState, GrantType, Legacy, SecretInfo, TokenFormat,
};

/// How the answer of the authorization endpoint travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
    /// Behind the `#` of the redirect URI: the way of answers with an ID token.
    Fragment,
}

/// A request for authorization that was checked: what codes and pending pages carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizeRequest {
    /// Where the answer goes.
    pub redirect_uri: String,
    /// Whether the request named it: then the token request must name it as well.
    pub redirect_uri_given: bool,
    /// The client's own value, returned as it came.
    pub state: Option<String>,
    /// How the answer travels.
    pub response_mode: ResponseMode,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// PKCE challenge; none only where the client's PKCE is relaxed.
    pub code_challenge: Option<String>,
    /// Whether its method is `plain`, which a legacy switch allows; else S256.
    #[serde(default)]
    pub plain_challenge: bool,
    /// Whether an ID token goes beside the code, which a legacy switch allows.
    #[serde(default)]
    pub with_id_token: bool,
    /// For the ID token.
    pub nonce: Option<String>,
    /// `login`, `consent`, `select_account` or `none`.
    pub prompt: Vec<String>,
    /// Oldest sign-in that is good enough, seconds.
    pub max_age: Option<i64>,
    /// Who is expected.
    pub login_hint: Option<String>,
    /// The subject of the ID token that was sent as a hint.
    pub hinted_subject: Option<String>,
    /// The key that the tokens are bound to (RFC 9449, section 10).
    #[serde(default)]
    pub dpop_jkt: Option<String>,
    /// Single claims that are asked for, and ways to sign in that are good enough.
    #[serde(default)]
    pub claims: ClaimsRequest,
    /// The device that asks, where it is one: then there is no redirect URI.
    #[serde(default)]
    pub device: Option<DeviceHint>,
}

/// What the parameter `claims` asks for (OpenID Connect Core, section 5.5), and `acr_values`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsRequest {
    /// Names of claims to be answered by userinfo.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub userinfo: Vec<String>,
    /// Names of claims to be in the ID token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub id_token: Vec<String>,
    /// Nobody but this person will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Ways to sign in that will do, and no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub essential_acr: Vec<String>,
    /// Ways to sign in that are wished for, and not demanded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wished_acr: Vec<String>,
}

impl ClaimsRequest {
    /// The names of all claims that are asked for, wherever.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.userinfo.iter().chain(&self.id_token).map(String::as_str)
    }
}

/// The device behind a request, for the person who decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHint {
    /// Names its row.
    pub code_hash: String,
    /// The code it shows.
    pub user_code: String,
    /// The address it was begun from.
    pub address: String,
    /// What the device called itself.
    pub agent: String,
    /// Milliseconds since 1970.
    pub begun_at: i64,
}

impl AuthorizeRequest {
    /// A request that asks for nothing yet.
    pub fn new(redirect_uri: String, response_mode: ResponseMode) -> Self {
        Self {
            redirect_uri,
            redirect_uri_given: false,
            state: None,
            response_mode,
            scopes: Vec::new(),
            code_challenge: None,
            plain_challenge: false,
            with_id_token: false,
            nonce: None,
            prompt: Vec::new(),
            max_age: None,
            login_hint: None,
            hinted_subject: None,
            dpop_jkt: None,
            claims: ClaimsRequest::default(),
            device: None,
        }
    }

    /// Every scope a person is asked for: those of the request, and those that single claims belong to.
    pub fn asked_scopes(&self) -> Vec<String> {
        let mut asked = self.scopes.clone();
        for scope in self.claims.names().filter_map(super::claims::scope_of) {
            if !asked.iter().any(|have| have == scope) {
                asked.push(scope.to_owned());
            }
        }
        asked
    }

    /// Whether `prompt` holds a value.
    pub fn prompts(&self, value: &str) -> bool {
        self.prompt.iter().any(|have| have == value)
    }
}

/// What somebody allowed a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who.
    pub user_id: String,
    /// The client's row.
    pub client: String,
    /// What.
    pub scopes: Vec<String>,
    /// In which projects; empty for all the person has.
    pub projects: Vec<String>,
    /// Milliseconds since 1970.
    pub granted_at: i64,
    /// When a token was given on it last, milliseconds since 1970.
    pub last_used_at: i64,
    /// When it ends, milliseconds since 1970; none for never.
    pub expires_at: Option<i64>,
}

/// How and when somebody signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// Milliseconds since 1970.
    pub auth_time: i64,
    /// Methods (RFC 8176): `pwd`, `otp`, `mfa` …
    #[serde(default)]
    pub amr: Vec<String>,
    /// The session, as applications know it; empty where there is none (any more) that could end.
    #[serde(default)]
    pub sid: String,
    /// The class that the identity provider named which vouched for it; empty for sign-ins here.
    #[serde(default)]
    pub acr: String,
}

impl SignIn {
    /// The sign-in had one factor.
    pub const SINGLE: &'static str = "urn:mailgrant:acr:single-factor";
    /// The sign-in had two.
    pub const MULTI: &'static str = "urn:mailgrant:acr:multi-factor";

    /// An identity provider vouched for it, and did not say how.
    pub const PROVIDER: &'static str = "urn:mailgrant:acr:identity-provider";

    /// Of a session.
    pub fn of(session: &crate::account::Session) -> Self {
        let proof = &session.proof;
        let acr = match (proof.identity_provider_id.as_str(), proof.acr.as_str()) {
            ("", _) => "",
            (_, "") if !proof.has("mfa") => Self::PROVIDER,
            (_, named) => named,
        };
        Self {
            auth_time: session.auth_time,
            amr: proof.amr.clone(),
            sid: session.sid.clone(),
            acr: acr.to_owned(),
        }
    }

    /// When it was, seconds since 1970, as tokens say it; none if the identity provider did not say it.
    pub fn seconds(&self) -> Option<i64> {
        (self.auth_time > 0).then_some(self.auth_time / 1000)
    }

    fn is_strong(&self) -> bool {
        self.amr.iter().any(|method| method == "mfa")
    }

    /// The class it belongs to: what an identity provider called it, else by how many factors there were.
    pub fn acr(&self) -> &str {
        match (self.acr.as_str(), self.is_strong()) {
            ("", true) => Self::MULTI,
            ("", false) => Self::SINGLE,
            (named, _) => named,
        }
    }

    /// Whether it will do where this class is asked for. Two factors are good where one is enough.
    pub fn meets(&self, asked: &str) -> bool {
        asked == self.acr() || asked == Self::SINGLE || (asked == Self::MULTI && self.is_strong())
    }
}

/// All tokens that hang on one consent at one time: revoked together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// `fam_` + ULID.
    pub id: String,
    /// The client's row.
    pub client: String,
    /// Whose tokens they are; empty for client credentials.
    pub user_id: String,
    /// What was allowed.
    pub scopes: Vec<String>,
    /// In which projects; empty for all.
    pub projects: Vec<String>,
    /// What the tokens are for.
    pub audience: String,
    /// How the person signed in.
    pub sign_in: SignIn,
    /// Single claims that were asked for and allowed.
    pub claims: ClaimsRequest,
    /// The key it was begun with; empty for none. Nothing of it is given to whoever does not hold a key, and of a public
    /// client nothing to whoever does not hold this one.
    pub jkt: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub expires_at: i64,
    /// Set when nothing of it opens anything any more.
    pub revoked_at: Option<i64>,
}

/// Whom and what a live access token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUse {
    /// Its family.
    pub family: Family,
    /// The client's `client_id`.
    pub client_id: String,
    /// The client's name.
    pub client_name: String,
    /// The project the client belongs to; empty for the site.
    pub project_id: String,
    /// What this token may do.
    pub scopes: Vec<String>,
    /// What of older protocols the client may do.
    pub legacy: Vec<Legacy>,
    /// The key it is bound to; empty for none.
    pub jkt: String,
    /// Milliseconds since 1970.
    pub issued_at: i64,
    /// Milliseconds since 1970.
    pub expires_at: i64,
}

impl TokenUse {
    /// Whether neither it nor its family is over. What else can end it is asked of the database.
    pub(super) fn lives(&self, now: i64) -> bool {
        self.expires_at > now && self.family.expires_at > now
    }
}

/// A family as the admin of its client sees it: who, what for, since when, and what is alive of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSession {
    /// `fam_` + ULID.
    pub id: String,
    /// Whose it is; empty for client credentials.
    pub user_id: String,
    /// The person's name; empty without one.
    pub user_name: String,
    /// The person's address; empty without one.
    pub user_email: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// In which projects; empty for all.
    pub projects: Vec<String>,
    /// Access tokens that are alive.
    pub access_tokens: i64,
    /// Whether it can be refreshed.
    pub has_refresh_token: bool,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// When a token was given last, milliseconds since 1970.
    pub last_token_at: Option<i64>,
    /// When it ends by itself, milliseconds since 1970.
    pub expires_at: i64,
}
