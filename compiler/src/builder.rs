//! The Builder front end: FlowSchema 1.0 to a plan.
//!
//! The schema is published as `docs/flow-schema-1.0.json`. Everything that can be wrong is noted
//! before the flow is refused; later checks leave out what an earlier one already reported.

mod assemble;
mod desktop;
mod expr;
mod graph;
mod head;
mod kinds;
mod node;
mod object;
mod refs;
mod router;
pub(crate) mod secrets;
mod shell;
mod split;
mod steps;

use colophon_model::{EdgeRuntime, Target};
use serde_json::Value;

use crate::canonical::CanonicalFlow;
use crate::plan::builder::{BuilderGraph, Region};
use crate::plan::{Graph as PlanGraph, Plan};
use crate::policy::{CodePolicy, Limits};
use crate::problem::{Findings, Pointer, Problems};
use assemble::Checked;
use graph::Graph;
use head::Head;
use node::RawNode;

/// Reads a Builder flow.
pub(crate) fn parse(flow: &Value, policy: CodePolicy, limits: &Limits) -> Result<Plan, Problems> {
    let mut findings = Findings::default();
    let head = head::read(flow, limits, &mut findings);
    let top = head.as_ref().and_then(|head| read_graph(head, policy, &mut findings));
    let warnings = findings.finish()?;
    let (Some(head), Some((top, edge_runtime))) = (head, top) else {
        let detail = "the flow cannot be read, and no rule says why";
        return Err(Problems::one("E_SCHEMA", Pointer::root(), detail));
    };
    let (Some(native), Some(name)) = (head.native, head.name) else {
        return Err(Problems::one("E_SCHEMA", Pointer::root(), "the flow has no id or name"));
    };
    Ok(Plan {
        native,
        slug: head.slug,
        name,
        revision: head.revision,
        canonical: canonical(flow),
        graph: PlanGraph::Builder(BuilderGraph {
            inputs: head.declared.inputs,
            edge_runtime,
            edge_env: head.declared.edge_env,
            edge_requirements: head.requirements.all,
            edge_wheels: head.requirements.bundled,
            top,
        }),
        warnings,
    })
}

/// Reads nodes and edges and checks them together. None when something refuses the flow.
fn read_graph(
    head: &Head<'_>,
    policy: CodePolicy,
    findings: &mut Findings,
) -> Option<(Region, EdgeRuntime)> {
    let place = Pointer::root().key("nodes");
    let read = |(number, value)| node::read(value, place.index(number), findings);
    let nodes: Vec<RawNode> = head.nodes.iter().enumerate().filter_map(read).collect();
    check_code(&nodes, policy, findings);
    let graph = Graph::read(&nodes, head.edges, findings);
    let targets = split::targets(&nodes, head.target, findings);
    let runtime = split::runtime(&nodes, &targets, head.runtime, findings);
    if runtime != EdgeRuntime::Python && !head.requirements.all.is_empty() {
        let detail = format!("these are Python packages, and the edge scripts are {runtime}");
        findings.add("E_EDGE_RUNTIME", &Pointer::root().key("edge_requirements"), detail);
    }
    let order = graph.order().map_err(|cycle| report_cycle(&graph, &cycle, findings)).ok();
    let trigger = find_trigger(&nodes, findings);
    let run = order.as_deref().zip(trigger).map(|(order, trigger)| {
        let reached = graph.reached(trigger, order);
        (graph.upstream(order, &reached), reached)
    });
    let upstream = run.as_ref().map(|(upstream, _)| upstream.as_slice());
    refs::check(&graph, &targets, upstream, &head.declared, findings);
    let (_, reached) = run?;
    report_unreached(&nodes, &reached, findings);
    let step = split::segments(&graph, &targets, &reached, findings);
    if findings.has_errors() {
        return None;
    }
    let top = assemble(&graph, &targets, &reached, &step, &order?)?;
    Some((top, runtime))
}

/// No table knows the sources of flows, so only the policy that allows any lets one in.
fn check_code(nodes: &[RawNode], policy: CodePolicy, findings: &mut Findings) {
    if policy == CodePolicy::AllowCustom {
        return;
    }
    for node in nodes.iter().filter(|node| node.word == Some("code.js")) {
        let detail = format!("the tenant's code policy is {policy}, and a flow may not bring code");
        findings.add_at("E_UNTRUSTED_CODE", &node.place.key("source"), &node.id, detail);
    }
}

fn assemble(
    graph: &Graph<'_>,
    targets: &[Target],
    reached: &[bool],
    step: &[usize],
    order: &[usize],
) -> Option<Region> {
    Checked { graph, targets, reached, step, order }.region(None)
}

fn find_trigger(nodes: &[RawNode], findings: &mut Findings) -> Option<usize> {
    let place = Pointer::root().key("nodes");
    let triggers: Vec<usize> = (0..nodes.len()).filter(|n| nodes[*n].is_trigger()).collect();
    match triggers.as_slice() {
        [trigger] => return Some(*trigger),
        [] => findings.add("E_NO_TRIGGER", &place, "a flow begins with a trigger"),
        _ => {
            for number in &triggers[1..] {
                let node = &nodes[*number];
                let detail = "a flow begins with one trigger, and another stands before this one";
                findings.add_at("E_MANY_TRIGGERS", &node.place, &node.id, detail);
            }
        }
    }
    None
}

fn report_cycle(graph: &Graph<'_>, cycle: &[usize], findings: &mut Findings) {
    let ids = cycle.iter().chain(cycle.first()).map(|node| graph.nodes[*node].id.as_str());
    let path = ids.collect::<Vec<_>>().join(" -> ");
    let first = cycle.first().map_or("", |node| graph.nodes[*node].id.as_str());
    let detail = format!("the edges form a cycle: {path}; use logic.loop to repeat");
    findings.add_at("E_CYCLE", &Pointer::root().key("edges"), first, detail);
}

fn report_unreached(nodes: &[RawNode], reached: &[bool], findings: &mut Findings) {
    for (node, _) in nodes.iter().zip(reached).filter(|(_, reached)| !**reached) {
        let detail = "no path leads here from the trigger; the node is left out";
        findings.add_at("W_UNREACHABLE", &node.place, &node.id, detail);
    }
}

/// The flow without native id, revision and layout, its nodes and edges in order.
fn canonical(flow: &Value) -> CanonicalFlow {
    let mut flow = flow.clone();
    if let Some(members) = flow.as_object_mut() {
        members.retain(|name, _| !["id", "revision", "viewport"].contains(&name.as_str()));
    }
    let drop = [("nodes", "position"), ("edges", "id")];
    for (list, layout) in drop {
        let Some(items) = flow.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.retain(|name, _| name != layout);
        }
        let key = |item: &Value| {
            let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
            ["id", "from", "to", "branch"].map(text)
        };
        items.sort_by_cached_key(key);
    }
    CanonicalFlow::new(&flow)
}
