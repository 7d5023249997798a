//! What the edges that leave a vertex carry: data, which a state holds, or a resource, which it cannot.

use std::collections::BTreeSet;

use super::edge::Edge;

/// By vertex, the outputs that any edge reads and that a state can hold: the others would call a
/// model or a service for nothing.
pub(super) fn consumed(count: usize, edges: &[Edge<'_>]) -> Vec<BTreeSet<String>> {
    let mut outputs = vec![BTreeSet::new(); count];
    for edge in edges.iter().filter(|edge| !edge.is_resource) {
        outputs[edge.from].insert(edge.output.to_owned());
    }
    outputs
}

/// By vertex, what its edges carry.
pub(super) struct Uses(Vec<(bool, bool)>);

impl Uses {
    pub(super) fn of(count: usize, edges: &[Edge<'_>]) -> Self {
        let mut uses = vec![(false, false); count];
        for edge in edges {
            let (resource, data) = &mut uses[edge.from];
            *(if edge.is_resource { resource } else { data }) = true;
        }
        Self(uses)
    }

    /// Whether another vertex runs this one to get what no state can hold.
    pub(super) fn is_resource(&self, at: usize) -> bool {
        self.0[at].0
    }

    /// Whether it is a node of the graph: unless all it gives is a resource.
    pub(super) fn is_node(&self, at: usize) -> bool {
        self.0[at] != (true, false)
    }
}
