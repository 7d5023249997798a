//! The members of an export that matter: nodes and edges, each with its place in the JSON.

use serde_json::{Map, Value};

use super::{group, tweaks};
use crate::policy::Limits;
use crate::problem::{Findings, Pointer};

/// An export without notes and groups.
pub(super) struct Export {
    /// The export's own members, without `data`.
    pub(super) head: Map<String, Value>,
    /// Vertices, sorted by id: the order in which an editor keeps them means nothing.
    pub(super) nodes: Vec<Placed>,
    /// Edges, in order. The order matters where several feed one list.
    pub(super) edges: Vec<Placed>,
}

/// A member and where it stood in the export.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// Its place as received, before groups were dissolved.
    pub(super) at: Pointer,
    /// The member.
    pub(super) value: Value,
}

impl Placed {
    /// The member's text `id`, or nothing.
    pub(super) fn id(&self) -> &str {
        self.value.get("id").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Export {
    /// Takes an export apart.
    pub(super) fn read(flow: Value, limits: &Limits, findings: &mut Findings) -> Self {
        let Value::Object(mut head) = flow else {
            findings.add("E_SCHEMA", &Pointer::root(), "a flow is an object");
            return Self { head: Map::new(), nodes: Vec::new(), edges: Vec::new() };
        };
        let at = Pointer::root().key("data");
        let mut data = head.remove("data").unwrap_or_default();
        let mut parts = Parts::take(&mut data, &at, findings);
        if !is_small_enough(&parts, &at, limits, findings) {
            // Nothing below is looked at: the work grows with the product of these numbers.
            return Self { head, nodes: Vec::new(), edges: Vec::new() };
        }
        if let Some(tweaks) = head.remove("tweaks").filter(|tweaks| !tweaks.is_null()) {
            tweaks::apply(&tweaks, &mut parts.nodes, findings);
        }
        group::dissolve(&mut parts, findings);
        let Parts { mut nodes, edges } = parts;
        nodes.sort_by(|a, b| a.id().cmp(b.id()));
        Self { head, nodes, edges }
    }
}

/// Counts what is inside groups too, at any depth, and the groups themselves.
fn is_small_enough(parts: &Parts, at: &Pointer, limits: &Limits, findings: &mut Findings) -> bool {
    let (mut nodes, mut edges) = (parts.nodes.len(), parts.edges.len());
    let mut open: Vec<&Value> = parts.nodes.iter().map(|node| &node.value).collect();
    while let Some(node) = open.pop() {
        let list = |name: &str| {
            let list =
                node.pointer("/data/node/flow/data").and_then(|data| data.get(name)?.as_array());
            list.map_or(&[][..], Vec::as_slice)
        };
        nodes += list("nodes").len();
        edges += list("edges").len();
        open.extend(list("nodes"));
    }
    let counts = [("nodes", nodes, limits.nodes), ("edges", edges, limits.edges)];
    for (name, count, limit) in counts {
        if count > limit {
            let detail = format!("the flow has {count} {name}; at most {limit} are allowed");
            findings.add("E_TOO_LARGE", &at.key(name), detail);
        }
    }
    counts.iter().all(|(_, count, limit)| count <= limit)
}

/// The nodes and edges of a flow or of a group.
pub(super) struct Parts {
    /// Nodes that are no notes.
    pub(super) nodes: Vec<Placed>,
    /// Edges.
    pub(super) edges: Vec<Placed>,
}

impl Parts {
    /// Takes both lists out of `data`, which stood at `at`.
    pub(super) fn take(data: &mut Value, at: &Pointer, findings: &mut Findings) -> Self {
        let mut list = |name: &str| {
            let at = at.key(name);
            let items = if let Some(Value::Array(items)) = data.get_mut(name).map(Value::take) {
                items
            } else {
                findings.add("E_SCHEMA", &at, "a list is needed");
                Vec::new()
            };
            let placed = |(index, value)| Placed { at: at.index(index), value };
            items.into_iter().enumerate().map(placed).collect::<Vec<_>>()
        };
        let (mut nodes, edges) = (list("nodes"), list("edges"));
        nodes.retain(|node| !is_note(&node.value));
        Self { nodes, edges }
    }
}

/// A note is text on the canvas: `noteNode`, or a `data.type` of `note` or none in older releases.
fn is_note(node: &Value) -> bool {
    let kind = node.pointer("/data/type").and_then(Value::as_str);
    node.get("type").and_then(Value::as_str) == Some("noteNode") || kind == Some("note")
}
