//! A log that counts what is read from it: what a request costs, whatever the machine.

use std::cell::Cell;

use colophon_gitbridge::{ObjectLog, ReadError, Ref};
use colophon_model::{LogEntry, Oid, Ordinal, TagObject};

use super::MemoryLog;

/// Reads of the log below, by kind.
#[derive(Debug)]
pub(crate) struct CountingLog<'a> {
    log: &'a MemoryLog,
    pub(crate) entries: Cell<usize>,
    pub(crate) tags: Cell<usize>,
    /// Scans over refs.
    pub(crate) scans: Cell<usize>,
    /// Refs that the scans gave.
    pub(crate) refs: Cell<usize>,
    /// What the log says of its refs.
    pub(crate) changes: Cell<Option<u64>>,
}

impl<'a> CountingLog<'a> {
    pub(crate) fn new(log: &'a MemoryLog) -> Self {
        let zero = Cell::default;
        Self {
            log,
            entries: zero(),
            tags: zero(),
            scans: zero(),
            refs: zero(),
            changes: Cell::default(),
        }
    }
}

fn count(counter: &Cell<usize>, more: usize) {
    counter.set(counter.get() + more);
}

impl ObjectLog for CountingLog<'_> {
    fn len(&self) -> Result<u32, ReadError> {
        self.log.len()
    }

    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError> {
        self.log.ordinal(oid)
    }

    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError> {
        count(&self.entries, 1);
        self.log.entry(at)
    }

    fn ref_changes(&self) -> Result<Option<u64>, ReadError> {
        Ok(self.changes.get())
    }

    fn newest_tags(&self, most: usize) -> Result<Vec<Ref>, ReadError> {
        let refs = self.log.newest_tags(most)?;
        count(&self.scans, 1);
        count(&self.refs, refs.len());
        Ok(refs)
    }

    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError> {
        count(&self.tags, 1);
        self.log.tag(oid)
    }

    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError> {
        let refs = self.log.refs(prefix)?;
        count(&self.scans, 1);
        count(&self.refs, refs.len());
        Ok(refs)
    }
}
