//! Reading the branches of a router.

use serde_json::Value;

use super::kinds::expressions;
use super::node::RawNode;
use super::object::Object;
use crate::plan::Ident;
use crate::plan::builder::{Branch, Condition, Router, When};
use crate::problem::{Findings, Pointer};

/// Operators with a right side.
const BINARY: [&str; 10] =
    ["eq", "ne", "contains", "not_contains", "starts_with", "ends_with", "gt", "lt", "ge", "le"];

/// All operators.
const OPERATORS: [&str; 16] = [
    "eq",
    "ne",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "gt",
    "lt",
    "ge",
    "le",
    "exists",
    "not_exists",
    "empty",
    "not_empty",
    "true",
    "false",
];

/// Reads `mode` and `branches`.
pub(super) fn read(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<Router> {
    let all = object.word("mode", &["first", "all"]) == "all";
    let place = object.place().key("branches");
    let values = object.list("branches");
    if !(1..=32).contains(&values.len()) {
        object.report("E_SCHEMA", "branches", "a router has 1 to 32 branches");
    }
    let mut branches = Vec::new();
    for (index, value) in values.iter().enumerate() {
        branches.extend(read_branch(value, place.index(index), raw, object.findings()));
    }
    if !branches.iter().any(|branch| branch.when == When::Fallback) {
        object.report("W_BRANCH_WITHOUT_FALLBACK", "branches", "no branch takes what is left");
    }
    check_names(object, &branches);
    raw.branches = branches.iter().map(|branch| branch.name.to_string()).collect();
    (branches.len() == values.len()).then_some(Router { all, branches })
}

fn check_names(object: &mut Object<'_, '_>, branches: &[Branch]) {
    let mut names = std::collections::BTreeSet::new();
    for branch in branches {
        if !names.insert(&branch.name) {
            object.report("E_IDENT", "branches", format!("`{}` names two branches", branch.name));
        }
    }
    if branches.iter().filter(|branch| branch.when == When::Fallback).count() > 1 {
        object.report("E_SCHEMA", "branches", "only one branch can be the fallback");
    }
}

fn read_branch(
    value: &Value,
    place: Pointer,
    raw: &mut RawNode,
    findings: &mut Findings,
) -> Option<Branch> {
    let id = raw.id.clone();
    let mut object = Object::read(value, place, Some(&id), findings)?;
    let text = object.text("name")?;
    let name = Ident::new(text);
    if name.is_none() {
        object.report("E_IDENT", "name", "a branch is named like a node");
    }
    let when = match object.optional("fallback") {
        Some(Value::Bool(true)) => When::Fallback,
        Some(_) => {
            object.report("E_SCHEMA", "fallback", "the only value is true");
            return None;
        }
        None => When::Any(read_groups(&mut object, raw)),
    };
    object.finish();
    Some(Branch { name: name?, when })
}

fn read_groups(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Vec<Vec<Condition>> {
    let place = object.place().key("any");
    let mut groups = Vec::new();
    for (index, group) in object.list("any").iter().enumerate() {
        let place = place.index(index);
        let Some(conditions) = group.as_array().filter(|group| !group.is_empty()) else {
            object.findings().add_at(
                "E_SCHEMA",
                &place,
                &raw.id,
                "a list of conditions is expected",
            );
            continue;
        };
        let read = |(index, value): (usize, &Value)| {
            read_condition(value, &place.index(index), raw, object.findings())
        };
        groups.push(conditions.iter().enumerate().filter_map(read).collect());
    }
    groups
}

fn read_condition(
    value: &Value,
    place: &Pointer,
    raw: &mut RawNode,
    findings: &mut Findings,
) -> Option<Condition> {
    let id = raw.id.clone();
    let mut object = Object::read(value, place.clone(), Some(&id), findings)?;
    object.required("op")?;
    let op = object.word("op", &OPERATORS);
    let left = object.required("left");
    let left = left.map(|left| expressions(&mut object, raw).template(left, &place.key("left")));
    let right = if BINARY.contains(&op) { object.required("right") } else { None };
    let right =
        right.map(|right| expressions(&mut object, raw).template(right, &place.key("right")));
    let case_sensitive = object.optional("case_sensitive").map_or(Some(true), Value::as_bool);
    if case_sensitive.is_none() {
        object.report("E_SCHEMA", "case_sensitive", "true or false is expected");
    }
    object.finish();
    Some(Condition { op, left: left?, right, case_sensitive: case_sensitive.unwrap_or(true) })
}
