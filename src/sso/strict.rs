//! Reading what a stranger sent, strictly: JSON without a name that comes twice, and the three parts of a signed token.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and lists may be nested.
const MAX_DEPTH: usize = 16;
/// Longest token that is looked at, bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 32 * 1024;

/// A JSON object in which no name comes twice, at any depth; readers would differ in which one they believe.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(0).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// The parts of a token in compact form (RFC 7515, section 7.1). Nothing of it is proven.
#[derive(Clone, Debug)]
pub(super) struct Parts<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// What the signature is over.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

/// Takes a token apart.
pub(super) fn parts(token: &str) -> Option<Parts<'_>> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    if claims.contains('.') {
        return None;
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    Some(Parts {
        header: object(&decode(header)?)?,
        claims: object(&decode(claims)?)?,
        signed,
        signature: decode(signature)?,
    })
}

struct Strict(usize);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0 > MAX_DEPTH {
            return Err(D::Error::custom("nested too deeply"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Strict(self.0 + 1))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(Strict(self.0 + 1))?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_is_no_json_here() {
        assert!(object(br#"{"a":1,"b":{"a":2}}"#).is_some());
        assert!(object(br#"{"a":1,"a":2}"#).is_none());
        assert!(object(br#"{"b":{"a":1,"a":1}}"#).is_none());
        assert!(object(br#"{"a":1} x"#).is_none());
        assert!(object(br"[1]").is_none());
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
        assert!(object(deep.as_bytes()).is_none());
    }

    #[test]
    fn a_token_has_three_parts_without_padding() {
        assert!(parts("e30.e30.").is_some());
        for wrong in [
            "",
            "e30",
            "e30.e30",
            "e30.e30.a.b",
            "e30=.e30.",
            "e30.W10.",
            "e30.e30.%",
        ] {
            assert!(parts(wrong).is_none(), "{wrong}");
        }
        assert!(parts(&format!("e30.e30.{}", "A".repeat(MAX_TOKEN_BYTES))).is_none());
    }
}
