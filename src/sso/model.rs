//! Identity providers and what comes of a sign-in, as plain values. No secret is in any of them.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::Role;
use crate::oauth2_client::stored_text;
use crate::trouble::Trouble;

/// Who runs the provider: it chooses presets and the few rules that are theirs alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Any provider that speaks OpenID Connect.
    #[default]
    Generic,
    /// Google.
    Google,
    /// Microsoft Entra ID.
    Entra,
    /// Keycloak.
    Keycloak,
    /// Okta.
    Okta,
    /// Another Mailgrant.
    Mailgrant,
}

stored_text!(Preset {
    Generic => "generic",
    Google => "google",
    Entra => "entra",
    Keycloak => "keycloak",
    Okta => "okta",
    Mailgrant => "mailgrant",
});

/// How we prove who we are at the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// The secret by HTTP Basic.
    #[default]
    ClientSecretBasic,
    /// The secret in the request's body.
    ClientSecretPost,
    /// A signed assertion (RFC 7523); the key pair is ours, the provider reads its public half.
    PrivateKeyJwt,
}

stored_text!(ClientAuth {
    ClientSecretBasic => "client_secret_basic",
    ClientSecretPost => "client_secret_post",
    PrivateKeyJwt => "private_key_jwt",
});

/// Where a provider is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the database; pages and REST change it.
    Database,
    /// In the configuration file; only the file changes it.
    File,
}

stored_text!(Source { Database => "database", File => "file" });

/// How the provider is reached. A change of it wants a new test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connection {
    /// Who runs it.
    pub preset: Preset,
    /// The issuer, exactly as the provider writes it. For several tenants of Entra: with `{tenantid}` in it.
    pub issuer: String,
    /// Entra's tenant; else empty.
    pub tenant: String,
    /// Whether the endpoints come from the issuer's discovery document.
    pub discovery: bool,
    /// Authorization endpoint, by hand.
    pub authorization_endpoint: String,
    /// Token endpoint, by hand.
    pub token_endpoint: String,
    /// Keys, by hand.
    pub jwks_uri: String,
    /// Userinfo endpoint, by hand; may be empty.
    pub userinfo_endpoint: String,
    /// Where people are sent when they sign out, by hand; may be empty.
    pub end_session_endpoint: String,
    /// Where tokens are given back, by hand; may be empty.
    pub revocation_endpoint: String,
    /// Hosts beside the issuer's that discovered endpoints may be on.
    pub other_hosts: Vec<String>,
    /// Client id.
    pub client_id: String,
    /// How we prove who we are.
    pub auth_method: ClientAuth,
    /// Scopes asked for; `openid` is always among them.
    pub scopes: Vec<String>,
}

/// What a group at the provider gives here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRule {
    /// The group, exactly as it stands in the claim.
    pub group: String,
    /// The role.
    pub role: Role,
    /// In which project; empty for a site admin.
    #[serde(default)]
    pub project_id: String,
}

/// Who becomes the administrator while nobody has an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstAdmin {
    /// Their subject at the provider; empty if the address says who it is.
    pub subject: String,
    /// Their address, which the provider must say is verified; empty if the subject says who it is.
    pub email: String,
}

impl FirstAdmin {
    /// Whether somebody is named.
    pub fn is_named(&self) -> bool {
        !self.subject.is_empty() || !self.email.is_empty()
    }
}

/// Who may come in, and what they may do then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Claims to take a person's name from, the first that is there; `sub` always comes last.
    pub name_claims: Vec<String>,
    /// Domains of verified addresses that may come in; empty lets all in.
    pub domains: Vec<String>,
    /// Whether people without an account get one.
    pub create_accounts: bool,
    /// Whether a verified address joins somebody to the account with that address.
    pub link_by_email: bool,
    /// A claim whose value names an account by its address, although nobody proved it; empty for none. Never reaches
    /// an admin.
    pub link_claim: String,
    /// Whether a new account takes an address that the provider does not call verified.
    pub trust_email: bool,
    /// What new people are in the projects below.
    pub default_role: Role,
    /// The projects that new people become members of.
    pub default_projects: Vec<String>,
    /// The claim with a person's groups; empty for none.
    pub groups_claim: String,
    /// What groups give.
    pub group_rules: Vec<GroupRule>,
    /// Whether people can still sign in with address and password while this provider is enabled.
    pub local_sign_in: bool,
    /// How often, while somebody works here, the provider is asked whether they are still one of its people, in minutes; 0
    /// for never.
    pub recheck_minutes: i64,
    /// Who becomes the administrator while nobody has an account.
    pub first_admin: FirstAdmin,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            name_claims: vec!["name".into(), "preferred_username".into()],
            domains: Vec::new(),
            create_accounts: true,
            link_by_email: true,
            link_claim: String::new(),
            trust_email: false,
            default_role: Role::Viewer,
            default_projects: Vec::new(),
            groups_claim: String::new(),
            group_rules: Vec::new(),
            local_sign_in: true,
            recheck_minutes: 15,
            first_admin: FirstAdmin::default(),
        }
    }
}

/// An OpenID Provider that people sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    /// `idp_` + ULID; `idp_` + the name in the file for those of the configuration.
    pub id: String,
    /// What its button says.
    pub name: String,
    /// Where it is written down.
    pub source: Source,
    /// Whether its button is shown.
    pub enabled: bool,
    /// How it is reached.
    pub connection: Connection,
    /// Who may come in.
    pub policy: Policy,
    /// Whether a client secret is stored.
    pub has_secret: bool,
    /// The public half of our key for `private_key_jwt`, a JWK as text; empty if there is none.
    pub key_public: String,
    /// Grows whenever issuer, endpoints or client change.
    pub connection_revision: i64,
    /// The connection that a test sign-in succeeded with last.
    pub tested_revision: i64,
    /// Grows with every change.
    pub revision: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl IdentityProvider {
    /// Whether the present connection passed a test sign-in.
    pub fn is_tested(&self) -> bool {
        self.tested_revision == self.connection_revision
    }
}

/// What an admin enters. Empty endpoints and scopes are filled in from the preset.
#[derive(Clone, Debug, Default)]
pub struct ProviderInput {
    /// What its button says.
    pub name: String,
    /// How it is reached.
    pub connection: Connection,
    /// Who may come in.
    pub policy: Policy,
    /// A new client secret; `None` keeps the stored one.
    pub client_secret: Option<SecretString>,
}

/// Who somebody is, as a provider says and we have checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// The issuer, as in the token.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// All claims of ID token and userinfo.
    pub claims: Map<String, Value>,
    /// The name to show: without control characters, white space tidied, not too long.
    pub name: String,
    /// The address, lower-case, if there is a usable one.
    pub email: Option<String>,
    /// Whether the provider says, with a boolean `true`, that the address was verified.
    pub email_verified: bool,
    /// Groups, if a claim for them is configured.
    pub groups: Vec<String>,
    /// The session at the provider, if it names one.
    pub sid: String,
}

/// What a sign-in does, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Somebody who came before.
    Known {
        /// The account.
        user_id: String,
    },
    /// Joins the account with this address.
    Link {
        /// The account.
        user_id: String,
        /// Its address.
        email: String,
        /// The claim that named it; `email` if a verified address did.
        by: String,
    },
    /// Makes an account.
    Create {
        /// Its address.
        email: String,
    },
    /// Makes the first administrator.
    FirstAdmin {
        /// Its address.
        email: String,
    },
    /// Lets nobody in.
    Refuse(Trouble),
}

/// A role that is given or taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleChange {
    /// The project; empty for the site.
    pub project_id: String,
    /// The role before, its word; empty for none.
    pub before: String,
    /// The role afterwards, its word; empty for none.
    pub after: String,
    /// Why: a group, or that somebody is new.
    pub why: String,
}

/// What a test found out.
#[derive(Clone, Debug, PartialEq)]
pub struct TestRun {
    /// `sst_` + ULID.
    pub id: String,
    /// The provider.
    pub provider_id: String,
    /// The connection it was made with.
    pub connection_revision: i64,
    /// `waiting`, `passed` or `failed`.
    pub state: String,
    /// The claims, identifiers of sessions masked.
    pub claims: Value,
    /// What would happen.
    pub outcome: Value,
    /// Why it failed.
    pub trouble: Option<Trouble>,
    /// Who asked for it.
    pub actor: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub finished_at: Option<i64>,
}

/// What a provider gave beside the ID token, as far as it is kept. All of it is sealed where it is stored, and goes with the
/// session.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// To ask again, and for new tokens.
    pub refresh_token: Option<SecretString>,
    /// To ask userinfo.
    pub access_token: Option<SecretString>,
    /// Its end, if the provider says; milliseconds since 1970.
    pub access_expires_at: Option<i64>,
}

/// How a session here hangs together with one at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLink {
    /// The provider.
    pub provider_id: String,
    /// Its issuer.
    pub issuer: String,
    /// The person there.
    pub subject: String,
    /// The session there; empty if the provider names none.
    pub sid: String,
    /// How they signed in there, in the words of RFC 8176, as far as the provider says.
    pub amr: Vec<String>,
    /// The provider's name of the class of that sign-in; empty if it says none.
    pub acr: String,
    /// When, if the provider says; milliseconds since 1970.
    pub auth_time: Option<i64>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A provider with nothing special about it.
    pub(in crate::sso) fn provider() -> IdentityProvider {
        IdentityProvider {
            id: "idp_1".to_owned(),
            name: "Company".to_owned(),
            source: Source::Database,
            enabled: true,
            connection: Connection::default(),
            policy: Policy::default(),
            has_secret: false,
            key_public: String::new(),
            connection_revision: 1,
            tested_revision: 1,
            revision: 1,
            created_at: 0,
            updated_at: 0,
        }
    }
}
