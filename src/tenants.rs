//! Creating and finding tenants, what they may be used for, and what is told of them.

mod buckets;
pub mod overview;
mod standing;

use crate::audit::By;
use colophon_model::audit::{Act, Action, Chain, Subject};
use colophon_store::audit;
use std::collections::BTreeMap;

use colophon_model::{
    CodePolicy, FileSet, TenantBranch, TenantManifest, TenantSlug, TenantUid, UnixMillis,
};
use colophon_store::rows::{
    EdgeRepo, FirstCommit, Planted, PoolRoot, RefRow, RootsOrigin, SlugOf, TenantHead, TenantRow,
};
use colophon_store::{Change, CommitError, PreparedBlob, Store, Table, View};

use crate::config::{Config, Tokens};
use crate::feed::{FeedError, pool, repo};
use crate::keys::random_bytes;
use crate::pipeline::{ATTEMPTS, FilesError, Press, puts, with_manifest};
use crate::projection::{TenantLog, commits, record_objects};
use crate::tokens::{self, NewToken, TokenKind};

pub use buckets::Buckets;
pub use standing::{Standing, Step, step};

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
    /// Root keys may not be made on the server, and no ceremony left any.
    #[error("there is no root left from a ceremony, and `edge.offline_roots` allows no other")]
    PoolEmpty,
    /// Other tenants took each root of the pool that was chosen.
    #[error("too many tenants are made at a time; try again")]
    RootTaken,
    /// The tenant changed each time that it was to be changed.
    #[error("the tenant changed too often meanwhile; try again")]
    Contended,
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
    /// Its first tokens.
    pub tokens: Vec<NewToken>,
}

/// Generation of webhook secrets in use.
pub const WEBHOOK_GENERATION: u32 = 1;

/// Creates a tenant without tokens, see [`create_with`].
pub fn create(
    press: &Press,
    slug: &TenantSlug,
    policy: CodePolicy,
) -> Result<NewTenant, TenantError> {
    create_with(press, slug, policy, (&[], &Tokens::default()))
}

/// Creates a tenant: its row, the first commit on its branch, its TUF repository, and a token of each
/// of these kinds, all at once.
pub fn create_with(
    press: &Press,
    slug: &TenantSlug,
    policy: CodePolicy,
    tokens: (&[TokenKind], &Tokens),
) -> Result<NewTenant, TenantError> {
    for _ in 0..ATTEMPTS {
        check_free(&press.store, slug)?;
        match try_create(press, slug, policy, tokens) {
            Err(TenantError::RootTaken) => {} // another tenant was quicker: take the next root
            made => return made,
        }
    }
    Err(TenantError::RootTaken)
}

fn try_create(
    press: &Press,
    slug: &TenantSlug,
    policy: CodePolicy,
    (kinds, rules): (&[TokenKind], &Tokens),
) -> Result<NewTenant, TenantError> {
    let now = press.clock.now();
    let mut change = Change::new();
    let drawn = pool::draw(&press.store.view()?, now)?;
    let (uid, roots) = match &drawn {
        Some((uid, _)) => (*uid, RootsOrigin::Offline),
        None if press.offline_roots => return Err(TenantError::PoolEmpty),
        None => (TenantUid::from_bytes(random_bytes()?), RootsOrigin::Server),
    };
    let tenant = TenantRow {
        uid,
        slug: slug.clone(),
        created: now,
        policy,
        roots,
        suspended: None,
        archived: None,
        held: None,
    };
    change.expect::<TenantRow>(slug, None).put::<TenantRow>(slug, &tenant);
    change.put::<SlugOf>(&uid, &SlugOf { slug: slug.clone() });
    let root = drawn.and_then(|(uid, row)| take(&mut change, uid, &row));
    let (root, edge) = repo::plant(&mut change, &press.keys, &tenant, root)?;
    let head = first_commit(press, &mut change, &tenant, edge)?;
    change.expect::<TenantHead>(&uid, None).put::<TenantHead>(&uid, &head);
    let first = |kind: &TokenKind| {
        let (made, row) = tokens::first(rules, uid, *kind, now)?;
        tokens::put_new(&mut change, &made.token, &row);
        Ok(made)
    };
    let tokens = kinds.iter().map(first).collect::<Result<_, TenantError>>()?;
    let by = By::here();
    let act = |id: &str| by.did(Action::TenantCreate, Subject::new("tenant", id));
    let own = [act(slug.as_str())];
    audit::append(&mut change, &press.store.view()?, Chain::Tenant(uid), &own, now)?;
    commit(&press.store, &change, slug, (&[act(&Chain::pseudonym(uid))], now))?;
    let webhook_secret = press.keys.webhook_secret(uid, WEBHOOK_GENERATION);
    Ok(NewTenant { tenant, webhook_secret, root, tokens })
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
fn commit(
    store: &Store,
    change: &Change,
    slug: &TenantSlug,
    (acts, now): (&[Act], UnixMillis),
) -> Result<(), TenantError> {
    audit::commit(store, Chain::System, change, acts, now).map_err(|error| match error {
        CommitError::Conflict(at) if at.table == Table::PoolRoot => TenantError::RootTaken,
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

/// Takes a root out of the pool; its row stays, so that the uid is never given again.
fn take(change: &mut Change, uid: TenantUid, row: &PoolRoot) -> Option<(Vec<u8>, UnixMillis)> {
    let root = row.root.as_ref()?.clone().into_bytes();
    let taken = PoolRoot { root: None, ..row.clone() };
    change.expect::<PoolRoot>(&uid, Some(row)).put::<PoolRoot>(&uid, &taken);
    Some((root, row.expires))
}

fn first_commit(
    press: &Press,
    change: &mut Change,
    tenant: &TenantRow,
    edge: EdgeRepo,
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
        tuf_version: edge.snapshot.version.get(),
        edge: Some(edge),
        ..TenantHead::default()
    })
}

/// The files every tenant's branch begins with, and an empty manifest.
fn planted(press: &Press, slug: &TenantSlug) -> Result<FileSet, TenantError> {
    let manifest = TenantManifest::new(slug.clone(), BTreeMap::new());
    let files = press.compiler.bootstrap(slug);
    Ok(with_manifest(files, &manifest)?)
}

/// All that an operator is told of a tenant.
pub fn show(
    press: &Press,
    slug: &TenantSlug,
    config: &Config,
) -> Result<overview::TenantDetails, TenantError> {
    let view = press.store.view()?;
    let tenant = find(&view, slug)?;
    Ok(overview::details(&view, &tenant, config, press.quota, press.clock.now())?)
}

/// Finds a tenant by name.
pub fn find(view: &View, slug: &TenantSlug) -> Result<TenantRow, TenantError> {
    view.get::<TenantRow>(slug)?.ok_or_else(|| TenantError::Unknown(slug.clone()))
}
