//! `[[identity_providers]]` of the configuration file: providers that people sign in with, set by the operator.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::ConfigError;

/// Its name in the file.
pub(super) const NAME: &str = "identity_providers";

/// One provider as the file has it. What is not there comes from the preset.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfiguredProvider {
    /// Names it: small letters, digits and dashes. It is part of its addresses and never changes.
    pub id: String,
    /// What its button says.
    pub name: Option<String>,
    /// `generic`, `google`, `entra`, `keycloak`, `okta` or `mailgrant`.
    pub preset: Option<String>,
    /// Whether its button is shown; true unless said otherwise.
    pub enabled: Option<bool>,
    /// The issuer, exactly as the provider writes it.
    pub issuer: Option<String>,
    /// Entra's tenant.
    pub tenant: Option<String>,
    /// Whether the endpoints come from the issuer's discovery document.
    pub discovery: Option<bool>,
    /// Endpoint by hand.
    pub authorization_endpoint: Option<String>,
    /// Endpoint by hand.
    pub token_endpoint: Option<String>,
    /// Keys by hand.
    pub jwks_uri: Option<String>,
    /// Endpoint by hand.
    pub userinfo_endpoint: Option<String>,
    /// Endpoint by hand.
    pub end_session_endpoint: Option<String>,
    /// Endpoint by hand.
    pub revocation_endpoint: Option<String>,
    /// Hosts beside the issuer's.
    pub other_hosts: Option<Vec<String>>,
    /// Client id.
    pub client_id: Option<String>,
    /// Client secret; better in a file of its own.
    #[serde(deserialize_with = "secret")]
    pub client_secret: Option<SecretString>,
    /// A file that holds the client secret and nothing else.
    pub client_secret_file: Option<PathBuf>,
    /// `client_secret_basic`, `client_secret_post` or `private_key_jwt`.
    pub token_endpoint_auth_method: Option<String>,
    /// Scopes.
    pub scopes: Option<Vec<String>>,
    /// Claims for the name.
    pub name_claims: Option<Vec<String>>,
    /// Domains that may come in.
    pub domains: Option<Vec<String>>,
    /// Whether people without an account get one.
    pub create_accounts: Option<bool>,
    /// Whether a verified address joins an account.
    pub link_by_email: Option<bool>,
    /// A claim that joins an account.
    pub link_claim: Option<String>,
    /// Whether unverified addresses are taken for new accounts.
    pub trust_email: Option<bool>,
    /// What new people are.
    pub default_role: Option<String>,
    /// Keys of the projects new people become members of.
    pub default_projects: Option<Vec<String>>,
    /// Claim with the groups.
    pub groups_claim: Option<String>,
    /// What groups give.
    pub group_rules: Option<Vec<ConfiguredRule>>,
    /// Whether address and password still work.
    pub local_sign_in: Option<bool>,
    /// How often the provider is asked whether somebody is still one of its people, minutes; 0 for never.
    pub recheck_minutes: Option<i64>,
    /// Subject of the first administrator.
    pub first_admin_subject: Option<String>,
    /// Verified address of the first administrator.
    pub first_admin_email: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(value)?.map(SecretString::from))
}

/// What a group gives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredRule {
    /// The group.
    pub group: String,
    /// The role.
    pub role: String,
    /// Key of the project; none for a site admin.
    pub project: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    identity_providers: Vec<ConfiguredProvider>,
}

/// Reads the providers of a file.
pub(super) fn read(path: &Path) -> Result<Vec<ConfiguredProvider>, ConfigError> {
    let read = |path: &Path, what| {
        std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            what,
            path: path.display().to_string(),
            source,
        })
    };
    let text = read(path, "configuration file")?;
    let file: File = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
        path: path.display().to_string(),
        reason: format!("[[{NAME}]]: {}", error.message()),
    })?;
    let mut providers = file.identity_providers;
    for provider in &mut providers {
        check_id(path, provider)?;
        if let Some(secret_file) = &provider.client_secret_file {
            let secret = read(secret_file, "secret file")?;
            provider.client_secret = Some(SecretString::from(secret.trim().to_owned()));
        }
    }
    let mut ids: Vec<&str> = providers.iter().map(|provider| provider.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair.first() == pair.last()) {
        return Err(invalid(path, format!("the id {} comes twice", twice.concat())));
    }
    Ok(providers)
}

fn check_id(path: &Path, provider: &ConfiguredProvider) -> Result<(), ConfigError> {
    let id = &provider.id;
    let is_good = (1..=32).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if is_good {
        return Ok(());
    }
    Err(invalid(
        path,
        format!(
            "`id` must be 1 to 32 small letters, digits and dashes, for example \"company\"; it is \"{id}\""
        ),
    ))
}

fn invalid(path: &Path, reason: String) -> ConfigError {
    ConfigError::Invalid {
        name: NAME,
        from: format!("file {}", path.display()),
        reason,
    }
}

/// What the example file says about it.
pub(super) const EXAMPLE: &str = r#"
# Identity providers that people sign in with, as many as wanted; the pages add more. Try them with
# `mailgrant config check --online`. `id` is part of the addresses to register at the provider:
# <base_url>/sso/idp_company/callback.
#[[identity_providers]]
#id = "company"
#name = "Company account"
#preset = "keycloak" # generic, google, entra (with `tenant`), keycloak, okta, mailgrant
#issuer = "https://login.example.com/realms/main"
#client_id = "mailgrant"
#client_secret_file = "/etc/mailgrant/company-secret"
#domains = ["example.com"]
#groups_claim = "groups"
#group_rules = [{ group = "helpdesk", role = "agent", project = "HELP" }, { group = "mail-admins", role = "site_admin" }]
#local_sign_in = true
#recheck_minutes = 15 # ask again whether somebody is still there, while they work here; 0 for never
#first_admin_email = "ada@example.com" # in place of the set-up link, while nobody has an account
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    fn of(text: &str) -> Result<Vec<ConfiguredProvider>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mailgrant.toml");
        std::fs::write(&path, text).unwrap();
        load(&Environment::default(), Some(&path))
            .map(|config| config.identity_providers)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn providers_of_the_file_are_read_and_every_mistake_is_named() {
        let example: String = EXAMPLE
            .lines()
            .filter(|line| line.starts_with('#') && !line.starts_with("# "))
            .filter(|line| !line.contains("client_secret_file"))
            .map(|line| format!("{}\n", &line[1..]))
            .collect();
        let read = of(&example).unwrap();
        assert_eq!(read[0].id, "company");
        assert_eq!(read[0].group_rules.as_ref().unwrap().len(), 2);
        assert!(of("").unwrap().is_empty());
        for (text, said) in [
            ("[[identity_providers]]\nid = \"Big One\"", "small letters"),
            ("[[identity_providers]]\nid = \"a\"\nisuer = \"x\"", "isuer"),
            (
                "[[identity_providers]]\nid = \"a\"\n[[identity_providers]]\nid = \"a\"",
                "twice",
            ),
            (
                "[[identity_providers]]\nid = \"a\"\nclient_secret_file = \"/nowhere\"",
                "/nowhere",
            ),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn cb_17_the_file_for_containers_is_read_and_the_composition_brings_what_it_names() {
        let text = include_str!("../../mailgrant.compose.toml");
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("company_secret");
        std::fs::write(&secret, "s").unwrap();
        let inside = "/run/secrets/company_secret";
        assert!(text.contains(inside));
        let read = of(&text.replace(inside, &secret.display().to_string())).unwrap();
        assert_eq!((read.len(), read[0].id.as_str()), (1, "company"));
        assert!(read[0].client_secret.is_some());
        let composition = include_str!("../../docker-compose.yml");
        for line in [
            "#MAILGRANT_CONFIG: /etc/mailgrant.toml",
            "#- ./mailgrant.compose.toml:/etc/mailgrant.toml:ro",
            "#- company_secret",
            "#company_secret:",
            "#file: ./secrets/company_secret",
        ] {
            assert!(composition.lines().any(|known| known.trim() == line), "{line}");
        }
    }

    #[test]
    fn a_secret_of_the_file_is_in_no_debug() {
        let read = of("[[identity_providers]]\nid = \"a\"\nclient_secret = \"hunter2hunter2\"").unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
    }
}
