//! What requests ask for again and again: who a token is of, which bundles a tenant has, blobs. All of
//! it stands in the store; as long as nothing is taken away there, it is answered from here, without a
//! thread that may block.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use colophon_model::{BuildRecord, Digest, Sha256, TenantSlug, TenantUid};
use colophon_store::rows::{BundleTree, TenantRow};
use colophon_store::{Error, Store, View};

use crate::config;
use crate::intake::{Key, Tag};
use crate::made::{Made, Weigh};
use crate::standing::Standing;
use crate::tokens::Grant;

/// Most bytes of what tokens grant: that of some thousand.
const GRANTS: u64 = 4 * 1024 * 1024;
/// Most bytes of which bundles tenants have: some thousand bundles.
const TREES: u64 = 2 * 1024 * 1024;
/// Most bytes of who deliveries are from: some thousand tenants.
const SENDERS: u64 = 4 * 1024 * 1024;
/// Most bytes of builds that deliveries have found to be current: some thousand of them.
const CURRENT: u64 = 32 * 1024 * 1024;
/// Most bytes of which bodies tags are over: some ten thousand.
const SIGNED: u64 = 4 * 1024 * 1024;
/// Most bytes of which requests for packs are answered quickly: some thousand.
const BRIEF: u64 = 1024 * 1024;
/// What a file of a build takes, about, with its path and digests.
const FILE: u64 = 256;
/// A blob is kept when it takes at most this part of the room: a large one would drive out many that are
/// asked for more often, and reading it is a small part of sending it.
const PART: u64 = 16;

/// What is remembered of all tenants. Everything that is answered from here was found in a view of the
/// store, of which nothing has been taken away since.
#[derive(Debug)]
pub struct Recall {
    grants: Standing<Sha256, Arc<Grant>>,
    trees: Standing<(TenantUid, Digest), ()>,
    blobs: Standing<(TenantUid, Digest), Blob>,
    senders: Standing<TenantSlug, Arc<KnownSender>>,
    nobody: OnceLock<Key>,
    current: Standing<(TenantUid, Digest), Arc<Current>>,
    signed: Made<Tag, Digest>,
    brief: Made<Digest, ()>,
    largest: u64,
}

/// Who deliveries of a tenant are from.
#[derive(Debug)]
pub struct KnownSender {
    /// The tenant.
    pub tenant: TenantRow,
    /// Its newest secret, which is good until somebody changes that.
    pub key: Key,
    /// Whether deliveries that nothing orders may repeat content that was replaced.
    pub repeats: bool,
}

impl Weigh for KnownSender {
    fn weight(&self) -> u64 {
        size_of::<Self>() as u64 + 256
    }
}

/// A build that was its flow's current one in a turn of that.
#[derive(Debug)]
struct Current {
    turn: u64,
    record: Arc<BuildRecord>,
}

impl Weigh for Current {
    fn weight(&self) -> u64 {
        let files: usize = self.record.outputs.iter().map(|output| output.files.len()).sum();
        size_of::<Self>() as u64 + 1024 + files as u64 * FILE
    }
}

/// The bytes of a blob as they are sent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blob {
    /// All bytes. They are those of the digest: the store hashed them before it gave them out, and nobody
    /// can write to them.
    pub bytes: Bytes,
    /// Their checksum.
    pub sha256: Sha256,
}

impl Weigh for Blob {
    fn weight(&self) -> u64 {
        self.bytes.weight()
    }
}

impl Weigh for Grant {
    fn weight(&self) -> u64 {
        size_of::<Self>() as u64 + 128
    }
}

impl Recall {
    /// As configured.
    pub fn new(config: &config::Edge) -> Self {
        let room = config.blob_cache.get();
        Self {
            grants: Standing::new(GRANTS),
            trees: Standing::new(TREES),
            blobs: Standing::new(room),
            senders: Standing::new(SENDERS),
            nobody: OnceLock::new(),
            current: Standing::new(CURRENT),
            signed: Made::new(SIGNED),
            brief: Made::new(BRIEF),
            largest: room / PART,
        }
    }

    /// What a token grants, if that is remembered.
    pub fn known_grant(&self, store: &Store, token: &Sha256) -> Option<Arc<Grant>> {
        self.grants.get(store, token)
    }

    /// What a token grants. Whether it has ended is for the caller to ask.
    pub fn grant(
        &self,
        store: &Store,
        view: &View,
        token: Sha256,
    ) -> Result<Option<Arc<Grant>>, Error> {
        if let Some(grant) = self.known_grant(store, &token) {
            return Ok(Some(grant));
        }
        let Some(grant) = Grant::read(view, token)?.map(Arc::new) else { return Ok(None) };
        self.grants.keep((store, view), grant.uid(), &token, grant.clone());
        Ok(Some(grant))
    }

    /// Whether it is remembered that the tenant has a bundle with this tree.
    pub fn knows_tree(&self, store: &Store, tenant: TenantUid, tree: Digest) -> bool {
        self.trees.get(store, &(tenant, tree)).is_some()
    }

    /// Whether the tenant has a bundle with this tree.
    pub fn has_tree(
        &self,
        store: &Store,
        view: &View,
        tenant: TenantUid,
        tree: Digest,
    ) -> Result<bool, Error> {
        if self.knows_tree(store, tenant, tree) {
            return Ok(true);
        }
        let has = view.get::<BundleTree>(&(tenant, tree))?.is_some();
        if has {
            self.trees.keep((store, view), tenant, &(tenant, tree), ());
        }
        Ok(has)
    }

    /// A blob of the tenant, if it is remembered.
    pub fn known_blob(&self, store: &Store, tenant: TenantUid, digest: Digest) -> Option<Blob> {
        self.blobs.get(store, &(tenant, digest))
    }

    /// A blob of the tenant. One that only others have is answered like one that does not exist.
    ///
    /// # Errors
    /// Those of [`View::read_blob`].
    pub fn blob(
        &self,
        store: &Store,
        view: &View,
        tenant: TenantUid,
        digest: Digest,
    ) -> Result<Option<Blob>, Error> {
        if let Some(blob) = self.known_blob(store, tenant, digest) {
            return Ok(Some(blob));
        }
        let Some(bytes) = view.read_blob(tenant, &digest)? else { return Ok(None) };
        let blob = Blob { sha256: Sha256::of(&bytes), bytes: bytes.into() };
        if blob.weight() <= self.largest {
            self.blobs.keep((store, view), tenant, &(tenant, digest), blob.clone());
        }
        Ok(Some(blob))
    }

    /// Who deliveries that name this tenant are from, if that is remembered.
    pub fn known_sender(&self, store: &Store, slug: &TenantSlug) -> Option<Arc<KnownSender>> {
        self.senders.get(store, slug)
    }

    /// A key that is nobody's, which is tried when nobody is remembered, so that it takes as long.
    pub fn nobody(&self, make: impl FnOnce() -> Key) -> &Key {
        self.nobody.get_or_init(make)
    }

    /// Remembers who deliveries of a tenant are from, as `view` shows it.
    pub fn keep_sender(&self, store: &Store, view: &View, sender: KnownSender) {
        let (uid, slug) = (sender.tenant.uid, sender.tenant.slug.clone());
        self.senders.keep((store, view), uid, &slug, Arc::new(sender));
    }

    /// The build that a body of the tenant leads to, when it is remembered that its flow's current one has
    /// that key, and that flow has not been built since.
    pub fn current(
        &self,
        store: &Store,
        tenant: TenantUid,
        body: Digest,
    ) -> Option<Arc<BuildRecord>> {
        let known = self.current.get(store, &(tenant, body))?;
        let flow = (tenant, known.record.flow.clone());
        (known.turn == store.turn(&flow)).then(|| known.record.clone())
    }

    /// Remembers that `view`, taken in its flow's turn `turn` or later, shows `record` as the build that is
    /// current and that `body` leads to.
    pub fn keep_current(
        &self,
        (store, view): (&Store, &View),
        (tenant, turn): (TenantUid, u64),
        body: Digest,
        record: &Arc<BuildRecord>,
    ) {
        let current = Arc::new(Current { turn, record: record.clone() });
        self.current.keep((store, view), tenant, &(tenant, body), current);
    }

    /// The digest of the body that a tag of the tenant is over, if that is remembered. The tag must be the one that
    /// the body at hand has.
    pub fn signed(&self, tenant: TenantUid, tag: Tag) -> Option<Digest> {
        self.signed.kept(tenant, tag)
    }

    /// Remembers that `tag` is over the body with this digest, in the era `era`. It stays true in others, but a
    /// tenant that was erased must leave nothing here.
    pub fn keep_signed(
        &self,
        (store, era): (&Store, u64),
        tenant: TenantUid,
        tag: Tag,
        body: Digest,
    ) {
        self.signed.keep_while(tenant, tag, body, || store.era() == era);
    }

    /// Whether this request for a pack, named by its digest, took little work when it was made last.
    pub fn is_brief(&self, tenant: TenantUid, request: Digest) -> bool {
        self.brief.kept(tenant, request).is_some()
    }

    /// Remembers of a request whether it took little work, in the era `era`: a tenant that was erased must leave
    /// nothing here.
    pub fn keep_brief(
        &self,
        (store, era): (&Store, u64),
        (tenant, request): (TenantUid, Digest),
        is_brief: bool,
    ) {
        if is_brief {
            self.brief.keep_while(tenant, request, (), || store.era() == era);
        } else {
            self.brief.lose(tenant, request);
        }
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.signed.forget(tenant);
        self.brief.forget(tenant);
        self.grants.forget(tenant);
        self.trees.forget(tenant);
        self.blobs.forget(tenant);
        self.senders.forget(tenant);
        self.current.forget(tenant);
    }
}

#[cfg(test)]
mod tests {
    use colophon_store::{Change, PreparedBlob};

    use super::*;
    use crate::units::Size;

    const TENANT: TenantUid = TenantUid::from_bytes([1; 16]);

    fn put(store: &Store, bytes: &[u8]) -> Digest {
        let mut change = Change::new();
        change.blob(TENANT, PreparedBlob::new(bytes).unwrap());
        store.commit(change).unwrap();
        Digest::of(bytes)
    }

    fn small() -> Recall {
        Recall::new(&config::Edge { blob_cache: Size::mib(1), ..config::Edge::default() })
    }

    fn knows(recall: &Recall, store: &Store, digest: Digest) -> bool {
        recall.known_blob(store, TENANT, digest).is_some()
    }

    /// A large blob would drive out what is asked for all the time, and many must not take more than there
    /// is room for.
    #[test]
    fn large_blobs_are_not_kept_and_many_do_not_take_more_than_the_room() {
        let (store, recall) = (Store::in_memory().unwrap(), small());
        let read = |digest| {
            let view = store.view().unwrap();
            recall.blob(&store, &view, TENANT, digest).unwrap().unwrap().bytes
        };
        let often = put(&store, b"often");
        read(often);
        for n in 0..40 {
            let large = put(&store, &vec![n; 100_000]);
            assert_eq!(read(large).len(), 100_000);
            assert!(!knows(&recall, &store, large));
        }
        assert!(knows(&recall, &store, often));
        let many: Vec<Digest> = (0..100).map(|n| put(&store, &vec![n; 50_000])).collect();
        for digest in &many {
            read(*digest);
        }
        let kept = many.iter().filter(|digest| knows(&recall, &store, **digest)).count();
        assert!((1..=20).contains(&kept), "{kept} of 50 kB in 1 MiB");
    }

    /// A slow reader must not bring back what was taken away while it read.
    #[test]
    fn what_an_old_view_shows_is_not_kept() {
        let (store, recall) = (Store::in_memory().unwrap(), small());
        let digest = put(&store, b"x");
        let old = store.view().unwrap();
        let mut change = Change::new();
        change.delete::<BundleTree>(&(TENANT, digest));
        store.commit(change).unwrap();
        assert!(recall.blob(&store, &old, TENANT, digest).unwrap().is_some());
        assert_eq!(recall.blobs.len(), 0);
        assert!(recall.blob(&store, &store.view().unwrap(), TENANT, digest).unwrap().is_some());
        assert_eq!(recall.blobs.len(), 1);
        recall.forget(TENANT);
        assert_eq!(recall.blobs.len(), 0);
    }

    /// Lists of refs and long packs are asked for all the time, and must not drive out what is known of brief ones.
    #[test]
    fn requests_that_are_not_brief_drive_out_none_that_are() {
        let (store, recall) = (Store::in_memory().unwrap(), small());
        let request = |n: u32| Digest::of(&n.to_le_bytes());
        let ask = |n, is_brief| {
            recall.keep_brief((&store, store.era()), (TENANT, request(n)), is_brief);
        };
        let room = (BRIEF / crate::made::OVERHEAD) as u32;
        (0..2 * room).for_each(|n| ask(n, true));
        let kept = || (0..2 * room).filter(|n| recall.is_brief(TENANT, request(*n))).count();
        let before = kept();
        assert!(before > 0);
        (2 * room..4 * room).for_each(|n| ask(n, false));
        assert_eq!(kept(), before);
    }
}
