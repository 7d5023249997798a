//! What an operator can set about edge agents.

use serde::{Deserialize, Serialize};

use crate::units::Size;

/// How edge agents are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edge {
    /// Deltas and packs that are made at a time. Others wait.
    pub encoders: usize,
    /// Memory for deltas and packs that are asked for again and again.
    pub delta_cache: Size,
    /// Zips that are made from their trees at a time. Others wait.
    pub renders: usize,
    /// Memory for zips that are asked for again and again.
    pub zip_cache: Size,
    /// Memory for blobs that are asked for again and again. One over a sixteenth of it is not kept.
    pub blob_cache: Size,
    /// Whether a tenant is made only with a root from a ceremony.
    pub offline_roots: bool,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            encoders: 2,
            delta_cache: Size::mib(64),
            renders: 2,
            zip_cache: Size::mib(64),
            blob_cache: Size::mib(64),
            offline_roots: false,
        }
    }
}

impl Edge {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let counts = [("edge.encoders", self.encoders), ("edge.renders", self.renders)];
        let wrong = counts.into_iter().filter(|(_, count)| !(1..=64).contains(count));
        wrong.map(|(name, _)| format!("`{name}` must be 1 to 64")).collect()
    }
}
