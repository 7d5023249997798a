//! Which node of a graph waits for which.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::plan::langflow::{Component, LangflowInput, LangflowNode};

/// A node's name in its graph. Never the id: that is data, and LangGraph gives some texts a meaning.
pub(super) fn node_name(node: &LangflowNode) -> String {
    format!("n_{}", node.ident())
}

/// What is needed to look through the components that are run by those they feed.
pub(super) struct Wiring<'a> {
    resources: BTreeMap<&'a str, &'a Component>,
}

impl<'a> Wiring<'a> {
    /// The wiring of a flow with these resources.
    pub(super) fn of(resources: &'a [Component]) -> Self {
        Self { resources: resources.iter().map(|c| (c.id.as_str(), c)).collect() }
    }

    /// Static edges: one per node, from all it waits for at once, so that it runs once. A node that
    /// waits for nothing comes after the start, and one that nothing waits for before the end.
    pub(super) fn edges(&self, nodes: &[&'a LangflowNode]) -> Vec<Value> {
        let waits = self.waits(nodes);
        let waited: BTreeSet<_> = waits.iter().flat_map(|(_, names)| names).collect();
        let mut edges = Vec::new();
        for (node, names) in &waits {
            let from = match names.first() {
                None => Value::Null,
                Some(only) if names.len() == 1 => json!(only),
                Some(_) => json!(names),
            };
            edges.push(json!({"from": from, "to": node_name(node)}));
        }
        let ends = nodes.iter().map(|node| node_name(node)).filter(|name| !waited.contains(name));
        edges.extend(ends.map(|name| json!({"from": name, "to": null})));
        edges
    }

    /// Ids of the vertices whose outputs are those of the run.
    pub(super) fn sinks(&self, nodes: &'a [LangflowNode]) -> Vec<&'a str> {
        let waits = self.waits(&nodes.iter().collect::<Vec<_>>());
        let waited: BTreeSet<_> = waits.iter().flat_map(|(_, names)| names).collect();
        let is_last = |node: &&LangflowNode| !waited.contains(&node_name(node));
        nodes.iter().filter(is_last).map(LangflowNode::id).collect()
    }

    /// For each node of a region the others of the region that it waits for: those that feed it, or
    /// feed something in its body, or something that is run for it.
    fn waits(&self, nodes: &[&'a LangflowNode]) -> Vec<(&'a LangflowNode, BTreeSet<String>)> {
        let names: BTreeMap<&str, String> =
            nodes.iter().map(|node| (node.id(), node_name(node))).collect();
        let waits = |node: &&'a LangflowNode| {
            let mut feeding = BTreeSet::new();
            self.feeding(node, &mut feeding);
            let others = feeding.into_iter().filter(|id| *id != node.id());
            (*node, others.filter_map(|id| names.get(id).cloned()).collect())
        };
        nodes.iter().map(waits).collect()
    }

    fn feeding(&self, node: &'a LangflowNode, ids: &mut BTreeSet<&'a str>) {
        self.sources(node.inputs(), ids, &mut BTreeSet::new());
        if let LangflowNode::Loop(repeat) = node {
            for node in &repeat.body {
                self.feeding(node, ids);
            }
        }
    }

    /// Each resource is looked through once, however many ways lead to it.
    fn sources(
        &self,
        inputs: &'a [LangflowInput],
        ids: &mut BTreeSet<&'a str>,
        seen: &mut BTreeSet<&'a str>,
    ) {
        for input in inputs {
            if input.resource.is_none() {
                ids.insert(&input.from);
            } else if seen.insert(&input.from)
                && let Some(resource) = self.resources.get(input.from.as_str())
            {
                self.sources(&resource.inputs, ids, seen);
            }
        }
    }
}
