//! Strict JSON: RFC 8259 without the readings that two parsers could disagree about.
//!
//! Refused beside malformed text: a member name twice in one object, nesting deeper than the limit,
//! an unpaired surrogate, and a number that does not survive (an integer outside 64 bits, a float
//! outside the range of a double). One UTF-8 byte order mark at the start is dropped, because real
//! exports have it.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::policy::Limits;
use crate::problem::{Findings, Place, Pointer, Problems};

/// Reads a flow.
pub(crate) fn parse(body: &[u8], limits: &Limits) -> Result<Value, Problems> {
    if body.len() > limits.body {
        let detail = format!("the flow has {} bytes; at most {} are read", body.len(), limits.body);
        return Err(Problems::one("E_TOO_LARGE", Pointer::root(), detail));
    }
    let malformed = |detail: String| Problems::one("E_JSON", Pointer::root(), detail);
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|e| malformed(e.to_string()))?;
    let doubts = Doubts::new(limits);
    let value = read(text, limits, &doubts);
    // Told before what else is wrong. A number that was read and is in doubt is such an integer, or a float.
    if (value.is_err() || doubts.number.get())
        && let Some(number) = integer_out_of_range(text)
    {
        return Err(malformed(format!("the integer `{number}` does not fit 64 bits")));
    }
    let value = value.map_err(|e| malformed(e.to_string()))?;
    let mut findings = Findings::default();
    if doubts.text.get() {
        check_strings(&value, &Place::Root, limits.string, &mut findings);
    }
    findings.finish().map(|_| value)
}

fn read(text: &str, limits: &Limits, doubts: &Doubts) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // The limits below are stricter than the parser's own, but for chains.
    reader.disable_recursion_limit();
    let strict = Strict { depth: limits.depth, chain: MAX_CHAIN, doubts };
    let value = strict.deserialize(&mut reader)?;
    reader.end().map(|()| value)
}

/// What was seen on the way that calls for a closer look, which most flows are spared.
struct Doubts {
    /// Longest text.
    longest: usize,
    /// A number so large that it may be an integer that was rounded.
    number: Cell<bool>,
    /// A text over the limit, whose place the parser does not tell.
    text: Cell<bool>,
}

impl Doubts {
    const fn new(limits: &Limits) -> Self {
        Self { longest: limits.string, number: Cell::new(false), text: Cell::new(false) }
    }

    fn look_at(&self, text: &str) {
        if text.len() > self.longest {
            self.text.set(true);
        }
    }
}

/// The first integer of `text` outside the range of `i64` and `u64`, which `serde_json` would
/// round to a float. Strings are skipped by their quotes; malformed text is left to the parser.
fn integer_out_of_range(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = at + bytes[at..].iter().take_while(|b| is_number_byte(**b)).count();
                let number = &text[at..end];
                let integer = !number.contains(['.', 'e', 'E']);
                if integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    return Some(&number[..number.len().min(40)]);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

const fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn check_strings(value: &Value, place: &Place<'_>, limit: usize, findings: &mut Findings) {
    match value {
        Value::String(text) if text.len() > limit => {
            let detail = format!("the text has {} bytes; at most {limit} are read", text.len());
            findings.add("E_TOO_LARGE", &place.pointer(), detail);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_strings(item, &Place::Index(place, index), limit, findings);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                check_strings(member, &Place::Key(place, key), limit, findings);
            }
        }
        _ => {}
    }
}

/// Most steps of an ActivePieces flow that follow each other. Each is written inside the one before it,
/// as its member [`NEXT`], which is no nesting to whoever drew them one below the other.
const MAX_CHAIN: usize = 256;

/// The member that holds the next step.
const NEXT: &str = "nextAction";

/// Builds a [`Value`], refusing repeated members and counting depth down.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    chain: usize,
    doubts: &'a Doubts,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(E::custom("arrays and objects are nested too deeply")),
        }
    }

    /// What the member `name` of an object at this place may hold, when others may hold `inner`.
    fn member<E: serde::de::Error>(self, inner: Self, name: &str) -> Result<Self, E> {
        if name != NEXT {
            return Ok(inner);
        }
        match self.chain.checked_sub(1) {
            Some(chain) => Ok(Self { chain, ..self }),
            None => Err(E::custom("too many steps follow each other")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
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
        // 2 to the 63rd: below it, an integer would have been one.
        if value.abs() >= 9_223_372_036_854_775_808.0 {
            self.doubts.number.set(true);
        }
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        self.doubts.look_at(value);
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        self.doubts.look_at(&value);
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let seed = self.member(inner, &key);
            match map.entry(key) {
                Entry::Occupied(member) => {
                    let key: String = member.key().chars().take(80).collect();
                    return Err(A::Error::custom(format!("the member `{key}` stands twice")));
                }
                Entry::Vacant(place) => drop(place.insert(members.next_value_seed(seed?)?)),
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(body: &[u8]) -> &'static str {
        parse(body, &Limits::default())
            .map_or_else(|problems| problems.as_slice()[0].code, |_| "ok")
    }

    /// Each of these means different things to different parsers, or breaks one of them.
    #[test]
    fn ambiguous_json_is_refused() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        for bad in [
            "",
            "{",
            "nul",
            "{} {}",
            "[1,]",
            "{'a':1}",
            "NaN",
            "[1e999]",
            "[-1e999]",
            "01",
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            "18446744073709551616",
            "-9223372036854775809",
            "[123456789012345678901234567890]",
            "\"a\nb\"",
            "// x\n1",
            &deep,
        ] {
            assert_eq!(code(bad.as_bytes()), "E_JSON", "{bad}");
        }
        assert_eq!(code(b"\"\xff\""), "E_JSON");
        assert_eq!(code("\u{feff}\u{feff}1".as_bytes()), "E_JSON");
    }

    #[test]
    fn the_limits_themselves_are_accepted() {
        let deep = "[".repeat(64) + &"]".repeat(64);
        for good in ["\u{feff}{}", "18446744073709551615", "-9223372036854775808", "1e308", &deep] {
            assert_eq!(code(good.as_bytes()), "ok", "{good}");
        }
        // Digits inside a string are no number.
        assert_eq!(code(br#"{"a\"123456789012345678901234567890":"123456789012345678901"}"#), "ok");
    }

    #[test]
    fn sizes_are_bounded_and_the_long_text_is_named() {
        assert_eq!(code(&vec![b' '; (1 << 20) + 1]), "E_TOO_LARGE");
        let flow = format!(r#"{{"a":["x",{{"b/c":"{}"}}]}}"#, "y".repeat((128 << 10) + 1));
        let problems = parse(flow.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(problems.as_slice()[0].pointer.as_str(), "/a/1/b~1c");
    }

    /// A pointer for each of these values would be copied from a name of 128 KiB: 20 GB in all.
    #[test]
    fn a_long_name_over_many_values_costs_little() {
        let values = vec!["[1]"; 150_000].join(",");
        let flow = format!(r#"{{"{}":[{values}]}}"#, "n".repeat(128 << 10));
        let start = std::time::Instant::now();
        assert_eq!(code(flow.as_bytes()), "ok");
        assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
    }

    /// A flow of 256 steps is a chain of as many objects, and nothing else may be nested so.
    #[test]
    fn steps_in_a_row_are_not_nesting() {
        let chain = |steps: usize, name: &str| {
            format!("{}1{}", format!(r#"{{"{name}":"#).repeat(steps), "}".repeat(steps))
        };
        assert_eq!(code(chain(256, "nextAction").as_bytes()), "ok");
        assert_eq!(code(chain(257, "nextAction").as_bytes()), "E_JSON");
        assert_eq!(code(chain(60_000, "nextAction").as_bytes()), "E_JSON");
        assert_eq!(code(chain(64, "next").as_bytes()), "ok");
        assert_eq!(code(chain(65, "next").as_bytes()), "E_JSON");
        for (depth, want) in [(64, "ok"), (65, "E_JSON")] {
            let both = chain(200, "nextAction").replace('1', &chain(depth, "next"));
            assert_eq!(code(both.as_bytes()), want);
        }
    }

    proptest! {
        /// Where both accept, ours reads the same as the plain parser.
        #[test]
        fn agrees_with_the_plain_parser(text in r#"[\[\]{}",:0-9a-z.\-\\ ]{0,40}"#) {
            if let Ok(value) = parse(text.as_bytes(), &Limits::default()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }
    }
}
