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
    let targets = root
        .timestamp(&timestamp, None, always)
        .and_then(|timestamp| timestamp.snapshot(&snapshot, None, always))
        .and_then(|snapshot| snapshot.targets(&targets, always));
    Ok(targets.ok())
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
