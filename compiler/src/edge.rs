//! The edge part of a Builder flow: one script per segment in one language, and the bundle's manifest.

mod python;
mod script;

use std::collections::BTreeMap;

use colophon_model::{ArtifactPath, EdgeManifest, EdgeRuntime};
use serde_json::Value;

use crate::cloud::{encode, payload_name, reference_path};
use crate::module::{Module, Names, path};
use crate::plan::Ident;
use crate::plan::builder::{BuilderGraph, CredentialRef, Reference, Segment, Template};
use crate::problem::{Findings, Pointer, Problems};
use crate::templates::Source;
use crate::wheels::{Pinned, Wheels};

/// Templates of this part.
pub(crate) const TEMPLATES: &[Source<'static>] = &[
    ("edge/segment.ahk.tera", include_str!("../../templates/edge/segment.ahk.tera")),
    ("edge/segment.ps1.tera", include_str!("../../templates/edge/segment.ps1.tera")),
    ("edge/segment.py.tera", include_str!("../../templates/edge/segment.py.tera")),
];

/// The runtimes, by path in the bundle.
pub(crate) const RUNTIME: &[Source<'static>] = &[
    ("colophon_edge.ahk", include_str!("../../templates/runtime/edge/colophon_edge.ahk")),
    ("colophon_edge.ps1", include_str!("../../templates/runtime/edge/colophon_edge.ps1")),
    ("colophon_edge.py", include_str!("../../templates/runtime/edge/colophon_edge.py")),
    (LAUNCHER, include_str!("../../templates/runtime/edge/colophon_launcher.py")),
    (WIRE, include_str!("../../templates/runtime/edge/colophon_wire.py")),
];

const LAUNCHER: &str = "colophon_launcher.py";
const WIRE: &str = "colophon_wire.py";

/// The browser driver that the runtime was tested with; a flow may ask for another version.
const PLAYWRIGHT: &str = "playwright==1.65.2";

/// Limit of one browser action when the node sets none, in milliseconds.
const DEFAULT_TIMEOUT_MS: u32 = 30_000;

/// What the bundle says of itself.
pub(crate) fn manifest(graph: &BuilderGraph, names: Names<'_>, wheels: &[Pinned]) -> EdgeManifest {
    let env = graph.edge_env.iter().map(|(name, from)| {
        (name.clone(), reference_path(&Reference::Credential(from.clone())).join("."))
    });
    let entrypoints =
        graph.segments().map(|segment| (segment.id.to_string(), script_path(graph, segment)));
    let os: &[&str] = match graph.edge_runtime {
        EdgeRuntime::Ahk => &["windows"],
        EdgeRuntime::Python | EdgeRuntime::Ps1 => &["linux", "macos", "windows"],
    };
    EdgeManifest {
        schema: 1,
        slug: names.tenant.clone(),
        flow: names.flow.clone(),
        runtime: graph.edge_runtime,
        cpu_arch: ["aarch64", "x86_64"].map(str::to_owned).to_vec(),
        os: os.iter().copied().map(str::to_owned).collect(),
        requirements: requirements(graph),
        wheels: wheels.iter().map(|(name, wheel)| (name.clone(), wheel.sha256)).collect(),
        env: env.collect(),
        entrypoints: entrypoints.collect(),
    }
}

/// The wheels that the bundle is to hold, sorted by requirement. All that are missing are told.
pub(crate) fn wheels(graph: &BuilderGraph, wheels: &Wheels) -> Result<Vec<Pinned>, Problems> {
    let mut findings = Findings::default();
    let place = Pointer::root().key("edge_requirements");
    let mut found = Vec::with_capacity(graph.edge_wheels.len());
    for requirement in &graph.edge_wheels {
        match wheels.get(requirement) {
            Ok(wheel) => found.push((requirement.clone(), wheel.clone())),
            Err(reason) => {
                let detail = format!("{reason}; an operator lays wheels ready (`compiler.wheels`)");
                findings.add("E_EDGE_WHEEL", &place, detail);
            }
        }
    }
    findings.finish()?;
    Ok(found)
}

/// What must be installed where the scripts run.
fn requirements(graph: &BuilderGraph) -> Vec<String> {
    let mut requirements = graph.edge_requirements.clone();
    requirements.retain(|one| !graph.edge_wheels.contains(one));
    let driven = graph.edge_runtime == EdgeRuntime::Python;
    if driven && !graph.edge_requirements.iter().any(|one| one.starts_with("playwright==")) {
        requirements.push(PLAYWRIGHT.to_owned());
        requirements.sort();
    }
    requirements
}

const fn extension(runtime: EdgeRuntime) -> &'static str {
    match runtime {
        EdgeRuntime::Python => "py",
        EdgeRuntime::Ahk => "ahk",
        EdgeRuntime::Ps1 => "ps1",
    }
}

fn script_path(graph: &BuilderGraph, segment: &Segment) -> ArtifactPath {
    path(format!("segment_{}.{}", segment.id, extension(graph.edge_runtime)))
}

/// The files of the bundle beside its manifest.
pub(crate) fn modules(graph: &BuilderGraph) -> Vec<Module> {
    let scripts = graph.segments().map(|segment| match graph.edge_runtime {
        EdgeRuntime::Python => python::module(script_path(graph, segment), segment, graph),
        EdgeRuntime::Ahk | EdgeRuntime::Ps1 => {
            script::module(script_path(graph, segment), segment, graph)
        }
    });
    let own = format!("colophon_edge.{}", extension(graph.edge_runtime));
    let runtime = RUNTIME
        .iter()
        .filter(|(at, _)| [own.as_str(), LAUNCHER, WIRE].contains(at))
        .map(|(at, text)| Module::copy(at, text));
    scripts.chain(runtime).collect()
}

/// A template with its references as the edge's runtimes read them.
fn edge_template(value: &Template, segment: &Segment, graph: &BuilderGraph) -> Value {
    encode(value, &|reference| local(reference, segment, &graph.edge_env))
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
