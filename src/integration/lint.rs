//! Warnings about an integration that can be saved but will not work, or not for long.

use std::collections::BTreeSet;

use super::model::{Flow, Integration};
use crate::clock::from_ms;
use crate::oauth2_client::Provider;
use crate::trouble::Trouble;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// From how many days on a coming end is shown.
const SECRET_WARNING_DAYS: i64 = 30;
/// Microsoft lets no secret live longer than two years.
const SECRET_OLD_DAYS: i64 = 700;

/// What an admin should mend, the most urgent first. `now` in milliseconds since 1970.
pub fn warnings(integration: &Integration, now: i64) -> Vec<Trouble> {
    let mut found = Vec::new();
    secret(integration, now, &mut found);
    match integration.provider {
        Provider::Google => google(integration, &mut found),
        Provider::Microsoft => microsoft(integration, &mut found),
        Provider::Custom => {}
    }
    found
}

fn secret(integration: &Integration, now: i64, found: &mut Vec<Trouble>) {
    let age_days = (now - integration.secret_set_at) / DAY_MS;
    match integration.secret_expires_at {
        Some(end) if end <= now => found.push(Trouble::new(
            "secret_expired",
            format!(
                "The client secret expired on {}.",
                from_ms(end).format("%Y-%m-%d")
            ),
            "Make a new secret at the provider and enter it here with its end date.",
        )),
        Some(end) if end - now <= SECRET_WARNING_DAYS * DAY_MS => found.push(Trouble::new(
            "secret_expiring",
            format!(
                "The client secret expires on {}, in {} days.",
                from_ms(end).format("%Y-%m-%d"),
                (end - now + DAY_MS - 1) / DAY_MS
            ),
            "Make a new secret at the provider now and enter it here with its end date.",
        )),
        None if integration.provider == Provider::Microsoft && integration.has_secret => {
            found.push(Trouble::new(
                "secret_end_unknown",
                "Microsoft's client secrets end after two years at most, and the end of this one is not entered.",
                "Enter the date from the column Expires in the app registration, to be warned before mail stops.",
            ));
        }
        None if integration.has_secret && age_days > SECRET_OLD_DAYS => found.push(Trouble::new(
            "secret_old",
            format!("The client secret is {age_days} days old."),
            "Replace it when convenient.",
        )),
        _ => {}
    }
}

fn google(integration: &Integration, found: &mut Vec<Trouble>) {
    let asked = |name: &str| integration.extra_auth_params.get(name).map(String::as_str);
    if asked("access_type") != Some("offline") || !asked("prompt").is_some_and(|p| p.contains("consent")) {
        found.push(Trouble::new(
            "offline_missing",
            "Without access_type=offline and prompt=consent Google gives no refresh token.",
            "Add both to the extra parameters.",
        ));
    }
    let reads_mail = integration
        .scopes
        .iter()
        .any(|scope| scope == "https://mail.google.com/" || scope.contains("/auth/gmail."));
    if !reads_mail {
        found.push(Trouble::new(
            "mail_scope_missing",
            "None of the scopes lets Mailgrant read mail by IMAP.",
            "Add https://mail.google.com/ to the scopes.",
        ));
    }
}

fn microsoft(integration: &Integration, found: &mut Vec<Trouble>) {
    let resources: BTreeSet<&str> = integration
        .scopes
        .iter()
        .filter_map(|scope| resource(scope))
        .collect();
    if resources.len() > 1 {
        found.push(Trouble::new(
            "mixed_resources",
            format!(
                "The scopes are of different resources ({}); Microsoft gives a token for one of them only.",
                resources.into_iter().collect::<Vec<_>>().join(", ")
            ),
            "Keep the scopes of Outlook, and use a second integration for Graph.",
        ));
    }
    match integration.flow {
        Flow::AuthorizationCode => {
            if !integration.scopes.iter().any(|scope| scope == "offline_access") {
                found.push(Trouble::new(
                    "offline_missing",
                    "Without the scope offline_access Microsoft gives no refresh token.",
                    "Add offline_access to the scopes.",
                ));
            }
        }
        Flow::ClientCredentials => {
            let shared = ["/common/", "/organizations/", "/consumers/"];
            if shared
                .iter()
                .any(|part| integration.token_endpoint.contains(part))
            {
                found.push(Trouble::new(
                    "tenant_needed",
                    "App-only access needs the tenant's own endpoint, not one for all tenants.",
                    "Enter the tenant id (a GUID) or its domain as tenant.",
                ));
            }
        }
    }
}

/// The resource a scope belongs to; OpenID's own scopes belong to none.
fn resource(scope: &str) -> Option<&str> {
    if matches!(scope, "openid" | "profile" | "email" | "offline_access") {
        return None;
    }
    match scope
        .strip_prefix("https://")
        .and_then(|rest| rest.split('/').next())
    {
        // Two names of one resource.
        Some("outlook.office365.com") => Some("outlook.office.com"),
        Some(host) => Some(host),
        None => Some("graph.microsoft.com"),
    }
}
