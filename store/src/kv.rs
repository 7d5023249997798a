//! The seam for metadata: ordered rows, snapshots and checked batches.
//!
//! An implementation knows nothing of what rows mean. The same contract suite runs on each
//! (`tests/it/kv_contract.rs`).

pub(crate) mod generations;
pub(crate) mod memory;
pub(crate) mod redb;

use std::collections::BTreeMap;
use std::io;

use crate::Table;

/// Ordered rows in tables, with one atomic and durable way to change them.
pub trait Kv: Send + Sync {
    /// A view of all rows as of the last commit; later commits do not change it.
    ///
    /// It may pin storage for as long as it lives, so it is meant for one request.
    fn snapshot(&self) -> io::Result<Box<dyn Snapshot>>;

    /// Applies `batches` in order and makes them durable together, then answers for each.
    ///
    /// A batch whose checks hold is written, and later batches see its writes. A batch with a failed
    /// check writes nothing and leaves the others alone. When no batch writes anything, nothing is
    /// synced.
    ///
    /// # Errors
    /// After an error nothing is known about any of the batches: the caller must not go on.
    fn commit(&self, batches: &[&Batch]) -> io::Result<Vec<Result<(), Conflict>>>;

    /// Writes all rows into new storage and gives up the old, so that nothing of a deleted row is
    /// left. Snapshots taken before stay valid. Nobody commits meanwhile.
    ///
    /// # Errors
    /// With [`io::ErrorKind::StorageFull`] nothing has changed. After any other error it is not
    /// known which storage a crash leaves: the caller must not go on.
    fn rewrite(&self) -> io::Result<()>;

    /// How much of its storage is in use. It may read all rows.
    fn usage(&self) -> io::Result<Usage>;
}

/// Storage of rows, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// What it takes up.
    pub total: u64,
    /// What rows and the order of them need.
    pub live: u64,
}

/// A fixed state of all rows.
pub trait Snapshot: Send + Sync {
    /// The value at `key`.
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// The first `limit` rows of `range`, in `order`.
    fn range(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> io::Result<Vec<Entry>>;

    /// Shows the rows of `range` by ascending key, until `visit` answers false.
    fn visit(&self, table: Table, range: &KeyRange, visit: Visit<'_>) -> io::Result<()>;

    /// How many rows a table has.
    fn count(&self, table: Table) -> io::Result<u64> {
        let mut count = 0;
        self.visit(table, &KeyRange::prefix(&[]), &mut |_, _| {
            count += 1;
            true
        })?;
        Ok(count)
    }
}

/// Looks at one row, key and value, and answers whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// A row as read: key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// In which order rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By ascending key.
    Ascending,
    /// By descending key.
    Descending,
}

/// Keys from `start` (inclusive) to `end` (exclusive; without one, to the end of the table).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub start: Vec<u8>,
    /// The key before which the range ends.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        // The first key after all that begin with the prefix: drop trailing 0xff, raise the last.
        let kept = prefix.iter().rposition(|byte| *byte != 0xff);
        let end = kept.map(|last| {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        });
        Self { start: prefix.to_vec(), end }
    }

    /// Whether the range holds `key`.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// What is left of the range after `key` was read in `order`.
    #[must_use]
    pub fn after(mut self, key: &[u8], order: Order) -> Self {
        match order {
            Order::Ascending => self.start = successor(key),
            Order::Descending => self.end = Some(key.to_vec()),
        }
        self
    }

    /// The part of the range that begins at `key` (inclusive) when read in `order`.
    #[must_use]
    pub fn starting_at(mut self, key: &[u8], order: Order) -> Self {
        match order {
            Order::Ascending => self.start = self.start.max(key.to_vec()),
            Order::Descending => {
                let end = successor(key);
                self.end = Some(self.end.map_or(end.clone(), |old| old.min(end)));
            }
        }
        self
    }
}

/// The key right after `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// New values by table and key; `None` deletes. The last write to a key wins.
pub type Writes = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// Writes that happen together, and only if all checks hold.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What must hold.
    pub checks: Vec<Check>,
    /// What changes.
    pub writes: Writes,
}

/// A condition on rows, evaluated inside the transaction that would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// There is no row at the key.
    Absent {
        /// The row's table.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
    },
    /// The row at the key has exactly this value.
    Equals {
        /// The row's table.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
        /// The whole value.
        value: Vec<u8>,
    },
    /// No key of the table begins with the prefix.
    PrefixEmpty {
        /// The table.
        table: Table,
        /// The prefix.
        prefix: Vec<u8>,
    },
}

impl Check {
    /// The conflict that a failure of this check is.
    fn conflict(&self) -> Conflict {
        let (table, key) = match self {
            Self::Absent { table, key } | Self::Equals { table, key, .. } => (table, key),
            Self::PrefixEmpty { table, prefix } => (table, prefix),
        };
        Conflict { table: *table, key: key.clone() }
    }
}

/// The first check of a batch that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of table `{table}` is not as expected")]
pub struct Conflict {
    /// The table of the row that differed.
    pub table: Table,
    /// The row's key, or the prefix that was not empty.
    pub key: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A prefix range holds exactly the keys that begin with the prefix, 0xff bytes included.
        #[test]
        fn prefix_ranges_are_exact(
            prefix in proptest::collection::vec(0xfd_u8.., 0..4),
            key in proptest::collection::vec(0xfd_u8.., 0..6),
        ) {
            let range = KeyRange::prefix(&prefix);
            prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
        }

        #[test]
        fn after_leaves_out_exactly_what_was_read(
            key in proptest::collection::vec(any::<u8>(), 0..4),
            other in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let up = KeyRange::prefix(b"").after(&key, Order::Ascending);
            prop_assert_eq!(up.contains(&other), other > key);
            let down = KeyRange::prefix(b"").after(&key, Order::Descending);
            prop_assert_eq!(down.contains(&other), other < key);
            let from = KeyRange::prefix(b"").starting_at(&key, Order::Ascending);
            prop_assert_eq!(from.contains(&other), other >= key);
            let to = KeyRange::prefix(b"").starting_at(&key, Order::Descending);
            prop_assert_eq!(to.contains(&other), other <= key);
        }
    }
}
