//! `hello_langflow`, a small flow of our own in LangFlow's format, and how tests change it.

use std::collections::BTreeSet;

use colophon_compiler::plan::Graph;
use colophon_compiler::plan::langflow::LangflowGraph;
use colophon_compiler::{CodePolicy, Compiled, Limits, Plan, Problems};
use colophon_model::{FlowId, TenantSlug};
use serde_json::{Value, json};

use super::{compiler, fixture};

pub(crate) fn hello() -> Value {
    fixture("hello_langflow")
}

pub(crate) fn parse_as(flow: &Value, policy: CodePolicy) -> Result<Plan, Problems> {
    compiler().parse(flow.to_string().as_bytes(), policy, &Limits::default())
}

pub(crate) fn parse(flow: &Value) -> Result<Plan, Problems> {
    parse_as(flow, CodePolicy::AllowCustom)
}

pub(crate) fn compile(flow: &Value) -> Compiled {
    let tenant = TenantSlug::new("acme-inc").unwrap();
    compiler().compile(&parse(flow).unwrap(), &tenant, &FlowId::new("hello").unwrap()).unwrap()
}

pub(crate) fn graph(flow: &Value) -> LangflowGraph {
    match parse(flow).unwrap().graph {
        Graph::Langflow(graph) => graph,
        Graph::Builder(_) | Graph::Activepieces(_) => panic!("not a LangFlow flow"),
    }
}

/// The vertex of the fixture whose id begins with `name`.
pub(crate) fn vertex<'a>(flow: &'a mut Value, name: &str) -> &'a mut Value {
    let nodes = flow["data"]["nodes"].as_array_mut().unwrap();
    nodes.iter_mut().find(|node| node["id"].as_str().unwrap().starts_with(name)).unwrap()
}

pub(crate) fn fields<'a>(flow: &'a mut Value, name: &str) -> &'a mut Value {
    &mut vertex(flow, name)["data"]["node"]["template"]
}

pub(crate) fn edge(from: (&str, &str), to: (&str, &str)) -> Value {
    json!({"source": from.0, "target": to.0, "data": {
        "sourceHandle": {"id": from.0, "name": from.1},
        "targetHandle": {"id": to.0, "fieldName": to.1},
    }})
}

pub(crate) fn add_edge(flow: &mut Value, edge: Value) {
    flow["data"]["edges"].as_array_mut().unwrap().push(edge);
}

pub(crate) fn codes(problems: &Problems) -> BTreeSet<&'static str> {
    problems.as_slice().iter().map(|problem| problem.code).collect()
}

pub(crate) const IN: &str = "ChatInput-hEl1o";
pub(crate) const GREETING: &str = "Greeting-gR33t";
pub(crate) const OUT: &str = "ChatOutput-b0Ok5";
