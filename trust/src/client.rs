//! The agent's side: the client workflow of TUF 1.0.34 (specification §5) without any I/O.
//!
//! Each stage is a type that only the stage before can make, so metadata cannot be used before it
//! is verified nor verified in another order:
//! [`RootChain`] → [`TrustedRoot`] → [`TrustedTimestamp`] → [`TrustedSnapshot`] →
//! [`TrustedTargets`]. A stage keeps the exact bytes it was made from; the caller stores them, and
//! passes them as `trusted` the next time, which is what makes rollbacks visible.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_model::{Sha256, TenantSlug, UnixMillis};
use serde_json::Value;

use crate::envelope::{Document, check_expiry};
use crate::limits::MAX_ROOT_UPDATES;
use crate::metadata::{Body, MetaFile, Root, Signed, Snapshot, Status, Targets, Timestamp};
use crate::{EnvFile, EnvName, Error, FactsSchema, Role, TargetFile, TargetName};

/// Roots, from the pinned one to the newest.
#[derive(Debug)]
pub struct RootChain {
    tenant: TenantSlug,
    root: Signed<Root>,
    followed: u32,
    reset: bool,
}

impl RootChain {
    /// Starts from the root that the agent stored: the pinned one, or the last that it followed.
    /// Its expiry does not matter yet (§5.3.10 checks the newest only).
    ///
    /// # Errors
    /// When the bytes are no root of `tenant` that its own keys signed.
    pub fn pinned(bytes: &[u8], tenant: &TenantSlug) -> Result<Self, Error> {
        let root = Document::<Root>::parse(bytes)?;
        root.verify_root(&root.signed.body)?;
        let chain = Self { tenant: tenant.clone(), root: root.signed, followed: 0, reset: false };
        chain.check_tenant()?;
        Ok(chain)
    }

    /// The name of the root to ask for next. A server that does not have it ends the chain.
    pub fn next_name(&self) -> String {
        Role::Root.file_name(self.root.version.saturating_add(1))
    }

    /// Follows one root (§5.3.4 to §5.3.8): signed by the keys of the root before it and by its
    /// own, exactly one version higher, of the same tenant.
    ///
    /// # Errors
    /// The chain is unchanged after an error. [`Error::TooManyRoots`] past the bound of one run.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.followed == MAX_ROOT_UPDATES {
            return Err(Error::TooManyRoots);
        }
        let next = Document::<Root>::parse(bytes)?;
        next.check_follows(&self.root)?;
        self.check_same_tenant(&next.signed.body)?;
        self.reset |= rotated(&self.root.body, &next.signed.body);
        self.root = next.signed;
        self.followed += 1;
        Ok(())
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
        check_expiry(Role::Root, self.root.expires, now)?;
        Ok(TrustedRoot { tenant: self.tenant, root: self.root })
    }

    /// Where the root keys were made; [`crate::SERVER_ROOTS`] when on the server,
    /// [`crate::OFFLINE_ROOTS`] when in a ceremony.
    pub fn made_on(&self) -> &str {
        &self.root.body.made_on
    }

    /// A root of a ceremony has no slug: there the pinned bytes and the uid say whose it is, and later
    /// the slug of every bundle.
    fn check_tenant(&self) -> Result<(), Error> {
        match &self.root.body.tenant {
            Some(found) if *found != self.tenant => {
                Err(Error::WrongTenant { expected: self.tenant.clone(), found: found.clone() })
            }
            _ => Ok(()),
        }
    }

    /// A tenant is its slug and its uid: a slug that was given away again is another tenant.
    fn check_same_tenant(&self, next: &Root) -> Result<(), Error> {
        let body = &self.root.body;
        if (&body.tenant, body.uid) == (&next.tenant, next.uid) {
            return Ok(());
        }
        let found = next.tenant.clone().unwrap_or_else(|| self.tenant.clone());
        Err(Error::WrongTenant { expected: self.tenant.clone(), found })
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
    tenant: TenantSlug,
    root: Signed<Root>,
}

impl TrustedRoot {
    /// The name of the timestamp file.
    pub const TIMESTAMP: &'static str = "timestamp.json";

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
        let trusted =
            trusted.and_then(|old| Some((old, self.signed_by_role::<Timestamp>(old).ok()?)));
        let (bytes, timestamp) = match trusted {
            None => (bytes, offered),
            Some((old_bytes, old)) => {
                if offered.signed.version == old.signed.version {
                    (old_bytes, old)
                } else {
                    check_not_older(Role::Timestamp, old.signed.version, offered.signed.version)?;
                    let snapshot = |t: &Document<Timestamp>| t.signed.body.meta.snapshot.version;
                    check_not_older(Role::Snapshot, snapshot(&old), snapshot(&offered))?;
                    (bytes, offered)
                }
            }
        };
        timestamp.check_expiry(now)?;
        let snapshot = timestamp.signed.body.meta.snapshot;
        Ok(TrustedTimestamp { root: self.clone(), snapshot, bytes: bytes.to_vec() })
    }

    /// Reads a file and checks the signatures of its role.
    fn signed_by_role<T: Body>(&self, bytes: &[u8]) -> Result<Document<T>, Error> {
        let document = Document::<T>::parse(bytes)?;
        document.verify(&self.root.body.keys, self.root.body.roles.of(T::ROLE))?;
        Ok(document)
    }

    /// Reads a file that another one announced: hash, signatures, version, expiry. The hash comes
    /// first, so that nothing unannounced is parsed.
    fn announced<T: Body>(
        &self,
        bytes: &[u8],
        meta: &MetaFile,
        now: UnixMillis,
    ) -> Result<Document<T>, Error> {
        if bytes.len() as u64 != meta.length || Sha256::of(bytes) != meta.hashes.sha256 {
            return Err(Error::HashMismatch { role: T::ROLE });
        }
        let document = self.signed_by_role::<T>(bytes)?;
        check_version(&document.signed, meta.version)?;
        document.check_expiry(now)?;
        Ok(document)
    }
}

/// A timestamp that is valid now and not older than the one before.
#[derive(Debug)]
pub struct TrustedTimestamp {
    root: TrustedRoot,
    snapshot: MetaFile,
    bytes: Vec<u8>,
}

impl TrustedTimestamp {
    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name of the snapshot file to get.
    pub fn snapshot_name(&self) -> String {
        Role::Snapshot.file_name(self.snapshot.version)
    }

    /// The signed length of that file, in bytes; never more than [`crate::limits::MAX_METADATA`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it is signed, but past the bound.
    pub fn snapshot_length(&self) -> Result<u64, Error> {
        bounded(Role::Snapshot, self.snapshot.length)
    }

    /// Verifies a snapshot (§5.5). `trusted` is the one stored before.
    ///
    /// # Errors
    /// [`Error::Rollback`] when the targets it names are older than those of the stored one.
    pub fn snapshot(
        &self,
        bytes: &[u8],
        trusted: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<TrustedSnapshot, Error> {
        let offered = self.root.announced::<Snapshot>(bytes, &self.snapshot, now)?;
        let targets = offered.signed.body.meta.targets;
        let old = trusted.and_then(|old| self.root.signed_by_role::<Snapshot>(old).ok());
        if let Some(old) = old {
            let old = old.signed.body.meta.targets.version;
            check_not_older(Role::Targets, old, targets.version)?;
        }
        Ok(TrustedSnapshot { root: self.root.clone(), targets, bytes: bytes.to_vec() })
    }
}

/// The snapshot that the timestamp named.
#[derive(Debug)]
pub struct TrustedSnapshot {
    root: TrustedRoot,
    targets: MetaFile,
    bytes: Vec<u8>,
}

impl TrustedSnapshot {
    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name of the targets file to get.
    pub fn targets_name(&self) -> String {
        Role::Targets.file_name(self.targets.version)
    }

    /// The signed length of that file, in bytes; never more than [`crate::limits::MAX_METADATA`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it is signed, but past the bound.
    pub fn targets_length(&self) -> Result<u64, Error> {
        bounded(Role::Targets, self.targets.length)
    }

    /// Verifies the targets (§5.6), and that every bundle and environment is of the root's tenant and is
    /// what its name says.
    ///
    /// # Errors
    /// As for the other files, and [`Error::WrongTenant`] and [`Error::Misnamed`].
    pub fn targets(&self, bytes: &[u8], now: UnixMillis) -> Result<TrustedTargets, Error> {
        let document = self.root.announced::<Targets<Value>>(bytes, &self.targets, now)?;
        let archived = document.signed.body.status.as_ref().is_some_and(Status::is_archived);
        let mut trusted = TrustedTargets {
            archived,
            bundles: BTreeMap::new(),
            envs: BTreeMap::new(),
            unknown: Vec::new(),
            bytes: bytes.to_vec(),
        };
        for (name, json) in document.signed.body.targets {
            self.read_target(&mut trusted, name, json)?;
        }
        Ok(trusted)
    }

    /// Puts a target to the others of its kind. A repository may also list what only newer agents use,
    /// under other names or with another schema.
    fn read_target(
        &self,
        trusted: &mut TrustedTargets,
        name: String,
        json: Value,
    ) -> Result<(), Error> {
        let malformed = |source| Error::Malformed { role: Role::Targets, source };
        let schema = json.pointer("/custom/colophon/schema").and_then(Value::as_u64);
        if schema.is_some_and(|schema| schema != u64::from(u32::from(FactsSchema))) {
            trusted.unknown.push(name);
        } else if let Ok(name) = name.parse::<TargetName>() {
            let file = TargetFile::from_json(json).map_err(malformed)?;
            self.check_tenant(&file.custom.slug)?;
            file.check_name(&name)?;
            trusted.bundles.insert(name, file);
        } else if let Ok(name) = name.parse::<EnvName>() {
            let file = EnvFile::from_json(json).map_err(malformed)?;
            self.check_tenant(&file.custom.slug)?;
            file.check_name(&name)?;
            trusted.envs.insert(name, file);
        } else {
            trusted.unknown.push(name);
        }
        Ok(())
    }

    fn check_tenant(&self, slug: &TenantSlug) -> Result<(), Error> {
        let expected = &self.root.tenant;
        if slug != expected {
            let (expected, found) = (expected.clone(), slug.clone());
            return Err(Error::WrongTenant { expected, found });
        }
        Ok(())
    }
}

/// The tenant's bundles.
#[derive(Debug)]
pub struct TrustedTargets {
    archived: bool,
    bundles: BTreeMap<TargetName, TargetFile>,
    envs: BTreeMap<EnvName, EnvFile>,
    unknown: Vec<String>,
    bytes: Vec<u8>,
}

impl TrustedTargets {
    /// The bundles, by name. Their sizes are signed, but not yet checked against the limits: see
    /// [`TargetFile::check_limits`].
    pub const fn bundles(&self) -> &BTreeMap<TargetName, TargetFile> {
        &self.bundles
    }

    /// The flows' encrypted environments, by name. Their sizes are signed, but not yet checked against the
    /// limit: see [`EnvFile::check_limits`].
    pub const fn envs(&self) -> &BTreeMap<EnvName, EnvFile> {
        &self.envs
    }

    /// Whether the tenant is archived: its flows are to be taken away. There are no bundles then.
    pub const fn is_archived(&self) -> bool {
        self.archived
    }

    /// Names of targets of a kind that this program does not know.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn bounded(role: Role, length: u64) -> Result<u64, Error> {
    let limit = role.max_bytes();
    if length > limit {
        return Err(Error::TooLarge { role, limit });
    }
    Ok(length)
}

fn check_version<T: Body>(signed: &Signed<T>, expected: NonZeroU64) -> Result<(), Error> {
    if signed.version == expected {
        return Ok(());
    }
    let (expected, found) = (expected.get(), signed.version.get());
    Err(Error::WrongVersion { role: T::ROLE, expected, found })
}

fn check_not_older(role: Role, trusted: NonZeroU64, offered: NonZeroU64) -> Result<(), Error> {
    if offered >= trusted {
        return Ok(());
    }
    let (trusted, offered) = (trusted.get(), offered.get());
    Err(Error::Rollback { role, trusted, offered })
}
