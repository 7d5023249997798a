//! A plan to Python: one graph module, its runner, its smoke test, and the component sources.

use std::collections::BTreeMap;

use colophon_model::Sha256;
use serde_json::{Value, json};
use tera::Context;

use super::wiring::{self, Wiring};
use super::{RUNTIME, release};
use crate::module::{Module, Names, path};
use crate::plan::Plan;
use crate::plan::langflow::{
    Component, DoneAs, LangflowEntry, LangflowGraph, LangflowInput, LangflowLoop, LangflowNode,
    Routes,
};
use crate::shape;
use crate::templates::context;

/// The files of `graph`, the runtime and the component sources among them.
pub(crate) fn modules(plan: &Plan, graph: &LangflowGraph, names: Names<'_>) -> Vec<Module> {
    let of_flow =
        || context([("package", json!(names.package())), ("flow", json!(names.flow.as_str()))]);
    let sources = sources(graph);
    let mut smoke = of_flow();
    smoke.insert("nodes", &json!(graph.nodes.iter().map(wiring::node_name).collect::<Vec<_>>()));
    smoke.insert("entries", &json!(entry_names(graph)));
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
    modules.push(Module::verbatim(names.requirements(), requirements(graph.lfx)));
    modules.extend(RUNTIME.iter().map(|(at, text)| Module::copy(at, text)));
    // Code carriers: taken as they stand, for their name is the hash of their bytes.
    modules.extend(sources.into_iter().map(|(sha256, source)| {
        Module::verbatim(path(format!("app/components/{sha256}.py")), source)
    }));
    modules
}

fn sources(graph: &LangflowGraph) -> BTreeMap<Sha256, &str> {
    let resources = graph.resources.iter();
    components(&graph.nodes)
        .into_iter()
        .chain(resources)
        .map(|c| (c.code_sha256, c.code.as_str()))
        .collect()
}

/// All components among `nodes` and in the bodies of loops.
fn components(nodes: &[LangflowNode]) -> Vec<&Component> {
    let mut found = Vec::new();
    for node in nodes {
        match node {
            LangflowNode::Component(component) => found.push(component),
            LangflowNode::Loop(repeat) => found.extend(components(&repeat.body)),
        }
    }
    found
}

/// What a flow needs: its own lfx, and the LangGraph that goes with it.
fn requirements(lfx: &str) -> String {
    let langgraph = release::langgraph(lfx);
    format!(
        "# What this flow runs on. Model providers come as packages of their own, such as\n\
         # langchain-openai.\nlfx=={lfx}\nlanggraph=={langgraph}\ntabulate==0.10.0\n"
    )
}

fn entry_names(graph: &LangflowGraph) -> Vec<&str> {
    graph.entries.iter().map(|entry| entry.name).collect()
}

fn flow_context(plan: &Plan, graph: &LangflowGraph) -> Context {
    let wiring = Wiring::of(&graph.resources);
    let mut listing = Listing::default();
    listing.add_region(&wiring, &graph.nodes);
    let resources = graph.resources.iter().map(component_entry);
    let is_new =
        |entry: &&Value| !graph.resources.iter().any(|r| entry["ident"] == json!(r.ident.as_str()));
    let components: Vec<_> =
        resources.chain(listing.nodes.iter().filter(is_new).cloned()).collect();
    context([
        ("name", json!(plan.name.as_str())),
        ("lfx", json!(graph.lfx)),
        ("outputs", json!(wiring.sinks(&graph.nodes))),
        ("entries", json!(entry_names(graph))),
        ("components", Value::Array(components)),
        ("nodes", Value::Array(listing.nodes)),
        ("bodies", Value::Array(listing.bodies)),
        ("graphs", Value::Array(graphs(graph, &wiring))),
    ])
}

/// One graph per entry; one without a name when there is one way to begin only.
fn graphs(graph: &LangflowGraph, wiring: &Wiring<'_>) -> Vec<Value> {
    if graph.entries.is_empty() {
        return vec![graph_of("", &graph.nodes.iter().collect::<Vec<_>>(), wiring)];
    }
    let of_entry = |entry: &LangflowEntry| {
        let runs = |node: &&LangflowNode| entry.runs.contains(node.id());
        graph_of(entry.name, &graph.nodes.iter().filter(runs).collect::<Vec<_>>(), wiring)
    };
    graph.entries.iter().map(of_entry).collect()
}

fn graph_of(name: &str, nodes: &[&LangflowNode], wiring: &Wiring<'_>) -> Value {
    let idents: Vec<_> = nodes.iter().map(|node| node.ident().as_str()).collect();
    json!({"name": name, "nodes": idents, "edges": wiring.edges(nodes)})
}

/// What the template walks through: every node once, and one graph per body of a loop.
#[derive(Default)]
struct Listing {
    nodes: Vec<Value>,
    bodies: Vec<Value>,
}

impl Listing {
    /// Lists `nodes`; bodies of loops come before the graph that uses them.
    fn add_region(&mut self, wiring: &Wiring<'_>, nodes: &[LangflowNode]) {
        for node in nodes {
            match node {
                LangflowNode::Component(component) => self.nodes.push(component_entry(component)),
                LangflowNode::Loop(repeat) => {
                    self.nodes.push(loop_entry(repeat));
                    self.add_region(wiring, &repeat.body);
                    let body: Vec<_> = repeat.body.iter().collect();
                    self.bodies.push(graph_of(repeat.ident.as_str(), &body, wiring));
                }
            }
        }
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
        ("methods", json!(component.methods)),
        ("speaker", json!(component.speaker)),
        ("env", json!(component.env)),
        ("frames", json!(component.frames)),
        ("run_input", json!(component.run_input)),
        ("entry", json!(component.entry)),
        ("routes", routes(&component.routes)),
        ("session", json!(component.session)),
        ("ends_iteration", json!(component.ends_iteration)),
    ];
    let is_default =
        |value: &Value| value.is_null() || *value == json!([]) || *value == json!(false);
    let given = optional.into_iter().filter(|(_, value)| !is_default(value));
    fields.extend(given.map(|(name, value)| field(name, &value)));
    entry("Component", component.ident.as_str(), &fields, &component.inputs)
}

fn loop_entry(repeat: &LangflowLoop) -> Value {
    let done_as = match repeat.done_as {
        DoneAs::List => "list",
        DoneAs::DataFrame => "DataFrame",
    };
    let mut fields = vec![
        field("id", &json!(repeat.id)),
        field("tail", &json!([repeat.tail.0, repeat.tail.1])),
        field("done_as", &json!(done_as)),
    ];
    if !repeat.routes.is_empty() {
        fields.push(field("routes", &routes(&repeat.routes)));
    }
    entry("Loop", repeat.ident.as_str(), &fields, &repeat.inputs)
}

fn routes(routes: &Routes) -> Value {
    if routes.is_empty() { Value::Null } else { json!(routes) }
}

fn field(name: &str, value: &Value) -> Value {
    json!({"name": name, "value": value})
}

fn entry(class: &str, ident: &str, fields: &[Value], inputs: &[LangflowInput]) -> Value {
    let input = |i: &LangflowInput| {
        let resource = i.resource.as_ref().map(crate::plan::Ident::as_str);
        let default = if i.list { &Value::Null } else { &i.default };
        json!({"field": i.field, "from": i.from, "output": i.output, "list": i.list,
            "resource": resource, "default": default, "has_default": !default.is_null()})
    };
    let inputs: Vec<_> = inputs.iter().map(input).collect();
    json!({"class": class, "ident": ident, "fields": fields, "inputs": inputs})
}
