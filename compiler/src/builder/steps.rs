//! Reading the steps of nodes that run at the edge: closed vocabularies, no scripts. Those of
//! `browser.run` are here, the others in files of their own.

use std::collections::BTreeSet;

use super::expr::Expressions;
use super::kinds::{expressions, read_url};
use super::node::RawNode;
use super::object::Object;
use super::{desktop, secrets, shell};
use crate::plan::Ident;
use crate::plan::builder::{BrowserAction, EdgeKind, Template};

const TOUCH: [&str; 3] = ["click", "wait", "check"];
const SET: [&str; 3] = ["fill", "select", "press"];
const OPS: [&str; 10] = [
    "goto",
    "click",
    "wait",
    "check",
    "fill",
    "select",
    "press",
    "read_text",
    "read_value",
    "count",
];

/// Names of the results of a node at the edge.
pub(super) fn outputs(kind: &EdgeKind) -> BTreeSet<&str> {
    match kind {
        EdgeKind::DataMap(fields) => fields.keys().map(String::as_str).collect(),
        EdgeKind::Browser(steps) => steps.iter().filter_map(result).collect(),
        EdgeKind::Desktop(steps) => steps.iter().filter_map(desktop::result).collect(),
        EdgeKind::Shell(steps) => steps.iter().filter_map(shell::result).collect(),
    }
}

fn result(step: &BrowserAction) -> Option<&str> {
    match step {
        BrowserAction::Read { name, .. } => Some(name.as_str()),
        _ => None,
    }
}

/// Reads the `steps` of a node of the kind `word`.
pub(super) fn read(word: &str, object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<EdgeKind> {
    match word {
        "desktop.run" => read_all(object, raw, desktop::read).map(EdgeKind::Desktop),
        "shell.powershell" => read_all(object, raw, shell::read).map(EdgeKind::Shell),
        _ => read_all(object, raw, read_step).map(EdgeKind::Browser),
    }
}

/// Reads each of `steps`. None when one of them is wrong.
fn read_all<T>(
    object: &mut Object<'_, '_>,
    raw: &mut RawNode,
    read: impl Fn(&mut Object<'_, '_>, &mut RawNode) -> Option<T>,
) -> Option<Vec<T>> {
    let place = object.place().key("steps");
    let values = object.list("steps");
    if !(1..=256).contains(&values.len()) {
        object.report("E_SCHEMA", "steps", "1 to 256 steps are expected");
    }
    let id = raw.id.clone();
    let mut steps = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let step = Object::read(value, place.index(index), Some(&id), object.findings());
        let Some(mut step) = step else { continue };
        let read = read(&mut step, raw);
        if read.is_some() {
            step.finish();
        }
        steps.extend(read);
    }
    (steps.len() == values.len()).then_some(steps)
}

/// The `op` of a step, of `known` words.
pub(super) fn read_op(object: &mut Object<'_, '_>, known: &[&'static str]) -> Option<&'static str> {
    let text = object.text("op")?;
    let op = known.iter().find(|known| **known == text);
    if op.is_none() {
        object.report("E_SCHEMA", "op", format!("one of {} is expected", known.join(", ")));
    }
    op.copied()
}

/// The name under which a step's result is kept.
pub(super) fn read_as(object: &mut Object<'_, '_>) -> Option<Ident> {
    let name = Ident::new(object.text("as")?);
    if name.is_none() {
        object.report("E_IDENT", "as", "a result is named like a node");
    }
    name
}

fn read_step(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<BrowserAction> {
    match read_op(object, &OPS)? {
        "goto" => {
            let place = object.place().key("url");
            let url = object.text("url")?;
            object.line("url", url, 2048);
            let url = read_url(&mut expressions(object, raw), url, &place);
            Some(BrowserAction::Goto { url })
        }
        op if TOUCH.contains(&op) => {
            read_selector(object, raw).map(|(selector, _)| BrowserAction::Touch { op, selector })
        }
        op if SET.contains(&op) => read_set(object, raw, op),
        op => read_result(object, raw, op),
    }
}

fn read_selector<'a>(
    object: &mut Object<'a, '_>,
    raw: &mut RawNode,
) -> Option<(Template, &'a str)> {
    let text = object.text("selector")?;
    object.line("selector", text, 1024);
    if text.is_empty() {
        object.report("E_SCHEMA", "selector", "a selector is not empty");
    }
    let place = object.place().key("selector");
    Some((expressions(object, raw).text(text, &place), text))
}

fn read_set(
    object: &mut Object<'_, '_>,
    raw: &mut RawNode,
    op: &'static str,
) -> Option<BrowserAction> {
    let selector = read_selector(object, raw);
    let text = object.text("value")?;
    let place = object.place().key("value");
    let mut expressions: Expressions<'_, '_> = expressions(object, raw).with_credentials();
    let value = expressions.text(text, &place);
    let (selector, name) = selector?;
    if secrets::is_secret_name(name) && op == "fill" && secrets::spells_out(&value) {
        let detail = "a secret is never written out; use {{credential.<name>}}";
        expressions.report("E_PLAINTEXT_SECRET", &place, detail);
    }
    Some(BrowserAction::Set { op, selector, value })
}

fn read_result(
    object: &mut Object<'_, '_>,
    raw: &mut RawNode,
    op: &'static str,
) -> Option<BrowserAction> {
    let selector = read_selector(object, raw);
    let name = read_as(object);
    let (selector, _) = selector?;
    Some(BrowserAction::Read { op, selector, name: name? })
}
