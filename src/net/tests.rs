//! The dialer against names, certificates and servers of the tests' own.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::*;

/// A name server with a script: each lookup takes the next answer, the last one stays.
#[derive(Default)]
struct Names(Mutex<HashMap<String, Vec<Vec<&'static str>>>>);

impl Names {
    fn with(name: &str, answers: &[&[&'static str]]) -> Arc<Names> {
        let names = Names::default();
        let answers = answers.iter().map(|a| a.to_vec()).rev().collect();
        names.0.lock().unwrap().insert(name.to_owned(), answers);
        Arc::new(names)
    }
}

impl Resolver for Names {
    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> Lookup<'a> {
        let mut names = self.0.lock().unwrap();
        let answer = names.get_mut(host).map(|a| {
            if a.len() > 1 {
                a.pop().unwrap()
            } else {
                a[0].clone()
            }
        });
        Box::pin(async move {
            let found = answer.ok_or_else(|| io::Error::other("Name or service not known"))?;
            Ok(found
                .into_iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
                .collect())
        })
    }
}

fn dialer(allow: &[&str]) -> Dialer {
    Dialer::new(allow.iter().map(|n| n.parse().unwrap()).collect(), None).unwrap()
}

fn named(names: Arc<Names>, allow: &[&str]) -> Dialer {
    Dialer::with_resolver(allow.iter().map(|n| n.parse().unwrap()).collect(), None, names).unwrap()
}

/// A listener that counts who comes, and answers each with these bytes.
async fn target(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen) = (
        listener.local_addr().unwrap().port(),
        Arc::new(AtomicUsize::new(0)),
    );
    let count = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
            });
        }
    });
    (port, seen)
}

#[tokio::test]
async fn no_spelling_of_an_inner_address_is_connected_to() {
    let (port, seen) = target(b"").await;
    let dialer = dialer(&[]);
    let spellings = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "::1",
        "0:0:0:0:0:0:0:1",
        "0",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "１２７.０.０.１",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "①②⑦.⓪.⓪.①",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fd00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "100.64.0.1",
        "172.16.0.1",
        "198.18.0.1",
    ];
    for host in spellings {
        let error = dialer.connect(host, port).await.unwrap_err();
        assert_eq!(error.code(), "address_not_allowed", "{host}: {error}");
        assert!(error.remedy().contains("MAILGRANT_ALLOW_NETWORKS"));
    }
    for host in [
        "",
        ".",
        "a b",
        "a\r\nb",
        "http://x",
        "u@127.0.0.1",
        "x/y",
        "[::1",
        "127.0.0.256",
        &"a".repeat(300),
    ] {
        let error = dialer.connect(host, port).await.unwrap_err();
        assert_eq!(error.code(), "invalid_host", "{host}: {error}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_allowed_network_is_reached_by_every_spelling() {
    let (port, _) = target(b"").await;
    let dialer = dialer(&["127.0.0.0/8"]);
    for host in ["127.0.0.1", "127.1", "[::ffff:127.0.0.1]"] {
        dialer.connect(host, port).await.unwrap();
    }
    assert!(dialer.connect("[64:ff9b::127.0.0.1]", port).await.is_err());
    assert!(dialer.connect("10.0.0.1", port).await.is_err());
}

#[tokio::test]
async fn a_name_with_one_forbidden_address_among_good_ones_is_refused() {
    let names = Names::with("mixed.example", &[&["8.8.8.8", "10.0.0.7"]]);
    let error = named(names, &[]).resolve("mixed.example", 993).await.unwrap_err();
    let DialError::Forbidden { address, class, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (address.to_string().as_str(), class),
        ("10.0.0.7", Class::Private)
    );
}

#[tokio::test]
async fn a_name_that_changes_after_it_was_checked_reaches_nothing() {
    let (port, seen) = target(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for _ in 0..5 {
        // First an address nobody answers at (and which the test may reach), then the inner one.
        let names = Names::with("rebind.example", &[&["127.0.0.2"], &["127.0.0.1"]]);
        let dialer = named(names, &["127.0.0.2/32"]);
        let url = Url::parse(&format!("http://rebind.example:{port}/")).unwrap();
        dialer.check_endpoint(&url).await.unwrap();
        let error = dialer.http().get(url.as_str(), &[]).await.unwrap_err();
        assert_eq!(error.code(), "endpoint_plain_http", "{error}");
        let names = Names::with("rebind.example", &[&["127.0.0.2"], &["127.0.0.1"]]);
        let dialer = named(names, &["127.0.0.2/32"]);
        assert_eq!(
            dialer.connect("rebind.example", port).await.unwrap_err().code(),
            "connection_refused"
        );
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_can_pass_an_unchecked_address() {
    let (port, seen) = target(b"").await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(
        dialer(&[])
            .connect_to("mail.example", &[address])
            .await
            .unwrap_err()
            .code(),
        "address_not_allowed"
    );
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_does_not_exist_a_closed_port_and_a_dead_first_address_are_told_apart() {
    let dialer = named(
        Names::with("two.example", &[&["127.0.0.2", "127.0.0.1"]]),
        &["127.0.0.0/8"],
    );
    assert_eq!(
        dialer.connect("nowhere.example", 993).await.unwrap_err().code(),
        "name_not_found"
    );
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = dialer.connect("127.0.0.1", closed).await.unwrap_err();
    assert_eq!(error.code(), "connection_refused");
    assert!(error.is_transient());
    let (port, _) = target(b"").await;
    dialer.connect("two.example", port).await.unwrap();
}

#[tokio::test]
async fn endpoints_are_https_or_listed_loopback() {
    let listed = dialer(&["127.0.0.0/8"]);
    let unlisted = dialer(&[]);
    let private = dialer(&["10.0.0.0/8"]);
    let cases: [(&Dialer, &str, Option<&str>); 12] = [
        (&listed, "http://127.0.0.1:8080/token", None),
        (&listed, "https://127.0.0.1:8080/token", None),
        (&unlisted, "https://8.8.8.8/token", None),
        (
            &unlisted,
            "http://127.0.0.1:8080/token",
            Some("endpoint_plain_http"),
        ),
        (&unlisted, "http://8.8.8.8/token", Some("endpoint_plain_http")),
        (&private, "http://10.0.0.1/token", Some("endpoint_plain_http")),
        (&private, "https://10.0.0.1/token", None),
        (&unlisted, "https://10.0.0.1/token", Some("address_not_allowed")),
        (&unlisted, "https://2130706433/token", Some("address_not_allowed")),
        (&unlisted, "ftp://8.8.8.8/token", Some("endpoint_not_https")),
        (
            &unlisted,
            "https://user:pw@8.8.8.8/token",
            Some("endpoint_user_info"),
        ),
        (&unlisted, "https://8.8.8.8/token#x", Some("endpoint_fragment")),
    ];
    for (dialer, url, expected) in cases {
        let result = dialer.check_endpoint(&Url::parse(url).unwrap()).await;
        assert_eq!(
            result.as_ref().err().map(EndpointError::code),
            expected,
            "{url}: {result:?}"
        );
    }
}

#[test]
fn plain_protocols_are_for_loopback_and_allowed_networks() {
    let at = |ip: &str| vec![SocketAddr::new(ip.parse().unwrap(), 143)];
    let dialer = dialer(&["10.0.0.0/8"]);
    assert!(dialer.is_allowed_plain(&at("127.0.0.1")));
    assert!(dialer.is_allowed_plain(&at("10.1.2.3")));
    assert!(!dialer.is_allowed_plain(&at("8.8.8.8")));
    assert!(!dialer.is_allowed_plain(&[at("10.1.2.3"), at("8.8.8.8")].concat()));
    assert!(!dialer.is_allowed_plain(&[]));
}

// ── HTTP ──

#[tokio::test]
async fn a_literal_inner_address_in_a_url_is_not_requested() {
    let (port, seen) = target(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let http = dialer(&[]).http();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "[::1]",
        "localhost",
        "[::ffff:127.0.0.1]",
    ] {
        for scheme in ["http", "https"] {
            let error = http
                .get(&format!("{scheme}://{host}:{port}/"), &[])
                .await
                .unwrap_err();
            let expected = if scheme == "http" {
                "endpoint_plain_http"
            } else {
                "address_not_allowed"
            };
            assert_eq!(error.code(), expected, "{scheme} {host}: {error}");
        }
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn plain_http_to_a_name_outside_this_machine_is_not_requested() {
    for (address, allow) in [("8.8.8.8", "127.0.0.0/8"), ("10.0.0.1", "10.0.0.0/8")] {
        let dialer = named(Names::with("plain.example", &[&[address]]), &[allow]);
        let error = dialer
            .http()
            .get("http://plain.example:9/", &[])
            .await
            .unwrap_err();
        assert_eq!(error.code(), "endpoint_plain_http", "{address}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (port, seen) =
        target(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 2\r\n\r\nhi")
            .await;
    let answer = dialer(&["127.0.0.0/8"])
        .http()
        .get(&format!("http://127.0.0.1:{port}/"), &[])
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("http://169.254.169.254/"))
    );
    assert_eq!(answer.body, b"hi");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_beyond_the_limit_and_one_cut_short_are_errors() {
    let (port, _) = target(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
    let http = dialer(&["127.0.0.0/8"]).http();
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(
        http.clone()
            .with_body_limit(10)
            .get(&url, &[])
            .await
            .unwrap()
            .body
            .len(),
        10
    );
    assert_eq!(
        http.clone()
            .with_body_limit(9)
            .get(&url, &[])
            .await
            .unwrap_err()
            .code(),
        "http_answer_too_large"
    );
    let (port, _) = target(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123").await;
    let error = http
        .get(&format!("http://127.0.0.1:{port}/"), &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "http_broken", "{error}");
    let (port, _) = target(b"* OK IMAP ready\r\n").await;
    let error = http
        .get(&format!("http://127.0.0.1:{port}/"), &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "http_broken", "{error}");
}

#[tokio::test]
async fn a_form_arrives_encoded_and_its_secrets_are_in_no_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        while !text.contains("secret=") {
            let mut some = [0; 1024];
            let n = stream.read(&mut some).await.unwrap();
            text.push_str(std::str::from_utf8(&some[..n]).unwrap());
        }
        text
    });
    let http = dialer(&["127.0.0.0/8"]).http();
    let url = format!("http://127.0.0.1:{port}/token");
    let headers = [
        ("authorization", "Basic c2VjcmV0LWJhc2lj"),
        ("accept", "application/json"),
    ];
    let error = http
        .post_form(&url, &headers, &[("code", "a b&c"), ("secret", "hidden-1")])
        .await
        .unwrap_err();
    let text = heard.await.unwrap();
    assert!(text.starts_with("POST /token HTTP/1.1\r\n"), "{text}");
    assert!(
        text.contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{text}"
    );
    assert!(text.ends_with("code=a+b%26c&secret=hidden-1"), "{text}");
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("hidden-1") && !shown.contains("c2VjcmV0"),
        "{shown}"
    );
    let error = http
        .get(&url, &[("x-a", "line\r\nbreak-secret")])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "invalid_header");
    assert!(!error.to_string().contains("break-secret"));
}

// ── TLS ──

/// A certificate authority of the test's own.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A TLS server on loopback for these names, valid in these years.
async fn tls_server(ca: &CertifiedIssuer<'static, KeyPair>, names: &[&str], years: (i32, i32)) -> u16 {
    let mut params =
        CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, ca).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                        .await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    port
}

fn trusting(pem: &str) -> Dialer {
    let names = Names::with("mail.test", &[&["127.0.0.1"]]);
    Dialer::with_resolver(vec!["127.0.0.0/8".parse().unwrap()], Some(pem.as_bytes()), names).unwrap()
}

#[tokio::test]
async fn a_good_certificate_is_accepted_and_its_end_told() {
    let ca = authority("ours");
    let dialer = trusting(&ca.pem());
    let port = tls_server(&ca, &["mail.test", "127.0.0.1"], (2020, 2100)).await;
    for host in ["mail.test", "127.0.0.1"] {
        let (_, info) = dialer.connect_tls(host, port).await.unwrap();
        assert_eq!(info.version, "TLS 1.3");
        let now = "2099-12-22T00:00:00Z".parse().unwrap();
        assert_eq!(info.days_left(now), Some(10));
    }
    let answer = dialer
        .http()
        .get(&format!("https://mail.test:{port}/"), &[])
        .await
        .unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
}

#[tokio::test]
async fn each_bad_certificate_has_its_own_cause_over_imap_and_over_http() {
    let (ca, stranger) = (authority("ours"), authority("a stranger"));
    let dialer = trusting(&ca.pem());
    let cases = [
        (
            tls_server(&ca, &["mail.test"], (2000, 2001)).await,
            "certificate_expired",
        ),
        (
            tls_server(&ca, &["mail.test"], (2090, 2100)).await,
            "certificate_not_yet_valid",
        ),
        (
            tls_server(&ca, &["other.test"], (2020, 2100)).await,
            "certificate_wrong_name",
        ),
        (
            tls_server(&stranger, &["mail.test"], (2020, 2100)).await,
            "certificate_unknown_issuer",
        ),
        (target(b"* OK IMAP ready, no TLS here\r\n").await.0, "not_tls"),
        (target(b"").await.0, "tls_hung_up"),
    ];
    for (port, expected) in cases {
        let error = dialer.connect_tls("mail.test", port).await.unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
        let error = dialer
            .http()
            .get(&format!("https://mail.test:{port}/"), &[])
            .await
            .unwrap_err();
        assert_eq!(error.code(), expected, "over HTTP: {error:?}");
    }
}

#[test]
fn an_extra_ca_file_without_certificates_is_refused() {
    for pem in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = Dialer::new(vec![], Some(pem.as_bytes())).unwrap_err();
        assert!(matches!(error, NetError::ExtraCa(_)), "{pem}: {error}");
    }
}

/// One address in many spellings: what URL parsers, resolvers and old C libraries read as it.
fn spellings(ip: std::net::Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = ip.octets();
    let whole = u32::from(ip);
    let (hi, lo) = (whole >> 16, whole & 0xffff);
    let wide: String = ip
        .to_string()
        .chars()
        .map(|c| match c.to_digit(10) {
            Some(digit) => char::from_u32(0xff10 + digit).unwrap(),
            None => '\u{3002}',
        })
        .collect();
    let percent: String = ip
        .to_string()
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    vec![
        ip.to_string(),
        format!("{ip}."),
        format!("{whole}"),
        format!("0x{whole:x}"),
        format!("0X{whole:08X}"),
        format!("0{whole:o}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.{b}.0x{c:x}.{d}"),
        format!("{a}.{b}.{lo}"),
        format!("{a}.{}", whole & 0x00ff_ffff),
        format!("0x{a:x}.{}", whole & 0x00ff_ffff),
        wide,
        percent,
        format!("[::ffff:{ip}]"),
        format!("[::ffff:{hi:x}:{lo:x}]"),
        format!("[::FFFF:{hi:X}:{lo:X}]"),
        format!("[0:0:0:0:0:ffff:{hi:04x}:{lo:04x}]"),
        format!("[::ffff:0:{ip}]"),
        format!("[::{ip}]"),
        format!("[64:ff9b::{ip}]"),
        format!("[64:ff9b:1::{ip}]"),
        format!("[2002:{hi:x}:{lo:x}::1]"),
        format!("[2001:0:{hi:x}:{lo:x}::]"),
        format!("[2a00:1::5efe:{ip}]"),
        format!("[2a00:1::200:5efe:{ip}]"),
    ]
}

#[tokio::test]
async fn hundreds_of_spellings_of_inner_addresses_are_never_connected_to() {
    let (port, seen) = target(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let client = dialer(&[]).http();
    let inner = [
        "127.0.0.1",
        "127.1.2.3",
        "10.0.0.1",
        "10.255.255.254",
        "172.16.0.1",
        "172.31.255.1",
        "192.168.0.1",
        "192.168.255.254",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.254",
        "0.0.0.0",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
    ];
    let (mut tried, mut forbidden) = (0, 0);
    for ip in inner {
        for host in spellings(ip.parse().unwrap()) {
            for scheme in ["https", "http"] {
                let sent = client
                    .get(&format!("{scheme}://{host}:{port}/latest/meta-data/"), &[])
                    .await;
                match sent.map(|_| ()).unwrap_err().code() {
                    "address_not_allowed" => forbidden += 1,
                    // Not an address for anybody, or one that nobody has, and plain http, which asks for more.
                    "endpoint_plain_http" | "invalid_url" | "invalid_host" | "name_not_found" => {}
                    other => panic!("{scheme}://{host}: {other}"),
                }
            }
            tried += 1;
        }
    }
    assert!(tried >= 300, "{tried}");
    assert!(forbidden >= 300, "{forbidden} were refused for their address");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}
