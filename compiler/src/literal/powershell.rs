//! Values as PowerShell literals.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes `value` as a PowerShell expression: ASCII only, on one line, equal in PowerShell 5.1 and 7.
///
/// Only verbatim strings are written. Typographic quotes end those as well as `'` does, and 5.1 reads
/// scripts in the code page of the machine, so everything outside of printable ASCII goes through its
/// code point, in a list that is joined: a long sum would nest as deep as it is long. Fails with a reason for an integer that is not 64 bits wide.
pub(crate) fn powershell(value: &Value) -> Result<String, &'static str> {
    let mut out = String::new();
    write_value(value, &mut out)?;
    Ok(out)
}

fn write_value(value: &Value, out: &mut String) -> Result<(), &'static str> {
    match value {
        Value::Null => out.push_str("$null"),
        Value::Bool(true) => out.push_str("$true"),
        Value::Bool(false) => out.push_str("$false"),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            return Err("PowerShell has no literal for an integer over 64 bits");
        }
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            // `@(x)` opens a list in it; the comma keeps it whole.
            out.push_str(if items.len() == 1 { "@(," } else { "@(" });
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_value(item, out)?;
            }
            out.push(')');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push_str("@{");
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                out.push_str(if index > 0 { "; " } else { "" });
                write_text(key, out);
                out.push_str(" = ");
                write_value(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut String) {
    let mut parts: Vec<String> = Vec::new();
    let mut run = String::new();
    for c in text.chars() {
        let code = u32::from(c);
        match c {
            '\'' => run.push_str("''"),
            ' '..='~' => run.push(c),
            _ => {
                flush(&mut run, &mut parts);
                parts.push(if code < 0x1_0000 {
                    format!("[char]0x{code:X}")
                } else {
                    format!("[char]::ConvertFromUtf32(0x{code:X})")
                });
            }
        }
    }
    if parts.is_empty() {
        write!(out, "'{run}'").expect("writing to memory does not fail");
        return;
    }
    flush(&mut run, &mut parts);
    write!(out, "(-join @({}))", parts.join(", ")).expect("writing to memory does not fail");
}

fn flush(run: &mut String, parts: &mut Vec<String>) {
    if !run.is_empty() {
        parts.push(format!("'{}'", std::mem::take(run)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn known_literals() {
        for (value, literal) in [
            (json!(null), "$null"),
            (json!([true, false, -1, 1.5]), "@($true, $false, -1, 1.5)"),
            (json!([["a", "b"]]), "@(,@('a', 'b'))"),
            (json!([]), "@()"),
            (json!({"b": {}, "a": "x"}), "@{'a' = 'x'; 'b' = @{}}"),
            (json!("it's $(calc) \"`"), "'it''s $(calc) \"`'"),
            (json!("a\n\u{2019}"), "(-join @('a', [char]0xA, [char]0x2019))"),
            (json!("\0"), "(-join @([char]0x0))"),
            (json!("\u{1f366}"), "(-join @([char]::ConvertFromUtf32(0x1F366)))"),
        ] {
            assert_eq!(powershell(&value).unwrap(), literal);
        }
        assert!(powershell(&json!(u64::MAX)).is_err());
    }
}
