//! Configuration: one struct, one loader. A value comes from `MAILGRANT_*` variables, else from the file, else from
//! the defaults; secrets may stand in files of their own (`*_FILE`, `$CREDENTIALS_DIRECTORY`).
//!
//! The environment is read here and nowhere else.

mod load;
mod print;
mod providers;

pub use load::{ConfigError, Environment, apart, load};
pub use print::{describe, example_file, warnings};
pub use providers::{ConfiguredProvider, ConfiguredRule};

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

/// Everything that can be configured, checked and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address the HTTP listener binds.
    pub listen: SocketAddr,
    /// Where people and providers reach this service; https, except on loopback. No trailing slash in its path.
    pub base_url: Url,
    /// `sqlite:` or `postgres:` URL; may hold a password.
    pub database_url: SecretString,
    /// Folder of the SQLite file and the key file.
    pub data_dir: PathBuf,
    /// The file with the sealing keys.
    pub key_file: PathBuf,
    /// Certificates (PEM) trusted beside the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// Networks that outbound connections may reach although they are not public.
    pub allow_networks: Vec<IpNet>,
    /// Networks that webhooks may reach although they are not public.
    pub allow_webhook_networks: Vec<IpNet>,
    /// How long a webhook's receiver may take to answer, seconds.
    pub webhook_timeout: u64,
    /// How long the event log is kept, days.
    pub event_retention_days: i64,
    /// How long the audit log is kept, days; 0 keeps all of it.
    pub audit_retention_days: i64,
    /// Proxies whose word about a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// In which header they say it.
    pub proxy_header: ProxyHeader,
    /// Certificates (PEM) of our own TLS; without them plain HTTP is spoken.
    pub tls_cert_file: Option<PathBuf>,
    /// The key that belongs to them.
    pub tls_key_file: Option<PathBuf>,
    /// An address that sends everybody on to https.
    pub http_redirect_listen: Option<SocketAddr>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines appear, in the syntax of `tracing`'s env-filter.
    pub log_level: String,
    /// How many mailboxes are read at once by this process.
    pub max_connections: usize,
    /// Folder with the operator's own pages of the authorization server.
    pub oauth_templates: Option<PathBuf>,
    /// What the discovery document says of the operator: the members that are set, each with its address.
    pub oauth_links: Vec<(&'static str, String)>,
    /// Whether applications may register themselves without an initial access token.
    pub open_registration: bool,
    /// REST requests of one token in a minute; 0 is no limit.
    pub requests_per_token: u32,
    /// REST requests from one address in a minute; 0 is no limit.
    pub requests_per_address: u32,
    /// The account that sends mails of this installation itself, if one is named.
    pub smtp: Option<SiteSmtp>,
    /// Of whom a second factor is wanted at sign-in.
    pub require_second_factor: SecondFactorFor,
    /// Identity providers that the file sets.
    pub identity_providers: Vec<ConfiguredProvider>,
    /// Where each value came from, for `config check`.
    pub sources: Vec<Setting>,
}

/// The account for mails of this installation: invitations, alerts, test mails.
#[derive(Clone, Debug)]
pub struct SiteSmtp {
    /// Its server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `implicit`, `starttls` or `none`.
    pub tls: String,
    /// Who signs in; empty if nobody does.
    pub login_name: String,
    /// With which password.
    pub password: SecretString,
    /// The sender: `a@example.com` or `Name <a@example.com>`.
    pub from: String,
}

/// Of whom a second factor is wanted at sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondFactorFor {
    /// Of nobody; everybody may turn one on.
    Nobody,
    /// Of site admins.
    Admins,
    /// Of everybody.
    Everybody,
}

impl SecondFactorFor {
    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Admins => "admins",
            Self::Everybody => "everybody",
        }
    }
}

/// The header in which trusted proxies say who asks. Only one is believed: a proxy that writes the one passes the other on
/// as a client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// One effective value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name in the file; the variable is `MAILGRANT_` + the name in capitals.
    pub name: &'static str,
    /// The value as text, secrets masked.
    pub shown: String,
    /// `default`, `file PATH`, `env NAME`, …
    pub source: String,
}

impl Config {
    /// The public URL of a path, for example `url("/oauth2/callback/x")`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url.as_str().trim_end_matches('/'))
    }

    /// What this service calls itself to mail servers it sends through: the host people reach it by.
    pub fn hello_name(&self) -> String {
        match self.base_url.host() {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(ip)) => format!("[{ip}]"),
            Some(url::Host::Ipv6(ip)) => format!("[IPv6:{ip}]"),
            None => "localhost".to_owned(),
        }
    }

    /// Whether people reach this service by https.
    pub fn is_https(&self) -> bool {
        self.base_url.scheme() == "https"
    }
}

/// One known setting: name, default, what it is. The loader, the example file and `config check` all read this table.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
    pub(crate) secret: bool,
    pub(crate) list: bool,
}

/// The sections of the file: `smtp_host` is `host` below `[smtp]`. The variable is `MAILGRANT_SMTP_HOST` all the same.
pub(crate) const SECTIONS: &[(&str, &str)] = &[(
    "smtp",
    "The account that sends mails of this installation itself: invitations, alerts, test mails. In its place a\n\
     mailbox can be chosen under Settings.",
)];

/// Section and name within it of a setting that stands in one.
pub(crate) fn in_section(name: &str) -> Option<(&'static str, &str)> {
    SECTIONS
        .iter()
        .find_map(|(section, _)| Some((*section, name.strip_prefix(section)?.strip_prefix('_')?)))
}

/// Every setting, in the order they are shown.
pub(crate) const KNOWN: &[Known] = &[
    Known {
        name: "listen",
        default: "127.0.0.1:8080",
        about: "Address and port the HTTP listener binds.",
        secret: false,
        list: false,
    },
    Known {
        name: "base_url",
        default: "",
        about: "Where people and mail providers reach this service. Must be https, except on loopback.\n\
                Empty: http:// and the address of `listen`.",
        secret: false,
        list: false,
    },
    Known {
        name: "database_url",
        default: "",
        about: "sqlite:/path/to/file.db or postgres://user:password@host/database.\n\
                Empty: mailgrant.db in `data_dir`. A file with the URL: MAILGRANT_DATABASE_URL_FILE.",
        secret: true,
        list: false,
    },
    Known {
        name: "data_dir",
        default: "./data",
        about: "Folder for the SQLite database and the key file; made if it is missing.",
        secret: false,
        list: false,
    },
    Known {
        name: "key_file",
        default: "",
        about: "File with the keys that seal secrets, readable by its owner only. Empty: `key` in `data_dir`.\n\
                Back it up apart from the database.",
        secret: false,
        list: false,
    },
    Known {
        name: "extra_ca_file",
        default: "",
        about: "Certificates (PEM) to trust beside the system's, for providers with a private authority.",
        secret: false,
        list: false,
    },
    Known {
        name: "allow_networks",
        default: "",
        about: "Networks that outbound connections may reach although they are not public, for example\n\
                [\"10.20.0.0/16\"]. As a variable: comma-separated.",
        secret: false,
        list: true,
    },
    Known {
        name: "allow_webhook_networks",
        default: "",
        about: "Networks that webhooks may reach although they are not public, and the addresses of OAuth clients (key\n\
                sets, back-channel logout). `allow_networks` does not count here: who may add a webhook or a client\n\
                should not reach mail servers with it. Clients that registered themselves reach public addresses only.",
        secret: false,
        list: true,
    },
    Known {
        name: "webhook_timeout",
        default: "15",
        about: "How many seconds a webhook's receiver may take to answer, 1 to 60.",
        secret: false,
        list: false,
    },
    Known {
        name: "event_retention_days",
        default: "90",
        about: "How many days the event log is kept, 30 to 3650. Consumers can read that far back.",
        secret: false,
        list: false,
    },
    Known {
        name: "audit_retention_days",
        default: "730",
        about: "How many days the audit log is kept, 30 to 36500; 0 keeps all of it.",
        secret: false,
        list: false,
    },
    Known {
        name: "trusted_proxies",
        default: "",
        about: "Networks of the reverse proxies whose X-Forwarded-For, -Proto and -Host are believed, for example\n\
                [\"127.0.0.1\", \"10.0.3.0/24\"]. From everybody else these headers say nothing.",
        secret: false,
        list: true,
    },
    Known {
        name: "proxy_header",
        default: "x-forwarded",
        about: "x-forwarded or forwarded (RFC 7239): where those proxies say who asks. The other header is ignored.",
        secret: false,
        list: false,
    },
    Known {
        name: "tls_cert_file",
        default: "",
        about: "Certificates (PEM), the server's own first, to serve https without a proxy. Read again when they change.",
        secret: false,
        list: false,
    },
    Known {
        name: "tls_key_file",
        default: "",
        about: "The private key (PEM) of the first certificate.",
        secret: false,
        list: false,
    },
    Known {
        name: "http_redirect_listen",
        default: "",
        about: "An address and port that sends everybody on to `base_url`, for example 0.0.0.0:80. Empty: none.",
        secret: false,
        list: false,
    },
    Known {
        name: "log_format",
        default: "text",
        about: "text or json.",
        secret: false,
        list: false,
    },
    Known {
        name: "log_level",
        default: "info",
        about: "error, warn, info, debug or trace, or a filter such as mailgrant=debug,info.",
        secret: false,
        list: false,
    },
    Known {
        name: "max_connections",
        default: "200",
        about: "How many mailboxes this process reads at once.",
        secret: false,
        list: false,
    },
    Known {
        name: "require_second_factor",
        default: "nobody",
        about: "Who needs a second factor to sign in with a password: nobody, admins (site admins) or everybody.\n\
                Who has none yet sets one up at the next sign-in. Identity providers see to it themselves.",
        secret: false,
        list: false,
    },
    Known {
        name: "requests_per_token",
        default: "3000",
        about: "REST requests that one token, or one application, may make of one route in a minute, on each node; 0 is no limit.",
        secret: false,
        list: false,
    },
    Known {
        name: "requests_per_address",
        default: "6000",
        about: "REST requests that may come from one address in a minute, on each node; 0 is no limit.",
        secret: false,
        list: false,
    },
    Known {
        name: "oauth_templates",
        default: "",
        about: "Folder with pages of your own in the place of consent.html, device.html and device_done.html.\n\
                Start from the originals in templates/oauth2; the policy that forbids scripts stays.",
        secret: false,
        list: false,
    },
    Known {
        name: "oauth_policy_url",
        default: "",
        about: "Address of your privacy policy, for the discovery document of the authorization server (op_policy_uri).",
        secret: false,
        list: false,
    },
    Known {
        name: "oauth_terms_url",
        default: "",
        about: "Address of your terms, for the same document (op_tos_uri).",
        secret: false,
        list: false,
    },
    Known {
        name: "oauth_documentation_url",
        default: "",
        about: "Address of what you tell developers, for the same document (service_documentation).",
        secret: false,
        list: false,
    },
    Known {
        name: "open_registration",
        default: "false",
        about: "true lets applications register themselves at /oauth2/register without an initial access token. They can\n\
                only sign people in, and wait for an admin's approval.",
        secret: false,
        list: false,
    },
    Known {
        name: "smtp_host",
        default: "",
        about: "The mail server. Empty: this installation sends no mail of its own.",
        secret: false,
        list: false,
    },
    Known {
        name: "smtp_port",
        default: "587",
        about: "Its port: 587 with starttls, 465 with implicit.",
        secret: false,
        list: false,
    },
    Known {
        name: "smtp_tls",
        default: "starttls",
        about: "starttls, implicit (TLS from the first byte), or none: only to this machine and `allow_networks`, and\n\
                without a sign-in.",
        secret: false,
        list: false,
    },
    Known {
        name: "smtp_login_name",
        default: "",
        about: "Who signs in. Empty: nobody, for a relay that knows this machine.",
        secret: false,
        list: false,
    },
    Known {
        name: "smtp_password",
        default: "",
        about: "Better than here: a file named by MAILGRANT_SMTP_PASSWORD_FILE.",
        secret: true,
        list: false,
    },
    Known {
        name: "smtp_from",
        default: "",
        about: "The sender, for example Mailgrant <mailgrant@example.com>. Empty: the login name.",
        secret: false,
        list: false,
    },
];
