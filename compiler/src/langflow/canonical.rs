//! What of an export is the flow, and what is its layout.

use serde_json::{Map, Value, json};

use super::export::{Export, Placed};
use crate::canonical::CanonicalFlow;

/// Members of the export that say where it is kept and how it is shown. As
/// `langflow_sdk.serialization.normalize_flow`, and the flow's look and id.
const HEAD: [&str; 12] = [
    "id",
    "user_id",
    "folder_id",
    "created_at",
    "updated_at",
    "access_type",
    "gradient",
    "icon",
    "icon_bg_color",
    "locked",
    "mcp_enabled",
    "fs_path",
];

/// Members of a vertex that are the flow; the others say how it is drawn.
pub(crate) const VERTEX: [&str; 3] = ["id", "type", "data"];

/// Members of a vertex's `data` that only the canvas reads.
const DATA: [&str; 5] = ["id", "showNode", "selected_output", "buildStatus", "_connectionMode"];

/// Members of a vertex's `data.node` that only the canvas reads, or that say when it was saved or
/// what a search found.
const NODE: [&str; 6] = ["last_updated", "minimized", "pinned", "score", "error", "edited"];

/// The flow without layout: notes, places, selection, times and the handles' texts do not count.
/// Groups are dissolved, for they are a way of drawing too. Component sources are texts.
pub(super) fn of(export: Export) -> CanonicalFlow {
    let Export { mut head, nodes, edges } = export;
    head.retain(|name, _| !HEAD.contains(&name.as_str()));
    let nodes: Vec<_> = nodes.into_iter().map(node).collect();
    let mut edges: Vec<_> = edges.iter().map(edge).collect();
    // Stable: the order among edges that feed one field stays.
    edges.sort_by_cached_key(fed_field);
    head.insert("data".to_owned(), json!({"nodes": nodes, "edges": edges}));
    CanonicalFlow::new(&Value::Object(head))
}

/// A vertex: `id`, `type` and `data`, whose other members are layout.
fn node(node: Placed) -> Value {
    let Value::Object(mut node) = node.value else { return Value::Null };
    node.retain(|name, _| VERTEX.contains(&name.as_str()));
    if let Some(Value::Object(data)) = node.get_mut("data") {
        data.retain(|name, _| !DATA.contains(&name.as_str()));
        if let Some(Value::Object(inner)) = data.get_mut("node") {
            inner.retain(|name, _| !NODE.contains(&name.as_str()));
            join_code(inner);
        }
    }
    Value::Object(node)
}

fn join_code(node: &mut Map<String, Value>) {
    let code = node.get_mut("template").and_then(|t| t.get_mut("code")?.get_mut("value"));
    if let Some(code) = code
        && let Some(source) = super::vertex::source_text(code)
    {
        *code = Value::String(source.into_owned());
    }
}

/// An edge: its ends, and the handles' data. The texts of the handles repeat them.
fn edge(edge: &Placed) -> Value {
    let part = |pointer| edge.value.pointer(pointer).cloned().unwrap_or_default();
    json!({
        "source": part("/source"),
        "target": part("/target"),
        "data": {
            "sourceHandle": part("/data/sourceHandle"),
            "targetHandle": part("/data/targetHandle"),
        },
    })
}

fn fed_field(edge: &Value) -> (String, String) {
    let text = |pointer| edge.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    (text("/target").to_owned(), text("/data/targetHandle/fieldName").to_owned())
}
