//! Reading the steps of a `browser.run`: a closed vocabulary, no scripts.

use serde_json::Value;

use super::expr::Expressions;
use super::kinds::{expressions, read_url};
use super::node::RawNode;
use super::object::Object;
use super::secrets;
use crate::plan::Ident;
use crate::plan::builder::{BrowserAction, Template};
use crate::problem::{Findings, Pointer};

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

/// Names of the results of `steps`.
pub(super) fn outputs(steps: &[BrowserAction]) -> impl Iterator<Item = &str> {
    steps.iter().filter_map(|step| match step {
        BrowserAction::Read { name, .. } => Some(name.as_str()),
        _ => None,
    })
}

/// Reads `steps`.
pub(super) fn read(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<Vec<BrowserAction>> {
    let place = object.place().key("steps");
    let values = object.list("steps");
    if !(1..=256).contains(&values.len()) {
        object.report("E_SCHEMA", "steps", "1 to 256 steps are expected");
    }
    let mut steps = Vec::new();
    for (index, value) in values.iter().enumerate() {
        steps.extend(read_step(value, &place.index(index), raw, object.findings()));
    }
    (steps.len() == values.len()).then_some(steps)
}

fn read_step(
    value: &Value,
    place: &Pointer,
    raw: &mut RawNode,
    findings: &mut Findings,
) -> Option<BrowserAction> {
    let id = raw.id.clone();
    let mut object = Object::read(value, place.clone(), Some(&id), findings)?;
    let known = object.text("op").and_then(|op| OPS.iter().find(|known| **known == op));
    let Some(&op) = known else {
        object.report("E_SCHEMA", "op", format!("one of {} is expected", OPS.join(", ")));
        return None;
    };
    let action = match op {
        "goto" => {
            let url = object.text("url")?;
            object.line("url", url, 2048);
            let url = read_url(&mut expressions(&mut object, raw), url, &place.key("url"));
            Some(BrowserAction::Goto { url })
        }
        op if TOUCH.contains(&op) => read_selector(&mut object, raw)
            .map(|(selector, _)| BrowserAction::Touch { op, selector }),
        op if SET.contains(&op) => read_set(&mut object, raw, op),
        op => read_result(&mut object, raw, op),
    };
    object.finish();
    action
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
    let name = Ident::new(object.text("as")?);
    if name.is_none() {
        object.report("E_IDENT", "as", "a result is named like a node");
    }
    let (selector, _) = selector?;
    Some(BrowserAction::Read { op, selector, name: name? })
}
