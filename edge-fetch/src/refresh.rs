//! From the stored metadata to the newest: the I/O around the client workflow of colophon-trust.

use colophon_model::{TenantSlug, UnixMillis};
use colophon_trust::limits::{MAX_ROOT, MAX_TIMESTAMP};
use colophon_trust::{
    Role, RootChain, TrustedRoot, TrustedSnapshot, TrustedTargets, TrustedTimestamp,
};

use crate::{Cache, Error, Transport, transport};

/// The stored targets, verified from the stored root on; nothing is asked for and nothing expires,
/// since this is about what is installed. `None` before the first refresh, and when the root's keys
/// changed since.
pub(crate) fn stored(cache: &Cache) -> Result<Option<TrustedTargets>, Error> {
    let all = [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets];
    let [Some(root), Some(timestamp), Some(snapshot), Some(targets)] =
        all.map(|role| cache.metadata(role).ok().flatten())
    else {
        return Ok(None);
    };
    let always = UnixMillis::new(0);
    let root = RootChain::pinned(&root, &cache.config()?.tenant)?.finish(always)?;
    Ok(from_root(&root, [&timestamp, &snapshot, &targets], always).ok())
}

/// The stored targets as the newest, as if a server had nothing newer: all that is stored must be valid
/// at `now`. Versions do not go back, since these files are the newest that were verified here.
pub(crate) fn unrefreshed(
    cache: &Cache,
    tenant: &TenantSlug,
    now: UnixMillis,
) -> Result<TrustedTargets, Error> {
    let read = |role| cache.metadata(role)?.ok_or_else(|| absent(role));
    let root = read(Role::Root)?;
    let files = [read(Role::Timestamp)?, read(Role::Snapshot)?, read(Role::Targets)?];
    let root = RootChain::pinned(&root, tenant)?.finish(now);
    let targets = root.and_then(|root| from_root(&root, files.each_ref().map(Vec::as_slice), now));
    targets.map_err(|source| match source {
        // A refresh that was cut short leaves a file that names one which did not come.
        colophon_trust::Error::HashMismatch { role } => absent(role),
        source => Error::Stored { source },
    })
}

fn absent(role: Role) -> Error {
    Error::Absent { what: format!("the newest {role}.json") }
}

/// Timestamp, snapshot and targets, each by the word of the one before.
fn from_root(
    root: &TrustedRoot,
    [timestamp, snapshot, targets]: [&[u8]; 3],
    now: UnixMillis,
) -> Result<TrustedTargets, colophon_trust::Error> {
    root.timestamp(timestamp, None, now)?.snapshot(snapshot, None, now)?.targets(targets, now)
}

/// One refresh. Each file is stored as soon as it is verified, so that a refresh that is cut short
/// is not lost and cannot be used to go back.
pub(crate) struct Refresh<'a, T> {
    pub(crate) cache: &'a Cache,
    pub(crate) transport: &'a T,
    pub(crate) tenant: &'a TenantSlug,
    pub(crate) now: UnixMillis,
}

impl<T: Transport> Refresh<'_, T> {
    /// Walks root, timestamp, snapshot and targets, in this order. When nothing is new this costs
    /// two requests: a root that is not there, and the timestamp.
    pub(crate) fn run(&self) -> Result<TrustedTargets, Error> {
        let root = self.root()?;
        let timestamp = self.timestamp(&root)?;
        let snapshot = self.snapshot(&timestamp)?;
        self.targets(&snapshot)
    }

    fn root(&self) -> Result<TrustedRoot, Error> {
        let pinned = self.cache.metadata(Role::Root)?;
        let pinned = pinned.ok_or_else(|| Error::NotEnrolled { dir: self.cache.dir().into() })?;
        let mut chain = RootChain::pinned(&pinned, self.tenant)?;
        while let Some(bytes) = self.find(&chain.next_name(), MAX_ROOT)? {
            chain.update(&bytes)?;
            if chain.reset() {
                // Before the root is stored: the other way round, a crash in between would keep
                // files that the new keys did not sign for good.
                self.cache.forget_metadata(Role::Timestamp)?;
                self.cache.forget_metadata(Role::Snapshot)?;
            }
            self.cache.store_metadata(Role::Root, &bytes)?;
        }
        Ok(chain.finish(self.now)?)
    }

    fn timestamp(&self, root: &TrustedRoot) -> Result<TrustedTimestamp, Error> {
        let stored = self.cache.metadata(Role::Timestamp)?;
        let bytes = self.get(TrustedRoot::TIMESTAMP, MAX_TIMESTAMP)?;
        let timestamp = root.timestamp(&bytes, stored.as_deref(), self.now)?;
        self.store(Role::Timestamp, timestamp.bytes(), stored.as_deref())?;
        Ok(timestamp)
    }

    fn snapshot(&self, timestamp: &TrustedTimestamp) -> Result<TrustedSnapshot, Error> {
        let stored = self.cache.metadata(Role::Snapshot)?;
        if let Some(bytes) = &stored
            && let Ok(snapshot) = timestamp.snapshot(bytes, None, self.now)
        {
            return Ok(snapshot);
        }
        let bytes = self.get(&timestamp.snapshot_name(), timestamp.snapshot_length()?)?;
        let snapshot = timestamp.snapshot(&bytes, stored.as_deref(), self.now)?;
        self.store(Role::Snapshot, snapshot.bytes(), stored.as_deref())?;
        Ok(snapshot)
    }

    fn targets(&self, snapshot: &TrustedSnapshot) -> Result<TrustedTargets, Error> {
        let stored = self.cache.metadata(Role::Targets)?;
        if let Some(bytes) = &stored
            && let Ok(targets) = snapshot.targets(bytes, self.now)
        {
            return Ok(targets);
        }
        let bytes = self.get(&snapshot.targets_name(), snapshot.targets_length()?)?;
        let targets = snapshot.targets(&bytes, self.now)?;
        self.store(Role::Targets, targets.bytes(), stored.as_deref())?;
        Ok(targets)
    }

    fn store(&self, role: Role, bytes: &[u8], stored: Option<&[u8]>) -> Result<(), Error> {
        if stored == Some(bytes) { Ok(()) } else { self.cache.store_metadata(role, bytes) }
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        transport::read(self.transport, &format!("tuf/{name}"), limit)
    }

    /// As [`Self::get`], with `None` for a file that the server does not have.
    fn find(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.get(name, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
