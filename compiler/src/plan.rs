//! The typed form of a flow, whichever builder it was drawn in.

use std::fmt;

use colophon_model::{Digest, FlowId, FlowSource, NativeFlowId, Target};

use crate::canonical::CanonicalFlow;
use crate::problem::Problem;

pub mod activepieces;
pub mod builder;
mod ident;
pub mod langflow;

pub use ident::Ident;
pub(crate) use ident::Idents;

use activepieces::ActivepiecesGraph;
use builder::BuilderGraph;
use langflow::LangflowGraph;

/// A flow that passed every check of its front end. Compiling it can still meet a limit, but not
/// a malformed flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The flow's id in the builder it comes from.
    pub native: NativeFlowId,
    /// The identifier that the flow itself asks for. Only the Builder has one.
    pub slug: Option<FlowId>,
    /// The flow's display name.
    pub name: FlowName,
    /// The flow's revision in its builder, when it has one.
    pub revision: Option<u64>,
    /// The flow as committed: without layout, native id and revision.
    pub canonical: CanonicalFlow,
    /// The nodes, checked and typed. A function of `canonical`.
    pub graph: Graph,
    /// Findings that do not refuse the flow.
    pub warnings: Vec<Problem>,
}

/// The nodes of a flow. The sources differ in what a node means at run time, so each has a
/// graph of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Graph {
    /// From the Builder.
    Builder(BuilderGraph),
    /// From LangFlow.
    Langflow(LangflowGraph),
    /// From ActivePieces.
    Activepieces(ActivepiecesGraph),
}

impl Plan {
    /// The builder the flow was drawn in.
    pub const fn source(&self) -> FlowSource {
        match self.graph {
            Graph::Builder(_) => FlowSource::Builder,
            Graph::Langflow(_) => FlowSource::Langflow,
            Graph::Activepieces(_) => FlowSource::Activepieces,
        }
    }

    /// What decides whether a build is a no-op: `BLAKE3("colophon plan v1\0" source "\0" canonical)`.
    ///
    /// The canonical flow is itself an output and every other output is a function of it, so equal
    /// digests mean equal outputs and nothing else may enter. Native id, revision and layout are
    /// not part of it.
    pub fn digest(&self) -> Digest {
        let head = format!("colophon plan v1\0{}\0", self.source());
        Digest::of_parts(&[head.as_bytes(), self.canonical.as_bytes()])
    }

    /// Where the flow's outputs run, sorted. Every flow has a cloud part.
    pub fn targets(&self) -> &'static [Target] {
        match &self.graph {
            Graph::Builder(graph) if graph.has_edge_part() => &Target::ALL,
            Graph::Builder(_) | Graph::Langflow(_) | Graph::Activepieces(_) => &[Target::Cloud],
        }
    }
}

/// A flow's display name: 1 to 200 characters, none of which could break a line or turn the
/// direction of the text (control, line separator, bidirectional override, byte order mark).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowName(String);

impl FlowName {
    /// Checks length and characters.
    pub fn new(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let fits = (1..=200).contains(&length) && !text.trim().is_empty();
        (fits && !text.contains(is_disruptive)).then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FlowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that make one line look like several or read in another order than it is stored.
pub(crate) fn is_disruptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_disrupt_a_line_are_refused() {
        assert!(FlowName::new("Order intake: M\u{fc}ller & S\u{f6}hne \u{1f366}").is_some());
        for bad in ["", " ", "a\nb", "a\u{2028}b", "a\u{202e}b", "a\0", "\u{feff}a", "a\u{85}"] {
            assert_eq!(FlowName::new(bad), None, "{bad:?}");
        }
        assert!(FlowName::new(&"é".repeat(200)).is_some());
        assert!(FlowName::new(&"a".repeat(201)).is_none());
    }
}
