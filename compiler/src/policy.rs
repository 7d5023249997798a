//! What a tenant and an operator allow a flow to be.

use serde::{Deserialize, Serialize};

/// Which component sources a tenant's LangFlow exports may carry. A source is code that will run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodePolicy {
    /// None at all.
    None,
    /// Those whose full SHA-256 is in the table made from pinned releases.
    #[default]
    KnownOnly,
    /// Any.
    AllowCustom,
}

/// Bounds on a flow. Each is checked before anything is made of the part it bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the JSON, in bytes.
    pub body: usize,
    /// Number of nodes.
    pub nodes: usize,
    /// Number of edges.
    pub edges: usize,
    /// Size of one string, in bytes of UTF-8. The longest component source of lfx 1.13 has 86 KB.
    pub string: usize,
    /// Nesting of arrays and objects.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 1 << 20, nodes: 512, edges: 2048, string: 128 << 10, depth: 64 }
    }
}
