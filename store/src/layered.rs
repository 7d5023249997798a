//! Pending changes laid over a durable snapshot.

use std::io;

use crate::kv::Visit;
use crate::sync::Arc;
use crate::{Change, Entry, KeyRange, Order, Snapshot, Table, Writes};

/// A snapshot as it will be once the changes above it are committed.
pub(crate) struct Layered {
    pub(crate) below: Box<dyn Snapshot>,
    /// Oldest first.
    pub(crate) above: Vec<Arc<Change>>,
}

impl Layered {
    /// What the changes write to `range`; the newest wins.
    fn writes(&self, table: Table, range: &KeyRange) -> Writes {
        let mut writes = Writes::new();
        for change in &self.above {
            let from = (table, range.start.clone());
            let inside =
                |(place, _): &(&(Table, Vec<u8>), _)| place.0 == table && range.contains(&place.1);
            let rows = change.batch.writes.range(from..).take_while(inside);
            writes.extend(rows.map(|(place, value)| (place.clone(), value.clone())));
        }
        writes
    }
}

impl Snapshot for Layered {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let place = (table, key.to_vec());
        let written = self.above.iter().rev().find_map(|change| change.batch.writes.get(&place));
        written.map_or_else(|| self.below.get(table, key), |value| Ok(value.clone()))
    }

    fn range(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> io::Result<Vec<Entry>> {
        let writes = self.writes(table, range);
        // A write hides at most one row below it, so this many rows leave `limit` whatever is hidden.
        let below = self.below.range(table, range, order, limit.saturating_add(writes.len()))?;
        let mut rows: Writes =
            below.into_iter().map(|(key, value)| ((table, key), Some(value))).collect();
        rows.extend(writes);
        let rows = rows.into_iter().filter_map(|((_, key), value)| Some((key, value?)));
        Ok(match order {
            Order::Ascending => rows.take(limit).collect(),
            Order::Descending => rows.rev().take(limit).collect(),
        })
    }

    fn visit(&self, table: Table, range: &KeyRange, visit: Visit<'_>) -> io::Result<()> {
        if self.above.is_empty() {
            return self.below.visit(table, range, visit);
        }
        let rows = self.range(table, range, Order::Ascending, usize::MAX)?;
        let _ = rows.iter().all(|(key, value)| visit(key, value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Kv, MemoryKv};
    use proptest::prelude::*;

    /// Writes to few keys, a share of `puts` not deletes, so that many rows are hidden.
    fn writes(puts: f64) -> impl Strategy<Value = Writes> {
        let table = prop_oneof![4 => Just(Table::Ref), 1 => Just(Table::Slug)];
        let place = (table, 0_u8..12).prop_map(|(table, key)| (table, vec![key]));
        let value = proptest::option::weighted(puts, proptest::collection::vec(0_u8.., 0..2));
        proptest::collection::btree_map(place, value, 0..24)
    }

    proptest! {
        /// Changes laid over a snapshot read as the same changes committed, whatever the limit.
        #[test]
        fn layers_read_as_if_committed(
            durable in writes(0.99),
            pending in proptest::collection::vec(writes(0.3), 0..4),
            start in 0_u8..12,
            limit in 0..8_usize,
        ) {
            let kv = MemoryKv::new();
            let batch = |writes: &Writes| Batch { checks: Vec::new(), writes: writes.clone() };
            kv.commit(&[&batch(&durable)]).unwrap();
            let above = pending
                .iter()
                .map(|writes| Arc::new(Change { batch: batch(writes), ..Change::default() }));
            let layered = Layered { below: kv.snapshot().unwrap(), above: above.collect() };
            for writes in &pending {
                kv.commit(&[&batch(writes)]).unwrap();
            }
            let committed = kv.snapshot().unwrap();
            let range = KeyRange { start: vec![start], end: Some(vec![start + 6]) };
            for order in [Order::Ascending, Order::Descending] {
                prop_assert_eq!(
                    layered.range(Table::Ref, &range, order, limit).unwrap(),
                    committed.range(Table::Ref, &range, order, limit).unwrap()
                );
            }
            for key in 0..12 {
                prop_assert_eq!(
                    layered.get(Table::Ref, &[key]).unwrap(),
                    committed.get(Table::Ref, &[key]).unwrap()
                );
            }
        }
    }
}
