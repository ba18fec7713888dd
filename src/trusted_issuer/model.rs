//! What is agreed with an issuer.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::crypto::{ForeignAlg, SealError};
use crate::trouble::FieldError;

/// What tokens of an issuer are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Assertions at the token endpoint.
    JwtBearer,
    /// Access tokens at the API.
    Api,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::JwtBearer, Self::Api];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JwtBearer => "jwt_bearer",
            Self::Api => "api",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// How it is found out whether a token holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Public keys that were entered.
    #[default]
    Jwks,
    /// Public keys that the issuer publishes.
    JwksUri,
    /// The issuer is asked about each token.
    Introspection,
    /// A secret that both sides have (HS512).
    SharedSecret,
}

impl KeySource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Jwks, Self::JwksUri, Self::Introspection, Self::SharedSecret];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwks => "jwks",
            Self::JwksUri => "jwks_uri",
            Self::Introspection => "introspection",
            Self::SharedSecret => "shared_secret",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }

    /// Whether tokens are read here, with the issuer's public keys.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Jwks | Self::JwksUri)
    }
}

/// Whom a subject is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectMapping {
    /// Each by name, in a table.
    #[default]
    Table,
    /// The person with the address in `email`, if `email_verified` is true; never a site admin.
    Email,
    /// Everybody is one service account.
    Service,
}

impl SubjectMapping {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Table, Self::Email, Self::Service];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Email => "email",
            Self::Service => "service",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// An issuer that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// `tis_` + ULID.
    pub id: String,
    /// For people.
    pub name: String,
    /// What its tokens say in `iss`, letter by letter.
    pub issuer: String,
    /// What its tokens are good for.
    pub uses: Vec<Use>,
    /// Whether it counts.
    pub enabled: bool,
    /// How a token is checked.
    pub key_source: KeySource,
    /// Public keys, as a JWK set; empty for none.
    pub jwks: String,
    /// Where it publishes them.
    pub jwks_uri: String,
    /// The algorithms that count.
    pub algorithms: Vec<ForeignAlg>,
    /// Where it says what a token is worth.
    pub introspection_endpoint: String,
    /// Who asks it.
    pub introspection_client_id: String,
    /// The secret of whoever asks, or the one both sides have; sealed.
    pub(super) secret_sealed: String,
    /// How long an answer about a token may be remembered, seconds.
    pub cache_seconds: i64,
    /// What tokens that are no JWT begin with; says whom to ask about them.
    pub token_prefix: String,
    /// What a token must be meant for: one of these. Empty: our own names for the place it comes to.
    pub audiences: Vec<String>,
    /// The subjects that count; empty for all that the mapping knows.
    pub subjects: Vec<String>,
    /// The longest life of a token, seconds.
    pub max_life_seconds: i64,
    /// Whom a subject is.
    pub mapping: SubjectMapping,
    /// Subject → person (`usr_…`) or client (`cli_…`).
    pub subject_table: BTreeMap<String, String>,
    /// The client (`cli_…`) that everybody is.
    pub service_client: String,
    /// The claim with the token's scopes.
    pub scope_claim: String,
    /// A scope of theirs → scopes of ours, with spaces between them. Empty: theirs are called like ours.
    pub scope_map: BTreeMap<String, String>,
    /// Scopes of ours that a token has at most; empty for none at all.
    pub scopes: Vec<String>,
    /// Projects it is narrowed to; empty for all that the subject may see.
    pub projects: Vec<String>,
    /// Clients (`cli_…`) that may bring its assertions.
    pub clients: Vec<String>,
    /// Whether assertions without `aud`, `exp` and `jti` count, if they are young.
    pub allow_incomplete: bool,
    /// Whether tokens at the API must call themselves access tokens (`typ` `at+jwt`, RFC 9068).
    pub require_at_jwt: bool,
    /// Who made it.
    pub created_by: String,
    /// Grows with every change.
    pub revision: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl TrustedIssuer {
    /// Whether its tokens are good for this.
    pub fn is_for(&self, wanted: Use) -> bool {
        self.enabled && self.uses.contains(&wanted)
    }

    /// Whether a secret is kept.
    pub fn has_secret(&self) -> bool {
        !self.secret_sealed.is_empty()
    }
}

/// What can be said about an issuer; what is `None` stays.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the member of TrustedIssuer with its name")]
pub struct Fields {
    pub name: Option<String>,
    pub issuer: Option<String>,
    pub uses: Option<Vec<Use>>,
    pub enabled: Option<bool>,
    pub key_source: Option<KeySource>,
    pub jwks: Option<String>,
    pub jwks_uri: Option<String>,
    pub algorithms: Option<Vec<ForeignAlg>>,
    pub introspection_endpoint: Option<String>,
    pub introspection_client_id: Option<String>,
    pub secret: Option<SecretString>,
    pub cache_seconds: Option<i64>,
    pub token_prefix: Option<String>,
    pub audiences: Option<Vec<String>>,
    pub subjects: Option<Vec<String>>,
    pub max_life_seconds: Option<i64>,
    pub mapping: Option<SubjectMapping>,
    pub subject_table: Option<BTreeMap<String, String>>,
    pub service_client: Option<String>,
    pub scope_claim: Option<String>,
    pub scope_map: Option<BTreeMap<String, String>>,
    pub scopes: Option<Vec<String>>,
    pub projects: Option<Vec<String>>,
    pub clients: Option<Vec<String>>,
    pub allow_incomplete: Option<bool>,
    pub require_at_jwt: Option<bool>,
}

/// Why an issuer was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Fields that do not fit; nothing was changed.
    #[error("the trusted issuer was not saved: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// There is none with this id.
    #[error("there is no such trusted issuer")]
    NotFound,
    /// Somebody else changed it meanwhile.
    #[error("the trusted issuer was changed meanwhile; load it again and repeat the change")]
    Conflict,
    /// Its secret does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}
