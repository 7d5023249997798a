//! The agent's side: the client workflow of [`crate::tuf`] on a repository of one tenant, in colophon's
//! profile.
//!
//! What TUF asks for is checked first, and by the same code as for any other repository. Each stage
//! then adds what holds here beyond that: whose repository it is, that lengths and SHA-256 are always
//! signed, that every bundle is what its name says. Delegations are not followed.

use std::collections::BTreeMap;

use colophon_model::{TenantSlug, UnixMillis};
use serde_json::Value;

use crate::metadata::{Root, Snapshot, Status, Targets, Timestamp};
use crate::tuf::canonical::flaw;
use crate::{EnvFile, EnvName, Error, FactsSchema, Role, TargetFile, TargetName, tuf};

/// Roots, from the pinned one to the newest.
#[derive(Debug)]
pub struct RootChain {
    tenant: TenantSlug,
    chain: tuf::RootChain,
    root: Root,
}

impl RootChain {
    /// Starts from the root that the agent stored: the pinned one, or the last that it followed.
    /// Its expiry does not matter yet (§5.3.10 checks the newest only).
    ///
    /// # Errors
    /// When the bytes are no root of `tenant` that its own keys signed.
    pub fn pinned(bytes: &[u8], tenant: &TenantSlug) -> Result<Self, Error> {
        let chain = tuf::RootChain::pinned(bytes)?;
        let root = own_root(&chain)?;
        let chain = Self { tenant: tenant.clone(), chain, root };
        chain.check_tenant()?;
        Ok(chain)
    }

    /// The name of the root to ask for next. A server that does not have it ends the chain.
    pub fn next_name(&self) -> String {
        self.chain.next_name()
    }

    /// Follows one root (§5.3.4 to §5.3.8): signed by the keys of the root before it and by its
    /// own, exactly one version higher, of the same tenant.
    ///
    /// # Errors
    /// The chain is unchanged after an error. [`Error::TooManyRoots`] past the bound of one run.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let next = self.chain.followed_by(bytes)?;
        let root = own_root(&next)?;
        self.check_same_tenant(&root)?;
        (self.chain, self.root) = (next, root);
        Ok(())
    }

    /// Whether the timestamp or snapshot keys changed on the way. The caller must then forget the
    /// timestamp and snapshot it stored (§5.3.11): whoever had the old keys may have raised their
    /// versions past anything the owner will reach.
    pub const fn reset(&self) -> bool {
        self.chain.reset()
    }

    /// Ends the chain.
    ///
    /// # Errors
    /// [`Error::Expired`] when the newest root is not valid at `now` any more.
    pub fn finish(self, now: UnixMillis) -> Result<TrustedRoot, Error> {
        Ok(TrustedRoot { tenant: self.tenant, root: self.chain.finish(now)? })
    }

    /// Where the root keys were made; [`crate::SERVER_ROOTS`] when on the server,
    /// [`crate::OFFLINE_ROOTS`] when in a ceremony.
    pub fn made_on(&self) -> &str {
        &self.root.made_on
    }

    /// A root of a ceremony has no slug: there the pinned bytes and the uid say whose it is, and later
    /// the slug of every bundle.
    fn check_tenant(&self) -> Result<(), Error> {
        match &self.root.tenant {
            Some(found) if *found != self.tenant => {
                Err(Error::WrongTenant { expected: self.tenant.clone(), found: found.clone() })
            }
            _ => Ok(()),
        }
    }

    /// A tenant is its slug and its uid: a slug that was given away again is another tenant.
    fn check_same_tenant(&self, next: &Root) -> Result<(), Error> {
        if (&self.root.tenant, self.root.uid) == (&next.tenant, next.uid) {
            return Ok(());
        }
        let found = next.tenant.clone().unwrap_or_else(|| self.tenant.clone());
        Err(Error::WrongTenant { expected: self.tenant.clone(), found })
    }
}

/// The newest root of a chain in colophon's profile.
fn own_root(chain: &tuf::RootChain) -> Result<Root, Error> {
    let root: Root = chain.profile()?;
    if root.tuf.consistent_snapshot {
        return Ok(root);
    }
    let source = flaw("`consistent_snapshot` must be true");
    Err(Error::Malformed { role: Role::Root, source })
}

/// The newest root, valid now.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    tenant: TenantSlug,
    root: tuf::TrustedRoot,
}

impl TrustedRoot {
    /// The name of the timestamp file.
    pub const TIMESTAMP: &'static str = tuf::TrustedRoot::TIMESTAMP;

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
        let timestamp = self.root.timestamp(bytes, trusted, now)?;
        timestamp.profile::<Timestamp>()?;
        Ok(TrustedTimestamp { tenant: self.tenant.clone(), timestamp })
    }
}

/// A timestamp that is valid now and not older than the one before.
#[derive(Debug)]
pub struct TrustedTimestamp {
    tenant: TenantSlug,
    timestamp: tuf::TrustedTimestamp,
}

impl TrustedTimestamp {
    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        self.timestamp.bytes()
    }

    /// The name of the snapshot file to get.
    pub fn snapshot_name(&self) -> String {
        self.timestamp.snapshot_name()
    }

    /// The signed length of that file, in bytes; never more than [`crate::limits::MAX_METADATA`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it is signed, but past the bound.
    pub fn snapshot_length(&self) -> Result<u64, Error> {
        self.timestamp.snapshot_length()
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
        let snapshot = self.timestamp.snapshot(bytes, trusted, now)?;
        snapshot.profile::<Snapshot>()?;
        Ok(TrustedSnapshot { tenant: self.tenant.clone(), snapshot })
    }
}

/// The snapshot that the timestamp named.
#[derive(Debug)]
pub struct TrustedSnapshot {
    tenant: TenantSlug,
    snapshot: tuf::TrustedSnapshot,
}

impl TrustedSnapshot {
    /// The exact bytes to store.
    pub fn bytes(&self) -> &[u8] {
        self.snapshot.bytes()
    }

    /// The name of the targets file to get.
    pub fn targets_name(&self) -> String {
        self.snapshot.targets_name()
    }

    /// The signed length of that file, in bytes; never more than [`crate::limits::MAX_METADATA`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it is signed, but past the bound.
    pub fn targets_length(&self) -> Result<u64, Error> {
        self.snapshot.targets_length()
    }

    /// Verifies the targets (§5.6), and that every bundle and environment is of the root's tenant and is
    /// what its name says.
    ///
    /// # Errors
    /// As for the other files, and [`Error::WrongTenant`] and [`Error::Misnamed`].
    pub fn targets(&self, bytes: &[u8], now: UnixMillis) -> Result<TrustedTargets, Error> {
        let targets: Targets<Value> = self.snapshot.targets(bytes, now)?.profile()?;
        let archived = targets.status.as_ref().is_some_and(Status::is_archived);
        let mut trusted = TrustedTargets {
            archived,
            bundles: BTreeMap::new(),
            envs: BTreeMap::new(),
            unknown: Vec::new(),
            bytes: bytes.to_vec(),
        };
        for (name, json) in targets.targets {
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
        let expected = &self.tenant;
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
