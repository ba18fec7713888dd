//! The net under the rule that no secret is in the log: what looks like one is not written down.

use serde_json::Value;

/// Longest text of a summary, characters.
const MAX_CHARS: usize = 500;

/// Beginnings of what only a secret begins with: tokens, client secrets, codes of this service, sealed values, keys.
const SECRET: [&str; 13] = [
    "mg_at_",
    "mg_rt_",
    "mg_cs_",
    "mg_pat_",
    "mg_ac_",
    "mg_dc_",
    "mg_iat_",
    "mg_rat_",
    "mg1.",
    "whsec_",
    "ya29.",
    "-----BEGIN",
    "GOCSPX-",
];

const MASKED: &str = "[not shown]";

/// The text, unless it holds what looks like a secret.
pub(super) fn text(text: &str) -> String {
    if SECRET.iter().any(|beginning| text.contains(beginning)) || text.split_whitespace().any(is_jwt) {
        return MASKED.to_owned();
    }
    text.chars().take(MAX_CHARS).collect()
}

/// The same for every text of a value. Members that are named after secrets keep only whether they are there.
pub(super) fn value(value: Value) -> Value {
    match value {
        Value::String(found) => Value::String(text(&found)),
        Value::Array(items) => Value::Array(items.into_iter().map(self::value).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, member)| {
                    let member = match member {
                        Value::String(_) if is_secret_name(&name) => Value::String(MASKED.to_owned()),
                        member => self::value(member),
                    };
                    (name, member)
                })
                .collect(),
        ),
        other => other,
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "assertion", "private"]
        .iter()
        .any(|word| name.ends_with(word))
}

/// Three parts of base64url, of which the first opens a JSON object.
fn is_jwt(word: &str) -> bool {
    word.starts_with("eyJ") && word.bytes().filter(|byte| *byte == b'.').count() >= 2
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_written_down() {
        let masked = value(json!({
            "name": "Desk",
            "clientSecret": "plain",
            "secretChanged": true,
            "nested": { "note": "use mg_pat_abc", "list": ["eyJhbGciOi.eyJzdWIi.c2ln", "fine"] },
        }));
        assert_eq!(
            masked,
            json!({
                "name": "Desk",
                "clientSecret": MASKED,
                "secretChanged": true,
                "nested": { "note": MASKED, "list": [MASKED, "fine"] },
            })
        );
        assert_eq!(text(&"é".repeat(900)).chars().count(), MAX_CHARS);
    }
}
