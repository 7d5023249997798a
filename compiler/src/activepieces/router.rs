//! Routers, and the comparisons that decide their branches.

use serde_json::Value;

use super::read::{Here, Reader};
use super::step;
use crate::plan::activepieces::{Branch, Condition, Expr, Router};
use crate::problem::Pointer;

/// Operators that compare two values.
const OF_TWO: [&str; 16] = [
    "TEXT_CONTAINS",
    "TEXT_DOES_NOT_CONTAIN",
    "TEXT_EXACTLY_MATCHES",
    "TEXT_DOES_NOT_EXACTLY_MATCH",
    "TEXT_START_WITH",
    "TEXT_DOES_NOT_START_WITH",
    "TEXT_ENDS_WITH",
    "TEXT_DOES_NOT_END_WITH",
    "NUMBER_IS_GREATER_THAN",
    "NUMBER_IS_LESS_THAN",
    "NUMBER_IS_EQUAL_TO",
    "DATE_IS_BEFORE",
    "DATE_IS_EQUAL",
    "DATE_IS_AFTER",
    "LIST_CONTAINS",
    "LIST_DOES_NOT_CONTAIN",
];

/// Operators that look at one value.
const OF_ONE: [&str; 6] = [
    "BOOLEAN_IS_TRUE",
    "BOOLEAN_IS_FALSE",
    "LIST_IS_EMPTY",
    "LIST_IS_NOT_EMPTY",
    "EXISTS",
    "DOES_NOT_EXIST",
];

/// Reads a ROUTER, or the BRANCH that it was in exports without a schema version.
pub(super) fn read(
    step: &Value,
    at: &Pointer,
    name: &str,
    reader: &mut Reader<'_>,
) -> Option<Router> {
    let join = reader.idents.derive(&format!("{name}_join"));
    if step.get("type").and_then(Value::as_str) == Some("BRANCH") {
        let branches = read_branch(step, at, name, reader);
        return Some(Router { join, all: false, branches });
    }
    let settings = step.get("settings");
    let all = read_mode(settings, at, name, reader);
    let place = at.key("settings").key("branches");
    let branches = settings.and_then(|settings| settings.get("branches")?.as_array());
    let children = step.get("children").and_then(Value::as_array);
    let (Some(branches), Some(children)) = (branches, children) else {
        reader.report("E_SCHEMA", at, name, "a router has a list of branches and one of children");
        return None;
    };
    if branches.len() != children.len() {
        let detail = "there must be one child, or null, for each branch";
        reader.report("E_SCHEMA", &at.key("children"), name, detail);
    }
    let mut list = Vec::new();
    for (index, (branch, child)) in branches.iter().zip(children).enumerate() {
        let (label, any) = read_head(branch, &place.index(index), name, reader);
        let steps = step::chain(Some(child), &at.key("children").index(index), reader);
        list.push(Branch { name: label, any, steps });
    }
    Some(Router { join, all: all?, branches: list })
}

fn read_mode(
    settings: Option<&Value>,
    at: &Pointer,
    name: &str,
    reader: &mut Reader<'_>,
) -> Option<bool> {
    match settings.and_then(|settings| settings.get("executionType")?.as_str()) {
        Some("EXECUTE_ALL_MATCH") => Some(true),
        Some("EXECUTE_FIRST_MATCH") => Some(false),
        _ => {
            let detail = "EXECUTE_FIRST_MATCH or EXECUTE_ALL_MATCH is expected";
            reader.report("E_SCHEMA", &at.key("settings").key("executionType"), name, detail);
            None
        }
    }
}

/// A branch's name, and its conditions unless it is the fallback.
fn read_head(
    branch: &Value,
    at: &Pointer,
    name: &str,
    reader: &mut Reader<'_>,
) -> (Expr, Option<Vec<Vec<Condition>>>) {
    let label = branch.get("branchName").unwrap_or(&Value::Null);
    let here = Here { step: name, connections: false };
    let label = reader.value(label, &at.key("branchName"), here);
    match branch.get("branchType").and_then(Value::as_str) {
        Some("FALLBACK") => (label, None),
        Some("CONDITION") => {
            let groups = branch.get("conditions").unwrap_or(&Value::Null);
            (label, Some(read_groups(groups, &at.key("conditions"), name, reader)))
        }
        _ => {
            let detail = "CONDITION or FALLBACK is expected";
            reader.report("E_SCHEMA", &at.key("branchType"), name, detail);
            (label, None)
        }
    }
}

/// A BRANCH is a router of two: what holds, and otherwise.
fn read_branch(step: &Value, at: &Pointer, name: &str, reader: &mut Reader<'_>) -> Vec<Branch> {
    let place = at.key("settings").key("conditions");
    let groups = step.pointer("/settings/conditions").unwrap_or(&Value::Null);
    let any = read_groups(groups, &place, name, reader);
    let parts =
        [("Branch 1", "onSuccessAction", Some(any)), ("Otherwise", "onFailureAction", None)];
    let branch = |(label, member, any): (&str, &str, _)| {
        let steps = step::chain(step.get(member), &at.key(member), reader);
        Branch { name: Expr::Literal(label.into()), any, steps }
    };
    parts.map(branch).into()
}

fn read_groups(
    groups: &Value,
    at: &Pointer,
    name: &str,
    reader: &mut Reader<'_>,
) -> Vec<Vec<Condition>> {
    let list = |value: &Value| value.as_array().cloned();
    let (Some(groups), true) =
        (list(groups), groups.as_array().is_some_and(|all| all.iter().all(Value::is_array)))
    else {
        reader.report("E_SCHEMA", at, name, "conditions are a list of lists");
        return Vec::new();
    };
    let mut read = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let at = at.index(index);
        let group = group.as_array().into_iter().flatten().enumerate();
        read.push(
            group.filter_map(|(i, c)| read_condition(c, &at.index(i), name, reader)).collect(),
        );
    }
    read
}

fn read_condition(
    condition: &Value,
    at: &Pointer,
    name: &str,
    reader: &mut Reader<'_>,
) -> Option<Condition> {
    let operator = condition.get("operator").and_then(Value::as_str).unwrap_or_default();
    let known = OF_TWO.iter().chain(&OF_ONE).find(|known| **known == operator);
    if known.is_none() {
        let detail = format!("one of {}, {} is expected", OF_TWO.join(", "), OF_ONE.join(", "));
        reader.report("E_AP_OPERATOR", &at.key("operator"), name, detail);
    }
    let here = Here { step: name, connections: false };
    let mut side = |member: &str| {
        let value = condition.get(member).unwrap_or(&Value::Null);
        reader.value(value, &at.key(member), here)
    };
    let first = side("firstValue");
    let second = OF_TWO.contains(&operator).then(|| side("secondValue"));
    let case_sensitive = condition.get("caseSensitive") == Some(&Value::Bool(true));
    Some(Condition { operator: known?, first, second, case_sensitive })
}
