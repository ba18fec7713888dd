//! Scopes: what a token may be asked for, and the sentence that a person reads before allowing it.

use super::error::OAuthError;
use crate::access;

/// One scope value.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The value, as in `scope=`.
    pub value: &'static str,
    /// What it allows, in a sentence for the consent page.
    pub sentence: &'static str,
    /// Whether it speaks of a person: useless without one, so client credentials cannot have it.
    pub is_personal: bool,
}

/// The scopes of OpenID Connect, in the order the consent page shows them.
const PERSONAL: [(&str, &str); 7] = [
    (
        "openid",
        "Know who you are: sign you in with your Mailgrant account",
    ),
    ("profile", "See your name"),
    ("email", "See your e-mail address"),
    ("phone", "See your phone number"),
    ("address", "See your postal address"),
    ("groups", "See which projects you work in, and your role there"),
    (
        "offline_access",
        "Stay connected while you are away, until you revoke it",
    ),
];

/// Every scope: those of OpenID Connect, then those of the REST API.
pub fn all() -> impl Iterator<Item = Scope> {
    let personal = PERSONAL.iter().map(|(value, sentence)| Scope {
        value,
        sentence,
        is_personal: true,
    });
    let api = access::Scope::ALL.iter().map(|scope| Scope {
        value: scope.as_str(),
        sentence: scope.about(),
        is_personal: false,
    });
    personal.chain(api)
}

/// The scope with this value.
pub fn known(value: &str) -> Option<Scope> {
    all().find(|scope| scope.value == value)
}

/// What a token may do at the REST API.
pub fn for_api(scopes: &[String]) -> access::Scopes {
    scopes
        .iter()
        .filter_map(|value| access::Scope::parse(value))
        .collect()
}

/// Reads a `scope` parameter: values apart by single spaces, each known and given to the client, none twice in the
/// result.
///
/// # Errors
/// `invalid_scope`, naming the value unless it holds characters that no scope may have.
pub fn parse(text: &str, of_client: &[String]) -> Result<Vec<String>, OAuthError> {
    let mut found: Vec<String> = Vec::new();
    for value in text.split(' ').filter(|value| !value.is_empty()) {
        let is_token = value
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if !is_token {
            return Err(OAuthError::invalid_scope(
                "scope holds a character that no scope has",
            ));
        }
        if known(value).is_none() {
            return Err(OAuthError::invalid_scope(format!("there is no scope {value}")));
        }
        if !of_client.iter().any(|given| given == value) {
            return Err(OAuthError::invalid_scope(format!(
                "the scope {value} is not registered for this client"
            )));
        }
        if !found.iter().any(|have| have == value) {
            found.push(value.to_owned());
        }
    }
    Ok(found)
}

/// Values in the form of a `scope` parameter or answer.
pub fn join(scopes: &[String]) -> String {
    scopes.join(" ")
}

/// Whether these reach into projects, so that a person is asked into which: what the REST API has lies in projects, and
/// `groups` tells of them.
pub fn reach_projects(scopes: &[String]) -> bool {
    scopes
        .iter()
        .any(|value| value == "groups" || known(value).is_some_and(|scope| !scope.is_personal))
}

/// Whether every one of `asked` is among `given`.
pub fn covers(given: &[String], asked: &[String]) -> bool {
    asked.iter().all(|scope| given.contains(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    #[test]
    fn n11_a_scope_must_be_known_well_formed_and_the_clients() {
        let given = client(&["openid", "tickets:read"]);
        assert_eq!(
            parse("tickets:read  openid tickets:read", &given).unwrap(),
            ["tickets:read", "openid"]
        );
        assert_eq!(parse("", &given).unwrap(), Vec::<String>::new());
        for bad in [
            "nonsense",
            "tickets:write",
            "ope\"nid",
            "open\\id",
            "op\u{7}enid",
            "openid\ttickets:read",
            "é",
        ] {
            assert_eq!(parse(bad, &given).unwrap_err().code, "invalid_scope", "{bad:?}");
        }
    }

    #[test]
    fn what_speaks_of_the_person_alone_reaches_into_no_project() {
        for scope in all() {
            let expected = scope.value == "groups" || access::Scope::parse(scope.value).is_some();
            assert_eq!(
                reach_projects(&client(&["openid", scope.value])),
                expected,
                "{}",
                scope.value
            );
        }
        assert!(!reach_projects(&[]));
    }

    #[test]
    fn every_scope_has_a_sentence_and_stands_once() {
        for scope in all() {
            assert!(scope.sentence.len() > 8, "{}", scope.value);
            assert_eq!(all().filter(|other| other.value == scope.value).count(), 1);
        }
    }
}
