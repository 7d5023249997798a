//! The section `maintenance`.

use serde::{Deserialize, Serialize};

use crate::units::{Share, Size, Span};

/// What the server does by itself to keep its store in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    /// Whether it does anything of this. Erasures that were interrupted are finished all the same.
    pub enabled: bool,
    /// Time between two purges. 0: never.
    pub purge_every: Span,
    /// Time between two garbage collections. 0: never.
    pub gc_every: Span,
    /// How long a blob that nothing names waits before it is deleted.
    pub gc_grace: Span,
    /// Share of the time that a collection takes.
    pub gc_share: Share,
    /// Time between two looks for metadata to sign anew. 0: never.
    pub resign_every: Span,
    /// Blobs read and verified in a second, in bytes. 0: none.
    pub scrub_per_second: Size,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            enabled: true,
            purge_every: Span::hours(1),
            gc_every: Span::hours(6),
            gc_grace: Span::days(1),
            gc_share: Share::QUARTER,
            resign_every: Span::hours(1),
            scrub_per_second: Size::mib(4),
        }
    }
}
