//! Roots from ceremonies: what one is asked for, and what becomes of its result.

use crate::audit;
use colophon_model::audit::{Action, Subject};
use colophon_model::{TenantSlug, TenantUid, UnixMillis};
use colophon_store::rows::{PoolRoot, RootsOrigin, SlugOf, TenantHead, TenantRow};
use colophon_store::{Change, CommitError, View};
use colophon_trust::{CeremonyError, Generations, OfflineRoot, OnlineKeys, Role, RootRequest};
use serde::{Deserialize, Serialize};

use super::repo::Repo;
use super::rotate;
use crate::keys::random_bytes;
use crate::pipeline::{BuildError, Press};
use crate::tenants;

/// Most roots of one ceremony.
pub const MAX_ROOTS: u32 = 10_000;

/// What a ceremony is asked for: the file `request.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyRequest {
    /// `colophon root request 1`.
    pub format: RequestFormat,
    /// The roots to sign.
    pub roots: Vec<RootRequest>,
}

/// What a ceremony made: the file `roots.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyRoots {
    /// `colophon roots 1`.
    pub format: RootsFormat,
    /// The roots, each the exact text of a `root.json`.
    pub roots: Vec<String>,
}

/// The one format of a request.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum RequestFormat {
    /// The first.
    #[serde(rename = "colophon root request 1")]
    One,
}

/// The one format of a ceremony's result.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum RootsFormat {
    /// The first.
    #[serde(rename = "colophon roots 1")]
    One,
}

/// What became of the roots of a ceremony.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Roots that are in the pool now and were not.
    pub added: u64,
    /// Roots that tenants have now.
    pub renewed: u64,
    /// Roots that were known already.
    pub known: u64,
    /// Roots that wait for a tenant.
    pub pool: u64,
}

/// Why a ceremony cannot be asked, or its result not be taken.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No such number of roots.
    #[error("{0} roots: a ceremony makes 1 to {MAX_ROOTS}")]
    Count(u64),
    /// There is no such tenant.
    #[error("there is no tenant `{0}`")]
    Unknown(TenantSlug),
    /// The tenant's root keys are the server's, which renews its root by itself.
    #[error(
        "the root keys of tenant `{0}` were made on this server, which renews its root by itself"
    )]
    OnServer(TenantSlug),
    /// A root that is not good. None of the others was taken either.
    #[error("root {number} of the file is not taken; nothing was changed")]
    Refused {
        /// Its place in the file, from 1.
        number: usize,
        /// Why.
        source: CeremonyError,
    },
    /// The root has ended already.
    #[error("root {number} of the file ended at {expires}; nothing was changed")]
    Ended {
        /// Its place in the file, from 1.
        number: usize,
        /// When it ended.
        expires: UnixMillis,
    },
    /// A renewal of a tenant that is not here.
    #[error(
        "root {number} of the file renews a tenant {uid} that is not here; nothing was changed"
    )]
    Stranger {
        /// Its place in the file, from 1.
        number: usize,
        /// The tenant.
        uid: TenantUid,
    },
    /// The store or the repository failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[from] getrandom::Error),
}

impl From<colophon_store::Error> for PoolError {
    fn from(error: colophon_store::Error) -> Self {
        BuildError::from(error).into()
    }
}

impl Press {
    /// Asks for `count` roots of tenants that there will be. Nothing is stored: a root that comes back is
    /// known by its keys.
    pub fn request_roots(&self, count: u32) -> Result<CeremonyRequest, PoolError> {
        if count == 0 || count > MAX_ROOTS {
            return Err(PoolError::Count(count.into()));
        }
        let request = |_| {
            let uid = TenantUid::from_bytes(random_bytes()?);
            Ok(RootRequest {
                uid,
                online: self.public(uid, Generations::default()),
                previous: None,
            })
        };
        let roots = (0..count).map(request).collect::<Result<_, getrandom::Error>>()?;
        Ok(CeremonyRequest { format: RequestFormat::One, roots })
    }

    /// Asks for the next root of each of `slugs`, with a new key for each of `rotate`.
    pub fn request_renewals(
        &self,
        slugs: &[TenantSlug],
        rotate: &[Role],
    ) -> Result<CeremonyRequest, PoolError> {
        let view = self.store.view()?;
        let mut roots = Vec::with_capacity(slugs.len());
        for slug in slugs {
            let tenant =
                tenants::find(&view, slug).map_err(|_| PoolError::Unknown(slug.clone()))?;
            if tenant.roots == RootsOrigin::Server {
                return Err(PoolError::OnServer(slug.clone()));
            }
            let head = view.get::<TenantHead>(&tenant.uid)?.ok_or(BuildError::TenantGone)?;
            let repo = Repo::of(&self.keys, &tenant, &head, self.clock.now());
            let generations =
                rotate.iter().fold(repo.generations(), |g, role| rotate::next(g, *role));
            let previous = repo.root(&view).map_err(BuildError::from)?;
            let previous = Some(String::from_utf8_lossy(&previous).into_owned());
            let online = self.public(tenant.uid, generations);
            roots.push(RootRequest { uid: tenant.uid, online, previous });
        }
        Ok(CeremonyRequest { format: RequestFormat::One, roots })
    }

    /// Takes the roots of a ceremony: first ones into the pool, the others into use. All are checked
    /// before any is taken. Blocks until that is durable.
    pub fn import_roots(&self, roots: &CeremonyRoots) -> Result<Imported, PoolError> {
        let view = self.store.view()?;
        let mut checked = Vec::with_capacity(roots.roots.len());
        for (index, text) in roots.roots.iter().enumerate() {
            checked.push((index + 1, self.check_root(&view, index + 1, text.as_bytes())?));
        }
        let mut imported = Imported::default();
        for (number, root) in checked {
            let new = match root.version().get() {
                1 => self.add_to_pool(&root)?.then(|| imported.added += 1),
                _ => self.renew(number, &root)?.then(|| imported.renewed += 1),
            };
            imported.known += u64::from(new.is_none());
        }
        imported.pool = pool_size(&self.store.view()?, self.clock.now())?;
        Ok(imported)
    }

    /// Checks all that can be checked before anything is written.
    fn check_root(
        &self,
        view: &View,
        number: usize,
        bytes: &[u8],
    ) -> Result<OfflineRoot, PoolError> {
        let refused = |source| PoolError::Refused { number, source };
        let root = OfflineRoot::check(bytes).map_err(refused)?;
        let (uid, expires) = (root.uid(), root.expires());
        if expires <= self.clock.now() {
            return Err(PoolError::Ended { number, expires });
        }
        if root.version().get() == 1 {
            root.check_online(&self.public(uid, Generations::default())).map_err(refused)?;
            return Ok(root);
        }
        let (tenant, head) = tenant(view, uid)?.ok_or(PoolError::Stranger { number, uid })?;
        let repo = Repo::of(&self.keys, &tenant, &head, self.clock.now());
        if root.version() > repo.state.root.version {
            let previous = repo.root(view).map_err(BuildError::from)?;
            root.check_follows(&previous).map_err(refused)?;
        }
        self.generations_in(&root, repo.generations()).map_err(refused)?;
        Ok(root)
    }

    /// Whether the root is new to the pool.
    fn add_to_pool(&self, root: &OfflineRoot) -> Result<bool, PoolError> {
        let (uid, view) = (root.uid(), self.store.view()?);
        if view.get::<PoolRoot>(&uid)?.is_some() || view.get::<SlugOf>(&uid)?.is_some() {
            return Ok(false);
        }
        let text = String::from_utf8_lossy(root.bytes()).into_owned();
        let row =
            PoolRoot { imported: self.clock.now(), expires: root.expires(), root: Some(text) };
        let mut change = Change::new();
        change.expect::<PoolRoot>(&uid, None).put::<PoolRoot>(&uid, &row);
        match self.store.commit(change) {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(BuildError::from(error).into()),
        }
    }

    /// Puts a tenant's next root to use; with new keys, signs everything with them. Whether it was new.
    fn renew(&self, number: usize, root: &OfflineRoot) -> Result<bool, PoolError> {
        let uid = root.uid();
        let found = tenant(&self.store.view()?, uid)?;
        let (tenant, _) = found.ok_or(PoolError::Stranger { number, uid })?;
        self.in_lane(uid, |view, head| {
            let mut change = Change::new();
            let mut repo = Repo::of(&self.keys, &tenant, head, self.clock.now());
            if root.version() <= repo.state.root.version {
                return Ok((None, false));
            }
            let refused = |source| PoolError::Refused { number, source };
            let previous = repo.root(view).map_err(BuildError::from)?;
            root.check_follows(&previous).map_err(refused)?;
            let old = repo.generations();
            let new = self.generations_in(root, old).map_err(refused)?;
            repo.take_root(&mut change, root, new).map_err(BuildError::from)?;
            if new != old {
                let floor = new.targets != old.targets;
                rotate::sign_with_new_keys(&mut repo, view, &mut change, floor)?;
            }
            repo.put_head(&mut change, head);
            let what = (Action::RootsImport, Subject::new("tenant", &tenant.slug));
            audit::done(&mut change, view, uid, what, self.clock.now())
                .map_err(BuildError::from)?;
            Ok((Some(change), true))
        })
    }

    /// The generations whose keys the root grants the online roles: those in use, or for any role the
    /// one after.
    fn generations_in(
        &self,
        root: &OfflineRoot,
        current: Generations,
    ) -> Result<Generations, CeremonyError> {
        let roles = [Role::Targets, Role::Snapshot, Role::Timestamp];
        let mut result = Ok(current);
        for choice in 0..1 << roles.len() {
            let chosen = roles.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
            let generations = chosen.fold(current, |g, (_, role)| rotate::next(g, *role));
            match root.check_online(&self.public(root.uid(), generations)) {
                Ok(()) => return Ok(generations),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn public(&self, uid: TenantUid, generations: Generations) -> colophon_trust::OnlinePublic {
        OnlineKeys::derive(&self.keys.trust_seed(), uid, generations).public()
    }
}

fn tenant(
    view: &View,
    uid: TenantUid,
) -> Result<Option<(TenantRow, TenantHead)>, colophon_store::Error> {
    let Some(SlugOf { slug }) = view.get::<SlugOf>(&uid)? else { return Ok(None) };
    Ok(view.get::<TenantRow>(&slug)?.zip(view.get::<TenantHead>(&uid)?))
}

/// The root in the pool that lasts longest, for a tenant that is made at `now`.
pub fn draw(
    view: &View,
    now: UnixMillis,
) -> Result<Option<(TenantUid, PoolRoot)>, colophon_store::Error> {
    let mut best: Option<(TenantUid, PoolRoot)> = None;
    for row in view.scan::<PoolRoot>(&()) {
        let (uid, root) = row?;
        let usable = root.root.is_some() && root.expires > now;
        if usable && best.as_ref().is_none_or(|(_, other)| other.expires < root.expires) {
            best = Some((uid, root));
        }
    }
    Ok(best)
}

fn pool_size(view: &View, now: UnixMillis) -> Result<u64, colophon_store::Error> {
    let mut size = 0;
    for row in view.scan::<PoolRoot>(&()) {
        let (_, root) = row?;
        size += u64::from(root.root.is_some() && root.expires > now);
    }
    Ok(size)
}
