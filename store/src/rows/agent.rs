//! What a tenant's agents said last.

use colophon_model::{Digest, FlowId, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;

/// One device's last report. The key's text is the device's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRow {
    /// A name for people, such as the machine's.
    pub name: String,
    /// Version of the agent.
    pub version: String,
    /// Operating system.
    pub os: String,
    /// CPU architecture.
    pub arch: String,
    /// What it runs.
    pub flows: Vec<AgentFlow>,
    /// For whom secrets are encrypted that only this device is to read: its age recipient.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipient: Option<String>,
    /// What failed last, if that was the last thing that it did.
    pub error: Option<String>,
    /// When the first report came, by the server's clock.
    pub first: UnixMillis,
    /// When the last one came.
    pub seen: UnixMillis,
}

json_row!(AgentRow, Agent, (TenantUid, String));

/// A flow on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFlow {
    /// The flow.
    pub flow: FlowId,
    /// The number of its bundle.
    pub seq: u64,
    /// The digest of its files.
    pub tree: Digest,
    /// Whether it is there to stay.
    pub state: AgentFlowState,
    /// Since when, by the device's clock.
    pub since: UnixMillis,
}

/// How a flow is active on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentFlowState {
    /// Committed.
    Active,
    /// On trial.
    Pending,
    /// A newer bundle failed there, and this one came back.
    RolledBack,
}
