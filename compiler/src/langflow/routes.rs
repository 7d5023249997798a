//! Which vertices a router can leave out.
//!
//! A router is a component that stops some of its outputs while it runs. lfx then leaves out all that
//! follows from such an output, but what another output of the same router leads to as well
//! (`Graph.exclude_branches_conditionally`): a join after both branches of an If-Else runs, and a
//! vertex further down one branch does not, whatever else feeds it.

use super::edge::Edge;
use super::vertex::Vertex;
use crate::plan::langflow::Routes;

/// How a component's source says that it stops an output: all that lfx offers for it.
const WORDS: [&str; 3] = [".stop(", "iterate_and_stop_once", "exclude_branch"];

/// For each vertex the routers that lead to it.
pub(super) struct Routing(Vec<Routes>);

impl Routing {
    /// Follows the outputs of every router along `edges`.
    pub(super) fn of(vertices: &[Vertex<'_>], edges: &[Edge<'_>]) -> Self {
        let mut leaving = vec![Vec::new(); vertices.len()];
        for edge in edges.iter().filter(|edge| !edge.is_feedback()) {
            leaving[edge.from].push(*edge);
        }
        let mut routing = Self(vec![Routes::new(); vertices.len()]);
        for (router, vertex) in vertices.iter().enumerate().filter(|(_, v)| is_router(v)) {
            for edge in leaving[router].clone() {
                routing.follow(vertex.id, &edge, &leaving);
            }
        }
        routing
    }

    fn follow(&mut self, router: &str, start: &Edge<'_>, leaving: &[Vec<Edge<'_>>]) {
        let mut open = vec![start.to];
        while let Some(at) = open.pop() {
            let outputs = self.0[at].entry(router.to_owned()).or_default();
            if outputs.insert(start.output.to_owned()) {
                open.extend(leaving[at].iter().map(|edge| edge.to));
            }
        }
    }

    /// The routers that can leave out a vertex.
    pub(super) fn to(&self, vertex: usize) -> &Routes {
        &self.0[vertex]
    }
}

/// A Loop stops its `item` too, but it is compiled natively.
fn is_router(vertex: &Vertex<'_>) -> bool {
    !vertex.is_loop() && WORDS.iter().any(|word| vertex.code.contains(word))
}
