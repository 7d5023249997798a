//! Rows in one redb file. The only file of the project that speaks redb.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::io;
use std::ops::Bound;

use ::redb::{
    Builder, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageBackend, StorageError, TableDefinition, TableHandle,
    WriteTransaction,
};

use super::{Batch, Check, Conflict, Entry, KeyRange, Order, Snapshot, Visit};
use crate::sync::{Arc, Mutex, PoisonError};
use crate::{DiskFile, Table};

/// How much is paid per commit for a quick start after a crash. Either way a commit is durable when
/// it returns, and a crash leaves the last commit whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Two-phase commits that save the allocator's state: two syncs, and opening after a crash takes
    /// well under a second whatever the size. It also withstands a crash timed by someone who
    /// chooses the data (redb's `set_two_phase_commit` explains the attack).
    #[default]
    Full,
    /// One-phase commits: one sync. Opening after a crash walks the whole file, which takes seconds
    /// per gigabyte.
    Fast,
}

/// A redb database in one file.
#[derive(Debug)]
pub(crate) struct RedbFile {
    db: Database,
    durability: Durability,
}

/// The file as redb sees it.
#[derive(Debug)]
struct Backend(Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Opened<'txn> = ::redb::Table<'txn, &'static [u8], &'static [u8]>;

impl RedbFile {
    /// Opens the database in `file`, or makes one when the file is empty, with a page cache of
    /// `cache_bytes`.
    pub(crate) fn open(
        file: Arc<dyn DiskFile>,
        durability: Durability,
        cache_bytes: usize,
    ) -> io::Result<Self> {
        let mut builder = Builder::new();
        let builder = builder.set_cache_size(cache_bytes);
        let db = builder.create_with_backend(Backend(file)).map_err(to_io)?;
        let kv = Self { db, durability };
        kv.create_missing_tables()?;
        Ok(kv)
    }

    /// As [`Self::open`], for a file that may have been written by halves: every page of it is
    /// checked first. Without that redb takes what it finds for its own, and may panic.
    pub(crate) fn open_checked(file: Arc<dyn DiskFile>, cache_bytes: usize) -> io::Result<Self> {
        let mut builder = Builder::new();
        let builder = builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
        let db = builder.create_with_backend(Backend(file)).map_err(to_io)?;
        let kv = Self { db, durability: Durability::Full };
        kv.create_missing_tables()?;
        Ok(kv)
    }

    /// Makes every table once, so that readers never meet one that does not exist.
    fn create_missing_tables(&self) -> io::Result<()> {
        let txn = self.db.begin_read().map_err(to_io)?;
        let known: Vec<String> =
            txn.list_tables().map_err(to_io)?.map(|table| table.name().to_owned()).collect();
        if Table::ALL.iter().all(|table| known.iter().any(|name| name == table.name())) {
            return Ok(());
        }
        let txn = self.begin_write()?;
        for table in Table::ALL {
            txn.open_table(definition(*table)).map_err(to_io)?;
        }
        txn.commit().map_err(to_io)
    }

    fn begin_write(&self) -> io::Result<WriteTransaction> {
        let mut txn = self.db.begin_write().map_err(to_io)?;
        txn.set_quick_repair(self.durability == Durability::Full);
        Ok(txn)
    }
}

impl RedbFile {
    pub(crate) fn snapshot(self: &Arc<Self>) -> io::Result<RedbSnapshot> {
        let (txn, opened) = (self.db.begin_read().map_err(to_io)?, Mutex::default());
        Ok(RedbSnapshot { txn, opened, _file: Arc::clone(self) })
    }

    /// Bytes that rows and the pages above them need.
    pub(crate) fn live_bytes(&self) -> io::Result<u64> {
        let txn = self.db.begin_read().map_err(to_io)?;
        let mut live = 0;
        for table in Table::ALL {
            let stats = txn.open_table(definition(*table)).map_err(to_io)?.stats();
            let stats = stats.map_err(to_io)?;
            live += stats.stored_bytes() + stats.metadata_bytes();
        }
        Ok(live)
    }

    /// Copies every row of `from`, in key order, in one commit.
    pub(crate) fn fill(&self, from: &dyn Snapshot) -> io::Result<()> {
        let txn = self.begin_write()?;
        for table in Table::ALL {
            let mut rows = txn.open_table(definition(*table)).map_err(to_io)?;
            let mut failed = None;
            from.visit(*table, &KeyRange::prefix(b""), &mut |key, value| {
                failed = rows.insert(key, value).map_err(to_io).err();
                failed.is_none()
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        txn.commit().map_err(to_io)
    }

    pub(crate) fn commit(&self, batches: &[&Batch]) -> io::Result<Vec<Result<(), Conflict>>> {
        let txn = self.begin_write()?;
        let mut tables = Tables { txn: &txn, open: BTreeMap::new(), written: false };
        let results: io::Result<Vec<_>> = batches.iter().map(|batch| tables.apply(batch)).collect();
        let (results, written) = (results?, tables.written);
        drop(tables);
        if written {
            txn.commit().map_err(to_io)?;
        } else {
            txn.abort().map_err(to_io)?;
        }
        Ok(results)
    }
}

/// Tables of a write transaction, each opened at its first use.
struct Tables<'txn> {
    txn: &'txn WriteTransaction,
    open: BTreeMap<Table, Opened<'txn>>,
    written: bool,
}

impl<'txn> Tables<'txn> {
    fn apply(&mut self, batch: &Batch) -> io::Result<Result<(), Conflict>> {
        for check in &batch.checks {
            if !self.holds(check)? {
                return Ok(Err(check.conflict()));
            }
        }
        for (index, ((table, key), value)) in batch.writes.iter().enumerate() {
            if index % PAUSE_AFTER == PAUSE_AFTER - 1 {
                // Whoever waits for the processor may be about to answer somebody.
                std::thread::yield_now();
            }
            let rows = self.table(*table)?;
            match value {
                Some(value) => rows.insert(key.as_slice(), value.as_slice()).map_err(to_io)?,
                None => rows.remove(key.as_slice()).map_err(to_io)?,
            };
            self.written = true;
        }
        Ok(Ok(()))
    }

    fn holds(&mut self, check: &Check) -> io::Result<bool> {
        match check {
            Check::Absent { table, key } => {
                let row = self.table(*table)?.get(key.as_slice()).map_err(to_io)?;
                Ok(row.is_none())
            }
            Check::Equals { table, key, value } => {
                let row = self.table(*table)?.get(key.as_slice()).map_err(to_io)?;
                Ok(row.is_some_and(|row| row.value() == value.as_slice()))
            }
            Check::PrefixEmpty { table, prefix } => {
                let range = KeyRange::prefix(prefix);
                let mut rows = self.table(*table)?.range::<&[u8]>(bounds(&range)).map_err(to_io)?;
                Ok(rows.next().transpose().map_err(to_io)?.is_none())
            }
        }
    }

    fn table(&mut self, table: Table) -> io::Result<&mut Opened<'txn>> {
        match self.open.entry(table) {
            Slot::Occupied(open) => Ok(open.into_mut()),
            Slot::Vacant(slot) => {
                Ok(slot.insert(self.txn.open_table(definition(table)).map_err(to_io)?))
            }
        }
    }
}

/// So many rows are written before other threads go first: half a millisecond or so. With fewer, whoever waits for the
/// change waits for them each time.
const PAUSE_AFTER: usize = 128;

/// One state of a database, which it keeps open: a rewrite may have put another in its place.
pub(crate) struct RedbSnapshot {
    txn: ReadTransaction,
    /// Tables that were read before. To open one takes about as long as to read a row of it.
    opened: Mutex<Vec<(Table, Arc<Rows>)>>,
    _file: Arc<RedbFile>,
}

/// A table as a snapshot shows it.
type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

impl RedbSnapshot {
    fn rows(&self, table: Table) -> io::Result<Arc<Rows>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = opened.iter().find(|(known, _)| *known == table) {
            return Ok(Arc::clone(rows));
        }
        let rows = Arc::new(self.txn.open_table(definition(table)).map_err(to_io)?);
        opened.push((table, Arc::clone(&rows)));
        Ok(rows)
    }
}

impl Snapshot for RedbSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let rows = self.rows(table)?;
        let row = ReadableTable::get(&*rows, key).map_err(to_io)?;
        Ok(row.map(|value| value.value().to_vec()))
    }

    fn range(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> io::Result<Vec<Entry>> {
        let rows = self.rows(table)?;
        let rows = ReadableTable::range::<&[u8]>(&*rows, bounds(range)).map_err(to_io)?;
        match order {
            Order::Ascending => rows.take(limit).map(entry).collect(),
            Order::Descending => rows.rev().take(limit).map(entry).collect(),
        }
    }

    /// Known without a look at the rows.
    fn count(&self, table: Table) -> io::Result<u64> {
        let rows = self.rows(table)?;
        rows.len().map_err(to_io)
    }

    fn visit(&self, table: Table, range: &KeyRange, visit: Visit<'_>) -> io::Result<()> {
        let rows = self.rows(table)?;
        for row in ReadableTable::range::<&[u8]>(&*rows, bounds(range)).map_err(to_io)? {
            let (key, value) = row.map_err(to_io)?;
            if !visit(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }
}

type Guard<'a> = ::redb::AccessGuard<'a, &'static [u8]>;

fn entry(row: Result<(Guard<'_>, Guard<'_>), StorageError>) -> io::Result<Entry> {
    let (key, value) = row.map_err(to_io)?;
    Ok((key.value().to_vec(), value.value().to_vec()))
}

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

fn bounds(range: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Included(&range.start), end)
}

/// Keeps the kind of an I/O error (disk full, permission) and wraps the rest.
fn to_io<E: Into<::redb::Error>>(error: E) -> io::Error {
    match error.into() {
        ::redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
