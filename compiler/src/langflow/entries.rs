//! Where the runs of a flow begin, and what runs then.

use std::collections::BTreeSet;

use super::links::{Links, walk};
use super::vertex::Vertex;
use crate::plan::langflow::LangflowEntry;

/// Where runs begin (`find_start_component_id`): at a webhook, at a chat input. The first is the
/// default.
pub(super) struct Entries(pub(super) Vec<(&'static str, usize)>);

impl Entries {
    pub(super) fn of(vertices: &[Vertex<'_>]) -> Self {
        let first = |name: &'static str, class: &str| {
            let is_entry = |v: &Vertex<'_>| v.class == class && v.id.to_lowercase().contains(name);
            vertices.iter().position(is_entry).map(|at| (name, at))
        };
        Self(first("webhook", "Webhook").into_iter().chain(first("chat", "ChatInput")).collect())
    }

    /// What runs from each entry, when there are several.
    pub(super) fn several(&self, vertices: &[Vertex<'_>], links: &Links<'_>) -> Vec<LangflowEntry> {
        if self.0.len() < 2 {
            return Vec::new();
        }
        let ids = |at| running(links, at).iter().map(|at| vertices[*at].id.to_owned()).collect();
        self.0.iter().map(|(name, at)| LangflowEntry { name, runs: ids(*at) }).collect()
    }

    /// The field of a vertex that takes the run's input, and the only entry for which it does: the
    /// webhook that is the entry, or any chat input.
    pub(super) fn input(
        &self,
        vertices: &[Vertex<'_>],
        at: usize,
    ) -> Option<(&'static str, Option<&'static str>)> {
        let is_webhook = self.0.contains(&("webhook", at));
        let is_chat = vertices[at].class == "ChatInput";
        let of = |name| (self.0.len() > 1).then_some(name);
        match self.0.as_slice() {
            _ if is_webhook => Some(("data", of("webhook"))),
            [("webhook", _)] => None,
            _ => is_chat.then(|| ("input_value", of("chat"))),
        }
    }
}

/// What is reachable from the entry, and all that those vertices need.
pub(super) fn running(links: &Links<'_>, entry: usize) -> BTreeSet<usize> {
    let count = links.leaving.len();
    let reachable = walk(count, [entry], |at| links.leaving[at].iter().map(|e| e.to));
    walk(count, reachable, |at| links.entering[at].iter().map(|e| e.from)).into_iter().collect()
}
