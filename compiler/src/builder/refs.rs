//! Checking what nodes refer to, once the graph is known.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::Target;

use super::expr::Use;
use super::graph::Graph;
use crate::plan::builder::{CredentialRef, Input, OnError, Reference};
use crate::problem::Findings;

/// What a flow declares beside its nodes.
pub(super) struct Declared {
    pub(super) inputs: BTreeMap<String, Input>,
    pub(super) credentials: BTreeSet<String>,
    pub(super) edge_env: BTreeMap<String, CredentialRef>,
}

/// Checks every use of every node. `upstream` is missing when the graph has a cycle or no single
/// trigger, and what depends on it is then left unchecked.
pub(super) fn check(
    graph: &Graph<'_>,
    targets: &[Target],
    upstream: Option<&[Vec<bool>]>,
    declared: &Declared,
    findings: &mut Findings,
) {
    for (number, node) in graph.nodes.iter().enumerate() {
        for Use { reference, place } in &node.uses {
            let problem = match reference {
                Reference::Input(name, _) => check_input(name, declared),
                Reference::Credential(credential) => {
                    check_credential(credential, targets[number], declared)
                }
                Reference::Node(id, path) => {
                    let upstream = upstream.map(|rows| rows[number].as_slice());
                    check_node(graph, number, id.as_str(), path, upstream)
                }
            };
            if let Some((code, detail)) = problem {
                findings.add_at(code, place, &node.id, detail);
            }
        }
    }
}

type Finding = Option<(&'static str, String)>;

fn check_input(name: &str, declared: &Declared) -> Finding {
    let known = declared.inputs.contains_key(name);
    (!known).then(|| ("E_REF_UNKNOWN", format!("`inputs` has no `{name}`")))
}

fn check_credential(credential: &CredentialRef, target: Target, declared: &Declared) -> Finding {
    let name = &credential.name;
    if !declared.credentials.contains(name) {
        let detail = format!("`credentials` does not list `{name}`");
        return Some(("E_CREDENTIAL_UNDECLARED", detail));
    }
    let at_edge = target == Target::Edge;
    if at_edge && !declared.edge_env.values().any(|known| known == credential) {
        let detail = format!("this runs at the edge, and no variable of `edge_env` holds `{name}`");
        return Some(("E_CREDENTIAL_UNDECLARED", detail));
    }
    None
}

fn check_node(
    graph: &Graph<'_>,
    user: usize,
    id: &str,
    path: &[String],
    upstream: Option<&[bool]>,
) -> Finding {
    let Some(&named) = graph.index.get(id) else {
        return Some(("E_REF_UNKNOWN", format!("no node has the id `{id}`")));
    };
    if upstream.is_some_and(|upstream| !upstream[named]) {
        let detail = format!("`{id}` does not run before this node in every order of the run");
        return Some(("E_REF_NOT_UPSTREAM", detail));
    }
    let key = path.first()?.as_str();
    let node = &graph.nodes[named];
    if node.is_loop() && graph.is_inside(user, named) {
        let known = matches!(key, "item" | "index");
        let detail = || format!("inside its body, a loop has `{id}.item` and `{id}.index`");
        return (!known).then(|| ("E_REF_UNKNOWN", detail()));
    }
    let may_fail = node.node.as_ref().is_some_and(|node| node.on_error == OnError::Continue);
    let outputs = node.outputs()?;
    if outputs.contains(key) || (may_fail && key == "error") {
        return None;
    }
    let known: Vec<_> = outputs.into_iter().collect();
    Some(("E_REF_UNKNOWN", format!("`{id}` has {}, and no `{key}`", known.join(", "))))
}
