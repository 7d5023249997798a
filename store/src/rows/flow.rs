//! Flows and their builds.

use colophon_model::{
    BuildId, BuildKey, BuildRecord, Digest, EdgeManifest, EdgeOutput, FlowId, FlowManifest,
    FlowSource, NativeFlowId, Sha256, TenantUid, UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::json_row;
use crate::row::mark_row;
use crate::{InvalidRow, Row, Table};

/// The current build of a flow: what decides a no-op, and what the tenant's manifest shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowHead {
    /// The build.
    pub build: BuildId,
    /// Identity of its outputs.
    pub key: BuildKey,
    /// Digest of its plan.
    pub plan: Digest,
    /// The JSON as received, a blob.
    pub body: Digest,
    /// The highest revision built so far, when any had one. It never falls.
    pub revision: Option<u64>,
    /// The flow's entry in the tenant's manifest.
    pub manifest: FlowManifest,
    /// Its bundle, when it has an edge part.
    pub edge: Option<EdgeHead>,
    /// The highest number of a bundle so far; it stays when the edge part goes, since agents never
    /// go back.
    pub edge_seq: u64,
    /// The lowest number of a bundle that agents may still activate, once one was set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min_seq: Option<u64>,
    /// The encrypted environment of its edge part, once one was set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub env: Option<EnvHead>,
    /// How often an environment was set; it stays when the environment is removed, since agents never go
    /// back.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub env_seq: u64,
    /// The latest time that a delivery of it was signed at, or received at when it was not signed, or
    /// that somebody went back at. It never falls. `None` in a head of before this was kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ordered: Option<UnixMillis>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A flow's encrypted environment. Nothing here is known of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvHead {
    /// The ciphertext, a blob of the tenant.
    pub digest: Digest,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size, in bytes.
    pub length: u64,
    /// How many devices can decrypt it.
    pub recipients: u32,
    /// When it was set.
    pub set: UnixMillis,
}

/// A flow's current bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeHead {
    /// Size, hashes and number of the zip.
    pub output: EdgeOutput,
    /// The manifest inside it.
    pub manifest: EdgeManifest,
}

json_row!(FlowHead, FlowHead, (TenantUid, FlowId));

/// What remains of a flow that was deleted, until it comes back: its order and the numbers of its
/// bundles go on from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowGone {
    /// The build that deleted it.
    pub build: BuildId,
    /// The highest revision built before, when any had one.
    pub revision: Option<u64>,
    /// The highest number of a bundle before.
    pub edge_seq: u64,
    /// How often an environment had been set.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub env_seq: u64,
    /// When it was deleted, or the flow's latest delivery if that was later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ordered: Option<UnixMillis>,
}

json_row!(FlowGone, FlowGone, (TenantUid, FlowId));

/// The flow id that a builder's flow has claimed. Never given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowClaim {
    /// The claimed id.
    pub flow: FlowId,
}

json_row!(FlowClaim, FlowClaim, (TenantUid, FlowSource, NativeFlowId));

/// Who has claimed a flow id: the inverse of [`FlowClaim`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowOwner {
    /// The builder.
    pub source: FlowSource,
    /// The flow's id there.
    pub native: NativeFlowId,
}

json_row!(FlowOwner, FlowOwner, (TenantUid, FlowId));

/// Marks that a plan (its digest is in the key) was built for a flow before. The value is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenPlan;

mark_row!(SeenPlan, SeenPlan, (TenantUid, FlowId, Digest));

json_row!(BuildRecord, Build, (TenantUid, BuildId));

/// The id of the build with a number, from 1. The value is the id's 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildNumber {
    /// The id.
    pub build: BuildId,
}

impl Row for BuildNumber {
    const TABLE: Table = Table::BuildNumber;
    type Key = (TenantUid, u64);

    fn encode(&self) -> Vec<u8> {
        self.build.as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
        let build = bytes.try_into().map(BuildId::from_bytes);
        Ok(Self { build: build.map_err(|_| InvalidRow::Binary("build id"))? })
    }
}
