//! The ActivePieces front end: a flow version or a template to a plan, and a plan to Python modules.
//!
//! A flow is a tree: steps follow each other, routers and loops hold steps. Every step becomes one node
//! of a LangGraph graph, every loop body a graph of its own. What a step does is in the runtime and
//! follows ActivePieces' engine; the facts taken from it are listed in docs/compiler.md. The source of a
//! CODE step is never part of a module: it is compiled to JavaScript and kept as a file of its own, named
//! by its SHA-256.
//!
//! `version` (which part of the JSON is the flow) → `step`, `trigger`, `router`, `piece`, `code` (typed,
//! checked; values by `expr`) → `render`.

mod canonical;
mod code;
mod env;
mod expr;
mod path;
mod piece;
mod read;
mod render;
mod router;
mod step;
mod trigger;
mod version;

use serde_json::Value;

use crate::plan::activepieces::ActivepiecesGraph;
use crate::plan::{Graph, Plan};
use crate::policy::{CodePolicy, Limits};
use crate::problem::{Findings, Problems};
use crate::templates::Source;
use read::Reader;
use version::Version;

pub(crate) use render::modules;
pub(crate) use version::is_flow;

/// Templates of this front end.
pub(crate) const TEMPLATES: &[Source<'static>] = &[
    (
        "cloud/activepieces_flow.py.tera",
        include_str!("../../templates/cloud/activepieces_flow.py.tera"),
    ),
    (
        "cloud/activepieces_runner.py.tera",
        include_str!("../../templates/cloud/activepieces_runner.py.tera"),
    ),
    (
        "cloud/activepieces_smoke.py.tera",
        include_str!("../../templates/cloud/activepieces_smoke.py.tera"),
    ),
];

macro_rules! runtime {
    ($($name:literal),+ $(,)?) => {
        &[$((
            concat!("app/colophon_rt/", $name),
            include_str!(concat!("../../templates/runtime/colophon_rt/", $name)),
        )),+]
    };
}

/// The runtime, by path on the branch.
pub(crate) const RUNTIME: &[Source<'static>] = runtime![
    "activepieces.py",
    "activepieces_cli.py",
    "activepieces_code.py",
    "activepieces_conditions.py",
    "activepieces_date_helper.py",
    "activepieces_dates.py",
    "activepieces_http.py",
    "activepieces_mail.py",
    "activepieces_pieces.py",
    "activepieces_store.py",
    "activepieces_text.mjs",
    "activepieces_values.py",
];

/// What it shares with the Builder's.
const SHARED: &[&str] = &[
    "app/colophon_rt/javascript.mjs",
    "app/colophon_rt/javascript.py",
    "app/colophon_rt/requirements.txt",
];

/// Reads a flow. All problems are reported at once.
pub(crate) fn parse(flow: Value, policy: CodePolicy, limits: &Limits) -> Result<Plan, Problems> {
    let mut findings = Findings::default();
    let version = Version::read(flow, &mut findings);
    let graph = version.as_ref().and_then(|version| graph(version, policy, limits, &mut findings));
    let warnings = findings.finish()?;
    let version = version.expect("a flow without a version has a problem");
    Ok(Plan {
        native: version.native.expect("a flow without a usable id has a problem"),
        slug: None,
        name: version.name.expect("a flow without a usable name has a problem"),
        revision: version.revision,
        canonical: canonical::of(version.body),
        graph: Graph::Activepieces(graph.expect("a flow without a graph has a problem")),
        warnings,
    })
}

/// Reads the tree. None when it cannot be walked; what is wrong below is noted.
fn graph(
    version: &Version,
    policy: CodePolicy,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<ActivepiecesGraph> {
    let start = version.body.get("trigger")?;
    let at = version.at.key("trigger");
    let names = step::names(start, &at, limits, findings)?;
    let mut reader = Reader::new(names, version.nested, policy, findings);
    let trigger = trigger::read(start, &at, &mut reader);
    let steps = step::chain(start.get("nextAction"), &at.key("nextAction"), &mut reader);
    let Reader { connections, variables, .. } = reader;
    Some(ActivepiecesGraph { trigger: trigger?, steps, connections, variables })
}
