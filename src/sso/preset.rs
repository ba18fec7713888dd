//! What is known of widespread providers: their issuer, scopes, authentication, claims, and the hosts they spread over.

use super::model::{ClientAuth, Connection, IdentityProvider, Policy, Preset};

/// What a new provider of this kind begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its name on the button.
    pub name: &'static str,
    /// How it is reached.
    pub connection: Connection,
    /// Who may come in.
    pub policy: Policy,
    /// What to know when registering Mailgrant there.
    pub hint: &'static str,
}

/// What a new provider of this kind begins with.
pub fn start(preset: Preset) -> Start {
    let scopes = |list: &[&str]| list.iter().map(|scope| (*scope).to_owned()).collect();
    let connection = |issuer: &str, tenant: &str, auth_method| Connection {
        preset,
        issuer: issuer.to_owned(),
        tenant: tenant.to_owned(),
        discovery: true,
        auth_method,
        scopes: scopes(&["openid", "profile", "email"]),
        ..Connection::default()
    };
    let policy = |groups_claim: &str| Policy {
        groups_claim: groups_claim.to_owned(),
        ..Policy::default()
    };
    match preset {
        Preset::Google => Start {
            name: "Google",
            connection: connection("https://accounts.google.com", "", ClientAuth::ClientSecretPost),
            policy: policy(""),
            hint: "Google Cloud console, APIs & Services, Credentials: an OAuth client ID of the type “Web \
                   application”. Name your own domain below, or everybody with a Google account may come in.",
        },
        Preset::Entra => Start {
            name: "Microsoft",
            connection: connection(
                "https://login.microsoftonline.com/{tenantid}/v2.0",
                "organizations",
                ClientAuth::ClientSecretPost,
            ),
            policy: policy(""),
            hint: "Entra admin centre, App registrations: a “Web” redirect URI. Enter your tenant's ID: then only \
                   your own people come in, and addresses can be trusted below.",
        },
        Preset::Keycloak => Start {
            name: "Keycloak",
            connection: connection(
                "https://keycloak.example.com/realms/main",
                "",
                ClientAuth::ClientSecretBasic,
            ),
            policy: policy("groups"),
            hint: "A client with “Client authentication” and the standard flow. Groups need a mapper of the type \
                   “Group Membership”; roles are in realm_access.roles.",
        },
        Preset::Okta => Start {
            name: "Okta",
            connection: connection("https://example.okta.com", "", ClientAuth::ClientSecretBasic),
            policy: policy("groups"),
            hint: "An OIDC “Web Application”. Groups need a groups claim with a filter.",
        },
        Preset::Mailgrant => Start {
            name: "Mailgrant",
            connection: connection("https://mailgrant.example.com", "", ClientAuth::ClientSecretBasic),
            policy: policy(""),
            hint: "There: mailgrant client create, with the redirect URL below and the scopes openid, profile, email.",
        },
        Preset::Generic => Start {
            name: "",
            connection: connection("", "", ClientAuth::ClientSecretBasic),
            policy: policy(""),
            hint: "Any provider that speaks OpenID Connect with the authorization code flow.",
        },
    }
}

/// Hosts beside the issuer's that this provider is known to use.
pub(super) fn hosts(preset: Preset) -> &'static [&'static str] {
    match preset {
        Preset::Google => &[
            "accounts.google.com",
            "oauth2.googleapis.com",
            "openidconnect.googleapis.com",
            "www.googleapis.com",
        ],
        Preset::Entra => &["login.microsoftonline.com", "graph.microsoft.com"],
        _ => &[],
    }
}

/// Words that stand for several tenants of Entra.
const SEVERAL: [&str; 3] = ["common", "organizations", "consumers"];

/// Puts Entra's tenant where it belongs: one tenant is part of the issuer; several leave `{tenantid}` in it.
pub(super) fn settle(connection: &mut Connection) {
    if connection.preset != Preset::Entra {
        connection.tenant.clear();
        return;
    }
    if connection.tenant.is_empty() {
        "organizations".clone_into(&mut connection.tenant);
    }
    if !SEVERAL.contains(&connection.tenant.as_str()) {
        connection.issuer = connection
            .issuer
            .replace(super::discovery::TENANT, &connection.tenant);
    }
}

/// Whether people of any organisation may reach this provider, so that nobody's claims but the subject mean anything.
pub(super) fn is_open(provider: &IdentityProvider) -> bool {
    provider.connection.issuer.contains(super::discovery::TENANT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_of_entra_is_part_of_the_issuer_and_several_are_not() {
        let mut one = start(Preset::Entra).connection;
        one.tenant = "9188040d-6c67-4c5b-b112-36a304b66dad".into();
        settle(&mut one);
        assert_eq!(
            one.issuer,
            "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"
        );
        let mut several = start(Preset::Entra).connection;
        settle(&mut several);
        assert!(several.issuer.contains("{tenantid}"));
    }
}
