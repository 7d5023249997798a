//! The edge part of a Builder flow: one Playwright script per segment, and the bundle's manifest.

use std::collections::BTreeMap;

use colophon_model::{ArtifactPath, EdgeManifest, EdgeRuntime};
use serde_json::{Value, json};

use crate::cloud::{encode, payload_name, reference_path};
use crate::module::{Module, Names, path};
use crate::plan::Ident;
use crate::plan::builder::{
    BrowserAction, BuilderGraph, CredentialRef, EdgeKind, Node, OnError, Reference, Segment,
    Template,
};
use crate::shape;
use crate::templates::{Source, context};

/// Templates of this part.
pub(crate) const TEMPLATES: &[Source<'static>] =
    &[("edge/segment.py.tera", include_str!("../../templates/edge/segment.py.tera"))];

/// The runtime, by path in the bundle.
pub(crate) const RUNTIME: &[Source<'static>] =
    &[("colophon_edge.py", include_str!("../../templates/runtime/edge/colophon_edge.py"))];

/// The browser driver that the runtime was tested with; a flow may ask for another version.
const PLAYWRIGHT: &str = "playwright==1.65.2";

/// Limit of one browser action when the node sets none, in milliseconds.
const DEFAULT_TIMEOUT_MS: u32 = 30_000;

/// What the bundle says of itself.
pub(crate) fn manifest(graph: &BuilderGraph, names: Names<'_>) -> EdgeManifest {
    let mut requirements = graph.edge_requirements.clone();
    if !requirements.iter().any(|one| one.starts_with("playwright==")) {
        requirements.push(PLAYWRIGHT.to_owned());
        requirements.sort();
    }
    let env = graph.edge_env.iter().map(|(name, from)| {
        (name.clone(), reference_path(&Reference::Credential(from.clone())).join("."))
    });
    let entrypoints = graph.segments().map(|segment| (segment.id.to_string(), script(segment)));
    EdgeManifest {
        schema: 1,
        slug: names.tenant.clone(),
        flow: names.flow.clone(),
        runtime: EdgeRuntime::Python,
        cpu_arch: ["aarch64", "x86_64"].map(str::to_owned).to_vec(),
        os: ["linux", "macos", "windows"].map(str::to_owned).to_vec(),
        requirements,
        env: env.collect(),
        entrypoints: entrypoints.collect(),
    }
}

fn script(segment: &Segment) -> ArtifactPath {
    path(format!("segment_{}.py", segment.id))
}

/// The files of the bundle beside its manifest.
pub(crate) fn modules(graph: &BuilderGraph) -> Vec<Module> {
    let scripts = graph.segments().map(|segment| {
        let nodes: Vec<_> =
            segment.nodes.iter().map(|node| node_value(node, segment, &graph.edge_env)).collect();
        let context = context([("segment", json!(segment.id.as_str())), ("nodes", json!(nodes))]);
        Module::python(script(segment), "edge/segment.py.tera", context, &shape::EDGE)
    });
    let runtime = RUNTIME.iter().map(|(at, text)| Module::verbatim(path(*at), *text));
    scripts.chain(runtime).collect()
}

fn node_value(
    node: &Node<EdgeKind>,
    segment: &Segment,
    env: &BTreeMap<String, CredentialRef>,
) -> Value {
    let template = |value: &Template| encode(value, &|reference| local(reference, segment, env));
    let (fields, steps) = match &node.kind {
        EdgeKind::DataMap(fields) => (template(&Template::Object(fields.clone())), Vec::new()),
        EdgeKind::Browser(steps) => {
            (Value::Null, steps.iter().map(|step| step_value(step, &template)).collect())
        }
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

/// A reference as the edge's runtime reads it: what the segment computes itself by node, secrets by
/// variable, and everything else out of the payload.
fn local(
    reference: &Reference,
    segment: &Segment,
    env: &BTreeMap<String, CredentialRef>,
) -> Vec<String> {
    let here = |id: &Ident| segment.nodes.iter().any(|node| node.id == *id);
    match reference {
        Reference::Node(id, _) if here(id) => reference_path(reference),
        Reference::Credential(credential) => {
            let variable = env.iter().find(|(_, known)| *known == credential);
            let (name, _) = variable.expect("references were checked against `edge_env`");
            vec!["env".to_owned(), name.clone()]
        }
        _ => vec!["payload".to_owned(), payload_name(reference)],
    }
}
