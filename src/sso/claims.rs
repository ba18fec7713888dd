//! From claims to a person: names, address, groups. Claims are text to display; what they may decide is said in the
//! policy, and checked by type.

use serde_json::{Map, Value, json};

use super::error::Fault;
use super::model::{Connection, Person, Policy};

/// Longest name that is kept, in characters, as for every account.
const MAX_NAME_CHARS: usize = 100;
/// Most groups that are looked at.
const MAX_GROUPS: usize = 2_000;
/// Claims that open something, or tie a token to a session: a test does not show them.
const MASKED: [&str; 6] = ["nonce", "at_hash", "c_hash", "s_hash", "sid", "jti"];

/// Whether a claim that the policy needs is missing in the ID token, so that userinfo is worth asking.
pub(super) fn wants_more(claims: &Map<String, Value>, policy: &Policy) -> bool {
    let is_there = |name: &str| look_up(claims, name).is_some();
    let named = policy.name_claims.iter().any(|name| is_there(name));
    !named
        || !is_there("email")
        || !is_there("email_verified")
        || (!policy.groups_claim.is_empty() && !is_there(&policy.groups_claim))
        || (!policy.link_claim.is_empty() && !is_there(&policy.link_claim))
}

/// A claim by its name; `a.b` is also the member `b` of `a`, if no claim has that very name.
fn look_up<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = match claims.get(name) {
        Some(value) => Some(value),
        None => {
            let mut parts = name.split('.');
            let first = claims.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get(part))
        }
    };
    found.filter(|value| !value.is_null())
}

/// Reads a person out of checked claims.
pub(super) fn person(
    connection: &Connection,
    policy: &Policy,
    claims: Map<String, Value>,
) -> Result<Person, Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let subject = text("sub").to_owned();
    let email = address(&claims)?;
    let groups = groups(&claims, policy)?;
    let sid = match claims.get("sid") {
        Some(Value::String(sid)) if sid.len() <= 255 => sid.clone(),
        _ => String::new(),
    };
    Ok(Person {
        issuer: text("iss").to_owned(),
        name: name(&claims, policy, &subject),
        email_verified: email.is_some() && is_verified(connection, &claims),
        email,
        groups,
        sid,
        subject,
        claims,
    })
}

/// Strictly the boolean `true`: a text that says so proves nothing.
fn is_verified(connection: &Connection, claims: &Map<String, Value>) -> bool {
    let is_true = |name: &str| claims.get(name) == Some(&Value::Bool(true));
    if connection.issuer.contains(super::discovery::TENANT) {
        // Any organisation's admin has a say in its tokens; only this word is Microsoft's own.
        return is_true("xms_edov");
    }
    // Entra's own word for it: the tenant owns the domain of the address.
    is_true("email_verified")
        || (connection.preset == super::model::Preset::Entra
            && !claims.contains_key("email_verified")
            && is_true("xms_edov"))
}

/// The address, if it is one that an account can have.
fn address(claims: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match claims.get("email") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(as_address(text)),
        Some(_) => Err(wrong_type("email", "a text")),
    }
}

/// White space goes wherever it stands, letters become small; `None` for what is no address.
pub(super) fn as_address(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let email = crate::account::normal_email(&bare);
    crate::account::is_email(&email).then_some(email)
}

/// The first claim of the list that holds a name; the subject comes last.
fn name(claims: &Map<String, Value>, policy: &Policy, subject: &str) -> String {
    policy
        .name_claims
        .iter()
        .filter_map(|name| match look_up(claims, name)? {
            Value::String(text) => Some(tidy(text)),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| tidy(subject))
}

/// A name fit to be shown: no control characters, nothing that turns the direction of writing, one space where there
/// was white space, and an end.
fn tidy(text: &str) -> String {
    let visible = text.chars().map(|c| match c {
        c if c.is_whitespace() => ' ',
        c => c,
    });
    let kept: String = visible.filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    let words: Vec<&str> = kept.split(' ').filter(|word| !word.is_empty()).collect();
    let name: String = words.join(" ").chars().take(MAX_NAME_CHARS).collect();
    name.trim_end().to_owned()
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}' | '\u{61c}')
}

/// The groups, by name. A missing claim means that somebody is in none.
fn groups(claims: &Map<String, Value>, policy: &Policy) -> Result<Vec<String>, Fault> {
    if policy.groups_claim.is_empty() {
        return Ok(Vec::new());
    }
    let Some(value) = look_up(claims, &policy.groups_claim) else {
        if is_overage(claims, &policy.groups_claim) {
            return Err(Fault::new(
                "too_many_groups",
                "You are in more groups than the provider puts into its answer, so your roles are not known.",
                "An administrator should let the provider send only the groups that are assigned to this application.",
            ));
        }
        return Ok(Vec::new());
    };
    let list = match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(items) if items.len() <= MAX_GROUPS => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong_type(&policy.groups_claim, "a list of texts"))?,
        Value::Array(_) => {
            return Err(Fault::new(
                "too_many_groups",
                format!("The provider names more than {MAX_GROUPS} groups."),
                "An administrator should let the provider send only the groups that are assigned to this application.",
            ));
        }
        _ => return Err(wrong_type(&policy.groups_claim, "a list of texts")),
    };
    Ok(list)
}

/// Entra leaves the groups out when there are many, and says where to ask for them.
fn is_overage(claims: &Map<String, Value>, name: &str) -> bool {
    claims.get("hasgroups") == Some(&Value::Bool(true))
        || claims
            .get("_claim_names")
            .and_then(|names| names.get(name))
            .is_some()
}

fn wrong_type(name: &str, wanted: &str) -> Fault {
    let name: String = name.chars().take(60).collect();
    Fault::new(
        "claim_wrong_type",
        format!("The provider's claim `{name}` is not {wanted}."),
        "An administrator should correct the mapping of this claim at the provider.",
    )
}

/// Whether somebody may come in by the domain of their address; nobody's unproven address counts.
pub(super) fn check_domain(policy: &Policy, person: &Person) -> Result<(), Fault> {
    if policy.domains.is_empty() {
        return Ok(());
    }
    let domain = person
        .email
        .as_deref()
        .filter(|_| person.email_verified || policy.trust_email)
        .and_then(|email| email.rsplit_once('@'))
        .map(|(_, domain)| domain);
    match domain {
        Some(domain) if policy.domains.iter().any(|allowed| allowed == domain) => Ok(()),
        Some(domain) => Err(Fault::new(
            "domain_not_allowed",
            format!("Addresses of {domain} may not sign in here."),
            "Sign in with another account, or ask an administrator to allow this domain.",
        )),
        None => Err(Fault::new(
            "email_not_verified",
            "Only people with certain addresses may sign in here, and the provider does not say that yours is verified.",
            "Verify your address at the provider, or ask an administrator.",
        )),
    }
}

/// The value of the claim that links, as an address.
pub(super) fn link_value(policy: &Policy, person: &Person) -> Option<String> {
    if policy.link_claim.is_empty() {
        return None;
    }
    look_up(&person.claims, &policy.link_claim)
        .and_then(Value::as_str)
        .and_then(as_address)
}

/// When somebody signed in there, milliseconds since 1970, if the provider says so and it can be.
pub(super) fn signed_in_at(claims: &Map<String, Value>, now: i64) -> Option<i64> {
    let at = claims.get("auth_time")?.as_i64()?.checked_mul(1000)?;
    (1..=now).contains(&at).then_some(at)
}

/// How somebody signed in there: a few plain words, or none.
pub(super) fn methods(claims: &Map<String, Value>) -> Vec<String> {
    let listed = claims.get("amr").and_then(Value::as_array).into_iter().flatten();
    listed
        .filter_map(Value::as_str)
        .filter(|word| word.len() <= 20 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        .take(8)
        .map(str::to_owned)
        .collect()
}

/// What the provider calls the class of the sign-in: a short word or URI, or nothing.
pub(super) fn class(claims: &Map<String, Value>) -> String {
    let named = claims.get("acr").and_then(Value::as_str).unwrap_or_default();
    let is_plain = named.len() <= 200 && named.bytes().all(|b| b.is_ascii_graphic());
    if is_plain { named.to_owned() } else { String::new() }
}

/// The claims as a test shows them.
pub(super) fn masked(claims: &Map<String, Value>) -> Value {
    let shown = claims.iter().map(|(name, value)| {
        let value = match value {
            _ if MASKED.contains(&name.as_str()) => json!("••••••"),
            Value::String(text) if text.len() > 500 => {
                json!(format!("{}…", text.chars().take(500).collect::<String>()))
            }
            other => other.clone(),
        };
        (name.chars().take(100).collect::<String>(), value)
    });
    Value::Object(shown.take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::super::model::Preset;
    use super::*;

    fn of(claims: Value, policy: &Policy) -> Result<Person, Fault> {
        let mut all = json!({ "iss": "https://idp.example", "sub": "42" });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        person(&Connection::default(), policy, all.as_object().unwrap().clone())
    }

    #[test]
    fn n62_only_the_boolean_true_verifies_an_address() {
        let policy = Policy::default();
        for (said, verified) in [
            (json!(true), true),
            (json!(false), false),
            (json!("true"), false),
            (json!(1), false),
            (json!(null), false),
            (json!([true]), false),
            (json!({ "value": true }), false),
        ] {
            let person = of(
                json!({ "email": "Ada@Example.org", "email_verified": said }),
                &policy,
            )
            .unwrap();
            assert_eq!(person.email_verified, verified, "{said}");
            assert_eq!(person.email.as_deref(), Some("ada@example.org"));
        }
    }

    #[test]
    fn an_address_without_a_word_about_it_is_unverified_and_entra_has_a_word_of_its_own() {
        let claims = json!({ "iss": "i", "sub": "s", "email": "a@b.example", "xms_edov": true });
        let read = |preset| {
            let connection = Connection {
                preset,
                ..Connection::default()
            };
            person(
                &connection,
                &Policy::default(),
                claims.as_object().unwrap().clone(),
            )
            .unwrap()
            .email_verified
        };
        assert!(read(Preset::Entra));
        assert!(!read(Preset::Generic));
    }

    #[test]
    fn cb_4_cb_6_the_name_is_the_first_claim_that_has_one_and_sub_comes_last() {
        let policy = Policy {
            name_claims: vec!["preferred_username".into(), "nickname".into(), "name".into()],
            ..Policy::default()
        };
        let name = |claims| of(claims, &policy).unwrap().name;
        assert_eq!(name(json!({ "name": "Ada", "nickname": "ad" })), "ad");
        assert_eq!(name(json!({ "name": "Ada", "nickname": " \t " })), "Ada");
        assert_eq!(name(json!({ "preferred_username": "", "name": null })), "42");
        assert_eq!(name(json!({ "name": ["x"], "nickname": { "a": 1 } })), "42");
    }

    #[test]
    fn cb_5_white_space_and_what_cannot_be_seen_is_tidied_in_names_and_taken_out_of_addresses() {
        let policy = Policy::default();
        let read = |claims| of(claims, &policy).unwrap();
        assert_eq!(
            read(json!({ "name": "  Ada \u{2003}\r\n Lovelace\u{202e}\u{0} " })).name,
            "Ada Lovelace"
        );
        assert_eq!(
            read(json!({ "name": "<script>alert(1)</script>" })).name,
            "<script>alert(1)</script>"
        );
        assert_eq!(read(json!({ "name": "x".repeat(500) })).name.chars().count(), 100);
        assert_eq!(
            read(json!({ "email": " ada @example.org\n" })).email.as_deref(),
            Some("ada@example.org")
        );
        assert_eq!(read(json!({ "email": "no address" })).email, None);
        // Somebody else's mailbox, although it looks the same and its letters have the same small ones.
        for (other, looks_like) in [
            ("mar\u{212a}@example.org", "mark@example.org"),
            ("\u{410}da@example.org", "ada@example.org"),
            ("\u{130}da@example.org", "ida@example.org"),
            ("ada@example.org\u{2024}", "ada@example.org"),
            ("a\u{200b}da@example.org", "ada@example.org"),
        ] {
            assert_ne!(read(json!({ "email": other })).email.as_deref(), Some(looks_like));
        }
    }

    #[test]
    fn groups_are_read_by_type_and_may_lie_deeper() {
        let policy = Policy {
            groups_claim: "realm_access.roles".into(),
            ..Policy::default()
        };
        let groups = |claims| of(claims, &policy).map(|person| person.groups);
        assert_eq!(
            groups(json!({ "realm_access": { "roles": ["a", "b"] } })).unwrap(),
            ["a", "b"]
        );
        assert_eq!(groups(json!({ "realm_access.roles": "a" })).unwrap(), ["a"]);
        assert!(groups(json!({})).unwrap().is_empty());
        for wrong in [
            json!({ "roles": 7 }),
            json!({ "roles": [1] }),
            json!({ "roles": { "a": 1 } }),
        ] {
            let fault = groups(json!({ "realm_access": wrong })).unwrap_err();
            assert_eq!(fault.trouble.code, "claim_wrong_type");
        }
        let policy = Policy {
            groups_claim: "groups".into(),
            ..Policy::default()
        };
        let many = json!({ "_claim_names": { "groups": "src1" } });
        assert_eq!(of(many, &policy).unwrap_err().trouble.code, "too_many_groups");
    }

    #[test]
    fn an_unproven_address_opens_no_domain() {
        let policy = Policy {
            domains: vec!["example.org".into()],
            ..Policy::default()
        };
        let code = |claims| {
            check_domain(&policy, &of(claims, &policy).unwrap())
                .err()
                .map(|fault| fault.trouble.code)
        };
        assert_eq!(
            code(json!({ "email": "a@example.org", "email_verified": true })),
            None
        );
        for claims in [
            json!({ "email": "a@example.org" }),
            json!({ "email": "a@example.org", "email_verified": "true" }),
            json!({}),
        ] {
            assert_eq!(code(claims).as_deref(), Some("email_not_verified"));
        }
        for other in [
            "a@evil.example",
            "a@sub.example.org",
            "a@notexample.org",
            "a@example.org.evil.example",
        ] {
            let claims = json!({ "email": other, "email_verified": true });
            assert_eq!(code(claims).as_deref(), Some("domain_not_allowed"), "{other}");
        }
    }

    #[test]
    fn a_test_shows_no_claim_that_ties_a_session() {
        let claims = json!({ "sub": "42", "nonce": "n", "sid": "s", "at_hash": "h", "name": "Ada" });
        let shown = masked(claims.as_object().unwrap());
        assert_eq!(shown["sub"], "42");
        for hidden in ["nonce", "sid", "at_hash"] {
            assert_eq!(shown[hidden], "••••••");
        }
    }
}
