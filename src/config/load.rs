//! The loader: variables over file over defaults, every mistake named with its place and remedy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::{
    Config, KNOWN, Known, LogFormat, ProxyHeader, SECTIONS, SecondFactorFor, Setting, SiteSmtp, providers,
};

/// Settings whose addresses the discovery document names, each with its member there.
const OAUTH_LINKS: [(&str, &str); 3] = [
    ("oauth_policy_url", "op_policy_uri"),
    ("oauth_terms_url", "op_tos_uri"),
    ("oauth_documentation_url", "service_documentation"),
];

/// The variables of the process, as a value, so that tests bring their own.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars().collect())
    }

    /// Variables given as pairs.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    /// One variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{what} {path}: {source}")]
    Read {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration file is not TOML.
    #[error("configuration file {path}: {reason}")]
    Syntax {
        /// The file.
        path: String,
        /// The parser's words.
        reason: String,
    },
    /// A name that no setting has.
    #[error("configuration file {path}: unknown setting {name}; `mailgrant config example` lists all")]
    Unknown {
        /// The file.
        path: String,
        /// The name.
        name: String,
    },
    /// A value that does not fit.
    #[error("{name} ({from}): {reason}")]
    Invalid {
        /// Name of the setting.
        name: &'static str,
        /// Where the value came from.
        from: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
}

struct Raw {
    value: String,
    source: String,
}

/// Loads the configuration. `file` is the one named on the command line; else `MAILGRANT_CONFIG`, else none.
pub fn load(env: &Environment, file: Option<&Path>) -> Result<Config, ConfigError> {
    let file = file
        .map(Path::to_path_buf)
        .or_else(|| env.get("MAILGRANT_CONFIG").map(PathBuf::from));
    let from_file = match &file {
        Some(path) => read_file(path)?,
        None => BTreeMap::new(),
    };
    let mut raw = BTreeMap::new();
    for known in KNOWN {
        raw.insert(known.name, find(known, env, file.as_deref(), &from_file)?);
    }
    let mut config = build(raw)?;
    if let Some(path) = &file {
        config.identity_providers = providers::read(path)?;
    }
    Ok(config)
}

/// The configuration of a service apart from everything that is installed here: defaults, its data in a folder of its own, on
/// loopback and reaching nothing else. What the environment says about another installation is not its business.
///
/// # Errors
/// When address, URL or folder cannot be used.
pub fn apart(listen: SocketAddr, base_url: &str, folder: &Path) -> Result<Config, ConfigError> {
    let (listen, folder) = (listen.to_string(), folder.display().to_string());
    let loopback = "127.0.0.0/8,::1/128";
    let environment = Environment::of(&[
        ("MAILGRANT_LISTEN", &listen),
        ("MAILGRANT_BASE_URL", base_url),
        ("MAILGRANT_DATA_DIR", &folder),
        ("MAILGRANT_ALLOW_NETWORKS", loopback),
        ("MAILGRANT_ALLOW_WEBHOOK_NETWORKS", loopback),
        ("MAILGRANT_MAX_CONNECTIONS", "10"),
    ]);
    load(&environment, None)
}

fn read_file(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        what: "configuration file",
        path: shown.clone(),
        source,
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
        path: shown.clone(),
        reason: error.message().to_owned(),
    })?;
    let mut values = BTreeMap::new();
    for (name, value) in flat(table) {
        if name == providers::NAME {
            continue;
        }
        if !KNOWN.iter().any(|known| known.name == name) {
            return Err(ConfigError::Unknown { path: shown, name });
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().unwrap_or_default())
                .collect::<Vec<_>>()
                .join(","),
            other => other.to_string(),
        };
        values.insert(name, text);
    }
    Ok(values)
}

/// The settings of a file by the names they have here, those of sections with the section's before theirs.
fn flat(table: toml::Table) -> Vec<(String, toml::Value)> {
    let mut all = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) if SECTIONS.iter().any(|(section, _)| *section == name) => {
                all.extend(
                    inner
                        .into_iter()
                        .map(|(inner, value)| (format!("{name}_{inner}"), value)),
                );
            }
            value => all.push((name, value)),
        }
    }
    all
}

fn find(
    known: &Known,
    env: &Environment,
    file: Option<&Path>,
    from_file: &BTreeMap<String, String>,
) -> Result<Raw, ConfigError> {
    let variable = format!("MAILGRANT_{}", known.name.to_uppercase());
    if let Some(value) = env.get(&variable) {
        return Ok(Raw {
            value: value.to_owned(),
            source: format!("env {variable}"),
        });
    }
    if known.secret {
        let named = env.get(&format!("{variable}_FILE")).map(PathBuf::from);
        let credential = env
            .get("CREDENTIALS_DIRECTORY")
            .map(|dir| Path::new(dir).join(known.name));
        if let Some(path) = named.or_else(|| credential.filter(|path| path.exists())) {
            let shown = path.display().to_string();
            let value = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read {
                what: "secret file",
                path: shown.clone(),
                source,
            })?;
            return Ok(Raw {
                value: value.trim().to_owned(),
                source: format!("secret file {shown}"),
            });
        }
    }
    if known.name == "key_file"
        && let Some(dir) = env.get("CREDENTIALS_DIRECTORY")
        && !from_file.contains_key("key_file")
    {
        let path = Path::new(dir).join("key_file");
        if path.exists() {
            return Ok(Raw {
                value: path.display().to_string(),
                source: "credentials directory".into(),
            });
        }
    }
    if let (Some(value), Some(path)) = (from_file.get(known.name), file) {
        return Ok(Raw {
            value: value.clone(),
            source: format!("file {}", path.display()),
        });
    }
    Ok(Raw {
        value: known.default.to_owned(),
        source: "default".into(),
    })
}

fn build(raw: BTreeMap<&'static str, Raw>) -> Result<Config, ConfigError> {
    let get = |name: &'static str| raw.get(name).map(|raw| raw.value.clone()).unwrap_or_default();
    let bad = |name: &'static str, reason: String| ConfigError::Invalid {
        name,
        from: raw.get(name).map(|raw| raw.source.clone()).unwrap_or_default(),
        reason,
    };
    let listen: SocketAddr = get("listen").parse().map_err(|_| {
        bad(
            "listen",
            "expected an address and a port, for example 127.0.0.1:8080".into(),
        )
    })?;
    let base_url = match get("base_url") {
        text if text.is_empty() => default_base_url(listen),
        text => text,
    };
    let base_url = parse_base_url(&base_url).map_err(|reason| bad("base_url", reason))?;
    let data_dir = PathBuf::from(get("data_dir"));
    let database_url = match get("database_url") {
        text if text.is_empty() => format!("sqlite:{}", data_dir.join("mailgrant.db").display()),
        text => text,
    };
    if !["sqlite:", "postgres:", "postgresql:"]
        .iter()
        .any(|scheme| database_url.starts_with(scheme))
    {
        return Err(bad(
            "database_url",
            "expected sqlite:/path/to/file.db or postgres://user:password@host/database".into(),
        ));
    }
    let key_file = match get("key_file") {
        text if text.is_empty() => data_dir.join("key"),
        text => PathBuf::from(text),
    };
    let extra_ca_file = Some(get("extra_ca_file"))
        .filter(|text| !text.is_empty())
        .map(PathBuf::from);
    let allow_networks =
        parse_networks(&get("allow_networks")).map_err(|reason| bad("allow_networks", reason))?;
    let allow_webhook_networks = parse_networks(&get("allow_webhook_networks"))
        .map_err(|reason| bad("allow_webhook_networks", reason))?;
    let webhook_timeout = get("webhook_timeout")
        .parse()
        .ok()
        .filter(|seconds| (1..=60).contains(seconds))
        .ok_or_else(|| bad("webhook_timeout", "expected a number from 1 to 60".into()))?;
    let event_retention_days = get("event_retention_days")
        .parse()
        .ok()
        .filter(|days| (30..=3_650).contains(days))
        .ok_or_else(|| bad("event_retention_days", "expected a number from 30 to 3650".into()))?;
    let audit_retention_days = get("audit_retention_days")
        .parse()
        .ok()
        .filter(|days| *days == 0 || (30..=36_500).contains(days))
        .ok_or_else(|| {
            bad(
                "audit_retention_days",
                "expected a number from 30 to 36500, or 0".into(),
            )
        })?;
    let trusted_proxies =
        parse_networks(&get("trusted_proxies")).map_err(|reason| bad("trusted_proxies", reason))?;
    let proxy_header = match get("proxy_header").as_str() {
        "x-forwarded" => ProxyHeader::XForwarded,
        "forwarded" => ProxyHeader::Forwarded,
        _ => return Err(bad("proxy_header", "expected x-forwarded or forwarded".into())),
    };
    let file = |name| Some(get(name)).filter(|text| !text.is_empty()).map(PathBuf::from);
    let (tls_cert_file, tls_key_file) = (file("tls_cert_file"), file("tls_key_file"));
    if tls_cert_file.is_some() != tls_key_file.is_some() {
        let missing = if tls_key_file.is_none() {
            "tls_key_file"
        } else {
            "tls_cert_file"
        };
        return Err(bad(
            missing,
            "a certificate and its key are set both or not at all".into(),
        ));
    }
    let http_redirect_listen = match get("http_redirect_listen") {
        text if text.is_empty() => None,
        text => Some(text.parse().map_err(|_| {
            bad(
                "http_redirect_listen",
                "expected an address and a port, for example 0.0.0.0:80".into(),
            )
        })?),
    };
    let log_format = match get("log_format").as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => return Err(bad("log_format", "expected text or json".into())),
    };
    let max_connections = get("max_connections")
        .parse()
        .ok()
        .filter(|n| (1..=10_000).contains(n))
        .ok_or_else(|| bad("max_connections", "expected a number from 1 to 10000".into()))?;
    let open_registration = match get("open_registration").as_str() {
        "true" => true,
        "false" => false,
        _ => return Err(bad("open_registration", "expected true or false".into())),
    };
    let per_minute = |name| {
        get(name)
            .parse()
            .map_err(|_| bad(name, "expected a number from 0 (no limit)".into()))
    };
    let require_second_factor = match get("require_second_factor").as_str() {
        "nobody" => SecondFactorFor::Nobody,
        "admins" => SecondFactorFor::Admins,
        "everybody" => SecondFactorFor::Everybody,
        _ => {
            return Err(bad(
                "require_second_factor",
                "expected nobody, admins or everybody".into(),
            ));
        }
    };
    let mut oauth_links = Vec::new();
    for (name, member) in OAUTH_LINKS {
        let link = get(name);
        if link.is_empty() {
            continue;
        }
        if !url::Url::parse(&link).is_ok_and(|url| matches!(url.scheme(), "https" | "http")) {
            return Err(bad(name, "expected an address that begins with https".into()));
        }
        oauth_links.push((member, link));
    }
    let mut config = Config {
        oauth_links,
        smtp: site_smtp(&get).map_err(|(name, reason)| bad(name, reason))?,
        require_second_factor,
        oauth_templates: Some(get("oauth_templates"))
            .filter(|text| !text.is_empty())
            .map(PathBuf::from),
        open_registration,
        requests_per_token: per_minute("requests_per_token")?,
        requests_per_address: per_minute("requests_per_address")?,
        listen,
        base_url,
        database_url: SecretString::from(database_url),
        data_dir,
        key_file,
        extra_ca_file,
        allow_networks,
        allow_webhook_networks,
        webhook_timeout,
        event_retention_days,
        audit_retention_days,
        trusted_proxies,
        proxy_header,
        tls_cert_file,
        tls_key_file,
        http_redirect_listen,
        log_format,
        log_level: get("log_level"),
        max_connections,
        identity_providers: Vec::new(),
        sources: Vec::new(),
    };
    config.sources = KNOWN
        .iter()
        .map(|known| Setting {
            name: known.name,
            shown: shown(&config, known.name),
            source: raw
                .get(known.name)
                .map(|raw| raw.source.clone())
                .unwrap_or_default(),
        })
        .collect();
    Ok(config)
}

/// The account of the site, if its server is named; a mistake with the name of its setting.
fn site_smtp(get: &impl Fn(&'static str) -> String) -> Result<Option<SiteSmtp>, (&'static str, String)> {
    let wrong = |name, reason: &str| Err((name, reason.to_owned()));
    let (host, login_name, password) = (get("smtp_host"), get("smtp_login_name"), get("smtp_password"));
    if host.is_empty() {
        let lonely = ["smtp_login_name", "smtp_password", "smtp_from"]
            .into_iter()
            .find(|name| !get(name).is_empty());
        return match lonely {
            Some(name) => wrong(name, "is of no use without `host` below [smtp]"),
            None => Ok(None),
        };
    }
    let Some(port) = get("smtp_port").parse().ok().filter(|port| *port > 0) else {
        return wrong("smtp_port", "expected a port from 1 to 65535");
    };
    let tls = get("smtp_tls");
    if !["starttls", "implicit", "none"].contains(&tls.as_str()) {
        return wrong("smtp_tls", "expected starttls, implicit or none");
    }
    if login_name.is_empty() != password.is_empty() {
        return wrong(
            "smtp_password",
            "login name and password belong together; the password may stand in the file that \
             MAILGRANT_SMTP_PASSWORD_FILE names",
        );
    }
    if tls == "none" && !login_name.is_empty() {
        return wrong(
            "smtp_tls",
            "without TLS nobody signs in: choose starttls or implicit, or leave the login name empty",
        );
    }
    let from = match get("smtp_from") {
        text if text.is_empty() => login_name.clone(),
        text => text,
    };
    if !from.contains('@') || from.chars().any(char::is_control) {
        return wrong(
            "smtp_from",
            "expected a sender, for example Mailgrant <mailgrant@example.com>",
        );
    }
    Ok(Some(SiteSmtp {
        host,
        port,
        tls,
        login_name,
        password: SecretString::from(password),
        from,
    }))
}

/// A setting of the site's account as it is shown.
fn shown_smtp(smtp: Option<&SiteSmtp>, name: &str) -> String {
    let Some(smtp) = smtp else {
        return String::new();
    };
    match name {
        "smtp_host" => smtp.host.clone(),
        "smtp_port" => smtp.port.to_string(),
        "smtp_tls" => smtp.tls.clone(),
        "smtp_login_name" => smtp.login_name.clone(),
        "smtp_password" if smtp.password.expose_secret().is_empty() => String::new(),
        "smtp_password" => "***".into(),
        "smtp_from" => smtp.from.clone(),
        _ => String::new(),
    }
}

fn shown(config: &Config, name: &str) -> String {
    match name {
        "listen" => config.listen.to_string(),
        "base_url" => config.base_url.to_string(),
        "database_url" => mask_password(config.database_url.expose_secret()),
        "data_dir" => config.data_dir.display().to_string(),
        "key_file" => config.key_file.display().to_string(),
        "extra_ca_file" => config
            .extra_ca_file
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        "allow_networks" => listed(&config.allow_networks),
        "allow_webhook_networks" => listed(&config.allow_webhook_networks),
        "webhook_timeout" => config.webhook_timeout.to_string(),
        "event_retention_days" => config.event_retention_days.to_string(),
        "audit_retention_days" => config.audit_retention_days.to_string(),
        "trusted_proxies" => listed(&config.trusted_proxies),
        "proxy_header" => match config.proxy_header {
            ProxyHeader::XForwarded => "x-forwarded".into(),
            ProxyHeader::Forwarded => "forwarded".into(),
        },
        "tls_cert_file" => path_shown(config.tls_cert_file.as_deref()),
        "tls_key_file" => path_shown(config.tls_key_file.as_deref()),
        "http_redirect_listen" => config
            .http_redirect_listen
            .map(|address| address.to_string())
            .unwrap_or_default(),
        "log_format" => match config.log_format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        },
        "log_level" => config.log_level.clone(),
        "require_second_factor" => config.require_second_factor.as_str().into(),
        "oauth_templates" => config
            .oauth_templates
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        "open_registration" => config.open_registration.to_string(),
        name if OAUTH_LINKS.iter().any(|(known, _)| *known == name) => oauth_link(config, name),
        "requests_per_token" => config.requests_per_token.to_string(),
        "requests_per_address" => config.requests_per_address.to_string(),
        "max_connections" => config.max_connections.to_string(),
        name if name.starts_with("smtp_") => shown_smtp(config.smtp.as_ref(), name),
        _ => String::new(),
    }
}

fn oauth_link(config: &Config, name: &str) -> String {
    let member = OAUTH_LINKS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, member)| *member);
    let link = config.oauth_links.iter().find(|(have, _)| Some(*have) == member);
    link.map(|(_, link)| link.clone()).unwrap_or_default()
}

fn path_shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn listed(networks: &[IpNet]) -> String {
    let shown: Vec<String> = networks.iter().map(ToString::to_string).collect();
    shown.join(",")
}

/// A database URL without its password, and without query values, which may hold one.
fn mask_password(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    match Url::parse(url) {
        Ok(mut parsed) => {
            if parsed.password().is_some() {
                let _ = parsed.set_password(Some("***"));
            }
            if parsed.query().is_some() {
                parsed.set_query(Some("***"));
            }
            parsed.to_string()
        }
        Err(_) => "***".into(),
    }
}

fn default_base_url(listen: SocketAddr) -> String {
    let port = listen.port();
    match listen.ip() {
        ip if ip.is_unspecified() => format!("http://127.0.0.1:{port}"),
        ip if ip.is_ipv6() => format!("http://[{ip}]:{port}"),
        ip => format!("http://{ip}:{port}"),
    }
}

fn parse_base_url(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("not a URL ({error}); write https://mail.example.com"))?;
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => {
            return Err(format!(
                "{text} is not https. Providers refuse redirect URLs without it, and cookies would travel in clear: \
                 put a reverse proxy with TLS in front and write https://…"
            ));
        }
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || url.password().is_some()
        || !url.username().is_empty()
    {
        return Err("must be scheme, host, port and path only".into());
    }
    Ok(url)
}

fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| {
            item.parse::<IpNet>()
                .or_else(|_| item.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| format!("{item} is not a network; write for example 10.20.0.0/16"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(pairs)
    }

    #[test]
    fn with_only_a_data_dir_the_database_lies_in_it() {
        let config = load(&env(&[("MAILGRANT_DATA_DIR", "/srv/mg")]), None).unwrap();
        assert_eq!(config.database_url.expose_secret(), "sqlite:/srv/mg/mailgrant.db");
        assert_eq!(config.key_file, Path::new("/srv/mg/key"));
        assert!(config.allow_networks.is_empty());
        assert_eq!(config.webhook_timeout, 15, "docs/webhooks.md says so");
    }

    #[test]
    fn variables_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mailgrant.toml");
        std::fs::write(
            &path,
            "listen = \"127.0.0.1:9001\"\nallow_networks = [\"10.0.0.0/8\", \"127.0.0.1\"]\n",
        )
        .unwrap();
        let config = load(&env(&[]), Some(&path)).unwrap();
        assert_eq!(config.listen.port(), 9001);
        assert_eq!(config.base_url.as_str(), "http://127.0.0.1:9001/");
        assert_eq!(config.allow_networks.len(), 2);
        let config = load(&env(&[("MAILGRANT_LISTEN", "127.0.0.1:9002")]), Some(&path)).unwrap();
        assert_eq!(config.listen.port(), 9002);
        assert!(
            config
                .sources
                .iter()
                .any(|s| s.name == "listen" && s.source == "env MAILGRANT_LISTEN")
        );
    }

    #[test]
    fn lists_in_variables_are_comma_separated() {
        let config = load(
            &env(&[("MAILGRANT_ALLOW_NETWORKS", "127.0.0.0/8, ::1/128")]),
            None,
        )
        .unwrap();
        assert_eq!(config.allow_networks.len(), 2);
    }

    #[test]
    fn a_base_url_without_https_is_refused_except_on_loopback() {
        let refused = load(&env(&[("MAILGRANT_BASE_URL", "http://mail.example.com")]), None).unwrap_err();
        assert!(refused.to_string().contains("https"), "{refused}");
        for accepted in [
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "http://[::1]:8080",
            "https://m.example",
        ] {
            load(&env(&[("MAILGRANT_BASE_URL", accepted)]), None).unwrap();
        }
    }

    #[test]
    fn the_database_password_is_never_shown() {
        let url = "postgres://mg:s3cret@db/mailgrant?sslpassword=s3cret";
        let config = load(&env(&[("MAILGRANT_DATABASE_URL", url)]), None).unwrap();
        assert_eq!(config.database_url.expose_secret(), url);
        assert!(!format!("{:?}", config).contains("s3cret"));
        assert!(
            config
                .sources
                .iter()
                .all(|setting| !setting.shown.contains("s3cret"))
        );
    }

    #[test]
    fn the_database_url_may_stand_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        std::fs::write(&path, "postgres://mg:pw@db/mg\n").unwrap();
        let named = env(&[("MAILGRANT_DATABASE_URL_FILE", path.to_str().unwrap())]);
        assert_eq!(
            load(&named, None).unwrap().database_url.expose_secret(),
            "postgres://mg:pw@db/mg"
        );
        std::fs::rename(&path, dir.path().join("database_url")).unwrap();
        let credential = env(&[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())]);
        assert_eq!(
            load(&credential, None).unwrap().database_url.expose_secret(),
            "postgres://mg:pw@db/mg"
        );
    }

    #[test]
    fn the_account_of_the_site_stands_in_a_section_and_its_password_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mailgrant.toml");
        let section = "[smtp]\nhost = \"smtp.example.com\"\nport = 465\ntls = \"implicit\"\nlogin_name = \"mg@example.com\"\n";
        std::fs::write(&path, section).unwrap();
        let refused = load(&env(&[]), Some(&path)).unwrap_err().to_string();
        assert!(refused.contains("MAILGRANT_SMTP_PASSWORD_FILE"), "{refused}");
        let secret = dir.path().join("password");
        std::fs::write(&secret, "s3cret\n").unwrap();
        let config = load(
            &env(&[("MAILGRANT_SMTP_PASSWORD_FILE", secret.to_str().unwrap())]),
            Some(&path),
        )
        .unwrap();
        let smtp = config.smtp.as_ref().unwrap();
        assert_eq!((smtp.port, smtp.from.as_str()), (465, "mg@example.com"));
        assert_eq!(smtp.password.expose_secret(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
        assert!(!crate::config::describe(&config).contains("s3cret"));
    }

    #[test]
    fn half_an_account_of_the_site_is_refused_by_name() {
        let host = ("MAILGRANT_SMTP_HOST", "smtp.example.com");
        for (pairs, named) in [
            (vec![("MAILGRANT_SMTP_FROM", "a@b.example")], "smtp_from"),
            (vec![host], "smtp_from"),
            (vec![host, ("MAILGRANT_SMTP_FROM", "nobody")], "smtp_from"),
            (vec![host, ("MAILGRANT_SMTP_PORT", "0")], "smtp_port"),
            (vec![host, ("MAILGRANT_SMTP_TLS", "ssl")], "smtp_tls"),
            (
                vec![host, ("MAILGRANT_SMTP_LOGIN_NAME", "a@b.example")],
                "smtp_password",
            ),
            (
                vec![
                    host,
                    ("MAILGRANT_SMTP_LOGIN_NAME", "a@b.example"),
                    ("MAILGRANT_SMTP_PASSWORD", "x"),
                    ("MAILGRANT_SMTP_TLS", "none"),
                ],
                "smtp_tls",
            ),
        ] {
            match load(&env(&pairs), None) {
                Err(ConfigError::Invalid { name, .. }) => assert_eq!(name, named),
                other => panic!("{pairs:?}: {other:?}"),
            }
        }
        assert!(load(&env(&[]), None).unwrap().smtp.is_none());
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mailgrant.toml");
        std::fs::write(&path, "lisen = \"x\"\n").unwrap();
        assert!(
            load(&env(&[]), Some(&path))
                .unwrap_err()
                .to_string()
                .contains("lisen")
        );
    }
}
