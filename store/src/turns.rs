//! Turns: as long as a tenant's turn lasts, none of its flows has another head than before.
//!
//! A flow that is delivered again unchanged is answered by what its head says. Who remembers that answer
//! must know when there may be another head.

use colophon_model::TenantUid;

use crate::row::KeyPart as _;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{Batch, Table, Writes};

/// Tenants that share a number are told too often that something may have changed, and never too rarely. So
/// their number is bounded, however many tenants there are.
const SLOTS: usize = 4096;

/// The numbers of the tenants' turns. They are of this process alone, and start anew with it.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<[AtomicU64]>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Turns {
    pub(crate) fn number(&self, tenant: TenantUid) -> u64 {
        self.slot(tenant).load(Ordering::SeqCst)
    }

    /// Begins the next turn of every tenant of whose flows `batch`, once written, may change the head. It is
    /// called once a commit can be seen and before anyone is told of it, as [`crate::era::Era::end`].
    pub(crate) fn end_for(&self, batch: &Batch) {
        for tenant in heads(&batch.writes) {
            self.slot(tenant).fetch_add(1, Ordering::SeqCst);
        }
    }

    fn slot(&self, tenant: TenantUid) -> &AtomicU64 {
        // Uids are random, so any of their bytes will do.
        let [a, b, ..] = *tenant.as_bytes();
        &self.0[usize::from(u16::from_le_bytes([a, b])) % SLOTS]
    }
}

/// The tenants of whose flows a head is written or deleted.
fn heads(writes: &Writes) -> impl Iterator<Item = TenantUid> {
    let from = writes.range((Table::FlowHead, Vec::new())..).map(|((table, key), _)| (table, key));
    let keys = from.take_while(|(table, _)| **table == Table::FlowHead);
    keys.filter_map(|(_, key)| TenantUid::take(&mut key.as_slice()))
}
