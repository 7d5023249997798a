//! What edge agents fetch by name.

use std::collections::BTreeMap;

use colophon_model::{Digest, Sha256, TenantUid};
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
