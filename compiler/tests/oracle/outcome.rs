//! What became of a flow: compiled, gated, run, and compared with lfx.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use colophon_compiler::plan::Graph;
use colophon_compiler::{CodePolicy, Compiler, Limits, Plan, Problems};
use colophon_model::{FileSet, FlowId, TenantSlug};
use serde_json::{Map, Value};

use crate::peer::{Peer, Ran};

/// One flow's way.
pub(crate) struct Outcome {
    /// Under `allow-custom`: the plan, or why not.
    pub(crate) plan: Result<Plan, Problems>,
    /// Whether it compiles under `known-only` too.
    pub(crate) is_known: bool,
    /// The smoke test, in Python with lfx.
    pub(crate) gates: Result<(), String>,
    /// What lfx gave.
    pub(crate) lfx: Ran,
    /// What the generated module gave.
    pub(crate) generated: Ran,
}

impl Outcome {
    /// Takes the flow at `path` all the way.
    pub(crate) fn of(path: &Path, peer: &mut Peer) -> Self {
        let bytes = fs::read(path).unwrap();
        let is_known = parse_as(&bytes, CodePolicy::KnownOnly).is_ok();
        let plan = parse(&bytes);
        let none = || Err("not compiled".to_owned());
        if plan.is_err() {
            return Self {
                plan,
                is_known,
                gates: none().map(drop),
                lfx: none(),
                generated: none(),
            };
        }
        let ready = peer.prepare(path).to_string();
        let flow = peer.folder().join("flow.json");
        fs::write(&flow, &ready).unwrap();
        let plan = parse(ready.as_bytes());
        let root = tempfile::tempdir_in(peer.folder()).unwrap();
        write(&compile(plan.as_ref().unwrap()), root.path());
        let gates = peer.check(root.path());
        let (lfx, generated) = (peer.lfx(&flow), peer.generated(root.path()));
        Self { plan, is_known, gates, lfx, generated }
    }

    /// Where the two runs differ: nothing when every output of every component is the same.
    pub(crate) fn differences(&self) -> Vec<String> {
        let (lfx, generated) = match (&self.lfx, &self.generated) {
            (Ok(lfx), Ok(generated)) => (lfx.as_object().unwrap(), generated.as_object().unwrap()),
            (lfx, generated) => {
                let show = |ran: &Ran| ran.as_ref().map_or_else(Clone::clone, |_| "ran".to_owned());
                return vec![format!("lfx: {}; generated: {}", show(lfx), show(generated))];
            }
        };
        let mut found = differing(lfx, generated);
        let ran = generated.keys().collect::<BTreeSet<_>>();
        let nodes = self.nodes();
        let missing = lfx.keys().filter(|id| nodes.contains(*id) && !ran.contains(id));
        found.extend(missing.map(|id| format!("{id} ran in lfx alone")));
        found
    }

    /// Ids of the graph's own nodes, without the bodies of loops.
    fn nodes(&self) -> BTreeSet<String> {
        let Graph::Langflow(graph) = &self.plan.as_ref().unwrap().graph else {
            return BTreeSet::new();
        };
        graph.nodes.iter().map(|node| node.id().to_owned()).collect()
    }
}

fn differing(lfx: &Map<String, Value>, generated: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (id, outputs) in generated {
        for (name, value) in outputs.as_object().unwrap() {
            let theirs = lfx.get(id).and_then(|outputs| outputs.get(name));
            // A Loop's `item` is what its body had last, which nothing outside reads.
            let is_item = name == "item" && outputs.get("done").is_some();
            if !is_item && theirs != Some(value) {
                let theirs = theirs.map_or("nothing".to_owned(), ToString::to_string);
                found.push(format!("{id}.{name}:\n  lfx:       {theirs}\n  generated: {value}"));
            }
        }
    }
    found
}

/// Reads a flow where any source is allowed.
pub(crate) fn parse(flow: &[u8]) -> Result<Plan, Problems> {
    parse_as(flow, CodePolicy::AllowCustom)
}

fn parse_as(flow: &[u8], policy: CodePolicy) -> Result<Plan, Problems> {
    Compiler::new().unwrap().parse(flow, policy, &Limits::default())
}

/// The files of a flow called `flow`, for tenant `acme-inc`.
pub(crate) fn compile(plan: &Plan) -> FileSet {
    let tenant = TenantSlug::new("acme-inc").unwrap();
    let flow = FlowId::new("flow").unwrap();
    Compiler::new().unwrap().compile(plan, &tenant, &flow).unwrap().cloud
}

/// Writes `files` below `root`.
pub(crate) fn write(files: &FileSet, root: &Path) {
    for (path, file) in files.iter() {
        let at = root.join(path.as_str());
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, file.bytes()).unwrap();
    }
}
