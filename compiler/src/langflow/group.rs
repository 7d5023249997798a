//! Groups: vertices that LangFlow shows as one, dissolved as `lfx.graph.graph.utils.process_flow`
//! does. A field of a group stands for a field of one of its vertices (`proxy`). Where that one is a
//! group itself, the field goes on from there: so what is set outside reaches the component, and lfx,
//! which loses it on the way, runs with the value that is set inside.

use serde_json::{Map, Value};

use super::export::{Parts, Placed};
use super::vertex::{Outputs, outputs};
use crate::problem::Findings;

/// Replaces every group by its vertices and edges, from the outside in.
pub(super) fn dissolve(parts: &mut Parts, findings: &mut Findings) {
    while let Some(index) = parts.nodes.iter().position(is_group) {
        let group = parts.nodes.remove(index);
        let at = group.at.clone();
        let id = group.id().to_owned();
        if let Err(detail) = dissolve_one(group, parts, findings) {
            findings.add_at("E_LF_GROUP", &at, &id, detail);
        }
    }
}

fn is_group(node: &Placed) -> bool {
    node.value.pointer("/data/node/flow").is_some_and(Value::is_object)
}

fn dissolve_one(
    mut group: Placed,
    parts: &mut Parts,
    findings: &mut Findings,
) -> Result<(), &'static str> {
    let id = group.id().to_owned();
    let at = ["data", "node", "flow", "data"].iter().fold(group.at.clone(), |at, key| at.key(key));
    let Some(data) = group.value.pointer_mut("/data/node/flow/data") else {
        return Err("the group has no nodes");
    };
    let mut inner = Parts::take(data, &at, findings);
    let node = group.value.pointer("/data/node").and_then(Value::as_object).cloned();
    let node = node.unwrap_or_default();
    set_fields(&node, &mut inner.nodes)?;
    let outputs = outputs(&node);
    for edge in &mut parts.edges {
        redirect(&mut edge.value, &id, &outputs, &inner.nodes)?;
    }
    parts.nodes.append(&mut inner.nodes);
    parts.edges.append(&mut inner.edges);
    Ok(())
}

/// Gives the values of the group's fields to the fields they stand for.
fn set_fields(group: &Map<String, Value>, nodes: &mut [Placed]) -> Result<(), &'static str> {
    let Some(template) = group.get("template").and_then(Value::as_object) else {
        return Err("the group has no fields");
    };
    for field in template.values() {
        let Some(proxy) = field.get("proxy") else { continue };
        let name = text(proxy, "field");
        let owner = nodes.iter_mut().find(|node| node.id() == text(proxy, "id"));
        let own = owner.and_then(|n| n.value.pointer_mut("/data/node/template")?.get_mut(name));
        let Some(own) = own else {
            return Err("a field of the group stands for a field that does not exist");
        };
        // The type decides how the value is read; a group must not change it.
        if name == "code" || own.get("type") != field.get("type") {
            return Err("a field of the group has another type than the field it stands for");
        }
        for key in ["value", "load_from_db", "file_path"] {
            if let Some(value) = field.get(key) {
                own[key] = value.clone();
            }
        }
    }
    Ok(())
}

/// Turns an end of an edge at the group into an end at one of its vertices.
fn redirect(
    edge: &mut Value,
    group: &str,
    outputs: &Outputs<'_>,
    nodes: &[Placed],
) -> Result<(), &'static str> {
    if text(edge, "target") == group {
        let proxy = edge.pointer("/data/targetHandle/proxy").cloned().unwrap_or_default();
        let (id, field) = (text(&proxy, "id"), text(&proxy, "field"));
        point(edge, nodes, ("target", "targetHandle", "fieldName"), id, field)?;
    }
    if text(edge, "source") == group {
        let output = edge.pointer("/data/sourceHandle/name").and_then(Value::as_str);
        let (id, name) = output_proxy(outputs, output.unwrap_or_default(), nodes)
            .ok_or("an edge leaves the group from an output that stands for none")?;
        point(edge, nodes, ("source", "sourceHandle", "name"), &id, &name)?;
    }
    Ok(())
}

fn point(
    edge: &mut Value,
    nodes: &[Placed],
    (end, handle, member): (&str, &str, &str),
    id: &str,
    name: &str,
) -> Result<(), &'static str> {
    let vertex = nodes.iter().find(|node| node.id() == id).filter(|_| !name.is_empty());
    let Some(vertex) = vertex else {
        return Err("an edge at the group has no `proxy` that names one of its vertices");
    };
    // A vertex that is a group says where its field goes on; another has none.
    let onward =
        vertex.value.pointer("/data/node/template").and_then(|t| t.get(name)?.get("proxy"));
    edge[end] = id.into();
    let handle = edge.pointer_mut(&format!("/data/{handle}"));
    let handle = handle.and_then(Value::as_object_mut).ok_or("an edge has no handles")?;
    handle.insert("id".into(), id.into());
    handle.insert(member.into(), name.into());
    if end == "target" {
        handle.insert("proxy".into(), onward.cloned().unwrap_or_default());
    }
    Ok(())
}

/// The vertex and output that a group's output stands for: its `proxy`, else the name itself in the
/// form `<vertex>_<output>`.
fn output_proxy(outputs: &Outputs<'_>, name: &str, nodes: &[Placed]) -> Option<(String, String)> {
    if let Some(proxy) = outputs.get(name).and_then(|output| output.get("proxy")) {
        let of = if text(proxy, "name").is_empty() { "field" } else { "name" };
        return Some((text(proxy, "id").to_owned(), text(proxy, of).to_owned()));
    }
    let named = |node: &Placed| {
        let output = name.strip_prefix(node.id())?.strip_prefix('_')?;
        Some((node.id().to_owned(), output.to_owned()))
    };
    nodes.iter().filter_map(named).max_by_key(|(id, _)| id.len())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
