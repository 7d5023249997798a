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

    /// Writes down what is known of the place. That something sealed lies there is not forgotten for a run beside this one
    /// which did not know of it: an erasure asks for it.
    pub(super) fn set(&self, row: &ExportPlace) -> Result<(), Error> {
        let sealed = row.sealed.max(self.place()?.sealed);
        self.commit(|change| {
            change.put(&(self.uid(), self.place), &ExportPlace { sealed, ..row.clone() });
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

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{CodePolicy, UnixMillis};
    use colophon_store::rows::RootsOrigin;

    fn tenant(store: &Store) -> TenantRow {
        let (uid, slug) = (TenantUid::from_bytes([1; 16]), "acme".parse().unwrap());
        let tenant = TenantRow {
            uid,
            slug,
            created: UnixMillis::new(1),
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        };
        let mut change = Change::new();
        change.put(&uid, &SlugOf { slug: tenant.slug.clone() });
        store.commit(change).unwrap();
        tenant
    }

    /// A run that was under way when another one made the first sealed bag does not know of it; an erasure has to.
    #[test]
    fn what_another_run_has_sealed_is_not_forgotten() {
        let store = Store::in_memory().unwrap();
        let tenant = tenant(&store);
        let ledger = Ledger { store: &store, tenant: &tenant, place: Digest::of(b"place") };
        let before = ledger.place().unwrap();
        ledger.set(&ExportPlace { sealed: 1, ..before.clone() }).unwrap();
        ledger.set(&ExportPlace { builds: 7, ..before }).unwrap();
        let after = ledger.place().unwrap();
        assert_eq!((after.sealed, after.builds), (1, 7));
        ledger.clear().unwrap();
        assert_eq!(ledger.place().unwrap().sealed, 0, "what is gone is");
    }

    /// Over more rows than one look takes: what does not lie there is forgotten, and only that.
    #[test]
    fn blobs_that_do_not_lie_there_are_forgotten() {
        let store = Store::in_memory().unwrap();
        let tenant = tenant(&store);
        let at = |place: &[u8]| Ledger { store: &store, tenant: &tenant, place: Digest::of(place) };
        let (ledger, other) = (at(b"place"), at(b"other"));
        let count = 2 * BATCH as u32 + 3;
        let digest = |n: u32| Digest::of(&n.to_be_bytes());
        let row = |n: u32| {
            let sha256 = Sha256::of(&n.to_be_bytes());
            (digest(n), ExportBlob { sha256, size: 4, key: None })
        };
        let all: Vec<_> = (0..count).map(row).collect();
        assert!(!ledger.has_blobs().unwrap());
        ledger.exported(&all).unwrap();
        other.exported(&all[..2]).unwrap();
        let there = all.iter().map(|(_, row)| row.sha256).enumerate().filter(|(n, _)| n % 3 == 0);
        ledger.keep(&there.map(|(_, sha256)| sha256).collect()).unwrap();
        let known = ledger.known((0..count).map(digest)).unwrap();
        assert_eq!(known.len(), count.div_ceil(3) as usize);
        assert!((0..count).step_by(3).all(|n| known.contains_key(&digest(n))));
        ledger.keep(&BTreeSet::new()).unwrap();
        assert!(!ledger.has_blobs().unwrap() && other.has_blobs().unwrap());
    }
}
