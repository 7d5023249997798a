//! A segment as a script for AutoHotkey or PowerShell: one function per node, one call per step.

use colophon_model::{ArtifactPath, EdgeRuntime};
use serde_json::{Map, Value, json};

use super::{DEFAULT_TIMEOUT_MS, edge_template};
use crate::module::Module;
use crate::plan::builder::{
    BuilderGraph, Cmdlet, DesktopAction, EdgeKind, Node, OnError, Segment, Template,
};
use crate::script_gate::Language;
use crate::templates::context;

/// One step as the templates write it: a method of the runtime, its arguments, and the name under
/// which its result is kept.
struct Call {
    method: &'static str,
    args: Vec<Value>,
    name: Option<String>,
}

/// The script of `segment`.
pub(super) fn module(at: ArtifactPath, segment: &Segment, graph: &BuilderGraph) -> Module {
    let (language, template) = match graph.edge_runtime {
        EdgeRuntime::Ps1 => (Language::PowerShell, "edge/segment.ps1.tera"),
        EdgeRuntime::Ahk | EdgeRuntime::Python => (Language::AutoHotkey, "edge/segment.ahk.tera"),
    };
    let nodes: Vec<_> = segment.nodes.iter().map(|node| node_value(node, segment, graph)).collect();
    let context = context([("segment", json!(segment.id.as_str())), ("nodes", json!(nodes))]);
    Module::script(at, template, context, language)
}

fn node_value(node: &Node<EdgeKind>, segment: &Segment, graph: &BuilderGraph) -> Value {
    let template = |value: &Template| edge_template(value, segment, graph);
    let calls: Vec<Call> = match &node.kind {
        EdgeKind::Desktop(steps) => steps.iter().map(|step| desktop(step, &template)).collect(),
        EdgeKind::Shell(steps) => steps.iter().map(|step| shell(step, &template)).collect(),
        // Checked with the flow: all of its edge nodes run in its language.
        EdgeKind::DataMap(_) | EdgeKind::Browser(_) => Vec::new(),
    };
    let call = |call: &Call| json!({"method": call.method, "args": call.args, "name": call.name});
    json!({
        "ident": node.id.as_str(),
        "calls": calls.iter().map(call).collect::<Vec<_>>(),
        "on_error": if node.on_error == OnError::Continue { "continue" } else { "fail" },
        "retry": node.retry,
        "timeout_ms": node.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
    })
}

fn desktop(step: &DesktopAction, template: &impl Fn(&Template) -> Value) -> Call {
    let call = |method, args| Call { method, args, name: None };
    match step {
        DesktopAction::Window { op, window } => {
            let method = match *op {
                "activate" => "Activate",
                "close" => "Close",
                _ => "WaitWindow",
            };
            call(method, vec![template(window)])
        }
        DesktopAction::Run { path, args } => {
            let args = args.iter().map(template).collect();
            call("Start", vec![json!(path), Value::Array(args)])
        }
        DesktopAction::Text { op, text } => {
            let method = if *op == "type" { "Type" } else { "SetClipboard" };
            call(method, vec![template(text)])
        }
        DesktopAction::Keys(keys) => call("Keys", vec![json!(keys)]),
        DesktopAction::ReadClipboard { name } => {
            Call { method: "ReadClipboard", args: Vec::new(), name: Some(name.to_string()) }
        }
    }
}

fn shell(step: &Cmdlet, template: &impl Fn(&Template) -> Value) -> Call {
    let param = |(name, (word, value)): (&&str, &(&str, Template))| {
        ((*name).to_owned(), json!([word, template(value)]))
    };
    let params: Map<_, _> = step.params.iter().map(param).collect();
    Call {
        method: "Step",
        args: vec![json!(step.cmdlet), Value::Object(params)],
        name: step.name.as_ref().map(ToString::to_string),
    }
}
