//! What the store remembers of a place: a cache, which may be lost without loss.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::{Digest, Sha256, TenantUid};
use colophon_store::rows::{ExportBlob, ExportPlace, SlugOf, TenantRow};
use colophon_store::{Change, CommitError, Error, Store};

use super::cursor::Cursor;
use super::error::ExportError;

/// Rows deleted in one transaction.
const BATCH: usize = 1024;

/// Writes down how far the bags at a place go.
pub(super) const fn reached(row: &mut ExportPlace, cursor: &Cursor) {
    (row.sequence, row.builds, row.lines) = (cursor.sequence, cursor.builds, cursor.audit.seq);
}

/// The rows of one tenant and place.
pub(super) struct Ledger<'a> {
    pub(super) store: &'a Store,
    pub(super) tenant: &'a TenantRow,
    pub(super) place: Digest,
}

impl Ledger<'_> {
    const fn uid(&self) -> TenantUid {
        self.tenant.uid
    }

    pub(super) fn place(&self) -> Result<ExportPlace, Error> {
        Ok(self.store.view()?.get::<ExportPlace>(&(self.uid(), self.place))?.unwrap_or_default())
    }

    pub(super) fn set(&self, row: &ExportPlace) -> Result<(), Error> {
        self.commit(|change| {
            change.put(&(self.uid(), self.place), row);
        })
    }

    /// Those of `digests` that are known to be there.
    pub(super) fn known(
        &self,
        digests: impl Iterator<Item = Digest>,
    ) -> Result<BTreeMap<Digest, ExportBlob>, Error> {
        let view = self.store.view()?;
        let mut known = BTreeMap::new();
        for digest in digests {
            if let Some(row) = view.get::<ExportBlob>(&(self.uid(), self.place, digest))? {
                known.insert(digest, row);
            }
        }
        Ok(known)
    }

    pub(super) fn exported(&self, blobs: &[(Digest, ExportBlob)]) -> Result<(), Error> {
        if blobs.is_empty() {
            return Ok(());
        }
        self.commit(|change| {
            for (digest, row) in blobs {
                change.put(&(self.uid(), self.place, *digest), row);
            }
        })
    }

    /// Whether anything is said to be there.
    pub(super) fn has_blobs(&self) -> Result<bool, Error> {
        let view = self.store.view()?;
        let first = view.scan::<ExportBlob>(&(self.uid(), self.place)).next();
        Ok(first.transpose()?.is_some())
    }

    /// Forgets blobs whose objects are not among `there`.
    pub(super) fn keep(&self, there: &BTreeSet<Sha256>) -> Result<(), Error> {
        let mut from = (self.uid(), self.place, Digest::from_bytes([0; 32]));
        loop {
            let view = self.store.view()?;
            let rows = view.scan::<ExportBlob>(&(self.uid(), self.place)).starting_at(&from);
            let rows = rows.take(BATCH).collect::<Result<Vec<_>, _>>()?;
            drop(view);
            let gone: Vec<_> =
                rows.iter().filter(|(_, row)| !there.contains(&row.sha256)).collect();
            if !gone.is_empty() {
                self.commit(|change| {
                    for (key, _) in &gone {
                        change.delete::<ExportBlob>(key);
                    }
                })?;
            }
            match rows.last() {
                // The last one may be looked at twice.
                Some((key, _)) if rows.len() == BATCH => from = *key,
                _ => return Ok(()),
            }
        }
    }

    /// Whether the tenant is still there: what is erased meanwhile is exported no further.
    pub(super) fn check(&self) -> Result<(), ExportError> {
        let slug = self.tenant.slug.clone();
        match self.store.view()?.get::<SlugOf>(&self.uid())? {
            Some(named) if named.slug == slug => Ok(()),
            _ => Err(ExportError::Erased(slug)),
        }
    }

    /// Forgets everything: nothing is there any more.
    pub(super) fn clear(&self) -> Result<(), Error> {
        loop {
            let view = self.store.view()?;
            let keys: Vec<_> = view
                .scan::<ExportBlob>(&(self.uid(), self.place))
                .take(BATCH)
                .map(|row| row.map(|(key, _)| key))
                .collect::<Result<_, _>>()?;
            drop(view);
            let all = keys.len() < BATCH;
            self.commit(|change| {
                for key in &keys {
                    change.delete::<ExportBlob>(key);
                }
                if all {
                    change.delete::<ExportPlace>(&(self.uid(), self.place));
                }
            })?;
            if all {
                return Ok(());
            }
        }
    }

    /// A tenant that is erased meanwhile must not leave rows behind.
    fn commit(&self, fill: impl FnOnce(&mut Change)) -> Result<(), Error> {
        let mut change = Change::new();
        change.expect(&self.uid(), Some(&SlugOf { slug: self.tenant.slug.clone() }));
        fill(&mut change);
        match self.store.commit(change) {
            Err(CommitError::Conflict(_)) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
