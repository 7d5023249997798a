//! Reading the steps of a `desktop.run`, which AutoHotkey does.

use super::expr::Expressions;
use super::kinds::expressions;
use super::node::RawNode;
use super::object::Object;
use super::steps::{read_as, read_op};
use crate::literal;
use crate::plan::builder::{DesktopAction, Template};

const WINDOW: [&str; 3] = ["activate", "wait_window", "close"];
const TEXT: [&str; 2] = ["type", "set_clipboard"];
const OPS: [&str; 8] =
    ["activate", "wait_window", "close", "run", "type", "set_clipboard", "keys", "read_clipboard"];

/// Keys that a flow may press; `^` is Ctrl. The runtime has the same list.
const KEYS: [&str; 28] = [
    "Enter",
    "Tab",
    "Esc",
    "Space",
    "Backspace",
    "Delete",
    "Up",
    "Down",
    "Left",
    "Right",
    "Home",
    "End",
    "PgUp",
    "PgDn",
    "F1",
    "F2",
    "F3",
    "F4",
    "F5",
    "F10",
    "F12",
    "^a",
    "^c",
    "^f",
    "^n",
    "^p",
    "^s",
    "^v",
];

/// Programs that run what their arguments say. The list is a rail, not a wall: it stops a flow from
/// becoming code by the shortest way.
const INTERPRETERS: [&str; 22] = [
    "autohotkey",
    "autohotkey32",
    "autohotkey64",
    "bash",
    "certutil",
    "cmd",
    "cscript",
    "forfiles",
    "installutil",
    "msbuild",
    "mshta",
    "msiexec",
    "node",
    "powershell",
    "pwsh",
    "py",
    "python",
    "pythonw",
    "reg",
    "regsvr32",
    "rundll32",
    "wscript",
];

/// Longest line of AutoHotkey that is written, in characters. Its own limit is 16,383.
const MAX_LINE: usize = 15_000;

/// Most characters that are written by their code. An expression holds 512 operands and operators.
const MAX_CODES: usize = 150;

/// The name of what a step reads.
pub(super) fn result(step: &DesktopAction) -> Option<&str> {
    match step {
        DesktopAction::ReadClipboard { name } => Some(name.as_str()),
        _ => None,
    }
}

/// Reads one step.
pub(super) fn read(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<DesktopAction> {
    match read_op(object, &OPS)? {
        "run" => read_run(object, raw),
        "keys" => read_keys(object),
        "read_clipboard" => read_as(object).map(|name| DesktopAction::ReadClipboard { name }),
        op if WINDOW.contains(&op) => {
            let window = object.text("window")?;
            object.line("window", window, 512);
            if window.trim().is_empty() {
                object.report("E_SCHEMA", "window", "a window's title is not empty");
            }
            let window = read_text(object, raw, "window", window, false);
            Some(DesktopAction::Window { op, window })
        }
        op if TEXT.contains(&op) => {
            let text = object.text("text")?;
            // What is on the clipboard can be read by every program of the desktop.
            let text = read_text(object, raw, "text", text, op == "type");
            Some(DesktopAction::Text { op, text })
        }
        _ => None,
    }
}

fn read_text(
    object: &mut Object<'_, '_>,
    raw: &mut RawNode,
    name: &'static str,
    text: &str,
    credentials: bool,
) -> Template {
    check_length(object, name, [text]);
    let place = object.place().key(name);
    let mut expressions: Expressions<'_, '_> = expressions(object, raw);
    expressions.credentials = credentials;
    expressions.text(text, &place)
}

/// Refuses what no line of AutoHotkey can hold: NUL, which ends its strings, and long texts.
fn check_length<'t>(
    object: &mut Object<'_, '_>,
    name: &str,
    texts: impl IntoIterator<Item = &'t str>,
) {
    let (mut length, mut codes) = (0, 0);
    for text in texts {
        match literal::autohotkey(&text.into()) {
            Ok(written) => {
                length += written.len();
                codes += written.matches("Chr(").count();
            }
            Err(detail) => object.report("E_CONTROL_CHAR", name, detail),
        }
    }
    if length > MAX_LINE {
        let detail = format!("{length} characters as AutoHotkey; at most {MAX_LINE} are allowed");
        object.report("E_TOO_LARGE", name, detail);
    }
    if codes > MAX_CODES {
        let detail = format!("{codes} characters beyond ASCII; at most {MAX_CODES} are allowed");
        object.report("E_TOO_LARGE", name, detail);
    }
}

fn read_run(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<DesktopAction> {
    let path = object.text("path")?;
    object.line("path", path, 512);
    check_program(object, path);
    let values = object.optional("args").map_or(Some(&[][..]), |v| v.as_array().map(Vec::as_slice));
    let args: Option<Vec<&str>> =
        values.and_then(|values| values.iter().map(serde_json::Value::as_str).collect());
    let Some(args) = args.filter(|args| args.len() <= 32) else {
        object.report("E_SCHEMA", "args", "a list of at most 32 texts is expected");
        return None;
    };
    check_length(object, "args", args.iter().copied());
    let place = object.place().key("args");
    let mut expressions = expressions(object, raw);
    let read = |(index, text): (usize, &&str)| expressions.text(text, &place.index(index));
    let args = args.iter().enumerate().map(read).collect();
    Some(DesktopAction::Run { path: path.to_owned(), args })
}

/// A program is named by the flow's author and not by what a run brings.
fn check_program(object: &mut Object<'_, '_>, path: &str) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-()\\:".contains(c);
    let name = path.rsplit('\\').next().unwrap_or_default().to_ascii_lowercase();
    let Some(stem) = name.strip_suffix(".exe").filter(|_| path.chars().all(allowed)) else {
        let detail = "a program's name or path is expected: letters, digits, `\\`, `:`, spaces and \
                      `._-()`, ending in .exe, without references";
        object.report("E_SCHEMA", "path", detail);
        return;
    };
    if INTERPRETERS.contains(&stem.trim()) {
        let detail = format!("`{stem}` runs what its arguments say, so flows may not start it");
        object.report("E_CMDLET_DENIED", "path", detail);
    }
}

fn read_keys(object: &mut Object<'_, '_>) -> Option<DesktopAction> {
    let values = object.list("keys");
    let find = |value: &serde_json::Value| {
        let text = value.as_str()?;
        KEYS.into_iter().find(|key| *key == text)
    };
    let keys: Option<Vec<_>> = values.iter().map(find).collect();
    let keys = keys.filter(|keys| (1..=64).contains(&keys.len()));
    if keys.is_none() {
        let detail = format!("1 to 64 of these are expected: {}", KEYS.join(" "));
        object.report("E_SCHEMA", "keys", detail);
    }
    keys.map(DesktopAction::Keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second lock: a key that is not in the runtime's list fails there.
    #[test]
    fn the_runtime_knows_the_same_keys() {
        let runtime = include_str!("../../../templates/runtime/edge/colophon_edge.ahk");
        let list =
            runtime.split_once("Pressed := Map(").and_then(|(_, rest)| rest.split_once("\n    )"));
        let lines = list.map_or("", |(list, _)| list).lines().filter(|line| !line.is_empty());
        let known: Vec<_> = lines.filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(known, KEYS);
    }
}
