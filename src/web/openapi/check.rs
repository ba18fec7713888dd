//! Whether input has the shape that is published. What a schema cannot say (a name that is taken, an endpoint that is
//! not reachable) is for the services.

use serde_json::Value;

use super::doc::Parameter;
use crate::web::error::{FieldProblem, Problem};

/// Every member that does not fit a schema, as JSON pointers below `pointer`.
pub fn value(schema: &Value, value: &Value, pointer: &str) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    look(schema, value, pointer, &mut problems);
    problems
}

/// Checks the query of a request against the parameters that are published; unknown ones do no harm.
///
/// # Errors
/// 400 that names the parameter.
pub fn query(parameters: &[Parameter], pairs: &[(String, String)]) -> Result<(), Problem> {
    for parameter in parameters {
        let mut given = pairs.iter().filter(|(name, _)| name == parameter.name);
        let Some((_, first)) = given.next() else {
            continue;
        };
        let pointer = format!("/{}", parameter.name);
        if !parameter.repeated && given.next().is_some() {
            return Err(Problem::bad_request(
                "repeated_parameter",
                format!("`{}` may be given once only", parameter.name),
            )
            .at(pointer));
        }
        if first.is_empty() {
            continue;
        }
        let schema = parameter.schema.json();
        if let Some(problem) = value(schema, &typed(schema, first), &pointer).into_iter().next() {
            return Err(Problem::bad_request("bad_parameter", problem.detail).at(pointer));
        }
    }
    Ok(())
}

/// The text of a parameter as the type it should have; a text that is none stays one, and is refused for it.
fn typed(schema: &Value, text: &str) -> Value {
    let as_text = || Value::from(text);
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => text.parse::<i64>().map_or_else(|_| as_text(), Value::from),
        Some("boolean") => text.parse::<bool>().map_or_else(|_| as_text(), Value::from),
        _ => as_text(),
    }
}

fn look(schema: &Value, value: &Value, pointer: &str, problems: &mut Vec<FieldProblem>) {
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let fits = |choice: &Value| self::value(choice, value, pointer).is_empty();
        if !choices.iter().any(fits)
            && let Some(first) = choices.first()
        {
            look(first, value, pointer, problems);
        }
        return;
    }
    let mut problem = |code: &str, detail: String| {
        problems.push(FieldProblem {
            pointer: pointer.to_owned(),
            code: code.to_owned(),
            detail: format!("`{}` {detail}", name_of(pointer)),
        });
    };
    if !has_type(schema, value) {
        if value.is_null() {
            problem("required", "is required".into());
        } else {
            problem("wrong_type", format!("must be {}", wanted(schema)));
        }
        return;
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        let known: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        problem("invalid", format!("must be one of {}", known.join(", ")));
        return;
    }
    match value {
        Value::String(text) => {
            if let Some((code, detail)) = text_problem(schema, text) {
                problem(code, detail);
            }
        }
        Value::Number(number) => {
            let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
            let at = number.as_f64().unwrap_or(f64::NAN);
            if bound("minimum").is_some_and(|least| at < least) {
                problem("too_small", format!("must be at least {}", schema["minimum"]));
            } else if bound("maximum").is_some_and(|most| at > most) {
                problem("too_large", format!("must be at most {}", schema["maximum"]));
            }
        }
        Value::Array(items) => {
            let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
            let count = items.len() as u64;
            if bound("minItems").is_some_and(|least| count < least) {
                problem(
                    "too_short",
                    format!("must have at least {} items", schema["minItems"]),
                );
            } else if bound("maxItems").is_some_and(|most| count > most) {
                problem(
                    "too_long",
                    format!("must have at most {} items", schema["maxItems"]),
                );
            } else if let Some(of) = schema.get("items") {
                for (position, item) in items.iter().enumerate() {
                    look(of, item, &format!("{pointer}/{position}"), problems);
                }
            }
        }
        Value::Object(members) => {
            for name in schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let name = name.as_str().unwrap_or_default();
                if !members.contains_key(name) {
                    problems.push(FieldProblem {
                        pointer: format!("{pointer}/{}", escaped(name)),
                        code: "required".into(),
                        detail: format!("`{name}` is required"),
                    });
                }
            }
            for (name, member) in members {
                let known = schema.get("properties").and_then(|known| known.get(name));
                if let Some(of) = known.or_else(|| schema.get("additionalProperties")) {
                    look(of, member, &format!("{pointer}/{}", escaped(name)), problems);
                }
            }
        }
        _ => {}
    }
}

fn text_problem(schema: &Value, text: &str) -> Option<(&'static str, String)> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let chars = text.chars().count() as u64;
    if bound("minLength").is_some_and(|least| chars < least) {
        return Some(if text.is_empty() {
            ("required", "is required".into())
        } else {
            (
                "too_short",
                format!("must have at least {} characters", schema["minLength"]),
            )
        });
    }
    if bound("maxLength").is_some_and(|most| chars > most) {
        return Some((
            "too_long",
            format!("must have at most {} characters", schema["maxLength"]),
        ));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") if chrono::DateTime::parse_from_rfc3339(text).is_err() => Some((
            "invalid",
            "must be a time in RFC 3339, such as 2026-11-23T08:00:00Z".into(),
        )),
        Some("uri") if !text.is_empty() && url::Url::parse(text).is_err() => {
            Some(("invalid", "must be an absolute URL".into()))
        }
        _ => None,
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    };
    match schema.get("type") {
        Some(Value::String(kind)) => is(kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

/// The type a schema asks for, in words.
fn wanted(schema: &Value) -> String {
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        other => other.and_then(Value::as_str),
    };
    match kind {
        Some("string") => "a text".into(),
        Some("integer") => "a whole number".into(),
        Some("number") => "a number".into(),
        Some("boolean") => "true or false".into(),
        Some("array") => match schema
            .get("items")
            .and_then(|items| items.get("type"))
            .and_then(Value::as_str)
        {
            Some("string") => "a list of texts".into(),
            _ => "a list".into(),
        },
        Some("object") => "an object".into(),
        _ => "something else".into(),
    }
}

fn name_of(pointer: &str) -> String {
    let name = pointer.trim_start_matches('/');
    if name.is_empty() {
        "body".into()
    } else {
        name.replace("~1", "/").replace("~0", "~")
    }
}

/// A name as a part of a JSON pointer (RFC 6901).
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::super::schema::*;
    use super::*;
    use serde_json::json;

    fn problems(schema: &Schema, sent: &Value) -> Vec<(String, String)> {
        value(schema.json(), sent, "")
            .into_iter()
            .map(|problem| (problem.pointer, problem.code))
            .collect()
    }

    #[test]
    fn every_mistake_is_named_with_its_pointer() {
        let schema = input(
            &["name"],
            [
                ("name", text().at_least(1).at_most(5)),
                ("port", integer().at_least(1).at_most(65_535)),
                ("tls", word(&["none", "implicit"])),
                ("since", time()),
                ("a/b", list_of(text()).at_most(2)),
                ("extra", map(text())),
                ("smtp", input(&["host"], [("host", text())])),
            ],
        );
        let good = json!({"name": "x", "port": 25.0, "tls": null, "since": "2026-01-01T00:00:00+01:00",
            "a/b": ["c"], "extra": {"k": "v"}, "smtp": {"host": "h", "more": 1}, "unknown": [1]});
        assert_eq!(problems(&schema, &good), []);
        let bad = json!({"name": null, "port": 0, "tls": "odd", "since": "yesterday", "a/b": ["c", 1],
            "extra": {"k": 1}, "smtp": {}});
        let mut found = problems(&schema, &bad);
        found.sort();
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/a~1b/1", "wrong_type"),
                ("/extra/k", "wrong_type"),
                ("/name", "required"),
                ("/port", "too_small"),
                ("/since", "invalid"),
                ("/smtp/host", "required"),
                ("/tls", "invalid"),
            ]
        );
        assert_eq!(problems(&schema, &json!({"name": "longer"}))[0].1, "too_long");
        assert_eq!(
            problems(&schema, &json!({"name": "x", "port": 1.5}))[0].1,
            "wrong_type"
        );
        assert_eq!(problems(&schema, &json!([]))[0].1, "wrong_type");
    }

    #[test]
    fn a_parameter_of_the_query_has_its_type_and_comes_once() {
        let parameters = [
            Parameter {
                name: "state",
                schema: word(&["open"]),
                about: "",
                repeated: false,
            },
            Parameter {
                name: "deep",
                schema: boolean(),
                about: "",
                repeated: false,
            },
            Parameter {
                name: "n",
                schema: integer().at_least(1),
                about: "",
                repeated: true,
            },
        ];
        let ask = |query: &str| {
            let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect();
            self::query(&parameters, &pairs).map_err(|problem| problem.code().to_owned())
        };
        assert_eq!(ask("state=open&deep=true&n=1&n=2&x=y&state2="), Ok(()));
        assert_eq!(ask("state="), Ok(()));
        for bad in ["state=shut", "deep=1", "n=0", "n=x"] {
            assert_eq!(ask(bad), Err("bad_parameter".into()), "{bad}");
        }
        assert_eq!(ask("state=open&state=open"), Err("repeated_parameter".into()));
    }
}
