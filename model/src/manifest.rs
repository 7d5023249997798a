//! Manifests: what a tenant's branch says of its flows, and what an edge bundle says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ArtifactPath, BuildId, BuildKey, Digest, EdgeRuntime, FlowId, FlowSource, Sha256, TenantSlug,
};

/// `manifest.json` at the root of a tenant's branch: every flow's current outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantManifest {
    /// Version of this format: 1.
    pub schema: u32,
    /// Whose branch.
    pub tenant: TenantSlug,
    /// The flows, by id.
    pub flows: BTreeMap<FlowId, FlowManifest>,
}

impl TenantManifest {
    /// The manifest of `tenant` with these flows.
    pub const fn new(tenant: TenantSlug, flows: BTreeMap<FlowId, FlowManifest>) -> Self {
        Self { schema: 1, tenant, flows }
    }
}

/// One flow's current outputs. Holds no host name and no expiring url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowManifest {
    /// The flow's display name.
    pub name: String,
    /// The builder it was drawn in.
    pub source: FlowSource,
    /// Its revision there, when it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// The build that made these outputs.
    pub build: BuildId,
    /// The key of that build.
    pub key: BuildKey,
    /// Files of the branch that belong to the flow, sorted. Runtime files and component sources
    /// may belong to several flows.
    pub files: Vec<ArtifactPath>,
    /// The edge bundle, for a flow that has an edge part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edge: Option<EdgePointer>,
}

/// Where the current edge bundle of a flow is and what it must hash to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgePointer {
    /// Language of the scripts.
    pub runtime: EdgeRuntime,
    /// Version, `1.0.<seq>`; rises when the bundle changes and at no other time.
    pub version: String,
    /// The number in the version.
    pub seq: u64,
    /// Digest of the bundle's tree.
    pub tree: Digest,
    /// SHA-256 of the zip.
    pub sha256: Sha256,
    /// Size of the zip, in bytes.
    pub length: u64,
    /// The zip's name in the tenant's TUF repository.
    pub target: String,
    /// Path of the zip below the tenant's URL (`/v1/t/<slug>/`).
    pub url: String,
}

/// `manifest.json` inside an edge bundle. It has no version, hash or url, so an unchanged tree is an
/// unchanged bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeManifest {
    /// Version of this format: 1.
    pub schema: u32,
    /// Whose bundle.
    pub slug: TenantSlug,
    /// Of which flow.
    pub flow: FlowId,
    /// Language of the scripts.
    pub runtime: EdgeRuntime,
    /// CPU architectures it runs on, in Rust's spelling (`x86_64`, `aarch64`).
    pub cpu_arch: Vec<String>,
    /// Operating systems it runs on, in Rust's spelling (`linux`, `windows`, `macos`).
    pub os: Vec<String>,
    /// Python requirements with exact versions, `name==version`.
    pub requirements: Vec<String>,
    /// Wheels that are unpacked in the bundle, below `vendor/`: SHA-256 by requirement. Left out when
    /// there is none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub wheels: BTreeMap<String, Sha256>,
    /// Names of the environment variables it needs, each a reference to a credential.
    pub env: BTreeMap<String, String>,
    /// Script of each segment, by the segment's name.
    pub entrypoints: BTreeMap<String, ArtifactPath>,
}
