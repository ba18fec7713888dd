//! What is different about a provider after a change, for the event log: which fields, and what the rules about people say
//! now. Never a secret.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::model::IdentityProvider;

/// The data of `identity_provider.updated`.
pub(super) fn data(old: &IdentityProvider, new: &IdentityProvider, has_new_secret: bool) -> Value {
    let rules = differences(&old.policy, &new.policy);
    let mut changed: Vec<String> = differences(&old.connection, &new.connection)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    changed.extend(rules.keys().cloned());
    for (name, is_new) in [
        ("name", old.name != new.name),
        ("enabled", old.enabled != new.enabled),
        ("clientSecret", has_new_secret),
    ] {
        if is_new {
            changed.push(name.to_owned());
        }
    }
    json!({ "name": new.name, "changed": changed, "rules": rules })
}

/// The members that differ, by the names of the API. Of a list only what went and what came, unless that is its order.
fn differences<T: Serialize>(old: &T, new: &T) -> Map<String, Value> {
    let (old, new) = (members(old), members(new));
    let different = new
        .into_iter()
        .map(|(name, to)| (old.get(&name).cloned().unwrap_or_default(), to, name))
        .filter(|(from, to, _)| from != to);
    different
        .map(|(from, to, name)| {
            let (went, came) = (beyond(&from, &to), beyond(&to, &from));
            let change = match (went, came) {
                (Some(went), Some(came)) if !(went.is_empty() && came.is_empty()) => {
                    json!({ "from": went, "to": came })
                }
                _ => json!({ "from": from, "to": to }),
            };
            (name, change)
        })
        .collect()
}

fn members<T: Serialize>(of: &T) -> Map<String, Value> {
    match serde_json::to_value(of).map(named) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// The same with the names of the API.
fn named(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(named).collect()),
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(members.map(|(name, of)| (api_name(&name), named(of))).collect())
        }
        other => other,
    }
}

/// What a list holds that the other does not.
fn beyond(list: &Value, other: &Value) -> Option<Vec<Value>> {
    let (list, other) = (list.as_array()?, other.as_array()?);
    Some(
        list.iter()
            .filter(|item| !other.contains(item))
            .cloned()
            .collect(),
    )
}

fn api_name(stored: &str) -> String {
    if stored == "auth_method" {
        return "tokenEndpointAuthMethod".to_owned();
    }
    let mut words = stored.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::sso::GroupRule;
    use crate::sso::model::ClientAuth;
    use crate::sso::model::tests::provider;

    #[test]
    fn a_change_says_which_fields_and_what_the_rules_were_and_are() {
        let rule = |group: &str| GroupRule {
            group: group.into(),
            role: Role::SiteAdmin,
            project_id: String::new(),
        };
        let mut old = provider();
        old.policy.group_rules = vec![rule("stay"), rule("go")];
        let mut new = old.clone();
        assert_eq!(
            data(&old, &new, false),
            json!({ "name": old.name, "changed": [], "rules": {} })
        );
        new.name = "Staff".into();
        new.connection.client_id = "another".into();
        new.connection.auth_method = ClientAuth::ClientSecretPost;
        new.policy.local_sign_in = !old.policy.local_sign_in;
        new.policy.name_claims.reverse();
        new.policy.group_rules = vec![rule("stay"), rule("come")];
        let said = data(&old, &new, true);
        let mut changed: Vec<&str> = said["changed"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        changed.sort_unstable();
        assert_eq!(
            changed,
            [
                "clientId",
                "clientSecret",
                "groupRules",
                "localSignIn",
                "name",
                "nameClaims",
                "tokenEndpointAuthMethod"
            ]
        );
        let rules = &said["rules"];
        let groups = |of: &str| rules["groupRules"][of][0]["group"].clone();
        assert_eq!((groups("from"), groups("to")), (json!("go"), json!("come")));
        assert_eq!(
            rules["groupRules"]["to"],
            json!([{ "group": "come", "role": Role::SiteAdmin, "projectId": "" }])
        );
        assert_eq!(
            rules["localSignIn"],
            json!({ "from": old.policy.local_sign_in, "to": new.policy.local_sign_in })
        );
        assert_eq!(rules["nameClaims"]["to"], json!(new.policy.name_claims));
    }
}
