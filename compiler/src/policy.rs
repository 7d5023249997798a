//! What an operator allows a flow to be.

pub use colophon_model::CodePolicy;

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
