//! Walks along the edges of a flow.

use super::edge::Edge;

/// The edges of each vertex, so that a walk over the flow costs as much as the flow is large.
pub(super) struct Links<'a> {
    /// By vertex, the edges that leave it.
    pub(super) leaving: Vec<Vec<Edge<'a>>>,
    /// By vertex, the edges that enter it.
    pub(super) entering: Vec<Vec<Edge<'a>>>,
}

impl<'a> Links<'a> {
    pub(super) fn of(count: usize, edges: &[Edge<'a>]) -> Self {
        let mut links =
            Self { leaving: vec![Vec::new(); count], entering: vec![Vec::new(); count] };
        for edge in edges {
            links.leaving[edge.from].push(*edge);
            links.entering[edge.to].push(*edge);
        }
        links
    }
}

/// All of `count` vertices that steps lead to, those in `from` among them, each once.
pub(super) fn walk<I: Iterator<Item = usize>>(
    count: usize,
    from: impl IntoIterator<Item = usize>,
    step: impl Fn(usize) -> I,
) -> Vec<usize> {
    let mut open: Vec<_> = from.into_iter().collect();
    let mut seen = vec![false; count];
    let mut reached = Vec::new();
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            reached.push(at);
            open.extend(step(at));
        }
    }
    reached
}
