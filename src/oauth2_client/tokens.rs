//! What a token endpoint gives. Tokens are `SecretString`: no `Debug` shows them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer of a token endpoint, read tolerantly.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token, when the answer held one that is not empty.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives; 300 s when the answer did not say.
    pub expires_in: Duration,
    /// The scopes granted, when the answer said.
    pub scopes: Option<Vec<String>>,
    /// Who consented, from the ID token.
    pub claims: Option<IdClaims>,
    /// How long the refresh token lives, when the answer said.
    pub refresh_expires_in: Option<Duration>,
}

/// Claims about the person who consented (OpenID Connect Core, section 5.1).
///
/// They are read from the payload without checking the signature: the token came from the token endpoint itself over
/// TLS (OpenID Connect Core, section 3.1.3.7, point 6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdClaims {
    /// `iss`.
    #[serde(default)]
    pub iss: String,
    /// `sub`: the account's stable identifier at this issuer.
    #[serde(default)]
    pub sub: String,
    /// `email`.
    #[serde(default)]
    pub email: String,
    /// `email_verified`, when the provider says.
    #[serde(default)]
    pub email_verified: Option<bool>,
    /// `preferred_username`, else `upn`.
    #[serde(default)]
    pub username: String,
    /// `name`: for display only.
    #[serde(default)]
    pub name: String,
}

impl IdClaims {
    /// The claims of an ID token that was made for this client; `None` when it is unreadable or for another client.
    pub(super) fn of_id_token(token: &str, client_id: &str) -> Option<Self> {
        let payload = token.split('.').nth(1)?;
        let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        let claims: Value = serde_json::from_slice(&bytes).ok()?;
        let for_us = match claims.get("aud") {
            Some(Value::String(audience)) => audience == client_id,
            Some(Value::Array(all)) => all.iter().any(|audience| audience.as_str() == Some(client_id)),
            _ => false,
        };
        for_us.then(|| Self::of_json(&claims))
    }

    /// The claims in a JSON object: an ID token's payload, or the answer of a userinfo endpoint.
    pub fn of_json(claims: &Value) -> Self {
        let text = |name: &str| -> String {
            let value = claims.get(name).and_then(Value::as_str).unwrap_or_default();
            value.chars().filter(|c| !c.is_control()).take(320).collect()
        };
        let first = |names: [&str; 2]| names.map(text).into_iter().find(|value| !value.is_empty());
        Self {
            iss: text("iss"),
            sub: text("sub"),
            email: text("email"),
            email_verified: match claims.get("email_verified") {
                Some(Value::Bool(verified)) => Some(*verified),
                Some(Value::String(verified)) => Some(verified == "true"),
                _ => None,
            },
            username: first(["preferred_username", "upn"]).unwrap_or_default(),
            name: text("name"),
        }
    }
}
