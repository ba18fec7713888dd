//! What a client is registered with: plain types, no secret in any of them.

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

/// What of older protocols a client may do though it is less safe: for applications that cannot work otherwise. All off
/// unless a site admin switched one on, and never for a client that registered itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legacy {
    /// PKCE with the method `plain`.
    PlainPkce,
    /// Its access tokens in a query, `access_token=` (RFC 6750, section 2.3).
    TokenInQuery,
    /// `response_type=code id_token` (OpenID Connect Core, section 3.3).
    Hybrid,
    /// Its ID tokens at the REST API, by `Authorization: Token`.
    IdTokenAtApi,
}

impl Legacy {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::PlainPkce,
        Self::TokenInQuery,
        Self::Hybrid,
        Self::IdTokenAtApi,
    ];

    /// The word in the database, the API, the form and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlainPkce => "pkce_plain",
            Self::TokenInQuery => "token_in_query",
            Self::Hybrid => "code_id_token",
            Self::IdTokenAtApi => "id_token_at_api",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|switch| switch.as_str() == text)
    }

    /// What it is, in the words of a badge.
    pub fn badge(self) -> &'static str {
        match self {
            Self::PlainPkce => "PKCE plain",
            Self::TokenInQuery => "Token in address",
            Self::Hybrid => "code id_token",
            Self::IdTokenAtApi => "ID token at API",
        }
    }

    /// What it is, as a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::PlainPkce => "PKCE with the method plain",
            Self::TokenInQuery => "Access tokens in an address",
            Self::Hybrid => "An ID token beside the code (code id_token)",
            Self::IdTokenAtApi => "ID tokens at the API",
        }
    }

    /// What it costs, in a sentence for whoever switches it on.
    pub fn risk(self) -> &'static str {
        match self {
            Self::PlainPkce => "Whoever reads the request can redeem a code that is caught on its way.",
            Self::TokenInQuery => "Tokens end up in histories and in the logs of proxies.",
            Self::Hybrid => "Who signed in when passes through the browser, and stays in its history.",
            Self::IdTokenAtApi => {
                "What was made to show who somebody is opens the API for ten minutes, with everything the person allowed."
            }
        }
    }
}

/// What a client is registered with, and what can be changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// False is a relaxation: the client may leave PKCE out.
    pub require_pkce: bool,
    /// Nobody is asked for consent: for the operator's own applications only.
    pub auto_grant: bool,
    /// What of older protocols it may do, each of them less safe.
    pub legacy: Vec<Legacy>,
    /// Whether it may introspect tokens of other clients, as a resource server does.
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
            legacy: Vec::new(),
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

/// An application registered here: what can be changed of it, and what comes with it. Its fields are read as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `cli_` + ULID: names the row.
    pub id: String,
    /// `mg_cid_…`, or one that was chosen: what the protocol calls `client_id`.
    pub client_id: String,
    /// The project it belongs to; empty for the site.
    pub project_id: String,
    /// What it is registered with.
    pub fields: ClientFields,
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

impl std::ops::Deref for Client {
    type Target = ClientFields;

    fn deref(&self) -> &ClientFields {
        &self.fields
    }
}

impl ClientFields {
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

    /// Whether it may do this though it is less safe.
    pub fn may(&self, switch: Legacy) -> bool {
        self.legacy.contains(&switch)
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
