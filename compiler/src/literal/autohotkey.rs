//! Values as AutoHotkey v2 literals.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes `value` as an AutoHotkey v2 expression: ASCII only, on one line.
///
/// A `;` after a blank begins a comment even inside a string, and `::` can make a line a hotkey, so
/// both are broken up; what is not printable goes through `Chr`. Fails with a reason for what no
/// literal can hold: NUL, true, false, null, and numbers that are no 64-bit integer.
pub(crate) fn autohotkey(value: &Value) -> Result<String, &'static str> {
    let mut out = String::new();
    write_value(value, &mut out)?;
    Ok(out)
}

fn write_value(value: &Value, out: &mut String) -> Result<(), &'static str> {
    match value {
        Value::String(text) => write_text(text, out),
        Value::Number(number) if number.is_i64() => {
            out.push_str(&number.to_string());
            Ok(())
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_value(item, out)?;
            }
            out.push(']');
            Ok(())
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push_str("Map(");
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_text(key, out)?;
                out.push_str(", ");
                write_value(member, out)?;
            }
            out.push(')');
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            Err("AutoHotkey has no literal for this value")
        }
    }
}

fn write_text(text: &str, out: &mut String) -> Result<(), &'static str> {
    let mut parts: Vec<String> = Vec::new();
    let mut run = String::new();
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '\0' => return Err("AutoHotkey ends a text at NUL, so none can hold one"),
            ' '..='~' if (before, c) != (':', ':') => {
                if matches!(c, '`' | '"' | ';') {
                    run.push('`');
                }
                run.push(c);
            }
            '\n' => run.push_str("`n"),
            '\r' => run.push_str("`r"),
            '\t' => run.push_str("`t"),
            _ => {
                flush(&mut run, &mut parts);
                parts.push(format!("Chr(0x{:X})", u32::from(c)));
            }
        }
        before = c;
    }
    if parts.is_empty() {
        write!(out, "\"{run}\"").expect("writing to memory does not fail");
        return Ok(());
    }
    flush(&mut run, &mut parts);
    write!(out, "({})", parts.join(" . ")).expect("writing to memory does not fail");
    Ok(())
}

fn flush(run: &mut String, parts: &mut Vec<String>) {
    if !run.is_empty() {
        parts.push(format!("\"{}\"", std::mem::take(run)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn known_literals() {
        for (value, literal) in [
            (json!(""), r#""""#),
            (json!(-3), "-3"),
            (json!(["a", {"b": [], "a": 1}]), r#"["a", Map("a", 1, "b", [])]"#),
            (json!("a\"`\n\r\t"), r#""a`"```n`r`t""#),
            (json!("x ; y"), r#""x `; y""#),
            (json!("a::b"), r#"("a:" . Chr(0x3A) . "b")"#),
            (json!("\u{e9}"), "(Chr(0xE9))"),
            (json!("a\u{1f366}b"), r#"("a" . Chr(0x1F366) . "b")"#),
        ] {
            assert_eq!(autohotkey(&value).unwrap(), literal);
        }
        for value in [json!(null), json!(true), json!(1.5), json!(u64::MAX), json!(["a\0"])] {
            assert!(autohotkey(&value).is_err(), "{value}");
        }
    }
}
