//! What is recorded of how a build went.

use colophon_model::{BuildRecord, Digest, GateResult, GateStatus, SandboxReport};
use serde::{Deserialize, Serialize};

use super::BuildSummary;

/// How a build went: what its record says.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BuildLog {
    /// As in a list.
    #[serde(flatten)]
    pub build: BuildSummary,
    /// When the request was received.
    pub received: String,
    /// BLAKE3 of the flow as it was received.
    #[schema(value_type = String)]
    pub body: Digest,
    /// Digest of the templates.
    #[schema(value_type = String)]
    pub templates: Digest,
    /// Version of the compiler.
    pub compiler: String,
    /// Which gates ran, in their order, and what they said.
    pub gates: Vec<GateLog>,
}

/// A gate and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GateLog {
    /// The gate's name.
    pub name: String,
    /// `passed`, `failed` or `skipped`.
    #[schema(value_type = String)]
    pub status: GateStatus,
    /// How long it took, in milliseconds. Left out for gates that are part of rendering.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub millis: Option<f64>,
    /// How it was confined. Left out where nothing of a flow runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub sandbox: Option<SandboxReport>,
    /// Its own words, at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub words: Option<String>,
}

impl BuildLog {
    /// What `record` says.
    pub fn new(record: &BuildRecord) -> Self {
        Self {
            build: BuildSummary::new(record),
            received: record.received.rfc3339(),
            body: record.body,
            templates: record.templates,
            compiler: record.compiler.clone(),
            gates: record.gates.iter().map(GateLog::new).collect(),
        }
    }
}

impl GateLog {
    fn new(gate: &GateResult) -> Self {
        let GateResult { name, status, micros, sandbox, words } = gate.clone();
        // Microseconds of a gate fit: it is cut after minutes.
        let millis = micros.map(|micros| micros.min(u64::from(u32::MAX)) as u32);
        let millis = millis.map(|micros| f64::from(micros) / 1e3);
        Self { name, status, millis, sandbox, words }
    }
}
