//! Creating tenants and tokens.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_gitbridge::{Ident, Message, NewCommit};
use colophon_model::{
    FileSet, Sha256, TenantBranch, TenantManifest, TenantSlug, TenantUid, UnixMillis,
};
use colophon_store::rows::{RefRow, RootsOrigin, SlugOf, TenantHead, TenantRow, TokenRow};
use colophon_store::{Change, CommitError, PreparedBlob, Store, View};
use colophon_trust::TenantKeys;

use crate::feed::{self, FeedError};
use crate::keys::random_bytes;
use crate::pipeline::{FilesError, Press, puts, with_manifest};
use crate::projection::{TenantLog, record_objects};
use crate::tokens::{Scope, Token, TokenKind};

/// Who commits: the same for every commit, so that a commit depends on its build alone.
pub fn committer() -> Result<Ident, colophon_gitbridge::Error> {
    Ident::new("colophon", "builds@colophon.invalid")
}

/// Why a tenant or token could not be made or found.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// The slug is taken, or was once.
    #[error("tenant `{0}` exists already")]
    Exists(TenantSlug),
    /// There is no such tenant.
    #[error("there is no tenant `{0}`")]
    Unknown(TenantSlug),
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
    /// No random bytes.
    #[error("no random bytes")]
    Random(#[source] Box<dyn std::error::Error + Send + Sync>),
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

/// A new token in clear, and the moment it ends.
#[derive(Debug)]
pub struct NewToken {
    /// The token. It cannot be shown again.
    pub token: Token,
    /// When it ends.
    pub expires: UnixMillis,
}

/// Generation of webhook secrets in use.
pub const WEBHOOK_GENERATION: u32 = 1;

/// Creates a tenant: its row, the first commit on its branch, its TUF repository, all at once.
pub fn create(
    press: &Press,
    slug: &TenantSlug,
    allow_custom_components: bool,
) -> Result<NewTenant, TenantError> {
    let uid = TenantUid::from_bytes(random_bytes().map_err(|e| TenantError::Random(e.into()))?);
    let now = press.clock.now();
    let tenant = TenantRow {
        uid,
        slug: slug.clone(),
        created: now,
        allow_custom_components,
        roots: RootsOrigin::Server,
    };
    let mut change = Change::new();
    change.expect::<TenantRow>(slug, None).put::<TenantRow>(slug, &tenant);
    change.put::<SlugOf>(&uid, &SlugOf { slug: slug.clone() });
    let root = publish_first(press, &mut change, &tenant, now)?;
    let head = first_commit(press, &mut change, &tenant, now)?;
    change.expect::<TenantHead>(&uid, None).put::<TenantHead>(&uid, &head);
    commit(&press.store, change, slug)?;
    let webhook_secret = press.keys.webhook_secret(uid, WEBHOOK_GENERATION);
    Ok(NewTenant { tenant, webhook_secret, root })
}

/// Writes what must not exist yet.
fn commit(store: &Store, change: Change, slug: &TenantSlug) -> Result<(), TenantError> {
    store.commit(change).map_err(|error| match error {
        CommitError::Conflict(_) => TenantError::Exists(slug.clone()),
        stopped @ CommitError::Stopped(_) => TenantError::Stopped(stopped),
    })
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
    now: UnixMillis,
) -> Result<TenantHead, TenantError> {
    let (uid, slug) = (tenant.uid, &tenant.slug);
    let files = planted(press, slug)?;
    let changes = puts(&files);
    let message = Message::new(format!("chore(tenant): bootstrap {slug}"), Vec::new())?;
    let view = press.store.view()?;
    let author = committer()?;
    let commit = NewCommit {
        parent: None,
        changes: &changes,
        message: &message,
        author: &author,
        time: now,
        tags: &[],
    };
    let appended = colophon_gitbridge::append(&TenantLog::new(&view, uid), &commit)?;
    record_objects(change, uid, &appended);
    let branch = TenantBranch::new(slug.clone()).full_name();
    let tip = RefRow { oid: appended.commit, peeled: None };
    change.put::<RefRow>(&(uid, branch), &tip);
    for (_, file) in files.iter() {
        change.blob(uid, PreparedBlob::new(file.bytes())?);
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
    let manifest = TenantManifest { schema: 1, tenant: slug.clone(), flows: BTreeMap::new() };
    let files = press.compiler.bootstrap(slug);
    Ok(with_manifest(files, &manifest)?)
}

/// Finds a tenant by name.
pub fn find(view: &View, slug: &TenantSlug) -> Result<TenantRow, TenantError> {
    view.get::<TenantRow>(slug)?.ok_or_else(|| TenantError::Unknown(slug.clone()))
}

/// Creates a token of `kind` for a tenant, valid for `days` days.
pub fn create_token(
    store: &Store,
    slug: &TenantSlug,
    kind: TokenKind,
    label: &str,
    days: u32,
    now: UnixMillis,
) -> Result<NewToken, TenantError> {
    let tenant = find(&store.view()?, slug)?;
    let random = random_bytes().map_err(|e| TenantError::Random(e.into()))?;
    let token = Token::from_random(kind, &random);
    let expires = now.plus(u64::from(days) * 24 * 60 * 60 * 1000);
    let row = TokenRow {
        id: token.digest().to_string()[..12].to_owned(),
        tenant: Some(tenant.uid),
        scopes: kind.scopes().iter().map(|s| s.word().to_owned()).collect(),
        label: label.to_owned(),
        created: now,
        expires: Some(expires),
    };
    let mut change = Change::new();
    change.expect::<TokenRow>(&token.digest(), None).put::<TokenRow>(&token.digest(), &row);
    commit(store, change, slug)?;
    Ok(NewToken { token, expires })
}

/// The tenant that a token may act for, if the token is known, in time and has the scope.
pub fn authorise(
    view: &View,
    token: Sha256,
    scope: Scope,
    now: UnixMillis,
) -> Result<Option<TenantUid>, colophon_store::Error> {
    let Some(row) = view.get::<TokenRow>(&token)? else { return Ok(None) };
    let in_time = row.expires.is_none_or(|end| now < end);
    let allowed = row.scopes.iter().any(|s| s == scope.word());
    Ok(row.tenant.filter(|_| in_time && allowed))
}
