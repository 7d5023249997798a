//! JSON in the one form that is signed, and the strict reading of what was received.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, ser};
use serde_json::{Map, Number, Value};

/// OLPC canonical JSON (wiki.laptop.org/go/Canonical_JSON), as TUF 1.0 §4.2 and python-tuf use it:
/// sorted keys, no white space, no floats, and in text only `"` and `\` are escaped. Text is taken as
/// it is, not normalised, so that no two documents have the same form.
///
/// # Errors
/// When the value holds a float.
pub(crate) fn to_canonical(value: &Value) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match value {
        Value::Number(number) if number.is_f64() => return Err(flaw("there is a float")),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.extend(value.to_string().bytes()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            write_list(*b"[]", items, out, write)?;
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            write_list(*b"{}", members, out, |(key, value), out| {
                write_text(key, out);
                out.push(b':');
                write(value, out)
            })?;
        }
    }
    Ok(())
}

fn write_list<I>(
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = I>,
    out: &mut Vec<u8>,
    write: impl Fn(I, &mut Vec<u8>) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out)?;
    }
    out.push(close);
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The canonical form of a type of ours that holds neither floats nor maps with other keys than
/// strings, so that it always has one.
pub(crate) fn own_canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_value(value)
        .and_then(|value| to_canonical(&value))
        .expect("metadata types hold no floats and only string keys")
}

/// Reads JSON in which no object has a key twice.
///
/// Two readers that pick a different one of two equal keys would check one document and use
/// another.
pub(crate) fn from_slice(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

/// A structural problem as the error type that carries all of them.
pub(crate) fn flaw(message: impl fmt::Display) -> serde_json::Error {
    <serde_json::Error as ser::Error>::custom(message)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without floats and repeated keys")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key `{key}` is repeated")));
            }
            let Strict(value) = access.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What python-tuf's own encoder (securesystemslib) gives for the same values.
    #[test]
    fn canonical_form_is_pinned() {
        for (json, expected) in [
            (
                r#"{"b": [1, true, null], "a": "q\"\\/\u00e9"}"#,
                r#"{"a":"q\"\\/é","b":[1,true,null]}"#,
            ),
            (r#"{"": {}, "Z": [], "a": -1}"#, r#"{"":{},"Z":[],"a":-1}"#),
            (r#"["\n\u0000"]"#, "[\"\n\0\"]"),
            (r#"{"\ud83d\ude00": 1, "\uffff": 2}"#, "{\"\u{ffff}\":2,\"\u{1f600}\":1}"),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            let text = String::from_utf8(to_canonical(&value).unwrap()).unwrap();
            assert_eq!(text, expected);
        }
    }

    /// Two spellings of `é` are two texts: the signature of one is none of the other.
    #[test]
    fn text_is_not_normalised() {
        let (composed, combined) = (Value::from("\u{e9}"), Value::from("e\u{301}"));
        assert_ne!(to_canonical(&composed).unwrap(), to_canonical(&combined).unwrap());
    }

    #[test]
    fn ambiguous_json_is_refused() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
            r#"{"a":1.5}"#,
            r#"{"a":99999999999999999999}"#,
            r#"{"a":1} {}"#,
            "",
            "<html></html>",
        ] {
            assert!(from_slice(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(
            from_slice("[".repeat(100_000).as_bytes()).is_err(),
            "deep nesting does not overflow the stack"
        );
        assert_eq!(
            from_slice(br#"{"a":[-1,"b",null]}"#).unwrap().to_string(),
            r#"{"a":[-1,"b",null]}"#
        );
    }
}
