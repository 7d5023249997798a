//! Turns: as long as a flow's turn lasts, it has no other head than before.
//!
//! A flow that is delivered again unchanged is answered by what its head says. Who remembers that answer
//! must know when there may be another head.

use std::hash::{DefaultHasher, Hasher as _};

use crate::row::key_bytes;
use crate::rows::FlowHead;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{Batch, Row, Table, Writes};

/// Flows that share a number are told too often that something may have changed, and never too rarely. So
/// their number is bounded, however many flows there are.
const SLOTS: usize = 16 * 1024;

/// The numbers of the flows' turns. They are of this process alone, and start anew with it.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<[AtomicU64]>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Turns {
    pub(crate) fn number(&self, flow: &<FlowHead as Row>::Key) -> u64 {
        self.slot(&key_bytes(flow)).load(Ordering::SeqCst)
    }

    /// Begins the next turn of every flow whose head `batch`, once written, may change. It is
    /// called once a commit can be seen and before anyone is told of it, as [`crate::era::Era::end`].
    pub(crate) fn end_for(&self, batch: &Batch) {
        for flow in heads(&batch.writes) {
            self.slot(flow).fetch_add(1, Ordering::SeqCst);
        }
    }

    fn slot(&self, flow: &[u8]) -> &AtomicU64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(flow);
        let slots = self.0.len() as u64;
        &self.0[usize::try_from(hasher.finish() % slots).unwrap_or(0)]
    }
}

/// The flows of which a head is written or deleted.
fn heads(writes: &Writes) -> impl Iterator<Item = &[u8]> {
    let from = writes.range((Table::FlowHead, Vec::new())..).map(|((table, key), _)| (table, key));
    from.take_while(|(table, _)| **table == Table::FlowHead).map(|(_, key)| key.as_slice())
}
