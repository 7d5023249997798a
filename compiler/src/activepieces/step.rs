//! Steps: the tree, and what each has in common with the others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::{Here, Reader};
use super::{code, piece, router};
use crate::plan::activepieces::{Step, Work};
use crate::policy::Limits;
use crate::problem::{Findings, Pointer};

/// The steps directly inside `step`, each with its place: of branches, loops, and the next one.
fn inside<'a>(step: &'a Value, at: &Pointer) -> Vec<(&'a Value, Pointer)> {
    let mut found = Vec::new();
    let children = step.get("children").and_then(Value::as_array).into_iter().flatten();
    for (index, child) in children.enumerate() {
        found.push((child, at.key("children").index(index)));
    }
    for name in ["firstLoopAction", "onSuccessAction", "onFailureAction", "nextAction"] {
        found.extend(step.get(name).map(|step| (step, at.key(name))));
    }
    found.retain(|(step, _)| !step.is_null());
    found
}

/// The names of all steps from `start` on. None when there are too many to look at. No recursion: the
/// tree is as deep as it has steps.
pub(super) fn names(
    start: &Value,
    at: &Pointer,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut count = 0;
    let mut open = vec![(start, at.clone())];
    while let Some((step, at)) = open.pop() {
        count += 1;
        if count > limits.nodes {
            let detail = format!("the flow has more than {} steps", limits.nodes);
            findings.add("E_TOO_LARGE", &at, detail);
            return None;
        }
        let name = step.get("name").and_then(Value::as_str).unwrap_or_default();
        if !is_name(name) {
            let detail =
                "a step's name has 1 to 64 letters, digits and `_`, and begins with no digit";
            findings.add_at("E_IDENT", &at.key("name"), name, detail);
        } else if !names.insert(name.to_owned()) {
            let detail = "another step has this name";
            findings.add_at("E_DUPLICATE_NODE_ID", &at.key("name"), name, detail);
        }
        open.extend(inside(step, &at));
    }
    Some(names)
}

/// As ActivePieces demands of a step's name, and with a bound.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The step at `first` and those that follow it, but for skipped ones: they do not run, whatever they
/// hold.
pub(super) fn chain(first: Option<&Value>, at: &Pointer, reader: &mut Reader<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut next = first.map(|step| (step, at.clone()));
    while let Some((step, at)) = next.filter(|(step, _)| !step.is_null()) {
        if step.get("skip") != Some(&Value::Bool(true)) {
            steps.extend(read(step, &at, reader));
        }
        next = step.get("nextAction").map(|step| (step, at.key("nextAction")));
    }
    steps
}

fn read(step: &Value, at: &Pointer, reader: &mut Reader<'_>) -> Option<Step> {
    let name = step.get("name")?.as_str()?;
    let kind = step.get("type").and_then(Value::as_str).unwrap_or_default();
    let ident = reader.idents.derive(name);
    let settings = step.get("settings").unwrap_or(&Value::Null);
    let place = at.key("settings");
    if step.get("continueOnFailureBranches").is_some_and(has_branch) {
        let detail = "steps on success and on failure are not compiled: ActivePieces took them out \
                      again; use a router behind the step";
        let at = at.key("continueOnFailureBranches");
        reader.report("E_AP_STEP_UNSUPPORTED", &at, name, detail);
    }
    let work = match kind {
        "CODE" => code::read(settings, &place, name, reader).map(Work::Code),
        "PIECE" => piece::read(settings, &place, name, reader),
        "LOOP_ON_ITEMS" => read_loop(step, at, name, reader),
        "ROUTER" | "BRANCH" => router::read(step, at, name, reader).map(Work::Router),
        _ => {
            let shown: String = kind.chars().take(40).collect();
            let detail = format!(
                "`{shown}` is no kind of step that is compiled: CODE, PIECE, LOOP_ON_ITEMS and \
                 ROUTER are"
            );
            reader.report("E_AP_STEP_UNSUPPORTED", &at.key("type"), name, detail);
            None
        }
    };
    let option = |name: &str| {
        let option = settings.get("errorHandlingOptions").and_then(|options| options.get(name));
        option.and_then(|option| option.get("value")) == Some(&Value::Bool(true))
    };
    Some(Step {
        name: name.to_owned(),
        ident,
        continue_on_failure: option("continueOnFailure"),
        retry: option("retryOnFailure"),
        work: work?,
    })
}

fn has_branch(branches: &Value) -> bool {
    ["onSuccess", "onFailure"].iter().any(|name| branches.get(name).is_some_and(Value::is_object))
}

fn read_loop(step: &Value, at: &Pointer, name: &str, reader: &mut Reader<'_>) -> Option<Work> {
    let place = at.key("settings").key("items");
    let items = step.get("settings").and_then(|settings| settings.get("items"));
    let here = Here { step: name, connections: false };
    let items = items.map(|items| reader.value(items, &place, here));
    if items.is_none() {
        reader.report("E_SCHEMA", &place, name, "a loop needs items");
    }
    reader.loops += 1;
    let body = chain(step.get("firstLoopAction"), &at.key("firstLoopAction"), reader);
    reader.loops -= 1;
    Some(Work::Loop { items: items?, body })
}
