//! What is known about Google and Microsoft: endpoints, scopes and parameters, per tenant and cloud.

use std::collections::BTreeMap;

use super::model::{Cloud, Flow};
use crate::oauth2_client::{AuthMethod, Provider};

/// A provider's known values. For `custom` everything is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preset {
    /// Authorization endpoint.
    pub authorization_endpoint: String,
    /// Token endpoint.
    pub token_endpoint: String,
    /// Userinfo endpoint.
    pub userinfo_endpoint: String,
    /// Revocation endpoint.
    pub revocation_endpoint: String,
    /// Issuer, where it does not depend on the account.
    pub issuer: String,
    /// Scopes for reading mail by IMAP and sending it by SMTP.
    pub scopes: Vec<String>,
    /// Parameters without which no refresh token comes.
    pub extra_auth_params: BTreeMap<String, String>,
    /// How the client authenticates; `None` for custom.
    pub token_auth_method: Option<AuthMethod>,
    /// Host of the provider's IMAP server (port 993, implicit TLS); empty for custom.
    pub imap_host: String,
    /// Host of the provider's server for sending; empty for custom.
    pub smtp_host: String,
    /// Its port.
    pub smtp_port: u16,
    /// `implicit` or `starttls`.
    pub smtp_tls: &'static str,
}

/// What is known about a provider.
pub fn preset(provider: Provider, tenant: &str, cloud: Cloud, flow: Flow) -> Preset {
    match provider {
        Provider::Google => google(),
        Provider::Microsoft => microsoft(tenant, cloud, flow),
        Provider::Custom => Preset::default(),
    }
}

fn google() -> Preset {
    Preset {
        authorization_endpoint: "https://accounts.google.com/o/oauth2/v2/auth".into(),
        token_endpoint: "https://oauth2.googleapis.com/token".into(),
        userinfo_endpoint: "https://openidconnect.googleapis.com/v1/userinfo".into(),
        revocation_endpoint: "https://oauth2.googleapis.com/revoke".into(),
        issuer: "https://accounts.google.com".into(),
        scopes: list(&["https://mail.google.com/", "openid", "email"]),
        // A refresh token comes only with offline access and a fresh consent.
        extra_auth_params: pairs(&[("access_type", "offline"), ("prompt", "consent")]),
        token_auth_method: Some(AuthMethod::ClientSecretPost),
        imap_host: "imap.gmail.com".into(),
        smtp_host: "smtp.gmail.com".into(),
        smtp_port: 465,
        smtp_tls: "implicit",
    }
}

fn microsoft(tenant: &str, cloud: Cloud, flow: Flow) -> Preset {
    let tenant = if tenant.is_empty() { "common" } else { tenant };
    let (login, delegated, app_only, imap_host, smtp_host) = match cloud {
        Cloud::Global => (
            "login.microsoftonline.com",
            "https://outlook.office.com",
            "https://outlook.office365.com",
            "outlook.office365.com",
            "smtp.office365.com",
        ),
        Cloud::GccHigh => (
            "login.microsoftonline.us",
            "https://outlook.office365.us",
            "https://outlook.office365.us",
            "outlook.office365.us",
            "smtp.office365.us",
        ),
        Cloud::Dod => (
            "login.microsoftonline.us",
            "https://outlook-dod.office365.us",
            "https://outlook-dod.office365.us",
            "outlook-dod.office365.us",
            "outlook-dod.office365.us",
        ),
        Cloud::China => (
            "login.partner.microsoftonline.cn",
            "https://partner.outlook.cn",
            "https://partner.outlook.cn",
            "partner.outlook.cn",
            "smtp.partner.outlook.cn",
        ),
    };
    let scopes = match flow {
        Flow::AuthorizationCode => vec![
            format!("{delegated}/IMAP.AccessAsUser.All"),
            format!("{delegated}/SMTP.Send"),
            "offline_access".into(),
            "openid".into(),
            "profile".into(),
            "email".into(),
        ],
        Flow::ClientCredentials => vec![format!("{app_only}/.default")],
    };
    Preset {
        authorization_endpoint: format!("https://{login}/{tenant}/oauth2/v2.0/authorize"),
        token_endpoint: format!("https://{login}/{tenant}/oauth2/v2.0/token"),
        scopes,
        // Otherwise the browser's signed-in account consents, which is seldom the mailbox's.
        extra_auth_params: pairs(&[("prompt", "select_account")]),
        token_auth_method: Some(AuthMethod::ClientSecretPost),
        imap_host: imap_host.into(),
        smtp_host: smtp_host.into(),
        smtp_port: 587,
        smtp_tls: "starttls",
        ..Preset::default()
    }
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn pairs(items: &[(&str, &str)]) -> BTreeMap<String, String> {
    items
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
