//! JSON bodies, read strictly: a name that comes twice is a mistake (readers differ in which one they believe), nesting
//! has an end, and a mistake is told with the JSON pointer to where reading stopped. Nothing of the content is repeated.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::web::error::Problem;
use crate::web::openapi::check::escaped;

/// How deep objects and lists may be nested.
const MAX_DEPTH: usize = 32;

/// Marks in the parser's error what is wrong; serde_json's own errors bring no kind of ours.
const TWICE: &str = "a name comes twice";
const DEEP: &str = "nested too deeply";

/// A JSON object.
///
/// # Errors
/// 400 for anything else, with a pointer.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    match value(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::bad_request(
            "not_an_object",
            "the body must be a JSON object",
        )),
    }
}

fn value(bytes: &[u8]) -> Result<Value, Problem> {
    let place = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict(&place)
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        let text = error.to_string();
        let (line, column) = (error.line(), error.column());
        let problem = if text.starts_with(TWICE) {
            Problem::bad_request(
                "repeated_member",
                "a member comes twice in the same object; nothing was changed",
            )
        } else if text.starts_with(DEEP) {
            Problem::bad_request(
                "nested_too_deeply",
                format!("the body is nested deeper than {MAX_DEPTH} levels"),
            )
        } else {
            Problem::bad_request(
                "malformed_json",
                format!("the body is not JSON: see line {line}, column {column}"),
            )
        };
        problem.at(place.borrow().concat())
    })
}

/// Reads any value; the path to it is kept while it is being read, and stays where reading stops.
struct Strict<'a>(&'a RefCell<Vec<String>>);

impl Strict<'_> {
    fn enter<E: serde::de::Error>(&self, part: &str) -> Result<(), E> {
        let mut place = self.0.borrow_mut();
        // A pointer into an endless name helps nobody.
        let part: String = part.chars().take(100).collect();
        place.push(format!("/{}", escaped(&part)));
        if place.len() > MAX_DEPTH {
            Err(E::custom(DEEP))
        } else {
            Ok(())
        }
    }

    fn leave(&self) {
        self.0.borrow_mut().pop();
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        loop {
            self.enter(&all.len().to_string())?;
            let Some(item) = items.next_element_seed(Strict(self.0))? else {
                break;
            };
            self.leave();
            all.push(item);
        }
        self.leave();
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.enter(&name)?;
            if all.contains_key(&name) {
                return Err(A::Error::custom(TWICE));
            }
            let value = members.next_value_seed(Strict(self.0))?;
            self.leave();
            all.insert(name, value);
        }
        Ok(all.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, String) {
        let problem = object(text.as_bytes()).unwrap_err();
        let pointer = problem.errors().first().map(|error| error.pointer.clone());
        (problem.code().to_owned(), pointer.unwrap_or_default())
    }

    #[test]
    fn what_is_read_is_what_was_sent() {
        let text = r#"{"a": [1, -2, 1.5e3, true, null, "é\n\ud83d\ude00"], "b": {"c": {}}, "d": 18446744073709551615}"#;
        let read = object(text.as_bytes()).unwrap();
        assert_eq!(Value::Object(read), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, code, pointer) in [
            ("", "malformed_json", ""),
            ("{\"a\": ", "malformed_json", "/a"),
            ("{\"a\": [1, {\"b/c\": nul}]}", "malformed_json", "/a/1/b~1c"),
            ("{\"a\": 1} x", "malformed_json", ""),
            ("{\"a\": \"\u{1}\"}", "malformed_json", "/a"),
            (
                "{\"a\": 1, \"b\": {\"c\": 1, \"c\": 2}}",
                "repeated_member",
                "/b/c",
            ),
            ("[1]", "not_an_object", ""),
            ("7", "not_an_object", ""),
        ] {
            assert_eq!(refused(text), (code.to_owned(), pointer.to_owned()), "{text}");
        }
        let invalid = object(b"{\"a\": \"\xff\"}").unwrap_err();
        assert_eq!(invalid.code(), "malformed_json");
    }

    #[test]
    fn deep_nesting_ends_early() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = |n: usize| format!("{{\"x\": {}1{}}}", open.repeat(n), close.repeat(n));
            assert!(object(deep(MAX_DEPTH - 1).as_bytes()).is_ok());
            assert_eq!(refused(&deep(MAX_DEPTH)).0, "nested_too_deeply");
            assert_eq!(refused(&deep(100_000)).0, "nested_too_deeply");
        }
    }
}
