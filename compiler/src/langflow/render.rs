//! A plan to Python: one graph module, its runner, its smoke test, and the component sources.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::Sha256;
use serde_json::{Value, json};
use tera::Context;

use super::RUNTIME;
use crate::module::{Module, Names, path};
use crate::plan::Plan;
use crate::plan::langflow::{
    Component, DoneAs, LangflowGraph, LangflowInput, LangflowLoop, LangflowNode,
};
use crate::shape;
use crate::templates::context;

/// The files of `graph`, the runtime and the component sources among them.
pub(crate) fn modules(plan: &Plan, graph: &LangflowGraph, names: Names<'_>) -> Vec<Module> {
    let of_flow =
        || context([("package", json!(names.package())), ("flow", json!(names.flow.as_str()))]);
    let sources = sources(&graph.nodes);
    let mut smoke = of_flow();
    smoke.insert("nodes", &json!(graph.nodes.iter().map(node_name).collect::<Vec<_>>()));
    smoke.insert("sources", &json!(sources.keys().collect::<Vec<_>>()));
    let mut modules = vec![
        Module::python(
            names.flow_module(),
            "cloud/langflow_flow.py.tera",
            flow_context(plan, graph),
            &shape::FLOW,
        ),
        Module::python(names.runner(), "cloud/langflow_runner.py.tera", of_flow(), &shape::RUNNER),
        Module::python(names.smoke_test(), "cloud/langflow_smoke.py.tera", smoke, &shape::SMOKE),
    ];
    modules.extend(RUNTIME.iter().map(|(at, text)| Module::verbatim(path(*at), *text)));
    // Code carriers: taken as they stand, for their name is the hash of their bytes.
    modules.extend(sources.into_iter().map(|(sha256, source)| {
        Module::verbatim(path(format!("app/components/{sha256}.py")), source)
    }));
    modules
}

fn sources(nodes: &[LangflowNode]) -> BTreeMap<Sha256, &str> {
    let mut found = BTreeMap::new();
    for node in nodes {
        match node {
            LangflowNode::Component(component) => {
                found.insert(component.code_sha256, component.code.as_str());
            }
            LangflowNode::Loop(repeat) => found.extend(sources(&repeat.body)),
        }
    }
    found
}

/// A node's name in its graph. Never the id: that is data, and LangGraph gives some texts a meaning.
fn node_name(node: &LangflowNode) -> String {
    format!("n_{}", node.ident())
}

fn flow_context(plan: &Plan, graph: &LangflowGraph) -> Context {
    let mut listing = Listing::default();
    listing.add_region(None, &graph.nodes);
    context([
        ("name", json!(plan.name.as_str())),
        ("lfx", json!(graph.lfx)),
        ("outputs", json!(sinks(&graph.nodes))),
        ("nodes", Value::Array(listing.nodes)),
        ("graphs", Value::Array(listing.graphs)),
    ])
}

/// What the template walks through: every node once, and one graph per region.
#[derive(Default)]
struct Listing {
    nodes: Vec<Value>,
    graphs: Vec<Value>,
}

impl Listing {
    /// Lists `nodes`; bodies of loops come before the graph that uses them.
    fn add_region(&mut self, body_of: Option<&str>, nodes: &[LangflowNode]) {
        for node in nodes {
            self.nodes.push(match node {
                LangflowNode::Component(component) => component_entry(component),
                LangflowNode::Loop(repeat) => loop_entry(repeat),
            });
            if let LangflowNode::Loop(repeat) = node {
                self.add_region(Some(repeat.ident.as_str()), &repeat.body);
            }
        }
        let idents: Vec<_> = nodes.iter().map(|node| node.ident().as_str()).collect();
        self.graphs.push(json!({"body_of": body_of, "nodes": idents, "edges": edges(nodes)}));
    }
}

fn component_entry(component: &Component) -> Value {
    let mut fields = vec![
        field("id", &json!(component.id)),
        field("name", &json!(component.class)),
        field("source", &json!(component.code_sha256)),
        field("params", &json!(component.params)),
    ];
    let optional = [
        ("outputs", json!(component.outputs)),
        ("env", json!(component.env)),
        ("frames", json!(component.frames)),
        ("run_input", json!(component.run_input)),
    ];
    let given = optional.into_iter().filter(|(_, v)| !(v.is_null() || *v == json!([])));
    fields.extend(given.map(|(name, value)| field(name, &value)));
    entry("Component", component.ident.as_str(), &fields, &component.inputs)
}

fn loop_entry(repeat: &LangflowLoop) -> Value {
    let done_as = match repeat.done_as {
        DoneAs::List => "list",
        DoneAs::DataFrame => "DataFrame",
    };
    let fields = vec![
        field("id", &json!(repeat.id)),
        field("tail", &json!([repeat.tail.0, repeat.tail.1])),
        field("done_as", &json!(done_as)),
    ];
    entry("Loop", repeat.ident.as_str(), &fields, &repeat.inputs)
}

fn field(name: &str, value: &Value) -> Value {
    json!({"name": name, "value": value})
}

fn entry(class: &str, ident: &str, fields: &[Value], inputs: &[LangflowInput]) -> Value {
    let input = |i: &LangflowInput| json!({"field": i.field, "from": i.from, "output": i.output, "list": i.list});
    let inputs: Vec<_> = inputs.iter().map(input).collect();
    json!({"class": class, "ident": ident, "fields": fields, "inputs": inputs})
}

/// For each node of a region the others of the region that it waits for: those that feed it, or
/// feed something in its body.
fn waits<'a>(nodes: &'a [LangflowNode]) -> Vec<(&'a LangflowNode, BTreeSet<String>)> {
    let names: BTreeMap<&str, String> =
        nodes.iter().map(|node| (node.id(), node_name(node))).collect();
    let waits = |node: &'a LangflowNode| {
        let feeding = feeding(node).into_iter().filter(|id| *id != node.id());
        (node, feeding.filter_map(|id| names.get(id).cloned()).collect())
    };
    nodes.iter().map(waits).collect()
}

fn feeding(node: &LangflowNode) -> Vec<&str> {
    let mut ids: Vec<_> = node.inputs().iter().map(|input| input.from.as_str()).collect();
    if let LangflowNode::Loop(repeat) = node {
        ids.extend(repeat.body.iter().flat_map(feeding));
    }
    ids
}

/// Static edges: one per node, from all it waits for at once, so that it runs once. A node that
/// waits for nothing comes after the start, and one that nothing waits for before the end.
fn edges(nodes: &[LangflowNode]) -> Vec<Value> {
    let waits = waits(nodes);
    let waited: BTreeSet<_> = waits.iter().flat_map(|(_, names)| names).collect();
    let mut edges = Vec::new();
    for (node, names) in &waits {
        let from = match names.first() {
            None => Value::Null,
            Some(only) if names.len() == 1 => json!(only),
            Some(_) => json!(names),
        };
        edges.push(json!({"from": from, "to": node_name(node)}));
    }
    let ends = nodes.iter().map(node_name).filter(|name| !waited.contains(name));
    edges.extend(ends.map(|name| json!({"from": name, "to": null})));
    edges
}

/// Ids of the vertices whose outputs are those of the run.
fn sinks(nodes: &[LangflowNode]) -> Vec<&str> {
    let waits = waits(nodes);
    let waited: BTreeSet<_> = waits.iter().flat_map(|(_, names)| names).collect();
    nodes.iter().filter(|node| !waited.contains(&node_name(node))).map(LangflowNode::id).collect()
}
