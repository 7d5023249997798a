//! Edges: which output feeds which field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::export::{Export, Placed};
use super::vertex::Vertex;
use crate::problem::Findings;

/// An edge between two vertices that exist. Vertices are named by their index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<'a> {
    /// The vertex it leaves.
    pub(super) from: usize,
    /// The output it leaves from.
    pub(super) output: &'a str,
    /// The vertex it enters.
    pub(super) to: usize,
    /// The field it feeds, or where it gives the result of an iteration to a Loop.
    pub(super) end: End<'a>,
    /// Whether it carries what no state can hold: a tool, a model, embeddings.
    pub(super) is_resource: bool,
}

/// Where an edge ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    /// At a field; `list` if the field collects several values.
    Field { name: &'a str, list: bool },
    /// At a Loop: the result of an iteration.
    Feedback,
}

impl Edge<'_> {
    /// Whether the edge closes a loop.
    pub(super) const fn is_feedback(&self) -> bool {
        matches!(self.end, End::Feedback)
    }
}

/// The ends of an edge as the export has them, before they are looked up.
struct Ends<'a> {
    source: &'a str,
    output: &'a str,
    target: &'a str,
    /// Missing at a feedback edge, whose handle names an output of the Loop instead.
    field: Option<&'a str>,
}

/// Reads the edges whose ends exist, in order, and reports the others.
pub(super) fn read_all<'a>(
    export: &'a Export,
    vertices: &[Vertex<'a>],
    findings: &mut Findings,
) -> Vec<Edge<'a>> {
    let index: BTreeMap<_, _> = vertices.iter().enumerate().map(|(i, v)| (v.id, i)).collect();
    // An edge to a vertex that was refused is no problem of its own.
    let known: BTreeSet<_> = export.nodes.iter().map(Placed::id).collect();
    let mut edges = Vec::new();
    for placed in &export.edges {
        let Some(ends) = read(placed, findings) else { continue };
        let missing: Vec<_> =
            [ends.source, ends.target].into_iter().filter(|id| !known.contains(id)).collect();
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|id| short(id)).collect();
            let detail = format!("the edge ends at {}, which does not exist", names.join(" and "));
            findings.add("E_DANGLING_EDGE", &placed.at, detail);
        }
        if let (Some(&from), Some(&to)) = (index.get(ends.source), index.get(ends.target)) {
            edges.extend(resolve(placed, &ends, (from, to), vertices, findings));
        }
    }
    edges
}

/// LangFlow writes the handles twice; `data` has them as objects. Exports from before 1.0 have
/// texts only, and lfx refuses them too.
fn read<'a>(placed: &'a Placed, findings: &mut Findings) -> Option<Ends<'a>> {
    let text = |pointer| placed.value.pointer(pointer).and_then(Value::as_str);
    let (source, target) = (text("/source"), text("/target"));
    let output = text("/data/sourceHandle/name");
    let target_handle = placed.value.pointer("/data/targetHandle").and_then(Value::as_object);
    let (Some(source), Some(target), Some(output), Some(handle)) =
        (source, target, output, target_handle)
    else {
        let detail = "the edge has no `data.sourceHandle` and `data.targetHandle`; open the flow \
                      in LangFlow 1.x and export it again";
        findings.add("E_LF_LEGACY_EDGE", &placed.at, detail);
        return None;
    };
    Some(Ends { source, output, target, field: handle.get("fieldName").and_then(Value::as_str) })
}

fn resolve<'a>(
    placed: &Placed,
    ends: &Ends<'a>,
    (from, to): (usize, usize),
    vertices: &[Vertex<'a>],
    findings: &mut Findings,
) -> Option<Edge<'a>> {
    let (source, target) = (&vertices[from], &vertices[to]);
    if source.output(ends.output).is_none() {
        let detail = format!("{} has no output {}", short(ends.source), short(ends.output));
        let at = placed.at.key("data").key("sourceHandle").key("name");
        findings.add_at("E_UNKNOWN_OUTPUT", &at, source.id, detail);
        return None;
    }
    let end = match ends.field {
        None if target.is_loop() => End::Feedback,
        None => {
            let detail = "an edge that feeds no field must end at a Loop";
            findings.add_at("E_LF_LOOP", &placed.at, target.id, detail);
            return None;
        }
        Some(name) => {
            let Some(field) = target.template.get(name) else {
                let detail = format!("{} has no field {}", short(ends.target), short(name));
                let at = placed.at.key("data").key("targetHandle").key("fieldName");
                findings.add_at("E_UNKNOWN_FIELD", &at, target.id, detail);
                return None;
            };
            End::Field { name, list: super::vertex::flag(field, "list") }
        }
    };
    let is_resource = matches!(end, End::Field { .. })
        && !source.is_loop()
        && is_resource(placed, source, ends.output);
    Some(Edge { from, output: ends.output, to, end, is_resource })
}

/// Types of outputs whose values a state holds as JSON. `Text`, `Record` and the names in lower case
/// are of exports before 1.1.
const STORED: [&str; 14] = [
    "Message",
    "Data",
    "JSON",
    "DataFrame",
    "Table",
    "Text",
    "Record",
    "str",
    "int",
    "float",
    "bool",
    "dict",
    "list",
    "NestedDict",
];

/// Whether an output declares none of the types that a state holds. The edge names the type that was
/// chosen where the output has several.
fn is_resource(placed: &Placed, source: &Vertex<'_>, output: &str) -> bool {
    let chosen = placed.value.pointer("/data/sourceHandle/output_types");
    let declared = || source.output(output).and_then(|output| output.get("types"));
    let list = |types: Option<&'_ Value>| -> Vec<String> {
        let types = types.and_then(Value::as_array).into_iter().flatten();
        types.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let mut types = list(chosen);
    if types.is_empty() {
        types = list(declared());
    }
    !types.is_empty() && !types.iter().any(|name| STORED.contains(&name.as_str()))
}

/// A text of the flow inside a message.
fn short(text: &str) -> String {
    let text: String = text.chars().take(80).collect();
    format!("`{}`", text.escape_debug())
}
