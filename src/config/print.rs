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
    fn the_example_file_uncommented_gives_the_defaults() {
        let uncommented: String = example_file()
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with(' '))
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
