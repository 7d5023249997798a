//! A tenant's TUF repository on its way from one state to the next, in the tenant's lane.
//!
//! What is signed when is known from the tenant's head alone; metadata is read only as bytes that
//! other metadata names.

use std::num::NonZeroU64;

use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{EdgeRepo, FlowHead, SignedFile, TenantHead, TenantRow, TufFile};
use colophon_store::{Change, View};
use colophon_trust::{
    Generations, Listing, OfflineRoot, OnlineKeys, Published, Role, Seed, TenantKeys, Versions,
};

use super::FeedError;
use crate::feed;
use crate::keys::MasterKey;

/// The repository as it is, and after what was signed.
pub struct Repo<'a> {
    tenant: &'a TenantRow,
    seed: Seed,
    now: UnixMillis,
    /// What was signed when.
    pub state: EdgeRepo,
}

impl<'a> Repo<'a> {
    /// The repository that `head` tells of; whatever is signed is signed at `now`.
    pub fn of(keys: &MasterKey, tenant: &'a TenantRow, head: &TenantHead, now: UnixMillis) -> Self {
        let state = state(tenant, head);
        Self { tenant, seed: keys.trust_seed(), now, state }
    }

    /// Signs targets, snapshot and timestamp over the bundles of `flows`, or over none when the tenant
    /// is archived.
    pub fn sign_all<'f>(
        &mut self,
        view: &View,
        change: &mut Change,
        flows: impl Iterator<Item = &'f FlowHead>,
    ) -> Result<(), FeedError> {
        self.raise(&[Role::Targets, Role::Snapshot, Role::Timestamp]);
        let (bundles, envs) = feed::targets(flows);
        let current = Listing::Current { bundles: &bundles, envs: &envs };
        let listing = if self.state.archived { Listing::Archived } else { current };
        let signed = colophon_trust::sign_all(&self.online(), self.versions(), listing, self.now)?;
        for (name, bytes) in &signed.files {
            let names = (name.as_str(), version_before(name));
            feed::put_version((view, change), self.tenant.uid, names, bytes)?;
        }
        Ok(())
    }

    /// Signs snapshot and timestamp over the targets file that is there.
    pub fn sign_snapshot(&mut self, view: &View, change: &mut Change) -> Result<(), FeedError> {
        self.raise(&[Role::Snapshot, Role::Timestamp]);
        let targets = self.read(view, &format!("{}.targets.json", self.state.targets.version))?;
        let (keys, versions) = (self.online(), self.versions());
        self.put(change, &colophon_trust::sign_snapshot(&keys, versions, &targets, self.now)?)
    }

    /// Signs the timestamp over the snapshot that is there.
    pub fn sign_timestamp(&mut self, view: &View, change: &mut Change) -> Result<(), FeedError> {
        self.raise(&[Role::Timestamp]);
        let snapshot =
            self.read(view, &format!("{}.snapshot.json", self.state.snapshot.version))?;
        let (keys, versions) = (self.online(), self.versions());
        self.put(change, &colophon_trust::sign_timestamp(&keys, versions, &snapshot, self.now)?)
    }

    /// Signs the next root of a tenant whose root keys are the server's.
    pub fn renew_root(&mut self, view: &View, change: &mut Change) -> Result<(), FeedError> {
        let previous = self.root(view)?;
        let keys = TenantKeys::derive_at(&self.seed, self.tenant.uid, self.generations());
        let root = colophon_trust::next_root(&keys, &previous, self.now)?;
        let version = self.state.root.version.saturating_add(1);
        self.state.root = SignedFile::new(version, self.now, Role::Root.lifetime());
        feed::put_file(change, self.tenant.uid, &format!("{version}.root.json"), &root)
    }

    /// Takes a root from a ceremony, of which the caller has checked that it may follow.
    pub fn take_root(
        &mut self,
        change: &mut Change,
        root: &OfflineRoot,
        generations: Generations,
    ) -> Result<(), FeedError> {
        let signed = root.expires().get().saturating_sub(Role::Root.lifetime());
        let (version, signed) = (root.version(), UnixMillis::new(signed));
        self.state.root = SignedFile::new(version, signed, Role::Root.lifetime());
        self.set_generations(generations);
        feed::put_file(change, self.tenant.uid, &format!("{version}.root.json"), root.bytes())
    }

    /// Lets other keys sign from now on. A root must grant them the roles, and every file be signed anew.
    pub const fn set_generations(&mut self, generations: Generations) {
        self.state.targets.generation = generations.targets;
        self.state.snapshot.generation = generations.snapshot;
        self.state.timestamp.generation = generations.timestamp;
    }

    /// Whose repository.
    pub const fn uid(&self) -> TenantUid {
        self.tenant.uid
    }

    /// The newest root.
    pub fn root(&self, view: &View) -> Result<Vec<u8>, FeedError> {
        self.read(view, &format!("{}.root.json", self.state.root.version))
    }

    /// The keys that sign now.
    pub fn online(&self) -> OnlineKeys {
        OnlineKeys::derive(&self.seed, self.tenant.uid, self.generations())
    }

    /// Replaces the tenant's head, unless somebody else did.
    pub fn put_head(&self, change: &mut Change, before: &TenantHead) {
        let uid = self.tenant.uid;
        let tuf_version = self.state.snapshot.version.get();
        let after = TenantHead { tuf_version, edge: Some(self.state), ..before.clone() };
        change.expect::<TenantHead>(&uid, Some(before)).put::<TenantHead>(&uid, &after);
    }

    /// The generations of the keys that sign now.
    pub const fn generations(&self) -> Generations {
        Generations {
            targets: self.state.targets.generation,
            snapshot: self.state.snapshot.generation,
            timestamp: self.state.timestamp.generation,
        }
    }

    const fn versions(&self) -> Versions {
        Versions {
            targets: self.state.targets.version,
            snapshot: self.state.snapshot.version,
            timestamp: self.state.timestamp.version,
        }
    }

    /// The next version of each of `roles`, signed now.
    fn raise(&mut self, roles: &[Role]) {
        for role in roles {
            let now = self.now;
            let file = file_of(&mut self.state, *role);
            let version = file.version.saturating_add(1);
            *file = SignedFile {
                generation: file.generation,
                ..SignedFile::new(version, now, role.lifetime())
            };
        }
    }

    fn put(&self, change: &mut Change, signed: &Published) -> Result<(), FeedError> {
        let mut files = signed.files.iter();
        files.try_for_each(|(name, bytes)| feed::put_file(change, self.tenant.uid, name, bytes))
    }

    fn read(&self, view: &View, name: &str) -> Result<Vec<u8>, FeedError> {
        let (uid, missing) = (self.tenant.uid, || FeedError::Missing(name.to_owned()));
        let TufFile { digest } = view.get(&(uid, name.to_owned()))?.ok_or_else(missing)?;
        view.read_blob(uid, &digest)?.ok_or_else(missing)
    }
}

/// The name of the file that `name` is the next version of, when it has a version.
fn version_before(name: &str) -> Option<String> {
    let (version, rest) = name.split_once('.')?;
    Some(format!("{}.{rest}", version.parse::<u64>().ok()?.checked_sub(1)?))
}

/// What of the tenant's repository was signed when. Of one from before this was kept, all but the root
/// counts as signed long ago, so that it is signed anew.
pub fn state(tenant: &TenantRow, head: &TenantHead) -> EdgeRepo {
    head.edge.unwrap_or_else(|| {
        let version = NonZeroU64::new(head.tuf_version).unwrap_or(NonZeroU64::MIN);
        let old = SignedFile::new(version, UnixMillis::new(0), 0);
        let root = SignedFile::new(NonZeroU64::MIN, tenant.created, Role::Root.lifetime());
        EdgeRepo { root, targets: old, snapshot: old, timestamp: old, archived: false }
    })
}

/// The file of `role`.
pub const fn file_of(state: &mut EdgeRepo, role: Role) -> &mut SignedFile {
    match role {
        Role::Root => &mut state.root,
        Role::Targets => &mut state.targets,
        Role::Snapshot => &mut state.snapshot,
        Role::Timestamp => &mut state.timestamp,
    }
}

/// A new repository: its root, no bundle, and what was signed. `root` is one from a ceremony, with its
/// end; without it the server makes one.
pub fn plant(
    change: &mut Change,
    keys: &MasterKey,
    tenant: &TenantRow,
    root: Option<(Vec<u8>, UnixMillis)>,
) -> Result<(Vec<u8>, EdgeRepo), FeedError> {
    let (uid, now) = (tenant.uid, tenant.created);
    let keys = TenantKeys::derive(&keys.trust_seed(), uid);
    let first = |role: Role| SignedFile::new(NonZeroU64::MIN, now, role.lifetime());
    let mut state = EdgeRepo {
        root: first(Role::Root),
        targets: first(Role::Targets),
        snapshot: first(Role::Snapshot),
        timestamp: first(Role::Timestamp),
        archived: false,
    };
    let root = match root {
        None => colophon_trust::initial_root(&keys, &tenant.slug, now),
        Some((root, expires)) => {
            let signed = expires.get().saturating_sub(Role::Root.lifetime());
            state.root.signed = UnixMillis::new(signed);
            state.root.expires = expires;
            root
        }
    };
    feed::put_file(change, uid, "1.root.json", &root)?;
    let none = std::collections::BTreeMap::new();
    let signed = colophon_trust::publish(&keys, NonZeroU64::MIN, &none, now)?;
    for (name, bytes) in &signed.files {
        feed::put_file(change, uid, name, bytes)?;
    }
    Ok((root, state))
}
