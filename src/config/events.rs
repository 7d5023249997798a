//! The section `events`.

use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Streams that tell how far builds are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Streams that are open at a time. Over it: 503.
    pub streams: usize,
    /// Streams of one tenant that are open at a time; the operator has as many. Over it: 429.
    pub per_tenant: usize,
    /// How long a stream is silent before it sends a comment, and how long one whose credential has ended
    /// stays open at most.
    pub heartbeat: Span,
}

impl Default for Events {
    fn default() -> Self {
        Self { streams: 512, per_tenant: 32, heartbeat: Span::seconds(15) }
    }
}

impl Events {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in [("streams", self.streams), ("per_tenant", self.per_tenant)] {
            if !(1..=100_000).contains(&value) {
                problems.push(format!("`events.{name}` must be 1 to 100000"));
            }
        }
        if self.heartbeat.millis() < 100 {
            problems.push("`events.heartbeat` must be at least 100ms".to_owned());
        }
        problems
    }
}
