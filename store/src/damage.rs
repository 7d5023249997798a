//! Blobs that are known to be damaged, so that the next put of the same bytes replaces them.
//!
//! A reader that finds damage only says so here. The writer looks for itself, since the reader may
//! have seen an older state, and records what is true in table `quarantine-1`.

use std::collections::BTreeSet;
use std::io;

use colophon_model::Digest;

use crate::row::{Row, mark_row};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{KeyRange, Snapshot, Table};

/// Marks a blob whose bytes are lost or wrong. The value is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quarantined;

mark_row!(Quarantined, Quarantine, Digest);

/// What is known of damage, by all handles of one store.
#[derive(Debug, Default)]
pub(crate) struct Damage(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Found by readers, not looked at by the writer yet.
    suspected: BTreeSet<Digest>,
    /// In quarantine.
    recorded: BTreeSet<Digest>,
}

impl Damage {
    /// What the store recorded before.
    pub(crate) fn load(snapshot: &dyn Snapshot) -> io::Result<Self> {
        let mut recorded = BTreeSet::new();
        snapshot.visit(Table::Quarantine, &KeyRange::prefix(b""), &mut |key, _| {
            recorded.extend(Quarantined::decode_key(key).ok());
            true
        })?;
        Ok(Self(Mutex::new(Known { suspected: BTreeSet::new(), recorded })))
    }

    /// A reader found the blob damaged.
    pub(crate) fn suspect(&self, digest: Digest) {
        let mut known = self.known();
        if !known.recorded.contains(&digest) {
            known.suspected.insert(digest);
        }
    }

    /// Whether the blob's bytes should be taken from whoever brings them.
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        let known = self.known();
        known.recorded.contains(digest) || known.suspected.contains(digest)
    }

    /// What readers reported since this was last asked.
    pub(crate) fn take_suspected(&self) -> BTreeSet<Digest> {
        std::mem::take(&mut self.known().suspected)
    }

    pub(crate) fn has_suspected(&self) -> bool {
        !self.known().suspected.is_empty()
    }

    /// The blobs in quarantine.
    pub(crate) fn recorded(&self) -> BTreeSet<Digest> {
        self.known().recorded.clone()
    }

    /// A commit put these into quarantine, or took them out.
    pub(crate) fn set(&self, damaged: &BTreeSet<Digest>, healed: &BTreeSet<Digest>) {
        let mut known = self.known();
        known.recorded.extend(damaged);
        known.recorded.retain(|digest| !healed.contains(digest));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
