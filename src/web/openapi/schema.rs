//! JSON Schemas (2020-12, as OpenAPI 3.1 has them), built in a line or two beside the code that reads or writes the
//! value. The same schema that is published is what input is checked with.

use serde_json::{Map, Value, json};

/// The key under which a schema carries its name until the document gives it a place of its own.
pub(super) const NAME: &str = "$name";

/// The shape of a JSON value.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema(Value);

impl Schema {
    /// The schema as JSON.
    pub fn into_json(self) -> Value {
        self.0
    }

    /// The schema as JSON, to look at.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The same with a sentence about it.
    #[must_use]
    pub fn about(self, text: &str) -> Self {
        self.with("description", text.into())
    }

    /// The same with a sample value.
    #[must_use]
    pub fn example(self, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.with("examples", json!([value]))
    }

    /// The same with the value that stands for a missing one.
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> Self {
        self.with("default", value.into())
    }

    /// The same under a name: it becomes a component, and every use refers to it.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.with(NAME, name.into())
    }

    /// The same, or null.
    #[must_use]
    pub fn or_null(mut self) -> Self {
        let kind = self.0.get("type").cloned();
        match kind {
            Some(Value::String(kind)) if self.0.get(NAME).is_none() => {
                self = self.with("type", json!([kind, "null"]));
                if let Some(words) = self.0.get_mut("enum").and_then(Value::as_array_mut) {
                    words.push(Value::Null);
                }
                self
            }
            Some(Value::Array(_)) => self,
            None if self.0.as_object().is_none_or(Map::is_empty) => self,
            _ => Self(json!({ "anyOf": [self.0, { "type": "null" }] })),
        }
    }

    /// The same with at most so many characters (or items of a list).
    #[must_use]
    pub fn at_most(self, n: i64) -> Self {
        let key = match self.0.get("type").and_then(Value::as_str) {
            Some("string") => "maxLength",
            Some("array") => "maxItems",
            _ => "maximum",
        };
        self.with(key, n.into())
    }

    /// The same with at least so many characters (or items of a list).
    #[must_use]
    pub fn at_least(self, n: i64) -> Self {
        let key = match self.0.get("type").and_then(Value::as_str) {
            Some("string") => "minLength",
            Some("array") => "minItems",
            _ => "minimum",
        };
        self.with(key, n.into())
    }

    /// The same object with one more member that is always there.
    #[must_use]
    pub fn and(mut self, name: &str, schema: Self) -> Self {
        if let Some(members) = self.0.get_mut("properties").and_then(Value::as_object_mut) {
            members.insert(name.to_owned(), schema.0);
        }
        if let Some(required) = self.0.get_mut("required").and_then(Value::as_array_mut) {
            required.push(name.into());
        }
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        if let Some(members) = self.0.as_object_mut() {
            members.insert(key.to_owned(), value);
        }
        self
    }
}

/// A text.
pub fn text() -> Schema {
    Schema(json!({ "type": "string" }))
}

/// An id with its prefix, as we give it out.
pub fn id(prefix: &str) -> Schema {
    text().example(format!("{prefix}_01K9WQ8ZC3N5T7V9X1Y3A5C7E9"))
}

/// A time in RFC 3339.
pub fn time() -> Schema {
    Schema(json!({ "type": "string", "format": "date-time" }))
}

/// An absolute URL.
pub fn url() -> Schema {
    Schema(json!({ "type": "string", "format": "uri" }))
}

/// A whole number.
pub fn integer() -> Schema {
    Schema(json!({ "type": "integer" }))
}

/// Any number.
pub fn number() -> Schema {
    Schema(json!({ "type": "number" }))
}

/// `true` or `false`.
pub fn boolean() -> Schema {
    Schema(json!({ "type": "boolean" }))
}

/// One of a few words.
pub fn word(words: &[&str]) -> Schema {
    Schema(json!({ "type": "string", "enum": words }))
}

/// A list.
pub fn list_of(of: Schema) -> Schema {
    Schema(json!({ "type": "array", "items": of.0 }))
}

/// An object whose members have names nobody knows beforehand.
pub fn map(of: Schema) -> Schema {
    Schema(json!({ "type": "object", "additionalProperties": of.0 }))
}

/// Any JSON value.
pub fn anything() -> Schema {
    Schema(json!({}))
}

/// An object of ours: every member is always there.
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Schema)>) -> Schema {
    let members: Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema.0))
        .collect();
    let required: Vec<&String> = members.keys().collect();
    Schema(json!({ "type": "object", "required": required, "properties": members }))
}

/// An object that is sent to us: members outside `required` may be missing or null, unknown ones do no harm.
pub fn input<'a>(required: &[&str], members: impl IntoIterator<Item = (&'a str, Schema)>) -> Schema {
    let members: Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| {
            let schema = if required.contains(&name) {
                schema
            } else {
                schema.or_null()
            };
            (name.to_owned(), schema.0)
        })
        .collect();
    let mut all = Map::new();
    all.insert("type".into(), "object".into());
    if !required.is_empty() {
        all.insert("required".into(), json!(required));
    }
    all.insert("properties".into(), Value::Object(members));
    Schema(Value::Object(all))
}

/// What went wrong, told to a person; null if nothing did.
pub fn trouble() -> Schema {
    object([
        ("code", text().about("Machine code, snake_case")),
        ("cause", text()),
        ("remedy", text()),
    ])
    .named("Trouble")
    .or_null()
}

/// The body of every refusal (RFC 9457).
pub fn problem() -> Schema {
    let error = object([
        (
            "pointer",
            text().about("JSON pointer to the member, or the query parameter after a slash"),
        ),
        ("code", text()),
        ("detail", text()),
    ]);
    object([
        ("type", url().about("Where this kind of problem is described")),
        ("title", text()),
        ("status", integer()),
        ("detail", text()),
        ("code", text().about("Machine code, snake_case")),
        ("remedy", text().or_null()),
        ("errors", list_of(error)),
        ("requestId", text().or_null()),
    ])
    .named("Problem")
}
