//! Tweaks: values for fields beside the flow, `{vertex: {field: value}}`, as LangFlow's API takes them
//! with a run (`lfx.processing.process.process_tweaks`).
//!
//! They are applied before anything else is read, so they pass the same checks as a value in the flow,
//! and a flow with tweaks is the same flow as one with these values.

use serde_json::{Map, Value};

use super::export::Placed;
use crate::problem::{Findings, Pointer};

/// Members of a field that a tweak may set. Others, such as the type, decide what the value means.
const MEMBERS: [&str; 3] = ["value", "load_from_db", "file_path"];

/// Types of fields whose value is an object itself.
const OBJECTS: [&str; 3] = ["dict", "NestedDict", "mcp"];

/// Gives the values to the fields of `nodes`: by a vertex's id, else by its display name; a value that
/// is no object goes to the field of that name in every vertex.
pub(super) fn apply(tweaks: &Value, nodes: &mut [Placed], findings: &mut Findings) {
    let at = Pointer::root().key("tweaks");
    let Some(tweaks) = tweaks.as_object() else {
        findings.add("E_SCHEMA", &at, "an object is needed");
        return;
    };
    for (name, value) in tweaks {
        let at = at.key(name);
        let Some(fields) = value.as_object() else {
            let everywhere = Map::from_iter([(name.clone(), value.clone())]);
            for node in nodes.iter_mut() {
                if field(node, name).is_some() {
                    set(node, &everywhere, &Pointer::root().key("tweaks"), findings);
                }
            }
            continue;
        };
        match find(nodes, name) {
            Some(index) => set(&mut nodes[index], fields, &at, findings),
            None => findings.add("W_LF_TWEAK", &at, "no vertex has this id or name"),
        }
    }
}

fn find(nodes: &[Placed], name: &str) -> Option<usize> {
    let shown = |node: &Placed| {
        node.value.pointer("/data/node/display_name").and_then(Value::as_str) == Some(name)
    };
    let by_id = nodes.iter().position(|node| node.id() == name);
    by_id.or_else(|| nodes.iter().position(shown))
}

fn field<'a>(node: &'a mut Placed, name: &str) -> Option<&'a mut Map<String, Value>> {
    node.value.pointer_mut("/data/node/template")?.get_mut(name)?.as_object_mut()
}

fn set(node: &mut Placed, fields: &Map<String, Value>, at: &Pointer, findings: &mut Findings) {
    for (name, value) in fields {
        let at = at.key(name);
        let Some(field) = field(node, name) else {
            findings.add("W_LF_TWEAK", &at, "the vertex has no such field");
            continue;
        };
        if let Err(detail) = set_field(name, field, value) {
            findings.add("E_LF_TWEAK", &at, detail);
        }
    }
}

fn set_field(
    name: &str,
    field: &mut Map<String, Value>,
    value: &Value,
) -> Result<(), &'static str> {
    let kind = field.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if name == "code" || kind == "code" {
        return Err("a tweak cannot bring code; change the component in LangFlow");
    }
    let own = if kind == "file" { "file_path" } else { "value" };
    let members = match value {
        Value::Object(members) if !OBJECTS.contains(&kind.as_str()) => members.clone(),
        // A dict may be wrapped, as exports of the editor's dialog are.
        Value::Object(members)
            if kind == "dict" && members.len() == 1 && members.contains_key("value") =>
        {
            members.clone()
        }
        value => Map::from_iter([(own.to_owned(), value.clone())]),
    };
    if members.keys().any(|member| !MEMBERS.contains(&member.as_str())) {
        return Err(
            "a tweak sets `value`, `load_from_db` or `file_path` of a field, and nothing else",
        );
    }
    if !members.contains_key("load_from_db") && field.contains_key("load_from_db") {
        field.insert("load_from_db".to_owned(), Value::Bool(false));
    }
    for (member, value) in members {
        // What a tweak gives to a file is its path, whatever it calls it.
        let member = if kind == "file" && member == "value" { own.to_owned() } else { member };
        field.insert(member, value);
    }
    Ok(())
}
