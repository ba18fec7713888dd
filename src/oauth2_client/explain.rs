//! The error table: what a provider's refusal means and what to do about it. The table itself is data, in
//! `errors.toml`; here it is read and searched. Whether something is retried follows from its class, never from texts.

use std::sync::LazyLock;

use serde::Deserialize;

use super::provider::Provider;
use crate::trouble::Trouble;

/// What kind of trouble a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The integration is set up wrongly; its grants are not at fault.
    Client,
    /// Somebody has to consent, or was not allowed to.
    Consent,
    /// A rule of the organisation wants a person, or forbids it.
    Policy,
    /// The account itself is locked, disabled, or has no access.
    Account,
    /// The grant will never work again.
    GrantDead,
    /// This attempt is over; a new one may succeed.
    Flow,
    /// We asked too often.
    Bug,
    /// Try again later.
    Transient,
}

/// A refusal that was found in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What kind of trouble it is.
    pub class: Class,
    /// The provider's code, the cause and the remedy.
    pub trouble: Trouble,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Where {
    #[default]
    Token,
    Imap,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default, rename = "where")]
    place: Where,
    provider: Option<Provider>,
    #[serde(default)]
    codes: Vec<String>,
    error: Option<String>,
    contains: Option<String>,
    status: Option<String>,
    code: Option<String>,
    class: Class,
    cause: String,
    remedy: String,
}

#[derive(Debug, Default, Deserialize)]
struct Table {
    row: Vec<Row>,
}

// The text is part of the program; a test reads it, so it cannot be broken in a build that passed its tests.
static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("errors.toml")).unwrap_or_default());

/// What a refusal of a token or authorization endpoint means. `error` and `description` are the provider's own
/// (RFC 6749, section 5.2); numbers of Microsoft are found in the description. A refusal nobody knows is `None`.
pub fn lookup(provider: Provider, error: &str, description: &str) -> Option<Explanation> {
    let numbers = microsoft_codes(description);
    for number in &numbers {
        let row = rows(Where::Token, provider).find(|row| row.codes.iter().any(|code| code == number));
        if let Some(row) = row {
            return Some(explanation(row, number, description));
        }
    }
    let lower = description.to_ascii_lowercase();
    let row = rows(Where::Token, provider).find(|row| {
        row.codes.is_empty()
            && row.error.as_deref().is_none_or(|wanted| wanted == error)
            && row
                .contains
                .as_deref()
                .is_none_or(|wanted| lower.contains(wanted))
    })?;
    let code = numbers.first().map_or(error, String::as_str);
    Some(explanation(row, code, description))
}

/// What a mail server's refusal of AUTHENTICATE (or of what follows) means. `challenge_json` is the decoded XOAUTH2
/// challenge where there was one, `text` the server's final line.
pub fn explain_imap(provider: Provider, challenge_json: Option<&str>, text: &str) -> Trouble {
    classify_imap(provider, challenge_json, text).trouble
}

/// Like [`explain_imap`], with the class that decides whether it is tried again.
pub fn classify_imap(provider: Provider, challenge_json: Option<&str>, text: &str) -> Explanation {
    let status = challenge_json.and_then(challenge_status);
    let lower = text.to_ascii_lowercase();
    let row = rows(Where::Imap, provider).find(|row| match (&row.status, &row.contains) {
        (Some(wanted), _) => status.as_deref() == Some(wanted),
        (None, Some(wanted)) => lower.contains(wanted),
        (None, None) => false,
    });
    match row {
        Some(row) => explanation(row, "", text),
        None => Explanation {
            class: Class::Account,
            trouble: Trouble::new(
                "authenticate_refused",
                with_words("The mail server refused the sign-in.", text),
                "Check the login name of the mailbox and the scopes of the grant.",
            ),
        },
    }
}

fn rows(place: Where, provider: Provider) -> impl Iterator<Item = &'static Row> {
    TABLE
        .row
        .iter()
        .filter(move |row| row.place == place && row.provider.is_none_or(|wanted| wanted == provider))
}

fn explanation(row: &Row, found: &str, said: &str) -> Explanation {
    Explanation {
        class: row.class,
        trouble: Trouble::new(
            row.code.as_deref().unwrap_or(found),
            with_words(&row.cause, said),
            row.remedy.as_str(),
        ),
    }
}

/// Our sentence, then the provider's own words, shortened, for support.
pub(crate) fn with_words(cause: &str, said: &str) -> String {
    let said = printable(said);
    if said.is_empty() {
        return cause.to_owned();
    }
    format!("{cause} (The provider said: {said})")
}

/// A provider's words as they may be shown: one line, at most 200 characters, nothing in it that looks like a token.
pub(crate) fn printable(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        // Ids for support stay readable; a long unbroken word is more likely a token than a word.
        words.push(if word.chars().count() > 64 { "[…]" } else { word });
    }
    words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

/// Every `AADSTS` code in a text, in order.
fn microsoft_codes(text: &str) -> Vec<String> {
    text.match_indices("AADSTS")
        .filter_map(|(start, _)| {
            let digits: String = text[start + 6..]
                .chars()
                .take_while(char::is_ascii_digit)
                .take(12)
                .collect();
            (!digits.is_empty()).then(|| format!("AADSTS{digits}"))
        })
        .collect()
}

fn challenge_status(json: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    match value.get("status")? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_every_row_says_what_to_do() {
        let table: Table = toml::from_str(include_str!("errors.toml")).unwrap();
        assert!(table.row.len() > 50, "{} rows", table.row.len());
        for row in &table.row {
            assert!(!row.cause.is_empty() && !row.remedy.is_empty(), "{row:?}");
            let matches_something = !row.codes.is_empty()
                || row.error.is_some()
                || row.contains.is_some()
                || row.status.is_some();
            assert!(matches_something, "{row:?}");
            let texts = [row.contains.as_deref(), row.error.as_deref()];
            for text in texts.into_iter().flatten() {
                assert_eq!(text, text.to_ascii_lowercase(), "would never match");
            }
        }
    }

    #[test]
    fn microsofts_numbers_decide_before_the_general_error() {
        let found = lookup(
            Provider::Microsoft,
            "invalid_client",
            "AADSTS7000222: The provided client secret keys for app 'x' are expired. Trace ID: 1",
        )
        .unwrap();
        assert_eq!(found.class, Class::Client);
        assert_eq!(found.trouble.code, "AADSTS7000222");
        assert!(found.trouble.remedy.contains("end date"));

        let dead = lookup(Provider::Microsoft, "invalid_grant", "AADSTS700082: inactive").unwrap();
        assert_eq!(dead.class, Class::GrantDead);
        let unknown = lookup(Provider::Microsoft, "invalid_grant", "AADSTS99999999: new").unwrap();
        assert_eq!(
            (unknown.class, unknown.trouble.code.as_str()),
            (Class::GrantDead, "AADSTS99999999")
        );
    }

    #[test]
    fn every_code_of_microsofts_table_has_its_class() {
        let cases = [
            (
                "700016 700011 90002 7000215 70002 7000222 7000218 700025 50011 70004 900971",
                Class::Client,
            ),
            (
                "50194 9001023 90124 9002325 700084 900382 900432 90038",
                Class::Client,
            ),
            ("70011 28002 700022 650057 65005 900144", Class::Client),
            (
                "65001 90094 90095 65004 500011 50105 50020 50034 90072",
                Class::Consent,
            ),
            ("700082 70008 50089 50173 50132 50133 70000", Class::GrantDead),
            ("70043 50076 50078 50079 50074 50158", Class::Policy),
            ("53000 53001 53002 53003 530032 530035 50131", Class::Policy),
            ("50053 50055 50057 50144", Class::Account),
            ("54005", Class::Flow),
            ("50196", Class::Bug),
            (
                "50033 50087 90006 90012 90024 90033 90055 90090",
                Class::Transient,
            ),
        ];
        for (numbers, class) in cases {
            for number in numbers.split(' ') {
                let found = lookup(
                    Provider::Microsoft,
                    "invalid_grant",
                    &format!("AADSTS{number}: text"),
                );
                assert_eq!(found.map(|found| found.class), Some(class), "{number}");
            }
        }
    }

    #[test]
    fn googles_wrong_id_and_wrong_secret_are_told_apart() {
        let id = lookup(
            Provider::Google,
            "invalid_client",
            "The OAuth client was not found.",
        )
        .unwrap();
        let secret = lookup(Provider::Google, "invalid_client", "Unauthorized").unwrap();
        assert!(id.trouble.remedy.contains("client id"));
        assert!(secret.trouble.remedy.contains("client secret"));
    }

    #[test]
    fn a_gmail_challenge_and_exchanges_silence_are_explained() {
        let challenge = r#"{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}"#;
        let gmail = explain_imap(
            Provider::Google,
            Some(challenge),
            "NO [AUTHENTICATIONFAILED] Invalid credentials",
        );
        assert_eq!(gmail.code, "xoauth2_401");
        let exchange = explain_imap(Provider::Microsoft, None, "NO AUTHENTICATE failed.");
        assert!(exchange.remedy.contains("New-ServicePrincipal"), "{exchange:?}");
        let busy = classify_imap(Provider::Custom, None, "NO [UNAVAILABLE] try later");
        assert_eq!(busy.class, Class::Transient);
        let other = explain_imap(Provider::Custom, Some("not json"), "NO sorry");
        assert_eq!(other.code, "authenticate_refused");
    }

    #[test]
    fn a_providers_words_are_shown_without_what_may_be_a_token() {
        let token = "ya29.".to_owned() + &"a".repeat(120);
        let found = lookup(Provider::Custom, "invalid_grant", &format!("bad token {token}")).unwrap();
        assert!(!found.trouble.cause.contains(&token), "{}", found.trouble.cause);
    }
}
