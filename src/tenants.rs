//! Creating and finding tenants.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_model::{
    CodePolicy, FileSet, TenantBranch, TenantManifest, TenantSlug, TenantUid, UnixMillis,
};
use colophon_store::rows::{
    FirstCommit, Planted, RefRow, RootsOrigin, SlugOf, TenantHead, TenantRow,
};
use colophon_store::{Change, CommitError, PreparedBlob, Store, View};
use colophon_trust::TenantKeys;

use crate::feed::{self, FeedError};
use crate::keys::random_bytes;
use crate::pipeline::{FilesError, Press, puts, with_manifest};
use crate::projection::{TenantLog, commits, record_objects};

/// Why a tenant, or a token of one, could not be made or found.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// The slug is taken.
    #[error("tenant `{0}` exists already")]
    Exists(TenantSlug),
    /// The slug was that of a tenant that has been erased.
    #[error("`{0}` was the name of a tenant that has been erased, and is not given again")]
    Retired(TenantSlug),
    /// There is no such tenant.
    #[error("there is no tenant `{0}`")]
    Unknown(TenantSlug),
    /// There is too little space on the disk.
    #[error(transparent)]
    Full(CommitError),
    /// The store has stopped.
    #[error("the store has stopped")]
    Stopped(#[source] CommitError),
    /// Reading the store failed.
    #[error("the store could not be read")]
    Store(#[from] colophon_store::Error),
    /// The first commit could not be made.
    #[error("the first commit could not be made")]
    Git(#[from] colophon_gitbridge::Error),
    /// The TUF metadata could not be made.
    #[error("the edge metadata could not be made")]
    Feed(#[from] FeedError),
    /// The files of the first commit could not be made.
    #[error("the first files could not be made")]
    Files(#[from] FilesError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// A new token is known already.
    #[error("a token was drawn twice: the source of random bytes is broken")]
    TokenTaken,
}

/// A tenant as it is told to whoever created it.
#[derive(Debug)]
pub struct NewTenant {
    /// The tenant.
    pub tenant: TenantRow,
    /// The secret of its webhooks.
    pub webhook_secret: String,
    /// The first version of its root metadata, which agents pin.
    pub root: Vec<u8>,
}

/// Generation of webhook secrets in use.
pub const WEBHOOK_GENERATION: u32 = 1;

/// Creates a tenant: its row, the first commit on its branch, its TUF repository, all at once.
pub fn create(
    press: &Press,
    slug: &TenantSlug,
    policy: CodePolicy,
) -> Result<NewTenant, TenantError> {
    check_free(&press.store, slug)?;
    let uid = TenantUid::from_bytes(random_bytes()?);
    let now = press.clock.now();
    let tenant =
        TenantRow { uid, slug: slug.clone(), created: now, policy, roots: RootsOrigin::Server };
    let mut change = Change::new();
    change.expect::<TenantRow>(slug, None).put::<TenantRow>(slug, &tenant);
    change.put::<SlugOf>(&uid, &SlugOf { slug: slug.clone() });
    let root = publish_first(press, &mut change, &tenant, now)?;
    let head = first_commit(press, &mut change, &tenant)?;
    change.expect::<TenantHead>(&uid, None).put::<TenantHead>(&uid, &head);
    commit(&press.store, change, slug)?;
    let webhook_secret = press.keys.webhook_secret(uid, WEBHOOK_GENERATION);
    Ok(NewTenant { tenant, webhook_secret, root })
}

/// Whether a tenant may have this name. The tenant is looked for first: it becomes a retired name
/// in one transaction, so that it is seen as the one or the other.
fn check_free(store: &Store, slug: &TenantSlug) -> Result<(), TenantError> {
    if store.view()?.get::<TenantRow>(slug)?.is_some() {
        return Err(TenantError::Exists(slug.clone()));
    }
    if store.is_retired(slug)? { Err(TenantError::Retired(slug.clone())) } else { Ok(()) }
}

/// Writes what must not exist yet.
fn commit(store: &Store, change: Change, slug: &TenantSlug) -> Result<(), TenantError> {
    store.commit(change).map_err(|error| match error {
        CommitError::Conflict(_) => TenantError::Exists(slug.clone()),
        other => other.into(),
    })
}

impl From<CommitError> for TenantError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full { .. } => Self::Full(error),
            other => Self::Stopped(other),
        }
    }
}

fn publish_first(
    press: &Press,
    change: &mut Change,
    tenant: &TenantRow,
    now: UnixMillis,
) -> Result<Vec<u8>, TenantError> {
    let keys = TenantKeys::derive(&press.keys.trust_seed(), tenant.uid);
    let root = colophon_trust::initial_root(&keys, &tenant.slug, now);
    feed::put_file(change, tenant.uid, "1.root.json", &root)?;
    feed::publish(change, &keys, tenant.uid, NonZeroU64::MIN, &BTreeMap::new(), now)?;
    Ok(root)
}

fn first_commit(
    press: &Press,
    change: &mut Change,
    tenant: &TenantRow,
) -> Result<TenantHead, TenantError> {
    let (uid, slug) = (tenant.uid, &tenant.slug);
    let files = planted(press, slug)?;
    let changes = puts(&files);
    let view = press.store.view()?;
    let log = TenantLog::new(&view, uid);
    let appended = commits::first(&log, slug, tenant.created, &changes, Some(&press.signer))?;
    record_objects(change, uid, &appended);
    let signature = appended.signatures.as_ref().map(|signed| signed.commit.clone());
    change.put(&uid, &FirstCommit { commit: appended.commit, signature });
    let branch = TenantBranch::new(slug.clone()).full_name();
    let tip = RefRow { oid: appended.commit, peeled: None };
    change.put::<RefRow>(&(uid, branch), &tip);
    for (path, file) in files.iter() {
        let blob = PreparedBlob::of_artifact(file)?;
        change.put(&(uid, path.to_string()), &Planted { digest: blob.digest() }).blob(uid, blob);
    }
    Ok(TenantHead {
        tip: Some(appended.commit),
        next_ordinal: appended.entries.len() as u32,
        tuf_version: 1,
        ..TenantHead::default()
    })
}

/// The files every tenant's branch begins with, and an empty manifest.
fn planted(press: &Press, slug: &TenantSlug) -> Result<FileSet, TenantError> {
    let manifest = TenantManifest::new(slug.clone(), BTreeMap::new());
    let files = press.compiler.bootstrap(slug);
    Ok(with_manifest(files, &manifest)?)
}

/// Finds a tenant by name.
pub fn find(view: &View, slug: &TenantSlug) -> Result<TenantRow, TenantError> {
    view.get::<TenantRow>(slug)?.ok_or_else(|| TenantError::Unknown(slug.clone()))
}
