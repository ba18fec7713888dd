//! How the configuration is shown: `config check` and the example file.

use std::fmt::Write as _;

use super::{Config, KNOWN, Known, SECTIONS, in_section};

/// The effective values, one a line, each with its source; secrets masked.
pub fn describe(config: &Config) -> String {
    let mut out = String::new();
    for setting in &config.sources {
        let value = if setting.shown.is_empty() {
            "(none)"
        } else {
            &setting.shown
        };
        let _ = writeln!(out, "{:<16} {value:<44} {}", setting.name, setting.source);
    }
    out
}

/// What is allowed and probably not meant, each in a sentence or two.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let own_tls = config.tls_cert_file.is_some();
    if config.is_https() && !own_tls && config.trusted_proxies.is_empty() {
        found.push(
            "base_url is https, but there is neither a certificate (tls_cert_file) nor a proxy in trusted_proxies: if a \
             reverse proxy stands before this service, name its network there, or every client has the proxy's address \
             in the audit log, in sessions and in rate limits."
                .to_owned(),
        );
    }
    if own_tls && !config.is_https() {
        found.push(
            "there is a certificate (tls_cert_file), but base_url is http: cookies and links are made for http. Write \
             https in base_url."
                .to_owned(),
        );
    }
    if config
        .trusted_proxies
        .iter()
        .any(|network| network.prefix_len() == 0)
    {
        found.push(
            "trusted_proxies names the whole internet: everybody may say they come from any address. Name the proxies \
             only."
                .to_owned(),
        );
    }
    found
}

/// The example configuration file: every setting with its default, commented out.
pub fn example_file() -> String {
    let mut out = String::from(
        "# Mailgrant's configuration. Every setting stands here with its default.\n\
         # A variable MAILGRANT_<NAME IN CAPITALS> wins over this file.\n",
    );
    for known in KNOWN.iter().filter(|known| in_section(known.name).is_none()) {
        example(&mut out, known, known.name);
    }
    // Last: whatever follows the head of a section belongs to it.
    for (section, about) in SECTIONS {
        out.push('\n');
        comment(&mut out, about);
        let _ = writeln!(out, "#[{section}]");
        for known in KNOWN {
            if let Some((_, name)) = in_section(known.name).filter(|(of, _)| of == section) {
                example(&mut out, known, name);
            }
        }
    }
    out.push_str(super::providers::EXAMPLE);
    out
}

fn example(out: &mut String, known: &Known, name: &str) {
    out.push('\n');
    comment(out, known.about);
    let default = match known.default {
        _ if known.list => "[]".to_owned(),
        number if number.parse::<u64>().is_ok() => number.to_owned(),
        text => format!("\"{text}\""),
    };
    let _ = writeln!(out, "#{name} = {default}");
}

fn comment(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "# {}", line.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    #[test]
    fn the_example_file_in_the_repository_is_the_real_one() {
        let committed = include_str!("../../mailgrant.example.toml");
        assert_eq!(
            committed,
            example_file(),
            "write it anew: mailgrant config example > mailgrant.example.toml"
        );
    }

    #[test]
    fn an_https_address_without_proxy_or_certificate_is_warned_of() {
        let of = |pairs: &[(&str, &str)]| {
            let mut all = vec![("MAILGRANT_BASE_URL", "https://mail.example.com")];
            all.extend_from_slice(pairs);
            warnings(&load(&Environment::of(&all), None).unwrap()).len()
        };
        assert_eq!(of(&[]), 1);
        assert_eq!(of(&[("MAILGRANT_TRUSTED_PROXIES", "10.0.0.1")]), 0);
        assert_eq!(of(&[("MAILGRANT_TRUSTED_PROXIES", "10.0.0.1, ::/0")]), 1);
        let tls = [
            ("MAILGRANT_TLS_CERT_FILE", "/c.pem"),
            ("MAILGRANT_TLS_KEY_FILE", "/k.pem"),
        ];
        assert_eq!(of(&tls), 0);
        assert_eq!(
            of(&[tls[0], tls[1], ("MAILGRANT_BASE_URL", "http://localhost")]),
            1
        );
        assert!(
            load(&Environment::of(&tls[..1]), None).is_err(),
            "a certificate without its key"
        );
    }

    #[test]
    fn the_example_file_uncommented_gives_the_defaults() {
        let uncommented: String = example_file()
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with(' '))
            .take_while(|line| !line.starts_with("[["))
            .fold(String::new(), |mut all, line| {
                all.push_str(line);
                all.push('\n');
                all
            });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mailgrant.toml");
        std::fs::write(&path, uncommented).unwrap();
        let from_file = load(&Environment::default(), Some(&path)).unwrap();
        let defaults = load(&Environment::default(), None).unwrap();
        let shown = |config: &Config| config.sources.iter().map(|s| s.shown.clone()).collect::<Vec<_>>();
        assert_eq!(shown(&from_file), shown(&defaults));
    }
}
