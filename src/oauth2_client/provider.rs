//! Words for a client registration that the whole pipeline shares: which provider, how the client authenticates.

use serde::{Deserialize, Serialize};

/// Who runs the token endpoint. It chooses presets and the rows of the error table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Google.
    Google,
    /// Microsoft, any of its clouds.
    Microsoft,
    /// Anybody else.
    Custom,
}

/// How the client proves who it is at the token endpoint (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// HTTP Basic.
    ClientSecretBasic,
    /// In the request's body.
    ClientSecretPost,
}

/// Gives an enum its stored text: `as_str`, `parse`, `Display`.
macro_rules! stored_text {
    ($name:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $name {
            /// The text that stands for it in the database and the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value a text stands for.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use stored_text;

stored_text!(Provider { Google => "google", Microsoft => "microsoft", Custom => "custom" });
stored_text!(AuthMethod {
    ClientSecretBasic => "client_secret_basic",
    ClientSecretPost => "client_secret_post",
});
