//! Why a connection could not be made, in words an admin can act on.
//!
//! Every error has a `code()` for machines (snake_case, stable), a `Display` that names the cause, and a `remedy()`.

use std::net::IpAddr;

use super::classify::Class;

/// A mistake in the settings of `net` itself.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// `MAILGRANT_EXTRA_CA_FILE` holds no usable certificate.
    #[error("the extra CA file holds no usable PEM certificate: {0}")]
    ExtraCa(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up: {0}")]
    HttpClient(String),
}

/// Why a TLS session could not be agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFailure {
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    NotYetValid,
    /// Nobody we trust has signed it.
    UnknownIssuer,
    /// The certificate is for other names.
    WrongName,
    /// The certificate is revoked.
    Revoked,
    /// The certificate is refused for another reason.
    BadCertificate(String),
    /// What came back is not TLS at all, as on a port that speaks plain text first.
    NotTls,
    /// The peer ended the connection before it said anything.
    HungUp,
    /// The peer sent an alert during the handshake, or did not finish it.
    Handshake(String),
    /// This machine has no certificate authorities to trust.
    NoRoots,
}

impl TlsFailure {
    fn describe(&self) -> String {
        match self {
            TlsFailure::Expired => "its certificate has expired".into(),
            TlsFailure::NotYetValid => "its certificate is not valid yet".into(),
            TlsFailure::UnknownIssuer => {
                "its certificate was issued by an authority this machine does not trust".into()
            }
            TlsFailure::WrongName => "its certificate is for another name".into(),
            TlsFailure::Revoked => "its certificate has been revoked".into(),
            TlsFailure::BadCertificate(why) => format!("its certificate is refused ({why})"),
            TlsFailure::NotTls => "it answered with something that is not TLS".into(),
            TlsFailure::HungUp => "the server ended the connection before TLS was set up".into(),
            TlsFailure::Handshake(why) => format!("the TLS handshake failed ({why})"),
            TlsFailure::NoRoots => "this machine has no list of trusted certificate authorities".into(),
        }
    }
}

/// Why a host could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The host is not something that can be looked up.
    #[error("\"{host}\" is not a host name or an IP address")]
    InvalidHost {
        /// What was typed, shortened.
        host: String,
    },
    /// The name does not exist, or has no address.
    #[error("the name {host} does not exist")]
    NameNotFound {
        /// The name.
        host: String,
    },
    /// The name server gave no answer.
    #[error("the name {host} could not be looked up: {reason}")]
    Resolver {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The address must not be reached from here.
    #[error("{host} is {address}, a {}, which Mailgrant does not connect to", class.describe())]
    Forbidden {
        /// The name or address asked for.
        host: String,
        /// The first forbidden address among its addresses.
        address: IpAddr,
        /// What kind of address it is.
        class: Class,
    },
    /// Nothing listens on the port.
    #[error("{host} refused the connection on port {port}")]
    Refused {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// Nobody answered in time.
    #[error("{host} did not answer on port {port} in time")]
    Timeout {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// There is no way to the address, or the connection broke while it was made.
    #[error("{host} cannot be reached on port {port}: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        reason: String,
    },
    /// The TLS session failed.
    #[error("no secure connection to {host}: {}", kind.describe())]
    Tls {
        /// The host.
        host: String,
        /// What went wrong.
        kind: TlsFailure,
    },
}

impl DialError {
    /// The machine code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            DialError::InvalidHost { .. } => "invalid_host",
            DialError::NameNotFound { .. } => "name_not_found",
            DialError::Resolver { .. } => "resolver_failed",
            DialError::Forbidden { .. } => "address_not_allowed",
            DialError::Refused { .. } => "connection_refused",
            DialError::Timeout { .. } => "connection_timeout",
            DialError::Unreachable { .. } => "unreachable",
            DialError::Tls { kind, .. } => match kind {
                TlsFailure::Expired => "certificate_expired",
                TlsFailure::NotYetValid => "certificate_not_yet_valid",
                TlsFailure::UnknownIssuer => "certificate_unknown_issuer",
                TlsFailure::WrongName => "certificate_wrong_name",
                TlsFailure::Revoked => "certificate_revoked",
                TlsFailure::BadCertificate(_) => "certificate_refused",
                TlsFailure::NotTls => "not_tls",
                TlsFailure::HungUp => "tls_hung_up",
                TlsFailure::Handshake(_) => "tls_handshake_failed",
                TlsFailure::NoRoots => "no_trusted_authorities",
            },
        }
    }

    /// What an admin can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            DialError::InvalidHost { .. } => "Type the host alone, without https:// and without a path.",
            DialError::NameNotFound { .. } => "Check the spelling of the host name.",
            DialError::Resolver { .. } => {
                "Check this machine's name servers; Mailgrant tries again by itself."
            }
            DialError::Forbidden { .. } => {
                "If this host is meant, add its network to MAILGRANT_ALLOW_NETWORKS and restart."
            }
            DialError::Refused { .. } => "Check the port, and whether the server is running.",
            DialError::Timeout { .. } => "Check the host, the port, and the firewall between here and there.",
            DialError::Unreachable { .. } => "Check the network between this machine and the server.",
            DialError::Tls { kind, .. } => match kind {
                TlsFailure::Expired => {
                    "Ask the server's operator to renew the certificate; check this machine's clock."
                }
                TlsFailure::NotYetValid => "Check this machine's clock.",
                TlsFailure::UnknownIssuer => {
                    "If the authority is your own, name its certificate in MAILGRANT_EXTRA_CA_FILE."
                }
                TlsFailure::WrongName => "Use the host name that the certificate is for.",
                TlsFailure::Revoked | TlsFailure::BadCertificate(_) => {
                    "Ask the server's operator for a valid certificate."
                }
                TlsFailure::NotTls => {
                    "Check the port, and whether it wants STARTTLS rather than TLS from the start."
                }
                TlsFailure::HungUp => {
                    "The server, or something before it, turns connections away at the moment: wait a minute. If it \
                     lasts, check the port, and whether a firewall or a limit of the server is in the way."
                }
                TlsFailure::Handshake(_) => "Check that the server speaks TLS 1.2 or newer on this port.",
                TlsFailure::NoRoots => {
                    "Install the system's CA certificates (package ca-certificates), or set MAILGRANT_EXTRA_CA_FILE."
                }
            },
        }
    }

    /// Whether the same attempt may well succeed later with nothing changed by the admin.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            DialError::Resolver { .. }
                | DialError::Refused { .. }
                | DialError::Timeout { .. }
                | DialError::Unreachable { .. }
                | DialError::Tls {
                    kind: TlsFailure::HungUp | TlsFailure::Handshake(_),
                    ..
                }
        )
    }
}

/// Why a URL is not accepted as an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither https nor http.
    #[error("the address must begin with https://")]
    NotHttps,
    /// Plain http to something that is not this very machine, listed.
    #[error(
        "http:// without TLS is accepted only for this machine itself, and {host} is not an allowed loopback address"
    )]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// The URL has no host.
    #[error("the address has no host name")]
    NoHost,
    /// The URL carries a user name or a password.
    #[error("the address must not carry a user name or a password")]
    UserInfo,
    /// The URL carries a fragment (`#…`), which an endpoint must not (RFC 6749, section 3.1).
    #[error("the address must not carry a fragment (#…)")]
    Fragment,
    /// The host cannot be looked up or must not be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
}

impl EndpointError {
    /// The machine code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            EndpointError::NotHttps => "endpoint_not_https",
            EndpointError::PlainHttp { .. } => "endpoint_plain_http",
            EndpointError::NoHost => "endpoint_no_host",
            EndpointError::UserInfo => "endpoint_user_info",
            EndpointError::Fragment => "endpoint_fragment",
            EndpointError::Dial(e) => e.code(),
        }
    }

    /// What an admin can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            EndpointError::NotHttps => "Copy the full https:// address from the provider's documentation.",
            EndpointError::PlainHttp { .. } => {
                "Use https. For a test provider on this machine, list 127.0.0.0/8 in MAILGRANT_ALLOW_NETWORKS."
            }
            EndpointError::NoHost => "Type a full address such as https://login.example.com/token.",
            EndpointError::UserInfo => "Remove everything between // and @.",
            EndpointError::Fragment => "Remove everything from # on.",
            EndpointError::Dial(e) => e.remedy(),
        }
    }
}

/// Why an HTTP request got no usable answer. An answer with an error status is an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The URL is not an acceptable endpoint, or its host could not be dialled.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The URL cannot be parsed.
    #[error("\"{0}\" is not a URL")]
    InvalidUrl(String),
    /// A header's name or value cannot be sent.
    #[error("the header {0} cannot be sent")]
    InvalidHeader(String),
    /// The whole exchange took too long.
    #[error("{host} did not answer the request in time")]
    Timeout {
        /// The host.
        host: String,
    },
    /// The body is longer than the caller accepts.
    #[error("{host} answered with more than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The most bytes that were acceptable.
        limit: usize,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("{host} broke off the exchange: {reason}")]
    Broken {
        /// The host.
        host: String,
        /// What happened, without any of the content.
        reason: String,
    },
}

impl HttpError {
    /// The machine code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            HttpError::Endpoint(e) => e.code(),
            HttpError::InvalidUrl(_) => "invalid_url",
            HttpError::InvalidHeader(_) => "invalid_header",
            HttpError::Timeout { .. } => "http_timeout",
            HttpError::TooLarge { .. } => "http_answer_too_large",
            HttpError::Broken { .. } => "http_broken",
        }
    }

    /// What an admin can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            HttpError::Endpoint(e) => e.remedy(),
            HttpError::InvalidUrl(_) => "Copy the full https:// address from the provider's documentation.",
            HttpError::InvalidHeader(_) => {
                "Remove line breaks and control characters from the client id and secret."
            }
            HttpError::Timeout { .. } => "The provider is slow or down; Mailgrant tries again by itself.",
            HttpError::TooLarge { .. } => "Check the address: this does not look like the right endpoint.",
            HttpError::Broken { .. } => "Check the address; if it is right, the provider has a problem.",
        }
    }

    /// Whether the same request may well succeed later with nothing changed by the admin.
    pub fn is_transient(&self) -> bool {
        match self {
            HttpError::Endpoint(EndpointError::Dial(e)) => e.is_transient(),
            HttpError::Timeout { .. } | HttpError::Broken { .. } => true,
            _ => false,
        }
    }
}
