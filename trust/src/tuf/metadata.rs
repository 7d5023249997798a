//! The four metadata files (specification §4), as much of them as verification needs. Fields that
//! are not named here are covered by the signatures and otherwise left alone.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::delegation::Delegations;
use super::{Expires, Hashes, Key, KeyId, Role, RoleKeys};
use crate::Error;

/// The version of the TUF specification that the files declare.
pub(crate) const SPEC_VERSION: &str = "1.0.31";

/// What all four files have in common, around what each has of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Signed<T> {
    #[serde(rename = "_type")]
    pub(crate) role: Role,
    pub(crate) spec_version: String,
    pub(crate) version: NonZeroU64,
    pub(crate) expires: Expires,
    #[serde(flatten)]
    pub(crate) body: T,
}

/// Ties the contents of a file to its role, so that one cannot be read as another.
pub(crate) trait Body: Serialize + for<'de> Deserialize<'de> {
    const ROLE: Role;
}

/// The keys of every role (§4.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Whether the names of all files but the timestamp say which version they hold (§6.2).
    #[serde(default)]
    pub(crate) consistent_snapshot: bool,
    pub(crate) keys: BTreeMap<KeyId, Key>,
    pub(crate) roles: Grants,
}

impl Body for Root {
    const ROLE: Role = Role::Root;
}

impl AsRef<Self> for Root {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Which keys sign for each role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grants {
    pub(crate) root: RoleKeys,
    pub(crate) targets: RoleKeys,
    pub(crate) snapshot: RoleKeys,
    pub(crate) timestamp: RoleKeys,
}

impl Grants {
    pub(crate) fn of(&self, role: Role) -> &RoleKeys {
        match role {
            Role::Root => &self.root,
            Role::Targets => &self.targets,
            Role::Snapshot => &self.snapshot,
            Role::Timestamp => &self.timestamp,
        }
    }
}

/// The current snapshot file (§4.6), described as a repository describes files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timestamp<M = MetaFile> {
    pub(crate) meta: TimestampMeta<M>,
}

impl<M: Serialize + for<'de> Deserialize<'de>> Body for Timestamp<M> {
    const ROLE: Role = Role::Timestamp;
}

/// The one file that a timestamp lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TimestampMeta<M> {
    #[serde(rename = "snapshot.json")]
    pub(crate) snapshot: M,
}

/// The current file of every role that lists targets, by unversioned name (§4.4).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) meta: BTreeMap<String, MetaFile>,
}

impl Body for Snapshot {
    const ROLE: Role = Role::Snapshot;
}

impl Snapshot {
    /// What is listed about the file of `role`.
    pub(crate) fn of(&self, role: &str) -> Result<&MetaFile, Error> {
        let unlisted = || Error::Unlisted { name: role.to_owned() };
        self.meta.get(&format!("{role}.json")).ok_or_else(unlisted)
    }
}

/// The targets of one role, and whom it trusts with more (§4.5). They are read as untyped entries,
/// so that one that nobody asks for leaves the others readable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Targets {
    pub(crate) targets: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delegations: Option<Delegations>,
}

impl Body for Targets {
    const ROLE: Role = Role::Targets;
}

/// What one file says about the next: its version, and what else the repository likes to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MetaFile {
    pub(crate) version: NonZeroU64,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hashes: Option<Hashes>,
}

impl MetaFile {
    /// Whether `bytes` have the announced length and hashes.
    pub(crate) fn announces(&self, bytes: &[u8]) -> bool {
        self.length.is_none_or(|length| length == bytes.len() as u64)
            && self.hashes.as_ref().is_none_or(|hashes| hashes.match_all(bytes))
    }

    /// The most bytes of the file that are worth reading.
    pub(crate) fn limit(&self, role: Role) -> Result<u64, Error> {
        let limit = role.max_bytes();
        match self.length {
            Some(length) if length > limit => Err(Error::TooLarge { role, limit }),
            length => Ok(length.unwrap_or(limit)),
        }
    }
}
