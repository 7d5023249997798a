//! What edge agents fetch by name.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_model::{Digest, Sha256, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;
use crate::row::mark_row;

/// A file of the tenant's TUF repository, by its name there, such as `3.targets.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TufFile {
    /// The file, a blob of the tenant.
    pub digest: Digest,
}

json_row!(TufFile, TufFile, (TenantUid, String));

/// A bundle by its SHA-256, the checksum that agents know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleAlias {
    /// The list of its files, a blob of the tenant: the zip is made from it when it is asked for.
    pub tree: Digest,
    /// The renderer that makes the zip.
    pub render: String,
    /// Size of the zip, in bytes.
    pub length: u64,
    /// Its file name.
    pub name: String,
    /// What was written about it when it was made, each a blob of the tenant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub documents: BTreeMap<Document, Digest>,
}

/// What is written about a bundle and served beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Document {
    /// Who made it from what: a signed in-toto statement.
    Provenance,
    /// A signature that minisign verifies.
    Minisig,
    /// What it is made of: a CycloneDX bill of materials.
    Sbom,
}

json_row!(BundleAlias, BundleAlias, (TenantUid, Sha256));

/// Marks that a tree (its digest is in the key) is the list of files of a bundle of the tenant, current
/// or not: an agent may have its files. The value is empty. The record of the build that made it
/// names the tree and keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleTree;

mark_row!(BundleTree, BundleTree, (TenantUid, Digest));

/// What of a tenant's TUF repository was signed when. It is part of the tenant's head, so that nobody
/// has to read metadata to know what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeRepo {
    /// The newest root.
    pub root: SignedFile,
    /// The current targets file.
    pub targets: SignedFile,
    /// The current snapshot.
    pub snapshot: SignedFile,
    /// The current timestamp.
    pub timestamp: SignedFile,
    /// Whether the tenant is archived: its targets file says so, and lists no bundle.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub archived: bool,
}

/// One metadata file, by what must be known to sign the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedFile {
    /// Its version.
    pub version: NonZeroU64,
    /// When it was signed.
    pub signed: UnixMillis,
    /// When it ends.
    pub expires: UnixMillis,
    /// How often the key of its role was replaced; always 0 for root.
    #[serde(skip_serializing_if = "is_first", default)]
    pub generation: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_first(generation: &u32) -> bool {
    *generation == 0
}

impl SignedFile {
    /// A file of generation 0 that is valid for `lifetime` milliseconds.
    pub const fn new(version: NonZeroU64, signed: UnixMillis, lifetime: u64) -> Self {
        Self { version, signed, expires: signed.plus(lifetime), generation: 0 }
    }

    /// Whether less than half of its life is left.
    pub const fn is_half_over(&self, now: UnixMillis) -> bool {
        let life = self.expires.get().saturating_sub(self.signed.get());
        now.get() >= self.signed.get().saturating_add(life / 2)
    }
}

/// A root from a ceremony, by the uid of the tenant that takes it. The row stays when a tenant has
/// taken it, so that no second tenant gets the uid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolRoot {
    /// When it was imported.
    pub imported: UnixMillis,
    /// When it ends.
    pub expires: UnixMillis,
    /// Its exact text; none once a tenant has taken it.
    pub root: Option<String>,
}

json_row!(PoolRoot, PoolRoot, TenantUid);
