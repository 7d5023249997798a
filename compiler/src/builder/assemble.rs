//! From checked nodes to the regions that run.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::Target;

use super::graph::{Graph, sort};
use super::node::Kind;
use super::split::is_entry;
use crate::plan::Ident;
use crate::plan::builder::{
    After, CloudKind, EdgeKind, Node, Reference, Region, Segment, Step, Work,
};

/// A graph that passed every check.
pub(super) struct Checked<'a> {
    pub(super) graph: &'a Graph<'a>,
    pub(super) targets: &'a [Target],
    pub(super) reached: &'a [bool],
    /// The step of each node, see [`super::split::segments`].
    pub(super) step: &'a [usize],
    /// Every node after those it depends on.
    pub(super) order: &'a [usize],
}

impl Checked<'_> {
    /// The region of the nodes in the body of `parent`, or outside any body.
    pub(super) fn region(&self, parent: Option<usize>) -> Option<Region> {
        let inside = |node: usize| self.reached[node] && self.graph.parent[node] == parent;
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &node in self.order.iter().filter(|node| inside(**node)) {
            members.entry(self.step[node]).or_default().push(node);
        }
        let order = self.step_order()?;
        let steps = order.into_iter().filter_map(|step| members.get(&step));
        let steps = steps.map(|nodes| self.step(nodes)).collect::<Option<_>>()?;
        Some(Region { steps })
    }

    /// The steps of all regions in an order that respects the edges, ties by the ids.
    fn step_order(&self) -> Option<Vec<usize>> {
        let names: Vec<&str> = (0..self.step.len()).map(|n| self.step_name(n)).collect();
        let live = self.graph.edges.iter().filter(|edge| self.reached[edge.from]);
        let between = live.map(|edge| (self.step[edge.from], self.step[edge.to]));
        let links: BTreeSet<_> = between.filter(|(from, to)| from != to).collect();
        sort(&names, &links).ok()
    }

    /// The id under which the step of `node` is known: at the edge that of its entry.
    fn step_name(&self, node: usize) -> &str {
        let entry =
            |n: &usize| self.step[*n] == self.step[node] && is_entry(self.graph, self.step, *n);
        let at_edge = self.targets[node] == Target::Edge;
        let entry = if at_edge { self.order.iter().copied().find(entry) } else { None };
        &self.graph.nodes[entry.unwrap_or(node)].id
    }

    fn step(&self, nodes: &[usize]) -> Option<Step> {
        let after = self.after(nodes)?;
        let first = nodes[0];
        let work = if self.targets[first] == Target::Edge {
            Work::Segment(self.segment(nodes)?)
        } else {
            Work::Node(self.cloud_node(first)?)
        };
        Some(Step { after, work })
    }

    fn after(&self, nodes: &[usize]) -> Option<Vec<After>> {
        let step = self.step[nodes[0]];
        let mut after = BTreeSet::new();
        for edge in &self.graph.edges {
            let crosses = nodes.contains(&edge.to) && self.step[edge.from] != step;
            if crosses && self.reached[edge.from] {
                after.insert(After {
                    node: Ident::new(&self.graph.nodes[edge.from].id)?,
                    step: Ident::new(self.step_name(edge.from))?,
                    branch: edge.branch.as_deref().and_then(Ident::new),
                });
            }
        }
        Some(after.into_iter().collect())
    }

    fn cloud_node(&self, number: usize) -> Option<Node<CloudKind>> {
        let node = self.graph.nodes[number].node.clone()?;
        node.convert(|kind| match kind {
            Kind::Cloud(CloudKind::Loop(mut repeat)) => {
                repeat.body = self.region(Some(number))?;
                Some(CloudKind::Loop(repeat))
            }
            Kind::Cloud(kind) => Some(kind),
            Kind::Edge(_) => None,
        })
    }

    fn edge_node(&self, number: usize) -> Option<Node<EdgeKind>> {
        let node = self.graph.nodes[number].node.clone()?;
        node.convert(|kind| match kind {
            Kind::Edge(kind) => Some(kind),
            Kind::Cloud(CloudKind::DataMap(fields)) => Some(EdgeKind::DataMap(fields)),
            Kind::Cloud(_) => None,
        })
    }

    fn segment(&self, numbers: &[usize]) -> Option<Segment> {
        let id = Ident::new(self.step_name(numbers[0]))?;
        let nodes = numbers.iter().map(|n| self.edge_node(*n)).collect::<Option<Vec<_>>>()?;
        let inside = |id: &Ident| nodes.iter().any(|node| node.id == *id);
        let uses = numbers.iter().flat_map(|number| &self.graph.nodes[*number].uses);
        let outer = uses.map(|one| &one.reference).filter(|reference| match reference {
            Reference::Node(id, _) => !inside(id),
            Reference::Input(..) => true,
            Reference::Credential(_) => false,
        });
        let payload: BTreeSet<Reference> = outer.cloned().collect();
        Some(Segment { id, nodes, payload: payload.into_iter().collect() })
    }
}
