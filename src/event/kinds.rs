//! The registry of event types: name, meaning, and the shape of the data of each, as JSON Schema.
//!
//! Consumers rely on it: a type keeps its meaning, members are added but never change. Builds with debug assertions
//! refuse to append what does not fit, so that every test that makes an event checks it against its schema.

use serde_json::{Map, Value, json};

/// What a member of `data` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A time in RFC 3339.
    Time,
    /// True or false.
    Flag,
    /// A list of texts.
    Texts,
    /// An object `{code, cause, remedy}`.
    Trouble,
    /// An object: the name of each member that is different now → `{from, to}`.
    Changes,
}

/// One member of `data`.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Name, camelCase.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether it may be null or missing.
    pub optional: bool,
    /// What it means.
    pub about: &'static str,
}

/// One type of event.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Name, for example `ticket.created`.
    pub name: &'static str,
    /// When it is appended.
    pub about: &'static str,
    /// The members of its data; more may come.
    pub members: &'static [Member],
}

const fn member(name: &'static str, shape: Shape, about: &'static str) -> Member {
    Member {
        name,
        shape,
        optional: false,
        about,
    }
}

const fn maybe(name: &'static str, shape: Shape, about: &'static str) -> Member {
    Member {
        name,
        shape,
        optional: true,
        about,
    }
}

const NAME: Member = member("name", Shape::Text, "Its name.");
const KEY: Member = member("key", Shape::Text, "Key of the ticket, for example HELP-42.");
const MAILBOX: Member = member("mailboxId", Shape::Text, "The mailbox it came to.");
const TICKET: Member = maybe(
    "ticketId",
    Shape::Text,
    "The ticket it stands in, if it stands in one.",
);
const IDENTITY: Member = maybe("identity", Shape::Text, "The account that consented.");
const TROUBLE: [Member; 3] = [
    member("code", Shape::Text, "Machine code of the trouble."),
    member("cause", Shape::Text, "What happened, in a sentence."),
    maybe("remedy", Shape::Text, "What to do, in a sentence."),
];
const REPLY: [Member; 4] = [
    member("replyId", Shape::Text, "The answer as it stands in the outbox."),
    maybe("entryId", Shape::Text, "Its entry in the ticket."),
    maybe("attempts", Shape::Number, "How often it was tried."),
    maybe("error", Shape::Trouble, "Why it could not be sent."),
];

macro_rules! kinds {
    ($($name:literal $about:literal $members:expr;)*) => {
        /// Every type, in the order of the documentation.
        pub const KINDS: &[Kind] = &[$(Kind { name: $name, about: $about, members: &$members },)*];
    };
}

kinds! {
    "integration.created" "An integration was made." [NAME];
    "integration.updated" "An integration was saved." [
        maybe("secretChanged", Shape::Flag, "Whether it has a new client secret."),
        maybe("redirectUrlChanged", Shape::Flag, "Whether its redirect URL must be registered anew."),
    ];
    "integration.deleted" "An integration was removed." [NAME];
    "integration.secret_expiring" "A client secret ends soon, or has ended. Told 30, 14, 7 and 1 days before, and then." [
        NAME,
        member("expiresAt", Shape::Time, "When it ends."),
        member("stage", Shape::Number, "The announced step: days before the end; 0 when it has ended."),
    ];
    "integration.misconfigured" "The provider refused the client itself: wrong or ended secret, wrong scope." TROUBLE;
    "grant.created" "Somebody consented; mail can be read." [IDENTITY];
    "grant.updated" "Somebody consented again to a grant that worked." [IDENTITY];
    "grant.expiring" "The consent ends soon unless somebody connects again." [
        IDENTITY,
        member("expiresAt", Shape::Time, "When it ends."),
        member("stage", Shape::Number, "The announced step: 7, 3 or 1 days before the end."),
    ];
    "grant.expired" "The provider does not renew the grant any more; somebody must connect again." TROUBLE;
    "grant.refused" "A mail server refused a fresh token of the grant." TROUBLE;
    "grant.revoked" "The grant was taken back here." [IDENTITY];
    "grant.restored" "A grant that had failed works again. Never without a failure before." [IDENTITY];
    "grant.identity_mismatch" "Somebody connected again with another account than the grant is pinned to." [
        maybe("pinned", Shape::Text, "The account it is pinned to."),
        maybe("got", Shape::Text, "The account that consented now."),
    ];
    "mailbox.connected" "A mailbox was read for the first time." [NAME];
    "mailbox.failing" "A mailbox that could be read cannot be read now." [NAME, TROUBLE[0], TROUBLE[1], TROUBLE[2]];
    "mailbox.recovered" "A mailbox that failed is read again, or mail came to one that was silent." [
        NAME,
        maybe("silentSince", Shape::Time, "If it was silent: when the last mail before that came."),
    ];
    "mailbox.paused" "Somebody paused a mailbox." [NAME];
    "mailbox.uidvalidity_changed" "The server numbered the mails of a folder anew; it is scanned again." [
        member("folder", Shape::Text, "The folder."),
        member("before", Shape::Number, "UIDVALIDITY before."),
        member("after", Shape::Number, "UIDVALIDITY now."),
    ];
    "mailbox.silent" "No mail came for much longer than usual. Told once for each silence." [
        NAME,
        member("lastMailAt", Shape::Time, "When the last mail came."),
    ];
    "message.received" "A mail was read and stands in a ticket, or will." [
        MAILBOX,
        maybe("size", Shape::Number, "Its size in bytes."),
        TICKET,
    ];
    "message.quarantined" "A mail was set aside for somebody to look at." [MAILBOX, TICKET];
    "message.bounced" "A mail of ours came back." [MAILBOX, TICKET];
    "message.auto_reply" "An automatic answer came in." [MAILBOX, TICKET];
    "ticket.created" "A mail became a new ticket, or somebody opened or split one." [
        KEY,
        maybe("entryId", Shape::Text, "The entry it begins with."),
        maybe("messageId", Shape::Text, "The message it was made of."),
        maybe("splitFromId", Shape::Text, "The ticket whose entries it has now."),
        maybe("splitFromKey", Shape::Text, "The key of that ticket."),
        maybe("entryIds", Shape::Texts, "The entries that moved from there."),
    ];
    "ticket.updated" "A ticket has a new entry, or somebody changed it." [
        KEY,
        maybe("changes", Shape::Changes, "What is different now: state, assigneeId, labels, priority; of the subject \
            only that it is; `merged` and `split` name the other ticket's key in `to`."),
        maybe("entryId", Shape::Text, "The new entry."),
        maybe("entryKind", Shape::Text, "`note` if the entry is one."),
        maybe("messageId", Shape::Text, "The message it was made of."),
    ];
    "ticket.merged" "A ticket was merged into another." [
        KEY,
        member("intoId", Shape::Text, "The ticket that is left."),
        member("intoKey", Shape::Text, "Its key."),
    ];
    "ticket.reply_sent" "An answer left for its recipients." REPLY;
    "ticket.reply_failed" "An answer could not be sent and is not tried again." REPLY;
    "webhook.disabled" "An endpoint is not sent to any more: it failed for five days, or answered 410." [
        member("url", Shape::Text, "Scheme and host of its address."),
        member("reason", Shape::Text, "`failing` or `gone`."),
        maybe("failingSince", Shape::Time, "Since when it failed."),
    ];
    "test.ping" "Somebody tried an endpoint out. Only that endpoint gets it." [];
    "identity_provider.created" "A way to sign in was added." [NAME];
    "identity_provider.updated" "A way to sign in was changed." [
        NAME,
        maybe("changed", Shape::Texts, "What is different, by the names of the API."),
        maybe("rules", Shape::Changes, "Who may come in and what they get: what went, and what came."),
    ];
    "identity_provider.enabled" "A way to sign in can be used." [NAME];
    "identity_provider.disabled" "A way to sign in can no longer be used." [NAME];
    "identity_provider.deleted" "A way to sign in was removed." [NAME];
    "user.created" "A person was added." [];
    "user.changed" "A person has another name or address." [
        maybe("changed", Shape::Texts, "What is different: `name`, `email`, `phoneNumber` or `address`."),
    ];
    "user.link_made" "A one-time link by which a person sets a password was made." [
        member("purpose", Shape::Text, "`invitation`, `password_reset` or `recovery`."),
    ];
    "user.removed" "A person was removed for good." [];
    "user.second_factor_added" "A person turned a second factor on." [];
    "user.second_factor_removed" "A person has no second factor any more." [];
    "user.recovery_codes_made" "A person got new recovery codes." [];
    "user.recovery_code_used" "A recovery code took the place of a second factor." [];
    "user.identity_linked" "An account was joined with a person at an identity provider." [
        member("providerId", Shape::Text, "The identity provider."),
    ];
    "user.promoted" "A person is a site admin from now on." [];
    "user.demoted" "A person is no site admin any more." [];
    "user.disabled" "A person may not sign in any more." [];
    "user.enabled" "A person may sign in again." [];
    "user.password_changed" "A password was changed." [];
    "token.created" "An API token was made." [];
    "token.revoked" "An API token was taken back." [];
    "token.reused" "A code or a refresh token came back after it was used; what was given for it has ended." [
        member("userId", Shape::Text, "Whose it is; empty for nobody's."),
        member("what", Shape::Text, "`code` or `refresh_token`."),
    ];
    "token.foreign" "A refresh token was sent by another client than the one it was given to." [
        member("userId", Shape::Text, "Whose it is."),
        member("client", Shape::Text, "The client it was given to."),
        member("sentBy", Shape::Text, "The client that sent it."),
    ];
    "member.added" "A person became a member of a project." [];
    "member.changed" "A member has another role." [];
    "member.removed" "A person is no member of a project any more." [];
}

/// A type by its name.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

impl Shape {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Number => json!({ "type": "integer" }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Trouble | Self::Changes => json!({ "type": "object" }),
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_i64() || value.is_u64(),
            Self::Time => value
                .as_str()
                .is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
            Self::Flag => value.is_boolean(),
            Self::Texts => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Trouble | Self::Changes => value.is_object(),
        }
    }

    fn sample(self, name: &str) -> Value {
        match self {
            Self::Text => json!(format!("sample-{name}")),
            Self::Number => json!(1),
            Self::Time => json!("2027-01-15T08:00:00.000Z"),
            Self::Flag => json!(true),
            Self::Texts => json!(["sample"]),
            Self::Trouble => json!({ "code": "sample", "cause": "A sample.", "remedy": "Nothing to do." }),
            Self::Changes => json!({ "state": { "from": "open", "to": "closed" } }),
        }
    }
}

impl Kind {
    /// The JSON Schema (2020-12) of the whole event, as webhooks and the log carry it.
    pub fn schema(&self) -> Value {
        let mut members = Map::new();
        for member in self.members {
            let mut schema = member.shape.schema();
            if member.optional
                && let Some(kind) = schema.get_mut("type")
            {
                *kind = json!([kind.clone(), "null"]);
            }
            schema["description"] = json!(member.about);
            members.insert(member.name.to_owned(), schema);
        }
        let required: Vec<&str> = self
            .members
            .iter()
            .filter(|member| !member.optional)
            .map(|member| member.name)
            .collect();
        let time = json!({ "type": "string", "format": "date-time" });
        let text = json!({ "type": "string" });
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": format!("urn:mailgrant:event:{}", self.name),
            "title": self.name,
            "description": self.about,
            "type": "object",
            "required": ["id", "type", "timestamp", "apiVersion", "sequence", "cursor", "projectId", "subjectId", "actor", "data"],
            "properties": {
                "id": { "type": "string", "pattern": "^evt_[0-9A-Z]{26}$" },
                "type": { "const": self.name },
                "timestamp": time,
                "apiVersion": { "const": "v1" },
                "sequence": { "type": "integer", "description": "Its place in the log; grows, with gaps." },
                "cursor": { "type": "string", "description": "The same as what `after` takes: reads on behind it." },
                "projectId": { "type": ["string", "null"], "description": "Null for events of the site." },
                "subjectId": { "type": "string", "description": "What it is about." },
                "actor": text,
                "data": { "type": "object", "required": required, "properties": members },
            },
        })
    }

    /// Data that fits, for somebody who wants to see one.
    pub fn sample(&self) -> Value {
        let members = self
            .members
            .iter()
            .map(|member| (member.name.to_owned(), member.shape.sample(member.name)));
        let mut data: Map<String, Value> = members.collect();
        data.insert("sample".into(), json!(true));
        Value::Object(data)
    }

    /// What is wrong with the data of such an event, if anything is.
    pub fn problem(&self, data: &Value) -> Option<String> {
        let Some(object) = data.as_object() else {
            return Some(format!("the data of {} is not an object", self.name));
        };
        self.members
            .iter()
            .find_map(|member| match object.get(member.name) {
                None | Some(Value::Null) if member.optional => None,
                None => Some(format!("{}: `{}` is missing", self.name, member.name)),
                Some(value) if member.shape.fits(value) => None,
                Some(value) => Some(format!("{}: `{}` does not fit: {value}", self.name, member.name)),
            })
    }
}

/// The JSON Schemas of all types by their names, as text: `docs/events.json`.
pub fn published() -> String {
    let all: Map<String, Value> = KINDS
        .iter()
        .map(|kind| (kind.name.to_owned(), kind.schema()))
        .collect();
    serde_json::to_string_pretty(&Value::Object(all)).unwrap_or_default() + "\n"
}

/// Announced families: what consumers build on.
const FAMILIES: [&str; 7] = [
    "integration",
    "grant",
    "mailbox",
    "message",
    "ticket",
    "webhook",
    "test",
];

/// Stops a build with debug assertions from appending what its schema does not allow.
pub(super) fn insist(name: &str, data: &Value) {
    if cfg!(debug_assertions) {
        let problem = match find(name) {
            Some(kind) => kind.problem(data),
            None => {
                let family = name.split('.').next().unwrap_or_default();
                FAMILIES
                    .contains(&family)
                    .then(|| format!("{name} is not in src/event/kinds.rs; add it there"))
            }
        };
        assert!(problem.is_none(), "{}", problem.unwrap_or_default());
    }
}

/// Which types somebody wants: `*`, whole families such as `ticket.*`, or types by name. Empty wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Types(Vec<String>);

impl Types {
    /// Checks patterns.
    ///
    /// # Errors
    /// The first pattern that no type fits.
    pub fn parse<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, String> {
        let mut found = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref().trim();
            if pattern.is_empty() {
                continue;
            }
            if !KINDS.iter().any(|kind| fits(pattern, kind.name)) {
                return Err(pattern.chars().take(100).collect());
            }
            if !found.iter().any(|known| known == pattern) {
                found.push(pattern.to_owned());
            }
        }
        Ok(Self(found))
    }

    /// Takes patterns that were checked when they were stored.
    pub fn stored(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// The patterns.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether a type is wanted.
    pub fn contain(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| fits(pattern, name))
    }

    /// The wanted types by name; `None` for all there are and will be.
    pub(super) fn kinds(&self) -> Option<Vec<&'static str>> {
        if self.0.is_empty() || self.0.iter().any(|pattern| pattern == "*") {
            return None;
        }
        let wanted = KINDS.iter().map(|kind| kind.name);
        Some(wanted.filter(|name| self.contain(name)).collect())
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(family) => family.ends_with('.') && name.starts_with(family),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types that consumers were promised.
    const ANNOUNCED: [&str; 30] = [
        "integration.created",
        "integration.updated",
        "integration.deleted",
        "integration.secret_expiring",
        "integration.misconfigured",
        "grant.created",
        "grant.expiring",
        "grant.expired",
        "grant.revoked",
        "grant.restored",
        "grant.identity_mismatch",
        "mailbox.connected",
        "mailbox.failing",
        "mailbox.recovered",
        "mailbox.paused",
        "mailbox.uidvalidity_changed",
        "mailbox.silent",
        "message.received",
        "message.quarantined",
        "message.bounced",
        "message.auto_reply",
        "ticket.created",
        "ticket.updated",
        "ticket.merged",
        "ticket.reply_sent",
        "ticket.reply_failed",
        "webhook.disabled",
        "test.ping",
        "grant.refused",
        "grant.updated",
    ];

    #[test]
    fn every_announced_type_is_registered_once() {
        for name in ANNOUNCED {
            assert_eq!(KINDS.iter().filter(|kind| kind.name == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_sample_fits_its_own_schema_and_nothing_less_does() {
        for kind in KINDS {
            let sample = kind.sample();
            assert_eq!(kind.problem(&sample), None);
            for member in kind.members.iter().filter(|member| !member.optional) {
                let mut less = sample.clone();
                less.as_object_mut().unwrap().remove(member.name);
                assert!(kind.problem(&less).is_some(), "{} {}", kind.name, member.name);
                let mut other = sample.clone();
                other[member.name] = json!([[]]);
                assert!(kind.problem(&other).is_some(), "{} {}", kind.name, member.name);
            }
        }
    }

    #[test]
    fn the_committed_schemas_are_those_of_the_registry() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.json");
        if std::env::var_os("MAILGRANT_WRITE_EVENT_SCHEMAS").is_some() {
            std::fs::write(&file, published()).unwrap();
        }
        assert!(
            published() == std::fs::read_to_string(&file).unwrap_or_default(),
            "docs/events.json is old; run: cargo run -- openapi --events > docs/events.json"
        );
    }

    #[test]
    fn a_pattern_is_a_type_a_family_or_everything() {
        let types = Types::parse(["ticket.*", "grant.expired"]).unwrap();
        assert!(types.contain("ticket.merged") && types.contain("grant.expired"));
        assert!(!types.contain("grant.created") && !types.contain("ticketing.x"));
        assert_eq!(Types::default().kinds(), None);
        assert_eq!(Types::parse(["*"]).unwrap().kinds(), None);
        for wrong in ["tick*", "ticket.", "nothing.*", "*.created"] {
            assert!(Types::parse([wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    #[should_panic(expected = "src/event/kinds.rs")]
    fn an_unknown_type_of_an_announced_family_is_not_appended_in_tests() {
        insist("ticket.exploded", &json!({}));
    }
}
