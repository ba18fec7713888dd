//! Integrations as plain values.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::oauth2_client::{AuthMethod, Provider, stored_text};
use crate::trouble::Trouble;

/// Which of Microsoft's clouds. Everybody else is `Global`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// The worldwide cloud.
    #[default]
    Global,
    /// US Government Community Cloud High.
    GccHigh,
    /// US Department of Defense.
    Dod,
    /// China, operated by 21Vianet.
    China,
}

stored_text!(Cloud { Global => "global", GccHigh => "gcc_high", Dod => "dod", China => "china" });

/// How grants are obtained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// A person consents (RFC 6749, section 4.1, with PKCE).
    #[default]
    AuthorizationCode,
    /// The application itself, with no person (section 4.4).
    ClientCredentials,
}

stored_text!(Flow { AuthorizationCode => "authorization_code", ClientCredentials => "client_credentials" });

/// Whether the provider accepts the registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationState {
    /// As far as is known.
    Ok,
    /// The provider refused the client; saving the integration tries again.
    Misconfigured,
}

stored_text!(IntegrationState { Ok => "ok", Misconfigured => "misconfigured" });

/// An integration. The client secret is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// `int_` + ULID.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Who runs the provider.
    pub provider: Provider,
    /// Microsoft's tenant: a GUID, a domain, or `common`, `organizations`, `consumers`. Else empty.
    pub tenant: String,
    /// Microsoft's cloud.
    pub cloud: Cloud,
    /// The client id at the provider.
    pub client_id: String,
    /// Whether a client secret is stored.
    pub has_secret: bool,
    /// When the secret was last set, milliseconds since 1970.
    pub secret_set_at: i64,
    /// When the secret ends at the provider, milliseconds since 1970, if the admin said.
    pub secret_expires_at: Option<i64>,
    /// Scopes asked for.
    pub scopes: Vec<String>,
    /// The provider's issuer identifier; empty when unknown.
    pub issuer: String,
    /// Authorization endpoint; empty for client credentials without one.
    pub authorization_endpoint: String,
    /// Token endpoint.
    pub token_endpoint: String,
    /// Userinfo endpoint; empty when unknown.
    pub userinfo_endpoint: String,
    /// Revocation endpoint (RFC 7009); empty when unknown.
    pub revocation_endpoint: String,
    /// Whether the provider announces `iss` in its authorization answers (RFC 9207).
    pub iss_announced: bool,
    /// How the client authenticates at the token endpoint.
    pub token_auth_method: AuthMethod,
    /// Further parameters of the authorization request.
    pub extra_auth_params: BTreeMap<String, String>,
    /// How grants are obtained.
    pub flow: Flow,
    /// The last part of the redirect URL.
    pub callback_id: String,
    /// Whether the provider accepts the registration.
    pub state: IntegrationState,
    /// Why not, when it does not.
    pub trouble: Option<Trouble>,
    /// Since when, milliseconds since 1970.
    pub error_at: Option<i64>,
    /// Grows with every change.
    pub revision: i64,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// When it was last changed, milliseconds since 1970.
    pub updated_at: i64,
}

/// What an admin enters for a new integration. Empty endpoints, scopes and parameters are filled from the provider's
/// preset.
#[derive(Clone, Debug)]
pub struct NewIntegration {
    /// Unique name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who runs the provider.
    pub provider: Provider,
    /// Microsoft's tenant; empty means `common`.
    pub tenant: String,
    /// Microsoft's cloud.
    pub cloud: Cloud,
    /// Client id.
    pub client_id: String,
    /// Client secret; empty for a public client.
    pub client_secret: SecretString,
    /// When the secret ends, milliseconds since 1970.
    pub secret_expires_at: Option<i64>,
    /// Scopes.
    pub scopes: Vec<String>,
    /// Issuer; empty when unknown.
    pub issuer: String,
    /// Authorization endpoint.
    pub authorization_endpoint: String,
    /// Token endpoint.
    pub token_endpoint: String,
    /// How the client authenticates; `None`: what the provider is known to want (custom: basic).
    pub token_auth_method: Option<AuthMethod>,
    /// Further parameters of the authorization request; `None`: the preset's.
    pub extra_auth_params: Option<BTreeMap<String, String>>,
    /// How grants are obtained.
    pub flow: Flow,
    /// The callback id drawn by [`super::draft_callback`] when the form opened; `None` draws one now.
    pub callback_id: Option<String>,
}

impl Default for NewIntegration {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            provider: Provider::Custom,
            tenant: String::new(),
            cloud: Cloud::Global,
            client_id: String::new(),
            client_secret: SecretString::from(String::new()),
            secret_expires_at: None,
            scopes: Vec::new(),
            issuer: String::new(),
            authorization_endpoint: String::new(),
            token_endpoint: String::new(),
            token_auth_method: None,
            extra_auth_params: None,
            flow: Flow::AuthorizationCode,
            callback_id: None,
        }
    }
}

/// A change: `None` leaves a field as it is. The provider kind never changes.
#[derive(Clone, Debug, Default)]
pub struct IntegrationChange {
    /// The revision the form was made from; another one in the database refuses the change.
    pub revision: i64,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Tenant.
    pub tenant: Option<String>,
    /// Cloud.
    pub cloud: Option<Cloud>,
    /// Client id.
    pub client_id: Option<String>,
    /// A new client secret; empty keeps the stored one.
    pub client_secret: Option<SecretString>,
    /// When the secret ends; `Some(None)` forgets it.
    pub secret_expires_at: Option<Option<i64>>,
    /// Scopes.
    pub scopes: Option<Vec<String>>,
    /// Issuer.
    pub issuer: Option<String>,
    /// Authorization endpoint.
    pub authorization_endpoint: Option<String>,
    /// Token endpoint.
    pub token_endpoint: Option<String>,
    /// How the client authenticates.
    pub token_auth_method: Option<AuthMethod>,
    /// Further parameters.
    pub extra_auth_params: Option<BTreeMap<String, String>>,
    /// How grants are obtained.
    pub flow: Option<Flow>,
}
