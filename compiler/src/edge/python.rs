//! A segment as a Python script that drives a browser with Playwright.

use colophon_model::ArtifactPath;
use serde_json::{Value, json};

use super::{DEFAULT_TIMEOUT_MS, edge_template};
use crate::module::Module;
use crate::plan::builder::{
    BrowserAction, BuilderGraph, EdgeKind, Node, OnError, Segment, Template,
};
use crate::shape;
use crate::templates::context;

/// The script of `segment`.
pub(super) fn module(at: ArtifactPath, segment: &Segment, graph: &BuilderGraph) -> Module {
    let nodes: Vec<_> = segment.nodes.iter().map(|node| node_value(node, segment, graph)).collect();
    let context = context([("segment", json!(segment.id.as_str())), ("nodes", json!(nodes))]);
    Module::python(at, "edge/segment.py.tera", context, &shape::EDGE)
}

fn node_value(node: &Node<EdgeKind>, segment: &Segment, graph: &BuilderGraph) -> Value {
    let template = |value: &Template| edge_template(value, segment, graph);
    let (fields, steps) = match &node.kind {
        EdgeKind::DataMap(fields) => (template(&Template::Object(fields.clone())), Vec::new()),
        EdgeKind::Browser(steps) => {
            (Value::Null, steps.iter().map(|step| step_value(step, &template)).collect())
        }
        // Checked with the flow: all of its edge nodes run in its language.
        EdgeKind::Desktop(_) | EdgeKind::Shell(_) => (Value::Null, Vec::new()),
    };
    json!({
        "ident": node.id.as_str(),
        "fields": fields,
        "steps": steps,
        "on_error": if node.on_error == OnError::Continue { "continue" } else { "fail" },
        "retry": node.retry,
        "timeout_ms": node.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
    })
}

fn step_value(step: &BrowserAction, template: &impl Fn(&Template) -> Value) -> Value {
    match step {
        BrowserAction::Goto { url } => json!({"op": "goto", "url": template(url)}),
        BrowserAction::Touch { op, selector } => json!({"op": op, "selector": template(selector)}),
        BrowserAction::Set { op, selector, value } => {
            json!({"op": op, "selector": template(selector), "value": template(value)})
        }
        BrowserAction::Read { op, selector, name } => {
            json!({"op": op, "selector": template(selector), "name": name.as_str()})
        }
    }
}
