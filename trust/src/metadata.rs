//! Metadata in colophon's profile of TUF: what this program writes, and what its agents ask for beyond
//! a valid repository. Snapshots are consistent, lengths and SHA-256 always present, and the root says
//! whose repository it is.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_model::{Sha256, TenantSlug, TenantUid};
use serde::{Deserialize, Serialize};

use crate::Role;
use crate::tuf::{self, Body};

/// The keys of every role, and whose repository this is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Root {
    #[serde(flatten)]
    pub(crate) tuf: tuf::Root,
    #[serde(rename = "x-colophon-roots")]
    pub(crate) made_on: String,
    /// None in a root that was made before the tenant had a name.
    #[serde(rename = "x-colophon-tenant", skip_serializing_if = "Option::is_none", default)]
    pub(crate) tenant: Option<TenantSlug>,
    #[serde(rename = "x-colophon-uid")]
    pub(crate) uid: TenantUid,
}

impl Body for Root {
    const ROLE: Role = Role::Root;
}

impl AsRef<tuf::Root> for Root {
    fn as_ref(&self) -> &tuf::Root {
        &self.tuf
    }
}

/// The current targets file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
}

impl Body for Snapshot {
    const ROLE: Role = Role::Snapshot;
}

/// The one file that a snapshot of this profile lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotMeta {
    #[serde(rename = "targets.json")]
    pub(crate) targets: MetaFile,
}

/// The current snapshot file, always with length and SHA-256.
pub(crate) type Timestamp = tuf::Timestamp<MetaFile>;

/// The bundles, by name. They are read as untyped entries, so that one of a kind that an older agent
/// does not know leaves the others readable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Targets<E> {
    pub(crate) targets: BTreeMap<String, E>,
    /// What holds for the whole tenant, if it is not in use as usual.
    #[serde(rename = "x-colophon-status", skip_serializing_if = "Option::is_none", default)]
    pub(crate) status: Option<Status>,
}

/// A word about the tenant. Those that this program does not know are for newer agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Status(String);

impl Status {
    const ARCHIVED: &str = "archived";

    /// Agents take the tenant's flows away.
    pub(crate) fn archived() -> Self {
        Self(Self::ARCHIVED.to_owned())
    }

    pub(crate) fn is_archived(&self) -> bool {
        self.0 == Self::ARCHIVED
    }
}

impl<E: Serialize + for<'de> Deserialize<'de>> Body for Targets<E> {
    const ROLE: Role = Role::Targets;
}

/// What one file says about the next: version, length in bytes and hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MetaFile {
    pub(crate) version: NonZeroU64,
    pub(crate) length: u64,
    pub(crate) hashes: Hashes,
}

/// The hashes of a file. Only SHA-256: python-tuf refuses algorithms that it does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hashes {
    pub(crate) sha256: Sha256,
}
