//! Dividing a flow between the cloud and the edge.
//!
//! A segment is a maximal connected set of edge nodes. Work crosses into it once and comes back
//! once, so a segment must be convex: no path may leave it and come back. It is entered at one
//! node, so that either all of it runs or none of it.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::{EdgeRuntime, Target};

use super::graph::{Graph, sort};
use super::node::RawNode;
use crate::problem::{Findings, Pointer};

/// Where each node runs: as it asks, else as its kind does, else as the flow does.
pub(super) fn targets(nodes: &[RawNode], flow: &str, findings: &mut Findings) -> Vec<Target> {
    nodes.iter().map(|node| target(node, flow, findings)).collect()
}

fn target(node: &RawNode, flow: &str, findings: &mut Findings) -> Target {
    let Some(word) = node.word else { return Target::Cloud };
    let of_kind = match word {
        _ if runtime_of(word).is_some() => Some(Target::Edge),
        _ if word.starts_with("trigger.") || word.starts_with("logic.") => Some(Target::Cloud),
        _ => None,
    };
    let of_flow = if flow == "edge" { Target::Edge } else { Target::Cloud };
    let target = node.target.or(of_kind).unwrap_or(of_flow);
    let possible = match word {
        _ if runtime_of(word).is_some() => target == Target::Edge,
        "data.map" => true,
        _ => target == Target::Cloud,
    };
    if !possible {
        let detail = format!("`{word}` does not run at target {target}");
        findings.add_at("E_EDGE_KIND", &node.place, &node.id, detail);
    } else if target == Target::Edge && flow == "cloud" {
        let detail = "this runs at the edge, but the flow's target is cloud; make it dual";
        findings.add_at("E_EDGE_TARGET", &node.place, &node.id, detail);
    }
    target
}

/// The language in which a kind of node runs, for kinds that run at the edge only.
fn runtime_of(word: &str) -> Option<EdgeRuntime> {
    match word {
        "browser.run" => Some(EdgeRuntime::Python),
        "desktop.run" => Some(EdgeRuntime::Ahk),
        "shell.powershell" => Some(EdgeRuntime::Ps1),
        _ => None,
    }
}

/// The language of the flow's edge scripts: what the flow asks for, else what its first edge node
/// needs. A bundle holds one language, so every edge node must run in it.
pub(super) fn runtime(
    nodes: &[RawNode],
    targets: &[Target],
    asked: Option<EdgeRuntime>,
    findings: &mut Findings,
) -> EdgeRuntime {
    let of = |node: &RawNode| node.word.and_then(runtime_of);
    let first = nodes.iter().find_map(of);
    let runtime = asked.or(first).unwrap_or(EdgeRuntime::Python);
    for (node, _) in nodes.iter().zip(targets).filter(|(_, target)| **target == Target::Edge) {
        let needed = of(node).unwrap_or(EdgeRuntime::Python);
        if node.word.is_some() && needed != runtime {
            let detail = format!(
                "this runs in {needed}, and the flow's edge scripts are {runtime}: a flow has edge \
                 scripts in one language, so split it into two flows"
            );
            findings.add_at("E_EDGE_RUNTIME", &node.place, &node.id, detail);
        }
    }
    runtime
}

/// For every node the number of the node that stands for its step: itself in the cloud, the first
/// member of its segment at the edge.
pub(super) fn segments(
    graph: &Graph<'_>,
    targets: &[Target],
    reached: &[bool],
    findings: &mut Findings,
) -> Vec<usize> {
    let at_edge = |node: usize| targets[node] == Target::Edge && reached[node];
    let mut step: Vec<usize> = (0..graph.nodes.len()).collect();
    for edge in graph.edges.iter().filter(|edge| at_edge(edge.from) && at_edge(edge.to)) {
        let (one, other) = (step[edge.from], step[edge.to]);
        step.iter_mut().filter(|step| **step == other).for_each(|step| *step = one);
    }
    for node in (0..graph.nodes.len()).filter(|node| at_edge(*node)) {
        if graph.parent[node].is_some() {
            let raw = &graph.nodes[node];
            let detail = "a loop in the cloud cannot repeat work at the edge";
            findings.add_at("E_EDGE_IN_CLOUD_LOOP", &raw.place, &raw.id, detail);
        }
    }
    check_entries(graph, &step, &at_edge, findings);
    check_convex(graph, &step, &at_edge, findings);
    step
}

/// Whether a node of a segment is entered from outside.
pub(super) fn is_entry(graph: &Graph<'_>, step: &[usize], node: usize) -> bool {
    let mut into = graph.edges.iter().filter(|edge| edge.to == node).peekable();
    into.peek().is_none() || into.any(|edge| step[edge.from] != step[node])
}

fn check_entries(
    graph: &Graph<'_>,
    step: &[usize],
    at_edge: &impl Fn(usize) -> bool,
    findings: &mut Findings,
) {
    let mut entries: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for node in (0..step.len()).filter(|node| at_edge(*node) && is_entry(graph, step, *node)) {
        entries.entry(step[node]).or_default().push(&graph.nodes[node].id);
    }
    for (_, mut ids) in entries.into_iter().filter(|(_, ids)| ids.len() > 1) {
        ids.sort_unstable();
        let detail =
            format!("connected edge nodes are entered at one node, not at {}", ids.join(", "));
        findings.add_at("E_EDGE_SEGMENT_ENTRIES", &Pointer::root().key("nodes"), ids[0], detail);
    }
}

fn check_convex(
    graph: &Graph<'_>,
    step: &[usize],
    at_edge: &impl Fn(usize) -> bool,
    findings: &mut Findings,
) {
    let names: Vec<&str> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
    let between = graph.edges.iter().map(|edge| (step[edge.from], step[edge.to]));
    let links: BTreeSet<_> = between.filter(|(from, to)| from != to).collect();
    let Err(cycle) = sort(&names, &links) else { return };
    let Some(segment) = cycle.iter().copied().find(|node| at_edge(*node)) else { return };
    let path: Vec<&str> = cycle.iter().map(|node| names[*node]).collect();
    let detail = format!("work leaves the edge and comes back by way of {}", path.join(", "));
    let raw = &graph.nodes[segment];
    findings.add_at("E_EDGE_SEGMENT_NOT_CONVEX", &raw.place, &raw.id, detail);
}
