//! Who is at the other end of a connection, when proxies stand between.
//!
//! What a proxy says of the client is believed only from the networks in `trusted_proxies`, and only in the one header
//! that is set there: a proxy that writes the one passes what a client wrote into the other. Everybody else may send these
//! headers as they like; they say nothing.

use std::net::IpAddr;

use actix_web::http::header::HeaderMap;

use crate::config::{Config, ProxyHeader};

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its address; none for a connection that has none.
    pub(super) address: Option<IpAddr>,
    /// `https` or `http`, where a trusted proxy or our own TLS says so.
    pub(super) scheme: Option<&'static str>,
    /// The host that was asked for: the proxy's word for it, else the request's.
    pub(super) host: Option<String>,
}

impl Peer {
    /// Looks through the proxies that are trusted.
    pub(super) fn of(config: &Config, socket: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let own_host = || text(headers, "host").map(str::to_owned);
        let own_scheme = config.tls_cert_file.is_some().then_some("https");
        let plain = |address| Self {
            address,
            scheme: own_scheme,
            host: own_host(),
        };
        let Some(socket) = socket.map(canonical) else {
            return plain(None);
        };
        if !is_trusted(config, socket) {
            return plain(Some(socket));
        }
        let said = match config.proxy_header {
            ProxyHeader::XForwarded => x_forwarded(headers),
            ProxyHeader::Forwarded => forwarded(headers),
        };
        Self {
            address: Some(client(config, socket, &said.hops)),
            scheme: said.proto.as_deref().and_then(scheme).or(own_scheme),
            host: said.host.filter(|host| is_host(host)).or_else(own_host),
        }
    }

    /// Its address as text.
    pub(super) fn address(&self) -> String {
        self.address
            .map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())
    }
}

/// What proxies said: the hops from the client on, and of the last one the scheme and host it was asked by.
#[derive(Default)]
struct Said {
    hops: Vec<Option<IpAddr>>,
    proto: Option<String>,
    host: Option<String>,
}

fn is_trusted(config: &Config, ip: IpAddr) -> bool {
    config.trusted_proxies.iter().any(|network| network.contains(&ip))
}

/// An IPv4 address that came over an IPv6 socket is the IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The right-most hop that is no trusted proxy. A hop that cannot be read ends the search at the proxy that told of it.
fn client(config: &Config, socket: IpAddr, hops: &[Option<IpAddr>]) -> IpAddr {
    let mut found = socket;
    for hop in hops.iter().rev() {
        let Some(hop) = hop else {
            return found;
        };
        found = *hop;
        if !is_trusted(config, found) {
            return found;
        }
    }
    found
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The words of a list header over all its lines, in order; a line that is no text is a word that says nothing.
fn words<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .flat_map(|value| value.to_str().unwrap_or("").split(','))
        .map(str::trim)
        .collect()
}

fn x_forwarded(headers: &HeaderMap) -> Said {
    let last = |name| words(headers, name).last().map(|word| (*word).to_owned());
    Said {
        hops: words(headers, "x-forwarded-for")
            .into_iter()
            .map(address)
            .collect(),
        proto: last("x-forwarded-proto"),
        host: last("x-forwarded-host"),
    }
}

/// RFC 7239: elements with commas between them, of pairs with semicolons between them.
fn forwarded(headers: &HeaderMap) -> Said {
    let mut said = Said::default();
    for element in words(headers, "forwarded") {
        let pair = |name: &str| {
            element.split(';').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                key.trim()
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().trim_matches('"').to_owned())
            })
        };
        said.hops.push(pair("for").as_deref().and_then(address));
        said.proto = pair("proto");
        said.host = pair("host");
    }
    said
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim().trim_matches('"');
    let bare = match word.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if word.matches(':').count() == 1 => word.split_once(':')?.0,
        None => word,
    };
    bare.parse().ok().map(canonical)
}

fn scheme(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "https" => Some("https"),
        "http" => Some("http"),
        _ => None,
    }
}

/// Whether it can be a host with or without a port, and nothing else.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::{Environment, load};

    fn config(header: &str) -> Config {
        let env = Environment::of(&[
            ("MAILGRANT_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8:5::/48"),
            ("MAILGRANT_PROXY_HEADER", header),
        ]);
        load(&env, None).unwrap()
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn seen(
        header: &str,
        socket: &str,
        lines: &[(&'static str, &str)],
    ) -> (String, Option<&'static str>, Option<String>) {
        let peer = Peer::of(&config(header), Some(socket.parse().unwrap()), &headers(lines));
        (peer.address(), peer.scheme, peer.host)
    }

    fn address_by(socket: &str, lines: &[(&'static str, &str)]) -> String {
        seen("x-forwarded", socket, lines).0
    }

    #[test]
    fn a_stranger_is_not_believed_whatever_they_send() {
        let lines = [
            ("host", "mail.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=192.0.2.1;proto=https;host=evil.example"),
        ];
        for socket in ["198.51.100.7", "127.0.0.1", "::1", "11.0.0.1"] {
            for header in ["x-forwarded", "forwarded"] {
                let (address, scheme, host) = seen(header, socket, &lines);
                assert_eq!((address.as_str(), scheme), (socket, None));
                assert_eq!(host.as_deref(), Some("mail.example"));
            }
        }
    }

    #[test]
    fn the_client_is_the_right_most_hop_that_is_no_trusted_proxy() {
        for (list, client) in [
            ("192.0.2.1", "192.0.2.1"),
            // What the client wrote itself stands to the left.
            ("8.8.8.8, 192.0.2.1", "192.0.2.1"),
            ("10.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("8.8.8.8, 192.0.2.1, 10.0.0.9, 10.0.0.8", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1, 2001:db8:5::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            // All of them ours: the left-most.
            ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
            // Nothing to believe: the last proxy that can be named.
            ("", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("192.0.2.1, unknown", "10.0.0.1"),
            ("192.0.2.1, evil\u{7f}, 10.0.0.8", "10.0.0.8"),
        ] {
            let Ok(_) = HeaderValue::from_str(list) else {
                continue;
            };
            assert_eq!(
                address_by("10.0.0.1", &[("x-forwarded-for", list)]),
                client,
                "{list}"
            );
        }
        assert_eq!(address_by("10.0.0.1", &[]), "10.0.0.1");
        // Several lines are one list.
        let lines = [("x-forwarded-for", "8.8.8.8"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(address_by("10.0.0.1", &lines), "192.0.2.1");
        assert_eq!(address_by("::ffff:10.0.0.1", &lines), "192.0.2.1");
    }

    #[test]
    fn only_the_header_that_was_chosen_counts() {
        let lines = [
            (
                "forwarded",
                "for=\"[2001:db8::7]:80\";proto=http;host=other.example, for=192.0.2.9; Proto=HTTPS;host=\"mail.example:8443\"",
            ),
            ("x-forwarded-for", "8.8.8.8"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil.example"),
            ("host", "inside:8080"),
        ];
        assert_eq!(
            seen("forwarded", "10.0.0.1", &lines),
            (
                "192.0.2.9".to_owned(),
                Some("https"),
                Some("mail.example:8443".to_owned())
            )
        );
        assert_eq!(
            seen("x-forwarded", "10.0.0.1", &lines),
            (
                "8.8.8.8".to_owned(),
                Some("http"),
                Some("evil.example".to_owned())
            )
        );
    }

    #[test]
    fn a_host_that_is_none_is_left_out() {
        for host in [
            "a b",
            "evil.example/x",
            "evil\"",
            "",
            "user@evil",
            "evil.example,",
        ] {
            let lines = [("x-forwarded-host", host), ("host", "mail.example")];
            assert_eq!(
                seen("x-forwarded", "10.0.0.1", &lines).2.as_deref(),
                Some("mail.example"),
                "{host}"
            );
        }
    }
}
