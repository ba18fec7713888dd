//! The addresses in what a client says of itself: none leads into a private network, and the list of its sector holds it.

use url::{Host, Url};

use super::client_metadata::{Asked, Invalid, invalid};
use crate::ctx::Ctx;
use crate::net::{Class, DialError, class};

/// Refuses addresses that lead into a private network: now by their text and by what their name resolves to; whatever is
/// fetched later is dialled by the same rules again.
pub(super) async fn check_addresses(ctx: &Ctx, asked: &Asked) -> Result<(), Invalid> {
    let shown = [
        ("client_uri", &asked.client_uri),
        ("logo_uri", &asked.logo_uri),
        ("policy_uri", &asked.policy_uri),
        ("tos_uri", &asked.tos_uri),
        ("initiate_login_uri", &asked.protocol.initiate_login_uri),
        ("frontchannel_logout_uri", &asked.protocol.frontchannel_logout_uri),
    ];
    for (name, uri) in shown {
        if !uri.is_empty() && names_inner(uri) {
            return Err(invalid(format!("{name} must be a public address")));
        }
    }
    let fetched = [
        ("jwks_uri", &asked.protocol.jwks_uri),
        ("backchannel_logout_uri", &asked.protocol.backchannel_logout_uri),
        ("sector_identifier_uri", &asked.sector_identifier_uri),
    ];
    for (name, uri) in fetched {
        if !uri.is_empty() {
            check_fetched(ctx, name, uri).await?;
        }
    }
    if !asked.sector_identifier_uri.is_empty() {
        check_sector(ctx, asked).await?;
    }
    Ok(())
}

/// Whether an address says by itself that it is no public one.
fn names_inner(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else {
        return true;
    };
    match url.host() {
        Some(Host::Ipv4(ip)) => class(ip.into()) != Class::Public,
        Some(Host::Ipv6(ip)) => class(ip.into()) != Class::Public,
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let last = name.rsplit('.').next().unwrap_or_default();
            !name.contains('.')
                || matches!(last, "localhost" | "local" | "internal" | "lan" | "home" | "corp")
        }
        None => true,
    }
}

async fn check_fetched(ctx: &Ctx, name: &str, uri: &str) -> Result<(), Invalid> {
    let inner = || invalid(format!("{name} must be a public https address"));
    let url = Url::parse(uri).map_err(|_| inner())?;
    let host = url.host_str().ok_or_else(inner)?;
    // Networks that the operator opened to mailboxes are not open to whoever registers.
    if url.scheme() != "https" || names_inner(uri) {
        return Err(inner());
    }
    match ctx
        .public_dialer
        .resolve(host, url.port_or_known_default().unwrap_or(443))
        .await
    {
        Ok(_) => Ok(()),
        // A name that nobody knows yet is dialled by the guard when it is needed.
        Err(DialError::NameNotFound { .. } | DialError::Resolver { .. }) => Ok(()),
        _ => Err(inner()),
    }
}

/// Largest list of a sector.
const MAX_SECTOR: usize = 64 * 1024;

/// The list at `sector_identifier_uri` must hold every redirect URI (OpenID Connect Registration, section 5).
async fn check_sector(ctx: &Ctx, asked: &Asked) -> Result<(), Invalid> {
    let wrong = || invalid("the list at sector_identifier_uri cannot be read, or lacks a redirect URI");
    let client = ctx
        .public_dialer
        .http()
        .with_body_limit(MAX_SECTOR)
        .with_timeout(std::time::Duration::from_secs(5));
    let answer = client
        .get(&asked.sector_identifier_uri, &[("accept", "application/json")])
        .await
        .map_err(|_| wrong())?;
    let list: Vec<String> = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
    let has_all = asked.redirect_uris.iter().all(|uri| list.contains(uri));
    if answer.status != 200 || !has_all {
        return Err(wrong());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n53_addresses_inside_are_known_by_their_text() {
        for uri in [
            "https://127.0.0.1/logo.png",
            "https://10.1.2.3/x",
            "https://192.168.0.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://[fd00::1]/x",
            "https://0x7f000001/x",
            "https://2130706433/x",
            "https://localhost/x",
            "https://db.internal/x",
            "https://printer.local./x",
            "https://intranet/x",
        ] {
            assert!(names_inner(uri), "{uri}");
        }
        assert!(!names_inner("https://app.example/logo.png"));
        assert!(!names_inner("https://93.184.216.34/logo.png"));
    }
}
