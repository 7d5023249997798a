//! How the nodes of a flow hang together: edges, loop bodies, order, reach.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::node::RawNode;
use super::object::Object;
use crate::problem::{Findings, Pointer};

/// An edge between two known nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) branch: Option<String>,
}

/// Nodes by number, with their edges. Edges that were refused are left out, so that one mistake is
/// not reported twice.
pub(super) struct Graph<'a> {
    pub(super) nodes: &'a [RawNode],
    /// Numbers by id.
    pub(super) index: BTreeMap<&'a str, usize>,
    pub(super) edges: Vec<Edge>,
    /// The loop whose body a node belongs to.
    pub(super) parent: Vec<Option<usize>>,
}

impl<'a> Graph<'a> {
    /// Reads the edges and loop bodies.
    pub(super) fn read(nodes: &'a [RawNode], edges: &[Value], findings: &mut Findings) -> Self {
        let mut index = BTreeMap::new();
        for (number, node) in nodes.iter().enumerate() {
            if index.insert(node.id.as_str(), number).is_some() {
                let place = node.place.key("id");
                findings.add_at(
                    "E_DUPLICATE_NODE_ID",
                    &place,
                    &node.id,
                    "another node has this id",
                );
            }
        }
        let parent = vec![None; nodes.len()];
        let mut graph = Self { nodes, index, edges: Vec::new(), parent };
        graph.read_bodies(findings);
        let mut seen = BTreeSet::new();
        for (number, value) in edges.iter().enumerate() {
            let place = Pointer::root().key("edges").index(number);
            let Some(edge) = graph.read_edge(value, &place, findings) else { continue };
            if seen.insert(edge.clone()) {
                graph.edges.push(edge);
            } else {
                findings.add("E_DUPLICATE_EDGE", &place, "another edge says the same");
            }
        }
        // An edge from a loop into its own body says what the body already says.
        let parent = &graph.parent;
        graph.edges.retain(|edge| parent[edge.to] != Some(edge.from));
        graph
    }

    fn read_bodies(&mut self, findings: &mut Findings) {
        for (number, node) in self.nodes.iter().enumerate() {
            for (item, id) in node.body.iter().enumerate() {
                let place = node.place.key("body").index(item);
                match self.index.get(id.as_str()).copied() {
                    None => {
                        findings.add_at("E_REF_UNKNOWN", &place, &node.id, "no node has this id");
                    }
                    Some(member) if self.parent[member].is_some() => {
                        let detail = "this node is in a loop's body already";
                        findings.add_at("E_LOOP_BOUNDARY", &place, &node.id, detail);
                    }
                    Some(member) if self.nodes[member].is_trigger() => {
                        let detail = "a trigger starts the run and cannot be repeated";
                        findings.add_at("E_LOOP_BOUNDARY", &place, &node.id, detail);
                    }
                    Some(member) => self.parent[member] = Some(number),
                }
            }
        }
    }

    fn read_edge(&self, value: &Value, place: &Pointer, findings: &mut Findings) -> Option<Edge> {
        let mut object = Object::read(value, place.clone(), None, findings)?;
        object.optional("id");
        let ends = ["from", "to"].map(|end| {
            let id = object.text(end)?;
            let node = self.index.get(id).copied();
            if node.is_none() {
                object.report("E_DANGLING_EDGE", end, "no node has this id");
            }
            node
        });
        let branch = object.optional_text("branch").map(str::to_owned);
        object.finish();
        let edge = Edge { from: ends[0]?, to: ends[1]?, branch };
        self.check_edge(&edge, place, findings).then_some(edge)
    }

    /// Whether the edge may be where it is. A wrong branch is noted but leaves the edge in place.
    fn check_edge(&self, edge: &Edge, place: &Pointer, findings: &mut Findings) -> bool {
        let (from, to) = (&self.nodes[edge.from], &self.nodes[edge.to]);
        self.check_branch(edge, place, findings);
        if edge.from == edge.to {
            findings.add_at("E_SELF_EDGE", place, &from.id, "an edge leads to another node");
            return false;
        }
        if to.is_trigger() {
            findings.add_at("E_TRIGGER_EDGE", place, &to.id, "nothing comes before a trigger");
            return false;
        }
        let into_own_body = self.parent[edge.to] == Some(edge.from);
        if self.parent[edge.from] != self.parent[edge.to] && !into_own_body {
            let detail = "an edge does not cross the border of a loop's body; connect the loop";
            findings.add_at("E_LOOP_BOUNDARY", place, &from.id, detail);
            return false;
        }
        true
    }

    fn check_branch(&self, edge: &Edge, place: &Pointer, findings: &mut Findings) {
        let from = &self.nodes[edge.from];
        let detail = match &edge.branch {
            Some(branch) if !from.is_router() => {
                format!("only routers have branches, and this is none: `{}`", branch.escape_debug())
            }
            Some(branch) if from.node.is_some() && !from.branches.contains(branch) => {
                let known = from.branches.join(", ");
                format!("no branch is named `{}`; known are {known}", branch.escape_debug())
            }
            None if from.is_router() => "an edge from a router names its branch".to_owned(),
            _ => return,
        };
        findings.add_at("E_BRANCH_UNKNOWN", &place.key("branch"), &from.id, detail);
    }

    /// Edges, and from every loop to the nodes of its body.
    fn links(&self) -> impl Iterator<Item = (usize, usize)> {
        let into_body = self.parent.iter().enumerate().filter_map(|(n, p)| p.map(|p| (p, n)));
        self.edges.iter().map(|edge| (edge.from, edge.to)).chain(into_body)
    }

    /// Every node after those it depends on, loops before their bodies; or the nodes of one cycle,
    /// in the direction of its edges. Ties are in order of the ids.
    pub(super) fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let names: Vec<&str> = self.nodes.iter().map(|node| node.id.as_str()).collect();
        let links: BTreeSet<_> = self.links().collect();
        sort(&names, &links)
    }

    /// Which nodes a run can reach from `trigger`.
    pub(super) fn reached(&self, trigger: usize, order: &[usize]) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        reached[trigger] = true;
        let links: BTreeSet<_> = self.links().collect();
        for &node in order.iter().filter(|node| **node != trigger) {
            reached[node] = match self.parent[node] {
                Some(parent) => reached[parent],
                None => links.iter().any(|(from, to)| *to == node && reached[*from]),
            };
        }
        reached
    }

    /// For every node, which nodes have run before it: those on paths from the trigger, and for a
    /// node in a loop's body also the loop and all before it.
    pub(super) fn upstream(&self, order: &[usize], reached: &[bool]) -> Vec<Vec<bool>> {
        let mut upstream = vec![vec![false; self.nodes.len()]; self.nodes.len()];
        let mut before = vec![Vec::new(); self.nodes.len()];
        for (from, to) in self.links().filter(|(from, _)| reached[*from]) {
            before[to].push(from);
        }
        for &node in order {
            for &from in &before[node] {
                let known = upstream[from].clone();
                let row = &mut upstream[node];
                row.iter_mut().zip(known).for_each(|(here, there)| *here |= there);
                row[from] = true;
            }
        }
        upstream
    }

    /// Whether `node` is in the body of `of`, at any depth.
    pub(super) fn is_inside(&self, node: usize, of: usize) -> bool {
        std::iter::successors(self.parent[node], |parent| self.parent[*parent])
            .take(self.nodes.len())
            .any(|parent| parent == of)
    }
}

/// Kahn's algorithm, taking the smallest name among those that are free; or one cycle.
pub(super) fn sort(
    names: &[&str],
    links: &BTreeSet<(usize, usize)>,
) -> Result<Vec<usize>, Vec<usize>> {
    let mut waiting = vec![0; names.len()];
    let mut after = vec![Vec::new(); names.len()];
    for (from, to) in links {
        waiting[*to] += 1;
        after[*from].push(*to);
    }
    let numbered = names.iter().enumerate().filter(|(node, _)| waiting[*node] == 0);
    let mut free: BTreeSet<_> = numbered.map(|(node, name)| (*name, node)).collect();
    let mut order = Vec::with_capacity(names.len());
    while let Some((_, node)) = free.pop_first() {
        order.push(node);
        for &next in &after[node] {
            waiting[next] -= 1;
            if waiting[next] == 0 {
                free.insert((names[next], next));
            }
        }
    }
    if order.len() == names.len() {
        return Ok(order);
    }
    let left: BTreeSet<usize> = (0..names.len()).filter(|node| !order.contains(node)).collect();
    Err(cycle(names, links, &left))
}

/// A cycle among `left`, each of which has a predecessor there; it begins at its smallest name.
fn cycle(names: &[&str], links: &BTreeSet<(usize, usize)>, left: &BTreeSet<usize>) -> Vec<usize> {
    let before = |node: usize| {
        let candidates = links.iter().filter(|(from, to)| *to == node && left.contains(from));
        candidates.map(|(from, _)| *from).min_by_key(|from| names[*from])
    };
    let first = left.iter().copied().min_by_key(|node| names[*node]);
    let mut walk: Vec<usize> = Vec::new();
    let mut next = first;
    while let Some(node) = next {
        if let Some(start) = walk.iter().position(|seen| *seen == node) {
            walk.drain(..start);
            break;
        }
        walk.push(node);
        next = before(node);
    }
    walk.reverse();
    let smallest = (0..walk.len()).min_by_key(|at| names[walk[*at]]).unwrap_or_default();
    walk.rotate_left(smallest);
    walk
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cycle_is_listed_from_its_smallest_name() {
        let links = BTreeSet::from([(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)]);
        assert_eq!(sort(&["s", "c", "a", "b", "t"], &links), Err(vec![2, 3, 1]));
    }

    proptest! {
        /// Either an order that respects every link, or a real cycle.
        #[test]
        fn the_answer_can_be_checked(links in proptest::collection::btree_set((0..8_usize, 0..8_usize), 0..16)) {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            match sort(&names, &links) {
                Ok(order) => {
                    let at = |node| order.iter().position(|n| *n == node).unwrap();
                    prop_assert_eq!(order.len(), 8);
                    prop_assert!(links.iter().all(|(from, to)| at(*from) < at(*to)));
                }
                Err(cycle) => {
                    prop_assert!(!cycle.is_empty());
                    for at in 0..cycle.len() {
                        prop_assert!(links.contains(&(cycle[at], cycle[(at + 1) % cycle.len()])));
                    }
                }
            }
        }
    }
}
