//! Rows in memory, for tests and for trying things out. Nothing survives the process.

use std::collections::BTreeMap;
use std::io;

use super::{Batch, Check, Conflict, Entry, KeyRange, Kv, Order, Snapshot, Usage, Visit};
use crate::Table;
use crate::sync::{Arc, Mutex, PoisonError};

type State = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Rows in an ordered map that is copied when it changes under a snapshot.
#[derive(Debug, Default)]
pub struct MemoryKv(Mutex<Arc<State>>);

impl MemoryKv {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Kv for MemoryKv {
    fn snapshot(&self) -> io::Result<Box<dyn Snapshot>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(MemorySnapshot(Arc::clone(&state))))
    }

    fn commit(&self, batches: &[&Batch]) -> io::Result<Vec<Result<(), Conflict>>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = Arc::make_mut(&mut state);
        Ok(batches.iter().map(|batch| apply(state, batch)).collect())
    }

    fn usage(&self) -> io::Result<Usage> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = state.iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum();
        Ok(Usage { total: bytes, live: bytes })
    }

    fn rewrite(&self) -> io::Result<()> {
        Ok(()) // a deleted row is freed with the last snapshot that shows it
    }
}

fn apply(state: &mut State, batch: &Batch) -> Result<(), Conflict> {
    if let Some(failed) = batch.checks.iter().find(|check| !holds(state, check)) {
        return Err(failed.conflict());
    }
    for (place, value) in &batch.writes {
        match value {
            Some(value) => state.insert(place.clone(), value.clone()),
            None => state.remove(place),
        };
    }
    Ok(())
}

fn holds(state: &State, check: &Check) -> bool {
    match check {
        Check::Absent { table, key } => !state.contains_key(&(*table, key.clone())),
        Check::Equals { table, key, value } => state.get(&(*table, key.clone())) == Some(value),
        Check::PrefixEmpty { table, prefix } => {
            rows(state, *table, &KeyRange::prefix(prefix)).next().is_none()
        }
    }
}

fn rows<'a>(
    state: &'a State,
    table: Table,
    range: &'a KeyRange,
) -> impl DoubleEndedIterator<Item = Entry> + 'a {
    state
        .range((table, Vec::new())..)
        .take_while(move |((t, _), _)| *t == table)
        .filter(|((_, key), _)| range.contains(key))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect::<Vec<_>>()
        .into_iter()
}

struct MemorySnapshot(Arc<State>);

impl Snapshot for MemorySnapshot {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn range(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> io::Result<Vec<Entry>> {
        let rows = rows(&self.0, table, range);
        Ok(match order {
            Order::Ascending => rows.take(limit).collect(),
            Order::Descending => rows.rev().take(limit).collect(),
        })
    }

    fn visit(&self, table: Table, range: &KeyRange, visit: Visit<'_>) -> io::Result<()> {
        for ((of, key), value) in self.0.range((table, range.start.clone())..) {
            if *of != table || !range.contains(key) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
