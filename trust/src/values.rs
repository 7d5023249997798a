//! What an encrypted environment holds: a JSON object of names and values.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// Most values in one environment.
pub const MAX_VALUES: usize = 256;
/// Most characters of a name.
pub const MAX_NAME: usize = 64;
/// Most bytes of a value.
pub const MAX_VALUE: usize = 16 * 1024;

/// Values by the name of the variable that holds them for a script. Wiped from memory when dropped; `Debug`
/// shows no value.
#[derive(PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Environment(BTreeMap<String, String>);

/// Why a text is no environment. It repeats no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidEnvironment(Vec<String>);

impl Environment {
    /// Reads a JSON object of at least one name and value. Names are `[A-Z][A-Z0-9_]*` of at most
    /// [`MAX_NAME`] characters, each there once; values are text without a null byte of at most
    /// [`MAX_VALUE`] bytes.
    ///
    /// # Errors
    /// All problems at once, by name and position, never with a value.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidEnvironment> {
        let Pairs(pairs) = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
        let problems: Vec<String> = problems(&pairs);
        if problems.is_empty() {
            // Moved out one by one: the list wipes what it still holds when it is dropped.
            let mut pairs = pairs;
            return Ok(Self(pairs.0.drain(..).collect()));
        }
        Err(InvalidEnvironment(problems))
    }

    /// As JSON, which is what is encrypted.
    ///
    /// # Panics
    /// Never: texts are written into memory.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it, so that no growth leaves a copy behind.
        let room: usize = self.0.iter().map(|(name, value)| name.len() + 6 * value.len() + 8).sum();
        let mut json = Zeroizing::new(Vec::with_capacity(room + 2));
        serde_json::to_writer(&mut *json, self).expect("text by text goes into memory");
        json
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

/// An error of the parser may quote what it found, and that may be a value.
fn unreadable(error: &serde_json::Error) -> InvalidEnvironment {
    let (line, column) = (error.line(), error.column());
    InvalidEnvironment(vec![format!(
        "not a JSON object of names and texts, such as {{\"ERP_PASSWORD\": \"…\"}} (line {line}, column {column})"
    )])
}

fn problems(Wiped(pairs): &Wiped) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    if pairs.is_empty() {
        problems.push("there is no value".to_owned());
    }
    if pairs.len() > MAX_VALUES {
        problems.push(format!("there are more than {MAX_VALUES} values"));
    }
    for (name, value) in pairs {
        let shown: String = name.chars().take(MAX_NAME).collect();
        if !is_name(name) {
            problems.push(format!("{shown:?} is not a name: [A-Z][A-Z0-9_]*, at most {MAX_NAME}"));
        } else if !seen.insert(name) {
            problems.push(format!("{shown} is there twice"));
        }
        if value.len() > MAX_VALUE || value.contains('\0') {
            problems.push(format!(
                "the value of {shown:?} has more than {MAX_VALUE} bytes, or a null byte"
            ));
        }
    }
    problems
}

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(inner)
}

/// Names and values as they stand in the text, wiped when dropped.
struct Wiped(Vec<(String, String)>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

struct Pairs(Wiped);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Wiped(Vec::new());
                while let Some(pair) = map.next_entry()? {
                    pairs.0.push(pair);
                    if pairs.0.len() > 4 * MAX_VALUES {
                        return Err(A::Error::custom("too many values"));
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_texts_round_trips_and_is_not_shown() {
        let json = r#"{"ERP_PASSWORD":"p\n\"ß","A":""}"#;
        let values = Environment::parse(json.as_bytes()).unwrap();
        assert_eq!(values.get("ERP_PASSWORD"), Some("p\n\"ß"));
        assert_eq!(values.names().collect::<Vec<_>>(), ["A", "ERP_PASSWORD"]);
        assert_eq!(Environment::parse(&values.to_json()).unwrap(), values);
        assert_eq!(format!("{values:?}"), r#"{"A", "ERP_PASSWORD"}"#);
    }

    /// Every problem is named, and no value is.
    #[test]
    fn problems_come_all_at_once_and_tell_no_value() {
        let json = r#"{"erp":"hunter2","A":"hunter2","A":"hunter2","B":"hunter2\u0000"}"#;
        let said = Environment::parse(json.as_bytes()).unwrap_err().to_string();
        for part in ["\"erp\"", "A is there twice", "\"B\""] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
        let long = format!(r#"{{"A":"{}"}}"#, "x".repeat(MAX_VALUE + 1));
        let deep = format!(r#"{{"{}":"x"}}"#, "A".repeat(MAX_NAME + 1));
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"A":"hunter2""#,
            r#"{"A":{"B":"hunter2"}}"#,
            r#"{"A":7}"#,
            r#""hunter2""#,
            r#"{"A":"hunter2"} x"#,
            r#"{"1A":"x"}"#,
            r#"{"Ä":"x"}"#,
            &long,
            &deep,
        ] {
            let said = Environment::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
