//! The client workflow (specification §5.3 to §5.6): root, timestamp, snapshot, top-level targets.

use std::num::NonZeroU64;
use std::sync::Arc;

use colophon_model::UnixMillis;
use serde::Deserialize;

use super::envelope::Document;
use super::{Body, MetaFile, Role, Root, Search, Snapshot, Targets, Timestamp};
use crate::Error;
use crate::limits::MAX_ROOT_UPDATES;

/// Roots, from the pinned one to the newest.
#[derive(Debug, Clone)]
pub struct RootChain {
    root: Arc<Document<Root>>,
    followed: u32,
    reset: bool,
}

impl RootChain {
    /// Starts from the root that the client stored: the pinned one, or the last that it followed.
    /// Its expiry does not matter yet (§5.3.10 checks the newest only).
    ///
    /// # Errors
    /// When the bytes are no root that its own keys signed.
    pub fn pinned(bytes: &[u8]) -> Result<Self, Error> {
        let root = Document::<Root>::parse(bytes)?;
        root.verify_own()?;
        Ok(Self { root: Arc::new(root), followed: 0, reset: false })
    }

    /// The name of the root to ask for next. A server that does not have it ends the chain.
    pub fn next_name(&self) -> String {
        Role::Root.file_name(self.root.signed.version.saturating_add(1))
    }

    /// The chain with one root more (§5.3.4 to §5.3.8): signed by the keys of the root before it and
    /// by its own, exactly one version higher.
    ///
    /// # Errors
    /// When the bytes are no such root. [`Error::TooManyRoots`] past the bound of one run.
    pub fn followed_by(&self, bytes: &[u8]) -> Result<Self, Error> {
        if self.followed == MAX_ROOT_UPDATES {
            return Err(Error::TooManyRoots);
        }
        let next = Document::<Root>::parse(bytes)?;
        next.check_follows(&self.root.signed)?;
        let reset = self.reset || rotated(&self.root.signed.body, &next.signed.body);
        Ok(Self { root: Arc::new(next), followed: self.followed + 1, reset })
    }

    /// Whether the timestamp or snapshot keys changed on the way. The caller must then forget the
    /// timestamp and snapshot it stored (§5.3.11): whoever had the old keys may have raised their
    /// versions past anything the owner will reach.
    pub const fn reset(&self) -> bool {
        self.reset
    }

    /// Ends the chain.
    ///
    /// # Errors
    /// [`Error::Expired`] when the newest root is not valid at `now` any more.
    pub fn finish(self, now: UnixMillis) -> Result<TrustedRoot, Error> {
        self.root.check_expiry(now)?;
        Ok(TrustedRoot { root: self.root })
    }

    pub(crate) fn profile<'de, P: Deserialize<'de>>(&'de self) -> Result<P, Error> {
        self.root.profile()
    }
}

fn rotated(old: &Root, new: &Root) -> bool {
    let keys = |root: &Root, role: Role| {
        let grant = root.roles.of(role).clone();
        let keys: Vec<_> = grant.keyids.iter().map(|id| root.keys.get(id).cloned()).collect();
        (grant, keys)
    };
    [Role::Timestamp, Role::Snapshot].into_iter().any(|role| keys(old, role) != keys(new, role))
}

/// The newest root, valid now.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    root: Arc<Document<Root>>,
}

impl TrustedRoot {
    /// The name of the timestamp file.
    pub const TIMESTAMP: &'static str = "timestamp.json";

    /// Whether file names say which version of the file they are of (§6.2).
    pub fn consistent_snapshot(&self) -> bool {
        self.root.signed.body.consistent_snapshot
    }

    /// Verifies a timestamp (§5.4). `trusted` is the one stored before; it counts only if the
    /// current keys signed it. When both have the same version, the stored one is kept.
    ///
    /// # Errors
    /// [`Error::Rollback`] when the timestamp, or the snapshot it names, is older than the stored.
    pub fn timestamp(
        &self,
        bytes: &[u8],
        trusted: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<TrustedTimestamp, Error> {
        let offered = self.signed_by_role::<Timestamp>(bytes)?;
        let stored = trusted.and_then(|old| self.signed_by_role::<Timestamp>(old).ok());
        let timestamp = match stored {
            Some(old) if old.signed.version == offered.signed.version => old,
            Some(old) => {
                check_not_older(Role::Timestamp, old.signed.version, offered.signed.version)?;
                let snapshot = |t: &Document<Timestamp>| t.signed.body.meta.snapshot.version;
                check_not_older(Role::Snapshot, snapshot(&old), snapshot(&offered))?;
                offered
            }
            None => offered,
        };
        timestamp.check_expiry(now)?;
        Ok(TrustedTimestamp { root: self.clone(), timestamp })
    }

    /// Reads a file and checks the signatures of its role.
    fn signed_by_role<T: Body>(&self, bytes: &[u8]) -> Result<Document<T>, Error> {
        let document = Document::<T>::parse(bytes)?;
        document.verify_by(&self.root.signed.body)?;
        Ok(document)
    }

    /// Reads a file of a top-level role that another one announced.
    fn announced<T: Body>(
        &self,
        bytes: &[u8],
        meta: &MetaFile,
        now: UnixMillis,
    ) -> Result<Document<T>, Error> {
        Document::announced(bytes, meta, now, |file| file.verify_by(&self.root.signed.body))
    }

    /// The name of a file with this `stem`.
    fn versioned(&self, stem: &str, version: NonZeroU64) -> String {
        if self.consistent_snapshot() {
            format!("{version}.{stem}.json")
        } else {
            format!("{stem}.json")
        }
    }
}

/// A timestamp that is valid now and not older than the one before.
#[derive(Debug, Clone)]
pub struct TrustedTimestamp {
    root: TrustedRoot,
    timestamp: Document<Timestamp>,
}

impl TrustedTimestamp {
    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.timestamp.bytes
    }

    /// The name of the snapshot file to get.
    pub fn snapshot_name(&self) -> String {
        self.root.versioned(Role::Snapshot.as_str(), self.announces().version)
    }

    /// The most bytes that file may have: its signed length, else the bound of its role; never more
    /// than [`crate::limits::MAX_METADATA`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a length is signed, but past the bound.
    pub fn snapshot_length(&self) -> Result<u64, Error> {
        self.announces().limit(Role::Snapshot)
    }

    /// Verifies a snapshot (§5.5). `trusted` is the one stored before.
    ///
    /// # Errors
    /// [`Error::Rollback`] and [`Error::Dropped`] when a file it names is older than in the stored
    /// one, or gone; [`Error::Unlisted`] when it names no targets.
    pub fn snapshot(
        &self,
        bytes: &[u8],
        trusted: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<TrustedSnapshot, Error> {
        let snapshot = self.root.announced::<Snapshot>(bytes, self.announces(), now)?;
        let stored = trusted.and_then(|old| self.root.signed_by_role::<Snapshot>(old).ok());
        if let Some(old) = stored {
            check_keeps_up(&old.signed.body, &snapshot.signed.body)?;
        }
        let targets = snapshot.signed.body.of(Role::Targets.as_str())?.clone();
        Ok(TrustedSnapshot { root: self.root.clone(), snapshot: Arc::new(snapshot), targets })
    }

    pub(crate) fn profile<'de, P: Deserialize<'de>>(&'de self) -> Result<P, Error> {
        self.timestamp.profile()
    }

    const fn announces(&self) -> &MetaFile {
        &self.timestamp.signed.body.meta.snapshot
    }
}

/// Every file of the old snapshot is in the new one, in no older version (§5.5.5).
fn check_keeps_up(old: &Snapshot, new: &Snapshot) -> Result<(), Error> {
    old.meta.iter().try_for_each(|(name, old)| match new.meta.get(name) {
        Some(new) => check_not_older(Role::Targets, old.version, new.version),
        None => Err(Error::Dropped { name: name.clone() }),
    })
}

/// The snapshot that the timestamp named.
#[derive(Debug, Clone)]
pub struct TrustedSnapshot {
    root: TrustedRoot,
    snapshot: Arc<Document<Snapshot>>,
    targets: MetaFile,
}

impl TrustedSnapshot {
    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.snapshot.bytes
    }

    /// The name of the targets file to get.
    pub fn targets_name(&self) -> String {
        self.versioned(Role::Targets.as_str(), self.targets.version)
    }

    /// The most bytes that file may have: its signed length, else the bound of its role; never more
    /// than [`crate::limits::MAX_METADATA`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a length is signed, but past the bound.
    pub fn targets_length(&self) -> Result<u64, Error> {
        self.targets.limit(Role::Targets)
    }

    /// Verifies the top-level targets (§5.6).
    ///
    /// # Errors
    /// As for the other files.
    pub fn targets(&self, bytes: &[u8], now: UnixMillis) -> Result<TrustedTargets, Error> {
        let targets = self.root.announced::<Targets>(bytes, &self.targets, now)?;
        Ok(TrustedTargets { snapshot: self.clone(), targets })
    }

    pub(crate) fn profile<'de, P: Deserialize<'de>>(&'de self) -> Result<P, Error> {
        self.snapshot.profile()
    }

    pub(super) fn listed(&self) -> &Snapshot {
        &self.snapshot.signed.body
    }

    pub(super) fn versioned(&self, stem: &str, version: NonZeroU64) -> String {
        self.root.versioned(stem, version)
    }
}

/// The top-level targets that the snapshot listed.
#[derive(Debug, Clone)]
pub struct TrustedTargets {
    snapshot: TrustedSnapshot,
    targets: Document<Targets>,
}

impl TrustedTargets {
    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.targets.bytes
    }

    /// Starts the search for the target `path` (§5.6.7).
    ///
    /// # Errors
    /// When these targets list it in a way that cannot be read.
    pub fn search(&self, path: &str) -> Result<Search, Error> {
        Search::new(self.snapshot.clone(), &self.targets.signed.body, path)
    }

    pub(crate) fn profile<'de, P: Deserialize<'de>>(&'de self) -> Result<P, Error> {
        self.targets.profile()
    }
}

fn check_not_older(role: Role, trusted: NonZeroU64, offered: NonZeroU64) -> Result<(), Error> {
    if offered >= trusted {
        return Ok(());
    }
    let (trusted, offered) = (trusted.get(), offered.get());
    Err(Error::Rollback { role, trusted, offered })
}
