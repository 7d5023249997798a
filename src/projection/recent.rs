//! What the next commits of tenants rest on, as it was when the last ones were made.

use std::sync::Arc;

use colophon_model::{Digest, GitKind, Oid, TenantUid};
use colophon_store::{Store, View};

use crate::made::{Made, Weigh};

/// Most bytes of folders and files: those that some hundred busy tenants change.
const OBJECTS: u64 = 24 * 1024 * 1024;
/// Most bytes of names of files: those of some hundred tenants.
const BLOBS: u64 = 8 * 1024 * 1024;

/// A larger object is not kept: it would drive out many that are asked for more often.
const LARGEST: usize = OBJECTS as usize / 16;

/// Git objects that builds of all tenants added or rested on lately. In the log they lie at the end of chains of
/// deltas, and the next build of the tenant makes one against each that it changes. An object is what its id
/// says, so nothing here is ever out of date; whether the log holds it, only the log says.
#[derive(Debug)]
pub struct Recent {
    objects: Made<Oid, Whole>,
    blobs: Made<Digest, Named>,
}

/// An object by itself.
#[derive(Debug, Clone)]
struct Whole {
    kind: GitKind,
    bytes: Arc<[u8]>,
}

impl Weigh for Whole {
    fn weight(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// The id of a blob.
#[derive(Debug, Clone, Copy)]
struct Named(Oid);

impl Weigh for Named {
    fn weight(&self) -> u64 {
        size_of::<Self>() as u64
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self { objects: Made::passing(OBJECTS), blobs: Made::new(BLOBS) }
    }
}

impl Recent {
    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.objects.forget(tenant);
        self.blobs.forget(tenant);
    }
}

/// What is remembered for a commit that is made on `view`.
pub(crate) struct Remembered<'a> {
    pub(crate) recent: &'a Recent,
    pub(crate) store: &'a Store,
}

impl Remembered<'_> {
    pub(super) fn object(&self, tenant: TenantUid, oid: &Oid) -> Option<(GitKind, Arc<[u8]>)> {
        let whole = self.recent.objects.kept(tenant, *oid)?;
        Some((whole.kind, whole.bytes))
    }

    pub(super) fn keep_object(
        &self,
        view: &View,
        (tenant, oid): (TenantUid, Oid),
        (kind, bytes): (GitKind, &[u8]),
    ) {
        if bytes.len() > LARGEST {
            return;
        }
        let whole = Whole { kind, bytes: bytes.into() };
        self.recent.objects.keep_while(tenant, oid, whole, || self.stands(view));
    }

    pub(super) fn blob(&self, tenant: TenantUid, content: &Digest) -> Option<Oid> {
        self.recent.blobs.kept(tenant, *content).map(|named| named.0)
    }

    pub(super) fn keep_blob(&self, view: &View, (tenant, content): (TenantUid, Digest), oid: Oid) {
        self.recent.blobs.keep_while(tenant, content, Named(oid), || self.stands(view));
    }

    /// Whether the tenant is there that `view` shows: it may have been erased, and forgotten, just now.
    fn stands(&self, view: &View) -> bool {
        self.store.era() == view.taken_in()
    }
}

#[cfg(test)]
mod tests {
    use colophon_store::Change;
    use colophon_store::rows::BundleTree;

    use super::*;

    const TENANT: TenantUid = TenantUid::from_bytes([1; 16]);
    const OTHER: TenantUid = TenantUid::from_bytes([2; 16]);
    const OID: Oid = Oid::from_bytes([3; 20]);

    fn keep(remembered: &Remembered<'_>, view: &View, tenant: TenantUid) {
        remembered.keep_object(view, (tenant, OID), (GitKind::Tree, b"x"));
        remembered.keep_blob(view, (tenant, Digest::of(b"x")), OID);
    }

    fn knows(remembered: &Remembered<'_>, tenant: TenantUid) -> [bool; 2] {
        let blob = remembered.blob(tenant, &Digest::of(b"x"));
        [remembered.object(tenant, &OID).is_some(), blob.is_some()]
    }

    /// Nothing of a tenant stays that is erased, and nothing of one is another's.
    #[test]
    fn a_tenant_that_is_erased_is_forgotten() {
        let (store, recent) = (Store::in_memory().unwrap(), Recent::default());
        let remembered = Remembered { recent: &recent, store: &store };
        let view = store.view().unwrap();
        keep(&remembered, &view, TENANT);
        assert_eq!(knows(&remembered, TENANT), [true; 2]);
        assert_eq!(knows(&remembered, OTHER), [false; 2]);
        keep(&remembered, &view, OTHER);
        recent.forget(TENANT);
        assert_eq!(knows(&remembered, TENANT), [false; 2]);
        assert_eq!(knows(&remembered, OTHER), [true; 2]);
    }

    /// A build that was under way when its tenant was erased must not leave something of it behind.
    #[test]
    fn what_a_view_from_before_shows_is_not_kept() {
        let (store, recent) = (Store::in_memory().unwrap(), Recent::default());
        let remembered = Remembered { recent: &recent, store: &store };
        let old = store.view().unwrap();
        let mut change = Change::new();
        change.delete::<BundleTree>(&(TENANT, Digest::of(b"x")));
        store.commit(change).unwrap();
        recent.forget(TENANT);
        keep(&remembered, &old, TENANT);
        assert_eq!(knows(&remembered, TENANT), [false; 2]);
        keep(&remembered, &store.view().unwrap(), TENANT);
        assert_eq!(knows(&remembered, TENANT), [true; 2]);
    }

    #[test]
    fn an_object_that_takes_much_of_the_room_is_not_kept() {
        let (store, recent) = (Store::in_memory().unwrap(), Recent::default());
        let remembered = Remembered { recent: &recent, store: &store };
        let view = store.view().unwrap();
        let keep = |length: usize| {
            remembered.keep_object(&view, (TENANT, OID), (GitKind::Blob, &vec![0; length]));
            remembered.object(TENANT, &OID).is_some()
        };
        assert!(!keep(LARGEST + 1));
        assert!(keep(LARGEST));
    }
}
