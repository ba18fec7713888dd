//! Reading and checking what a person or an app wrote: JSON into conditions and actions, and whether they make sense.
//! Every mistake names its field. Pure; what only the database knows (projects, mailboxes, tickets) `service` checks.

use serde_json::Value;

use super::matching;
use super::model::{
    Actions, FileMatch, HeaderMatch, How, Matches, Place, RuleInput, TextMatch, VerdictMatch,
};
use crate::message::Kind;
use crate::trouble::FieldError;

/// Longest pattern, and most of them in one list.
const MAX_PATTERN: usize = 500;
const MAX_ITEMS: usize = 100;
/// Most header conditions.
const MAX_HEADERS: usize = 10;
/// Most addresses that get a copy.
const MAX_FORWARDS: usize = 10;
/// Longest text of an answer.
const MAX_ANSWER: usize = 10_000;
/// Most labels, and the longest.
const MAX_LABELS: usize = 20;
const MAX_LABEL: usize = 50;
/// Longest name.
const MAX_NAME: usize = 100;

/// Results of SPF, DKIM and DMARC (RFC 8601), and `unknown` where no trusted server says anything.
pub const RESULTS: [&str; 9] = [
    "pass",
    "fail",
    "softfail",
    "neutral",
    "none",
    "temperror",
    "permerror",
    "policy",
    "unknown",
];

/// Reads conditions. Unknown members do no harm.
pub fn read_matches(value: &Value, errors: &mut Vec<FieldError>) -> Matches {
    if !value.is_object() && !value.is_null() {
        errors.push(wrong_type("matches", "an object"));
        return Matches::default();
    }
    let verdict = &value["authentication"];
    let mut texts = |value: &Value, field| read_texts(value, field, errors);
    let mut found = Matches {
        sender: texts(&value["sender"], "matches/sender"),
        recipient: texts(&value["recipient"], "matches/recipient"),
        kind: texts(&value["kind"], "matches/kind"),
        mailbox_ids: texts(&value["mailboxIds"], "matches/mailboxIds"),
        authentication: VerdictMatch {
            spf: texts(&verdict["spf"], "matches/authentication/spf"),
            dkim: texts(&verdict["dkim"], "matches/authentication/dkim"),
            dmarc: texts(&verdict["dmarc"], "matches/authentication/dmarc"),
        },
        ..Matches::default()
    };
    let subject = &value["subject"];
    if !subject.is_null() {
        found.subject = Some(TextMatch {
            how: read_how(&subject["how"], "matches/subject/how", errors),
            value: read_text(&subject["value"], "matches/subject/value", errors),
        });
    }
    match &value["headers"] {
        Value::Null => {}
        Value::Array(list) => {
            for item in list {
                found.headers.push(HeaderMatch {
                    name: read_text(&item["name"], "matches/headers", errors),
                    how: read_how(&item["how"], "matches/headers", errors),
                    value: read_text(&item["value"], "matches/headers", errors),
                });
            }
        }
        _ => errors.push(wrong_type("matches/headers", "a list of objects")),
    }
    let file = &value["attachment"];
    if !file.is_null() {
        found.attachment = Some(FileMatch {
            present: read_flag(&file["present"], "matches/attachment/present", true, errors),
            name: read_text(&file["name"], "matches/attachment/name", errors),
            media_type: read_text(&file["mediaType"], "matches/attachment/mediaType", errors),
        });
    }
    found
}

/// Reads actions. Unknown members do no harm.
pub fn read_actions(value: &Value, errors: &mut Vec<FieldError>) -> Actions {
    if !value.is_object() && !value.is_null() {
        errors.push(wrong_type("actions", "an object"));
        return Actions::default();
    }
    let place = read_text(&value["place"], "actions/place", errors);
    let place = Place::parse(&place).unwrap_or_else(|| {
        if !place.is_empty() {
            let known = "default, new, ticket, drop or quarantine";
            errors.push(invalid("actions/place", format!("Use one of {known}.")));
        }
        Place::Default
    });
    Actions {
        place,
        ticket_key: read_text(&value["ticketKey"], "actions/ticketKey", errors),
        priority: read_text(&value["priority"], "actions/priority", errors),
        labels: read_texts(&value["labels"], "actions/labels", errors),
        assignee_id: read_text(&value["assigneeId"], "actions/assigneeId", errors),
        forward_to: read_texts(&value["forwardTo"], "actions/forwardTo", errors),
        answer: read_text(&value["answer"], "actions/answer", errors),
    }
}

fn read_text(value: &Value, field: &'static str, errors: &mut Vec<FieldError>) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        _ => {
            errors.push(wrong_type(field, "a text"));
            String::new()
        }
    }
}

fn read_flag(value: &Value, field: &'static str, default: bool, errors: &mut Vec<FieldError>) -> bool {
    match value {
        Value::Null => default,
        Value::Bool(flag) => *flag,
        _ => {
            errors.push(wrong_type(field, "true or false"));
            default
        }
    }
}

fn read_how(value: &Value, field: &'static str, errors: &mut Vec<FieldError>) -> How {
    let text = read_text(value, field, errors);
    How::parse(&text).unwrap_or_else(|| {
        if !text.is_empty() {
            errors.push(invalid(field, "Use one of contains, glob or regex."));
        }
        How::default()
    })
}

fn read_texts(value: &Value, field: &'static str, errors: &mut Vec<FieldError>) -> Vec<String> {
    let items = match value {
        Value::Null => return Vec::new(),
        Value::Array(items) => items.iter().map(Value::as_str).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let Some(items) = items else {
        errors.push(wrong_type(field, "a list of texts"));
        return Vec::new();
    };
    tidy_list(items)
}

/// Texts without space around them, each once, none empty.
pub fn tidy_list<'a>(items: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for item in items {
        let item = item.trim();
        if !item.is_empty() && !list.iter().any(|known| known == item) {
            list.push(item.to_owned());
        }
    }
    list
}

fn wrong_type(field: &'static str, wanted: &str) -> FieldError {
    FieldError::new(field, "wrong_type", format!("Send {wanted}."))
}

fn invalid(field: &'static str, message: impl Into<String>) -> FieldError {
    FieldError::new(field, "invalid", message)
}

/// Checks a rule as far as it can be checked without the database.
pub fn check(input: &RuleInput) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match input.name.trim().chars().count() {
        0 => errors.push(FieldError::new("name", "required", "Give the rule a name.")),
        1..=MAX_NAME => {}
        _ => errors.push(FieldError::new("name", "too_long", "Use at most 100 characters.")),
    }
    check_matches(&input.matches, &mut errors);
    check_actions(&input.actions, &mut errors);
    let irreversible = matches!(input.actions.place, Place::Drop);
    if irreversible && matching::fits_everything(&input.matches) {
        errors.push(FieldError::new(
            "matches",
            "required",
            "A rule that drops must say which mail: this one would drop every mail of the project.",
        ));
    }
    errors
}

fn check_matches(found: &Matches, errors: &mut Vec<FieldError>) {
    for (list, field) in [
        (&found.sender, "matches/sender"),
        (&found.recipient, "matches/recipient"),
    ] {
        check_patterns(list, field, errors);
        if let Some(bad) = list.iter().find(|item| item.contains(char::is_whitespace)) {
            let text =
                format!("“{bad}” holds a space. Write an address, a domain or a glob, one on each line.");
            errors.push(invalid(field, text));
        }
    }
    if let Some(subject) = &found.subject {
        if subject.value.is_empty() {
            let text = "Write what the subject must say, or leave the condition out.";
            errors.push(FieldError::new("matches/subject/value", "required", text));
        }
        check_text(subject.how, &subject.value, "matches/subject/value", errors);
    }
    if found.headers.len() > MAX_HEADERS {
        errors.push(invalid("matches/headers", "Use at most 10 header conditions."));
    }
    for header in &found.headers {
        let is_name = !header.name.is_empty()
            && header.name.len() <= 100
            && header.name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !is_name {
            let text = format!(
                "“{}” is no name of a header field, such as X-Spam-Flag.",
                header.name
            );
            errors.push(invalid("matches/headers", text));
        }
        check_text(header.how, &header.value, "matches/headers", errors);
    }
    if let Some(bad) = found.kind.iter().find(|kind| Kind::parse(kind).is_none()) {
        let text = format!("“{bad}” is no kind of mail: use person, bounce, auto-reply, report or bulk.");
        errors.push(invalid("matches/kind", text));
    }
    for (list, field) in [
        (&found.authentication.spf, "matches/authentication/spf"),
        (&found.authentication.dkim, "matches/authentication/dkim"),
        (&found.authentication.dmarc, "matches/authentication/dmarc"),
    ] {
        if let Some(bad) = list.iter().find(|item| !RESULTS.contains(&item.as_str())) {
            let known = RESULTS.join(", ");
            errors.push(invalid(
                field,
                format!("“{bad}” is no result: use one of {known}."),
            ));
        }
    }
    if let Some(file) = &found.attachment {
        for (pattern, field) in [
            (&file.name, "matches/attachment/name"),
            (&file.media_type, "matches/attachment/mediaType"),
        ] {
            check_text(How::Glob, pattern, field, errors);
        }
    }
    check_patterns(&found.mailbox_ids, "matches/mailboxIds", errors);
}

fn check_patterns(list: &[String], field: &'static str, errors: &mut Vec<FieldError>) {
    if list.len() > MAX_ITEMS {
        errors.push(invalid(field, "Use at most 100 entries; a glob stands for many."));
    }
    for item in list {
        check_text(How::Glob, item, field, errors);
    }
}

fn check_text(how: How, value: &str, field: &'static str, errors: &mut Vec<FieldError>) {
    if value.chars().count() > MAX_PATTERN {
        errors.push(FieldError::new(field, "too_long", "Use at most 500 characters."));
    } else if how == How::Regex
        && !value.is_empty()
        && let Err(reason) = matching::regex(value)
    {
        errors.push(invalid(
            field,
            format!("The regular expression does not work: {reason}."),
        ));
    }
}

fn check_actions(actions: &Actions, errors: &mut Vec<FieldError>) {
    match (actions.place, actions.ticket_key.is_empty()) {
        (Place::Ticket, true) => errors.push(FieldError::new(
            "actions/ticketKey",
            "required",
            "Name the ticket, for example HELP-42.",
        )),
        (Place::Ticket, false) | (_, true) => {}
        (_, false) => errors.push(invalid(
            "actions/ticketKey",
            "A ticket is named only where the mail is to be added to it.",
        )),
    }
    if !["", "low", "normal", "high", "urgent"].contains(&actions.priority.as_str()) {
        errors.push(invalid(
            "actions/priority",
            "Use one of low, normal, high or urgent.",
        ));
    }
    let long = |label: &String| label.chars().count() > MAX_LABEL || label.contains(',');
    if actions.labels.len() > MAX_LABELS || actions.labels.iter().any(long) {
        let text = "Use at most 20 labels of at most 50 characters, without commas.";
        errors.push(invalid("actions/labels", text));
    }
    if actions.forward_to.len() > MAX_FORWARDS {
        errors.push(invalid("actions/forwardTo", "Use at most 10 addresses."));
    }
    if let Some(bad) = actions.forward_to.iter().find(|address| !is_address(address)) {
        errors.push(invalid(
            "actions/forwardTo",
            format!("“{bad}” is no mail address."),
        ));
    }
    if actions.answer.chars().count() > MAX_ANSWER {
        errors.push(FieldError::new(
            "actions/answer",
            "too_long",
            "Use at most 10,000 characters.",
        ));
    }
    let gone = matches!(actions.place, Place::Drop | Place::Quarantine);
    if gone && !(actions.priority.is_empty() && actions.labels.is_empty() && actions.assignee_id.is_empty()) {
        let text =
            "Mail that is dropped or quarantined has no ticket: leave priority, labels and assignee out.";
        errors.push(invalid("actions/place", text));
    }
    if actions.place == Place::Quarantine && !(actions.answer.is_empty() && actions.forward_to.is_empty()) {
        let text = "Mail in quarantine waits for a person: it is neither answered nor passed on.";
        errors.push(invalid("actions/place", text));
    }
    let idle = Actions::default();
    if *actions == idle {
        errors.push(FieldError::new(
            "actions",
            "required",
            "Say what is done with mail that fits.",
        ));
    }
}

fn is_address(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | ';' | '<' | '>' | '"');
    text.len() <= 254
        && text.chars().all(plain)
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.') && !domain.contains('@'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(matches: &Value, actions: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let input = RuleInput {
            name: "Spam".into(),
            matches: read_matches(matches, &mut errors),
            actions: read_actions(actions, &mut errors),
            ..RuleInput::default()
        };
        errors.extend(check(&input));
        errors
    }

    #[test]
    fn what_was_written_is_read_back_the_same() {
        let matches = json!({
            "sender": ["ada@x.test", "*.example.com"], "recipient": ["help@y.test"],
            "subject": { "how": "regex", "value": "^urgent" },
            "headers": [{ "name": "X-Spam-Flag", "how": "contains", "value": "YES" }],
            "kind": ["bulk"], "attachment": { "present": true, "name": "*.exe", "mediaType": "" },
            "authentication": { "spf": [], "dkim": [], "dmarc": ["fail"] }, "mailboxIds": ["mbx_1"],
        });
        let mut errors = Vec::new();
        let found = read_matches(&matches, &mut errors);
        assert_eq!(errors, []);
        assert_eq!(serde_json::to_value(&found).unwrap(), matches);
        let actions = json!({
            "place": "ticket", "ticketKey": "HELP-1", "priority": "high", "labels": ["a"], "assigneeId": "",
            "forwardTo": ["a@b.test"], "answer": "Thank you.",
        });
        let found = read_actions(&actions, &mut errors);
        assert_eq!(errors, []);
        assert_eq!(serde_json::to_value(&found).unwrap(), actions);
        assert_eq!(read(&matches, &actions), []);
    }

    #[test]
    fn every_mistake_names_its_field() {
        let fine = json!({ "place": "new" });
        let some = json!({ "kind": ["bulk"] });
        let long = "x".repeat(501);
        let table = [
            (json!([]), fine.clone(), "matches"),
            (json!({ "sender": "a@b" }), fine.clone(), "matches/sender"),
            (json!({ "sender": ["a b"] }), fine.clone(), "matches/sender"),
            (json!({ "recipient": [1] }), fine.clone(), "matches/recipient"),
            (
                json!({ "recipient": vec!["x"; 1], "sender": [long] }),
                fine.clone(),
                "matches/sender",
            ),
            (
                json!({ "subject": { "value": "" } }),
                fine.clone(),
                "matches/subject/value",
            ),
            (
                json!({ "subject": { "how": "like", "value": "x" } }),
                fine.clone(),
                "matches/subject/how",
            ),
            (
                json!({ "subject": { "how": "regex", "value": "(" } }),
                fine.clone(),
                "matches/subject/value",
            ),
            (
                json!({ "subject": { "how": "regex", "value": "((a{999}){999}){999}" } }),
                fine.clone(),
                "matches/subject/value",
            ),
            (
                json!({ "headers": [{ "name": "a b" }] }),
                fine.clone(),
                "matches/headers",
            ),
            (json!({ "headers": {} }), fine.clone(), "matches/headers"),
            (json!({ "kind": ["spam"] }), fine.clone(), "matches/kind"),
            (
                json!({ "authentication": { "dmarc": ["bad"] } }),
                fine.clone(),
                "matches/authentication/dmarc",
            ),
            (
                json!({ "attachment": { "present": "yes" } }),
                fine,
                "matches/attachment/present",
            ),
            (some.clone(), json!({}), "actions"),
            (some.clone(), json!({ "place": "gone" }), "actions/place"),
            (some.clone(), json!({ "place": "ticket" }), "actions/ticketKey"),
            (
                some.clone(),
                json!({ "place": "new", "ticketKey": "A-1" }),
                "actions/ticketKey",
            ),
            (some.clone(), json!({ "priority": "top" }), "actions/priority"),
            (some.clone(), json!({ "labels": ["a,b"] }), "actions/labels"),
            (
                some.clone(),
                json!({ "forwardTo": ["nobody"] }),
                "actions/forwardTo",
            ),
            (
                some.clone(),
                json!({ "forwardTo": ["a@b.test\r\nBcc: c@d.test"] }),
                "actions/forwardTo",
            ),
            (some.clone(), json!({ "answer": 1 }), "actions/answer"),
            (
                some.clone(),
                json!({ "place": "drop", "labels": ["a"] }),
                "actions/place",
            ),
            (
                some,
                json!({ "place": "quarantine", "answer": "x" }),
                "actions/place",
            ),
            (json!({}), json!({ "place": "drop" }), "matches"),
        ];
        for (matches, actions, field) in table {
            let errors = read(&matches, &actions);
            assert!(
                errors.iter().any(|error| error.field == field),
                "{matches} {actions}: {errors:?}"
            );
        }
    }
}
