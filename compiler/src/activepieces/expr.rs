//! Values with expressions: `{{step_1.body.items[0]}}`.
//!
//! In ActivePieces what stands between the braces is JavaScript. Paths alone are compiled, and so is the
//! one function that the editor writes. Rules as in the engine's resolver of properties: braces are
//! counted; a text that is one expression, but for spaces around it, keeps the type of the value; within
//! a text, values that are no text become compact JSON; what is missing is an empty text.

use std::ops::Range;

use serde_json::Value;

use super::path;
use super::read::Reader;
use crate::plan::activepieces::Expr;
use crate::problem::Pointer;

/// What marks a formula of ActivePieces' editor.
const FORMULA: &str = "ap-formula-v";

/// Globals of JavaScript that have a value without any step.
const GLOBALS: [&str; 24] = [
    "Array",
    "BigInt",
    "Boolean",
    "Buffer",
    "Date",
    "Error",
    "Function",
    "Infinity",
    "Intl",
    "JSON",
    "Map",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Promise",
    "RegExp",
    "Set",
    "String",
    "Symbol",
    "console",
    "globalThis",
    "process",
    "this",
];

/// The places of all `{{…}}` in `text`, braces included. Braces inside are counted; what is not closed
/// is text.
pub(super) fn tokens(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if !bytes[at..].starts_with(b"{{") {
            at += 1;
            continue;
        }
        let start = at;
        let mut depth = 0;
        while at + 1 < bytes.len() {
            match &bytes[at..at + 2] {
                b"{{" => depth += 1,
                b"}}" => depth -= 1,
                _ => {
                    at += 1;
                    continue;
                }
            }
            at += 2;
            if depth == 0 {
                found.push(start..at);
                break;
            }
        }
        if depth > 0 {
            break;
        }
    }
    found
}

/// Reads the values of one step.
pub(super) struct Expressions<'r, 'f> {
    /// Who collects what is found.
    pub(super) reader: &'r mut Reader<'f>,
    /// The step.
    pub(super) step: &'r str,
}

impl Expressions<'_, '_> {
    /// Reads any JSON value. Names of members are not looked into, as in the engine.
    pub(super) fn read(&mut self, value: &Value, at: &Pointer) -> Expr {
        match value {
            Value::String(text) => self.text(text, at),
            Value::Array(items) => {
                let read = |(index, item)| self.read(item, &at.index(index));
                let items: Vec<_> = items.iter().enumerate().map(read).collect();
                if items.iter().all(is_literal) {
                    return Expr::Literal(value.clone());
                }
                Expr::List(items)
            }
            Value::Object(members) => {
                let read = |(name, member): (&String, &Value)| {
                    (name.clone(), self.read(member, &at.key(name)))
                };
                let members: std::collections::BTreeMap<_, _> = members.iter().map(read).collect();
                if members.values().all(is_literal) {
                    return Expr::Literal(value.clone());
                }
                Expr::Object(members)
            }
            scalar => Expr::Literal(scalar.clone()),
        }
    }

    fn text(&mut self, text: &str, at: &Pointer) -> Expr {
        if let Some((before, _)) = text.split_once(FORMULA) {
            self.refuse(at, before, "a formula", "put what it computes into a CODE step");
            return Expr::Literal(Value::Null);
        }
        let tokens = tokens(text);
        match tokens.as_slice() {
            [] => return Expr::Literal(text.into()),
            [only] if text[only.clone()] == *text.trim() => {
                return self.token(text, only, at);
            }
            _ => {}
        }
        let mut parts = Vec::new();
        let mut end = 0;
        for token in &tokens {
            push_text(&text[end..token.start], &mut parts);
            parts.push(self.token(text, token, at));
            end = token.end;
        }
        push_text(&text[end..], &mut parts);
        if parts.iter().any(|part| matches!(part, Expr::Flatten(..))) {
            return Expr::Zip(parts);
        }
        Expr::Text(parts)
    }

    /// What stands between the braces at `token`.
    fn token(&mut self, text: &str, token: &Range<usize>, at: &Pointer) -> Expr {
        let inside = text[token.start + 2..token.end - 2].trim();
        match inside {
            "" | "null" | "undefined" => return Expr::Literal("".into()),
            "true" | "false" => return Expr::Literal((inside == "true").into()),
            _ => {}
        }
        if let Some((root, keys)) = path::parse_flatten(inside) {
            return match self.path(root, at) {
                Expr::Output(path) => Expr::Flatten(path, keys),
                _ => Expr::Literal(Value::Array(Vec::new())),
            };
        }
        let path = path::parse(inside).filter(|path| !GLOBALS.contains(&path[0].as_str()));
        if let Some(path) = path {
            return self.path(path, at);
        }
        let shown: String = inside.chars().take(60).collect();
        let what = format!("`{{{{{shown}}}}}`");
        let hint =
            "only paths such as `{{step_1['body'].items[0]}}` are; compute the rest in a CODE step";
        self.refuse(at, &text[..token.start], &what, hint);
        Expr::Literal(Value::Null)
    }

    fn refuse(&mut self, at: &Pointer, before: &str, what: &str, hint: &str) {
        let position = before.chars().count() + 1;
        let detail = format!("{what} at character {position} is not compiled: {hint}");
        self.reader.report("E_AP_EXPR_UNSUPPORTED", at, self.step, detail);
    }

    fn path(&mut self, path: Vec<String>, at: &Pointer) -> Expr {
        let [root, keys @ ..] = path.as_slice() else { return Expr::Literal("".into()) };
        match root.as_str() {
            "connections" => self.connection(keys, at),
            "variables" => self.variable(keys, at),
            name if !self.reader.names.contains(name) => {
                let detail = format!("there is no step `{name}`: the expression is an empty text");
                self.reader.report("W_AP_UNKNOWN_STEP", at, self.step, detail);
                Expr::Literal("".into())
            }
            _ if self.reader.nested => nested(root, keys),
            _ => Expr::Output(path),
        }
    }

    fn connection(&mut self, keys: &[String], at: &Pointer) -> Expr {
        let Some((name, keys)) = keys.split_first() else {
            let detail = "`connections` needs the name of one, as in `{{connections['erp']}}`";
            self.reader.report("E_AP_EXPR_UNSUPPORTED", at, self.step, detail);
            return Expr::Literal(Value::Null);
        };
        let variable = super::env::variable("CONNECTION", name);
        self.reader.connections.insert(name.clone(), variable.clone());
        Expr::Connection(variable, keys.to_vec())
    }

    fn variable(&mut self, keys: &[String], at: &Pointer) -> Expr {
        let [name] = keys else {
            let detail = "`variables` needs the name of one, as in `{{variables['region']}}`";
            self.reader.report("E_AP_EXPR_UNSUPPORTED", at, self.step, detail);
            return Expr::Literal(Value::Null);
        };
        let variable = super::env::variable("VARIABLE", name);
        self.reader.variables.insert(name.clone(), variable.clone());
        Expr::Variable(variable)
    }
}

/// A path of schema 22, where a step is `{output, error}`.
fn nested(root: &str, keys: &[String]) -> Expr {
    let path = |keys: &[String]| std::iter::once(root.to_owned()).chain(keys.to_vec()).collect();
    match keys.split_first() {
        None => Expr::Both(root.to_owned()),
        Some((part, keys)) if part == "output" => Expr::Output(path(keys)),
        Some((part, keys)) if part == "error" => Expr::Error(path(keys)),
        Some(_) => Expr::Literal("".into()),
    }
}

fn push_text(text: &str, parts: &mut Vec<Expr>) {
    if !text.is_empty() {
        parts.push(Expr::Literal(text.into()));
    }
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| &text[token]).collect()
    }

    /// The first `}}` is not the end when braces are open.
    #[test]
    fn braces_are_counted() {
        assert_eq!(found("a {{b}} c {{ d }}"), ["{{b}}", "{{ d }}"]);
        assert_eq!(found("{{ {\"a\": {{b}} } }}"), ["{{ {\"a\": {{b}} } }}"]);
        assert_eq!(found("{{a {{b}}"), Vec::<&str>::new());
        assert_eq!(found("}} {{a}}"), ["{{a}}"]);
        assert_eq!(found("{{{a}}}"), ["{{{a}}"]);
        assert_eq!(found("é{{é}}é"), ["{{é}}"]);
        assert_eq!(found("{"), Vec::<&str>::new());
    }
}
