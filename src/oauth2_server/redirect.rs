//! Redirect URIs: what may be registered, and when a requested one is the registered one.
//!
//! Comparison is by character (RFC 9700, section 4.1.3). The one exception is the port of a loopback address of a native
//! application (RFC 8252, section 7.3).

use url::{Host, Url};

/// Whether an application runs on a server or on a person's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationType {
    /// On a server, or in a browser: https redirect URIs.
    Web,
    /// On a device: loopback, private-use schemes, or https.
    Native,
}

impl ApplicationType {
    /// The text in the database and in registrations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Web, Self::Native]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Longest redirect URI, characters.
const MAX_CHARS: usize = 2_000;

/// Why a URI may not be registered, as a sentence; `None` if it may.
pub fn refusal(kind: ApplicationType, uri: &str) -> Option<String> {
    if uri.is_empty() || uri.len() > MAX_CHARS {
        return Some(format!("a redirect URI has 1 to {MAX_CHARS} characters"));
    }
    if !uri.bytes().all(|b| b.is_ascii_graphic()) || uri.contains('\\') {
        return Some("a redirect URI holds printable ASCII only; encode the rest".into());
    }
    if uri.contains('*') {
        return Some("a redirect URI has no wildcard: register each one".into());
    }
    if uri.contains('#') {
        return Some("a redirect URI has no fragment".into());
    }
    let Ok(url) = Url::parse(uri) else {
        return Some("this is not an absolute URI".into());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some("a redirect URI holds no user name or password".into());
    }
    let path = uri.split(['?']).next().unwrap_or_default().to_ascii_lowercase();
    if path
        .split('/')
        .any(|part| matches!(part.replace("%2e", ".").as_str(), "." | ".."))
    {
        return Some("a redirect URI has no . or .. in its path".into());
    }
    match url.scheme() {
        "https" => None,
        "http" if is_loopback_ip(&url) && kind == ApplicationType::Native => None,
        "http" if is_loopback_ip(&url) => None,
        "http" if kind == ApplicationType::Native => Some(
            "use http://127.0.0.1 or http://[::1] for a loopback redirect; localhost may resolve elsewhere".into(),
        ),
        "http" => Some("use https; http is for loopback addresses only".into()),
        scheme if kind == ApplicationType::Native && is_private_use(scheme) => None,
        "javascript" | "data" | "vbscript" | "file" | "blob" | "about" => {
            Some("this scheme would run or open something else than the application".into())
        }
        _ if kind == ApplicationType::Native => Some(
            "a scheme of your own must contain a full stop, or be registered for the application by an admin: \
             com.example.app:/callback"
                .into(),
        ),
        _ => Some("use https".into()),
    }
}

/// Private-use schemes of RFC 8252, section 7.1 (a reversed domain), and the short ones existing desktop clients have.
fn is_private_use(scheme: &str) -> bool {
    const NEVER: [&str; 12] = [
        "javascript",
        "data",
        "vbscript",
        "file",
        "blob",
        "about",
        "ftp",
        "ws",
        "wss",
        "mailto",
        "http",
        "https",
    ];
    !NEVER.contains(&scheme) && (scheme.contains('.') || scheme.len() >= 4)
}

fn is_loopback_ip(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// Whether the requested URI is a registered one.
pub fn matches(kind: ApplicationType, registered: &[String], requested: &str) -> bool {
    registered.iter().any(|known| {
        known == requested || (kind == ApplicationType::Native && same_but_port(known, requested))
    })
}

/// Loopback addresses that differ in nothing but the port.
fn same_but_port(known: &str, requested: &str) -> bool {
    let (Some(known), Some(requested)) = (without_port(known), without_port(requested)) else {
        return false;
    };
    known == requested
}

/// A loopback URI cut at its port, by text: what follows must be equal to the letter.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    for host in ["http://127.0.0.1", "http://[::1]"] {
        if let Some(rest) = uri.strip_prefix(host) {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            let is_port = authority.is_empty()
                || authority
                    .strip_prefix(':')
                    .is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_ok());
            return is_port.then_some((host, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(uri: &str) -> Vec<String> {
        vec![uri.to_owned()]
    }

    #[test]
    fn n3_a_redirect_uri_that_differs_in_anything_is_another_one() {
        let registered = one("https://app.example/cb?x=1");
        assert!(matches(
            ApplicationType::Web,
            &registered,
            "https://app.example/cb?x=1"
        ));
        for other in [
            "https://app.example/CB?x=1",
            "https://APP.example/cb?x=1",
            "https://app.example/cb/?x=1",
            "https://app.example/cb?x=1&y=2",
            "https://app.example/cb/more?x=1",
            "https://user@app.example/cb?x=1",
            "https://app.example:443/cb?x=1",
            "https://app.example:8443/cb?x=1",
            "https://app.example/a/../cb?x=1",
            "https://app.example/cb?x=1#f",
            "https://app.example/%63b?x=1",
            "https://app.example/cb",
            "https://app.example.evil/cb?x=1",
            "http://app.example/cb?x=1",
            "",
        ] {
            assert!(!matches(ApplicationType::Web, &registered, other), "{other}");
            assert!(!matches(ApplicationType::Native, &registered, other), "{other}");
        }
    }

    #[test]
    fn n5_the_port_of_a_loopback_address_is_free_for_native_applications() {
        let registered = one("http://127.0.0.1/cb");
        for good in [
            "http://127.0.0.1/cb",
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:65535/cb",
        ] {
            assert!(matches(ApplicationType::Native, &registered, good), "{good}");
        }
        assert!(!matches(
            ApplicationType::Web,
            &registered,
            "http://127.0.0.1:1/cb"
        ));
        for bad in [
            "http://localhost:1/cb",
            "http://0.0.0.0:1/cb",
            "http://127.0.0.2:1/cb",
            "http://127.0.0.1:1/cb/",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:1@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://[::1]:1/cb",
        ] {
            assert!(!matches(ApplicationType::Native, &registered, bad), "{bad}");
        }
    }

    #[test]
    fn n52_what_could_lead_elsewhere_is_not_registered() {
        let fine = [
            (ApplicationType::Web, "https://app.example/cb"),
            (ApplicationType::Web, "http://127.0.0.1:9000/cb"),
            (ApplicationType::Native, "http://127.0.0.1/cb"),
            (ApplicationType::Native, "http://[::1]/cb"),
            (ApplicationType::Native, "com.example.app:/cb"),
            (ApplicationType::Native, "nxdrive://authorize"),
        ];
        for (kind, uri) in fine {
            assert_eq!(refusal(kind, uri), None, "{uri}");
        }
        for uri in [
            "https://app.example/cb#x",
            "https://*.example/cb",
            "https://u:p@app.example/cb",
            "https://app.example/a/../cb",
            "https://app.example/%2e%2e/cb",
            "http://app.example/cb",
            "http://localhost/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "/cb",
            "cb",
            "",
            "https://app.example/ä",
            "https://app.example/a b",
        ] {
            assert!(refusal(ApplicationType::Web, uri).is_some(), "{uri}");
            assert!(refusal(ApplicationType::Native, uri).is_some(), "{uri}");
        }
        assert!(refusal(ApplicationType::Web, "com.example.app:/cb").is_some());
    }
}
