//! Eras: what was read in one still stands while it lasts.
//!
//! Who reads the same thing again and again would rather remember it, and must then know when it may
//! not be remembered any longer. Most commits take nothing from anybody: a build adds. So the number of
//! the era rises with those commits only that may end what a reader was allowed or told.

use crate::kv::Batch;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{Table, Writes};

/// Tables that say who may read, what may be read no longer, and who is to be told. They are written rarely, and
/// any write may end something.
const RIGHTS: [Table; 6] =
    [Table::Token, Table::Webhook, Table::Tenant, Table::Slug, Table::Quarantine, Table::Endpoint];
/// Tables that say what somebody has. Builds add to them all the time, which ends nothing: only a row
/// that goes does.
const HOLDINGS: [Table; 3] = [Table::Member, Table::BundleTree, Table::BundleAlias];

/// The number of the current era. It is of this process alone, and starts anew with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Era(Arc<AtomicU64>);

impl Era {
    pub(crate) fn number(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Begins the next era.
    ///
    /// It is called once a commit can be seen and before anyone is told of it. So whoever was told finds
    /// the new number, and whoever finds the new number sees the commit in a snapshot taken afterwards.
    pub(crate) fn end(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether `batch`, once written, may end what was read before.
pub(crate) fn is_ended_by(batch: &Batch) -> bool {
    let gone = |table| of(&batch.writes, table).any(Option::is_none);
    RIGHTS.iter().any(|table| of(&batch.writes, *table).next().is_some())
        || HOLDINGS.iter().any(|table| gone(*table))
}

fn of(writes: &Writes, table: Table) -> impl Iterator<Item = &Option<Vec<u8>>> {
    let from = writes.range((table, Vec::new())..);
    from.take_while(move |((other, _), _)| *other == table).map(|(_, value)| value)
}
