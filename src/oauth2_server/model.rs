//! Plain types: clients, consents, families of tokens. No secret is in any of them.

use serde::{Deserialize, Serialize};

use super::redirect::ApplicationType;
use super::registration::ClientProtocol;

/// How a client proves that it is itself (RFC 7591, `token_endpoint_auth_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `Authorization: Basic`.
    Basic,
    /// `client_secret` in the body.
    Post,
    /// With an assertion that it signs.
    PrivateKeyJwt,
    /// Not at all: a public client.
    None,
}

impl ClientAuth {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Basic, Self::Post, Self::PrivateKeyJwt, Self::None];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }

    /// Reads the registered name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// Ways to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// Authorization code with PKCE.
    AuthorizationCode,
    /// Refresh token.
    RefreshToken,
    /// Client credentials.
    ClientCredentials,
    /// The code of a device.
    DeviceCode,
    /// An assertion of a trusted issuer.
    JwtBearer,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::DeviceCode,
        Self::JwtBearer,
    ];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// Reads the registered name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

/// Whether a client may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Being prepared.
    Draft,
    /// Waits for an admin.
    Pending,
    /// In use.
    Approved,
    /// Switched off; its tokens open nothing.
    Disabled,
}

impl ClientState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Draft, Self::Pending, Self::Approved, Self::Disabled];

    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Disabled => "disabled",
        }
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What an access token looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// `mg_at_…`, to be introspected.
    Opaque,
    /// A signed JWT (RFC 9068).
    Jwt,
}

impl TokenFormat {
    /// The text in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Jwt => "jwt",
        }
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Opaque, Self::Jwt]
            .into_iter()
            .find(|format| format.as_str() == text)
    }
}

/// An application registered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `cli_` + ULID: names the row.
    pub id: String,
    /// `mg_cid_…`, or one that was chosen: what the protocol calls `client_id`.
    pub client_id: String,
    /// The project it belongs to; empty for the site.
    pub project_id: String,
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
    /// False is a relaxation: the client may leave PKCE out.
    pub require_pkce: bool,
    /// Nobody is asked for consent: for the operator's own applications only.
    pub auto_grant: bool,
    /// Whether it may introspect tokens of other clients, as a resource server does.
    pub may_introspect: bool,
    /// What its access tokens look like.
    pub token_format: TokenFormat,
    /// Algorithm of its ID tokens.
    pub id_token_alg: String,
    /// Life of an access token, seconds.
    pub access_seconds: i64,
    /// A refresh token that nobody uses ends after so many seconds.
    pub refresh_idle_seconds: i64,
    /// Every chain of refresh tokens ends after so many seconds.
    pub refresh_absolute_seconds: i64,
    /// Whether it may be used.
    pub state: ClientState,
    /// Keys, and how far it goes beyond OAuth 2.0's basics.
    pub protocol: ClientProtocol,
    /// Who registered it.
    pub created_by: String,
    /// When it was given a token last, milliseconds since 1970.
    pub last_used_at: Option<i64>,
    /// Grows with every change.
    pub revision: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl Client {
    /// Whether it can keep a secret.
    pub fn is_confidential(&self) -> bool {
        self.auth_method != ClientAuth::None
    }

    /// Whether it has a secret.
    pub fn has_secret(&self) -> bool {
        matches!(self.auth_method, ClientAuth::Basic | ClientAuth::Post)
    }

    /// Whether this way to a token is registered for it.
    pub fn has_grant(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }
}

/// A client's secret as listed: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// `sec_` + ULID.
    pub id: String,
    /// Its last four characters.
    pub hint: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// When it stops working, if a newer one took over; milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// How the answer of the authorization endpoint travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
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
    /// PKCE challenge, method S256; none only where the client's PKCE is relaxed.
    pub code_challenge: Option<String>,
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
}

impl SignIn {
    /// The sign-in had one factor.
    pub const SINGLE: &'static str = "urn:mailgrant:acr:single-factor";
    /// The sign-in had two.
    pub const MULTI: &'static str = "urn:mailgrant:acr:multi-factor";

    /// Of a session.
    pub fn of(session: &crate::account::Session) -> Self {
        Self {
            auth_time: session.auth_time,
            amr: session.proof.amr.clone(),
            sid: session.sid.clone(),
        }
    }

    /// The class it belongs to.
    pub fn acr(&self) -> &'static str {
        match self.amr.iter().any(|method| method == "mfa") {
            true => Self::MULTI,
            false => Self::SINGLE,
        }
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
    /// The key it is bound to; empty for none.
    pub jkt: String,
    /// Milliseconds since 1970.
    pub issued_at: i64,
    /// Milliseconds since 1970.
    pub expires_at: i64,
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
