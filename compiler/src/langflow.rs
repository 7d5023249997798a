//! The LangFlow front end: an export of LangFlow 1.x to a plan, and a plan to Python modules.
//!
//! Every vertex becomes one node of a LangGraph graph. The source of a component is never part of
//! a module: it is a file of its own, named by its SHA-256, which the runtime loads after checking
//! the hash. What the runtime does is what `lfx` does with the same flow; the rules are quoted
//! where they are applied.
//!
//! `export` (members of the JSON, notes dropped, groups dissolved) → `vertex` and `edge` (typed,
//! checked) → `graph` (what runs, loops, order) → `render`.

mod canonical;
mod edge;
mod entries;
mod export;
mod graph;
mod group;
mod known;
mod links;
mod params;
mod release;
mod render;
mod routes;
mod tweaks;
mod uses;
mod vertex;
mod wiring;

use colophon_model::NativeFlowId;
use serde_json::Value;

use crate::plan::{FlowName, Graph, Plan};
use crate::policy::{CodePolicy, Limits};
use crate::problem::{Findings, Pointer, Problems};
use crate::templates::Source;
use export::Export;

pub(crate) use canonical::VERTEX;
pub(crate) use render::modules;
pub(crate) use vertex::source_text;

/// Whether a text is, to the last byte, a component's source in a release of lfx.
pub(crate) fn is_known_source(text: &str) -> bool {
    known::find(colophon_model::Sha256::of(text.as_bytes())).is_some()
}

/// Templates of this front end.
pub(crate) const TEMPLATES: &[Source<'static>] = &[
    ("cloud/langflow_flow.py.tera", include_str!("../../templates/cloud/langflow_flow.py.tera")),
    (
        "cloud/langflow_runner.py.tera",
        include_str!("../../templates/cloud/langflow_runner.py.tera"),
    ),
    ("cloud/langflow_smoke.py.tera", include_str!("../../templates/cloud/langflow_smoke.py.tera")),
];

/// The runtime, by path on the branch.
pub(crate) const RUNTIME: &[Source<'static>] = &[
    (
        "app/colophon_rt/langflow.py",
        include_str!("../../templates/runtime/colophon_rt/langflow.py"),
    ),
    (
        "app/colophon_rt/langflow_cli.py",
        include_str!("../../templates/runtime/colophon_rt/langflow_cli.py"),
    ),
    (
        "app/colophon_rt/langflow_values.py",
        include_str!("../../templates/runtime/colophon_rt/langflow_values.py"),
    ),
];

/// Reads an export. All problems are reported at once.
pub(crate) fn parse(flow: Value, policy: CodePolicy, limits: &Limits) -> Result<Plan, Problems> {
    let mut findings = Findings::default();
    let name = name(&flow, &mut findings);
    let native = native(&flow, &mut findings);
    let export = Export::read(flow, limits, &mut findings);
    let vertices = vertex::read_all(&export, policy, &mut findings);
    let edges = edge::read_all(&export, &vertices, &mut findings);
    let graph = graph::build(&export, &vertices, &edges, &mut findings);
    let warnings = findings.finish()?;
    Ok(Plan {
        native: native.expect("a flow without a usable id has a problem"),
        slug: None,
        name: name.expect("a flow without a usable name has a problem"),
        revision: None,
        graph: Graph::Langflow(graph.expect("a flow without a graph has a problem")),
        canonical: canonical::of(export),
        warnings,
    })
}

fn name(flow: &Value, findings: &mut Findings) -> Option<FlowName> {
    let name = flow.get("name").and_then(Value::as_str).and_then(FlowName::new);
    if name.is_none() {
        let detail = "a name of 1 to 200 characters on one line is needed";
        findings.add("E_SCHEMA", &Pointer::root().key("name"), detail);
    }
    name
}

/// The flow's id in LangFlow. An export taken "without ids" is known by its name.
fn native(flow: &Value, findings: &mut Findings) -> Option<NativeFlowId> {
    let id = match flow.get("id") {
        None | Some(Value::Null) => {
            let name = flow.get("name").and_then(Value::as_str).unwrap_or_default();
            NativeFlowId::new(format!("name:{}", colophon_model::Sha256::of(name.as_bytes())))
        }
        Some(id) => NativeFlowId::new(id.as_str().unwrap_or_default()),
    };
    if id.is_err() {
        let detail = "an id has 1 to 128 printable ASCII characters";
        findings.add("E_SCHEMA", &Pointer::root().key("id"), detail);
    }
    id.ok()
}
