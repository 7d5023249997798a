//! Values as literals, one filter per language: the one door through which data enters generated
//! code. Python's is here, the others in files of their own.

mod autohotkey;
mod powershell;

use std::fmt::Write as _;

use serde_json::Value;

pub(crate) use autohotkey::autohotkey;
pub(crate) use powershell::powershell;

/// Writes `value` as a Python expression: ASCII only, on one line, equal to the value when
/// evaluated. Members of objects come in byte order of their keys.
///
/// Code points above the BMP are `\UHHHHHHHH`; a JSON surrogate pair would be two characters in
/// Python. JSON has no NaN and no infinities, so every number is a literal.
pub(crate) fn python(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_value(item, out);
                out.push_str(", ");
            }
            close(out, ']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, member) in sorted {
                write_text(key, out);
                out.push_str(": ");
                write_value(member, out);
                out.push_str(", ");
            }
            close(out, '}');
        }
    }
}

/// Every text in `value`, members' names among them.
pub(crate) fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Object(members) => {
            for (key, member) in members {
                out.push(key.clone());
                texts(member, out);
            }
        }
    }
}

/// Ends a list without a trailing comma: the formatter breaks lines by width alone then.
fn close(out: &mut String, bracket: char) {
    if out.ends_with(", ") {
        out.truncate(out.len() - 2);
    }
    out.push(bracket);
}

/// A text as a Python expression: see [`python`].
pub(crate) fn python_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_text(text, &mut out);
    out
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c| !is_plain(c)) {
        out.push_str(&rest[..at]);
        let mut after = rest[at..].chars();
        after.next().into_iter().for_each(|c| write_escape(c, out));
        rest = after.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether a character stands for itself between quotes.
const fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\')
}

fn write_escape(c: char, out: &mut String) {
    let code = u32::from(c);
    let written = match c {
        '"' | '\\' => write!(out, "\\{c}"),
        '\n' => write!(out, "\\n"),
        _ if code < 0x100 => write!(out, "\\x{code:02x}"),
        _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    written.expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn known_literals() {
        for (value, literal) in [
            (json!(null), "None"),
            (json!([true, false]), "[True, False]"),
            (json!([1, -2, 1.0, 1e300]), "[1, -2, 1.0, 1e+300]"),
            (json!([]), "[]"),
            (json!({}), "{}"),
            (json!({"b": 1, "a": []}), r#"{"a": [], "b": 1}"#),
            (json!("a\"\\\n\r\t\0"), r#""a\"\\\n\x0d\x09\x00""#),
            (json!("\u{e9}\u{2028}\u{1f366}"), r#""\xe9\u2028\U0001f366""#),
        ] {
            assert_eq!(python(&value), literal);
        }
    }

    proptest! {
        /// One line of printable ASCII that is one expression, whatever the text.
        #[test]
        fn any_text_is_one_string_literal(text in any::<String>()) {
            let literal = python(&Value::String(text.clone()));
            prop_assert!(literal.bytes().all(|b| (b' '..=b'~').contains(&b)));
            let parsed = ruff_python_parser::parse_expression(&literal).unwrap();
            let body = &*parsed.syntax().body;
            let read = body.as_string_literal_expr().map(|e| e.value.to_str().to_owned());
            prop_assert_eq!(read, Some(text));
        }
    }
}
