//! A log that counts what is read from it: what a request costs, whatever the machine.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use colophon_gitbridge::{ObjectLog, ReadError, Ref};
use colophon_model::{Digest, GitKind, LogEntry, Oid, Ordinal, TagObject};

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
    /// What was appended lately, for a log that remembers.
    recent: Option<&'a RefCell<Recent>>,
}

/// What a log remembers of its last commits.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    objects: HashMap<Oid, (GitKind, Arc<[u8]>)>,
    blobs: HashMap<Digest, Oid>,
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
            recent: None,
        }
    }

    /// A log that remembers, in `recent`.
    pub(crate) fn with(log: &'a MemoryLog, recent: &'a RefCell<Recent>) -> Self {
        Self { recent: Some(recent), ..Self::new(log) }
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

    fn recent(&self, oid: &Oid) -> Option<(GitKind, Arc<[u8]>)> {
        self.recent?.borrow().objects.get(oid).cloned()
    }

    fn keep_recent(&self, oid: Oid, kind: GitKind, bytes: &[u8]) {
        if let Some(recent) = self.recent {
            recent.borrow_mut().objects.insert(oid, (kind, bytes.into()));
        }
    }

    fn recent_blob(&self, content: &Digest) -> Option<Oid> {
        self.recent?.borrow().blobs.get(content).copied()
    }

    fn keep_recent_blob(&self, content: Digest, oid: Oid) {
        if let Some(recent) = self.recent {
            recent.borrow_mut().blobs.insert(content, oid);
        }
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
