//! What agents report, and who of them is behind.

use std::collections::BTreeMap;

use colophon_model::{FlowId, UnixMillis};
use colophon_store::rows::{AgentFlow, AgentFlowState, AgentRow, FlowHead, SlugOf, TenantRow};
use colophon_store::{Change, CommitError, Store, View};
use serde::{Deserialize, Serialize};

use crate::ciphertext::Recipient;

/// Devices that a tenant can have.
pub const MAX_DEVICES: usize = 5_000;
/// Flows in one report.
const MAX_FLOWS: usize = 256;
/// Characters of a name or a version, and of an error.
const MAX_WORD: usize = 100;
const MAX_ERROR: usize = 500;
/// A device that was silent for this long gives its place to a new one, in milliseconds: 30 days.
const FORGOTTEN: u64 = 30 * 24 * 60 * 60 * 1000;

/// A device's id: 32 hex digits that it drew at enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);

impl TryFrom<String> for DeviceId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(hex) {
            Ok(Self(text))
        } else {
            Err("`device` must be 32 lower-case hex digits")
        }
    }
}

impl From<DeviceId> for String {
    fn from(device: DeviceId) -> Self {
        device.0
    }
}

/// The body of a report. Members that this version does not know are skipped: agents may be newer.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Which device.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// A name for people.
    pub name: String,
    /// Version of the agent.
    pub version: String,
    /// Operating system.
    pub os: String,
    /// CPU architecture.
    pub arch: String,
    /// What it runs.
    #[schema(value_type = Vec<Object>)]
    pub flows: Vec<AgentFlow>,
    /// For whom to encrypt what only it may read.
    #[serde(default)]
    pub recipient: Option<String>,
    /// What failed last.
    #[serde(default)]
    pub error: Option<String>,
}

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is not one; every problem is named.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// There are devices enough.
    #[error("the tenant has {MAX_DEVICES} devices that reported in the last 30 days")]
    TooMany,
    /// The store cannot be read.
    #[error("the store could not be read")]
    Store(#[from] colophon_store::Error),
    /// The store has not taken it.
    #[error("the report was not kept")]
    Commit(#[source] CommitError),
}

impl Report {
    fn check(&self) -> Result<(), ReportError> {
        let mut problems = Vec::new();
        let words = [
            ("name", &self.name),
            ("version", &self.version),
            ("os", &self.os),
            ("arch", &self.arch),
        ];
        for (member, word) in words {
            if word.chars().count() > MAX_WORD || word.chars().any(char::is_control) {
                problems
                    .push(format!("`{member}` must be one line of at most {MAX_WORD} characters"));
            }
        }
        if self.flows.len() > MAX_FLOWS {
            problems.push(format!("`flows` must have at most {MAX_FLOWS} entries"));
        }
        if self.recipient.as_ref().is_some_and(|text| text.parse::<Recipient>().is_err()) {
            problems.push("`recipient` must be an age recipient, `age1…`".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(ReportError::Invalid(problems)) }
    }

    fn into_row(self, first: UnixMillis, seen: UnixMillis) -> AgentRow {
        let Self { name, version, os, arch, flows, recipient, error, .. } = self;
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let error = error.map(|text| text.chars().take(MAX_ERROR).map(printable).collect());
        AgentRow { name, version, os, arch, flows, recipient, error, first, seen }
    }
}

/// Keeps a device's report in the place of its last one. The time is the server's.
pub fn record(
    store: &Store,
    tenant: &TenantRow,
    report: Report,
    now: UnixMillis,
) -> Result<(), ReportError> {
    report.check()?;
    let view = store.view()?;
    let key = (tenant.uid, report.device.0.clone());
    let known = view.get::<AgentRow>(&key)?;
    let mut change = Change::new();
    // The tenant may be erased meanwhile, and then has no devices.
    change.expect(&tenant.uid, Some(&SlugOf { slug: tenant.slug.clone() }));
    if known.is_none()
        && let Some(silent) = make_room(&view, tenant, now)?
    {
        change.delete::<AgentRow>(&(tenant.uid, silent));
    }
    let first = known.map_or(now, |row| row.first);
    change.put(&key, &report.into_row(first, now));
    store.commit(change).map_err(ReportError::Commit)
}

/// The device that has to go for a new one, when there are too many. Two new ones at once may end up
/// one over the bound.
fn make_room(
    view: &View,
    tenant: &TenantRow,
    now: UnixMillis,
) -> Result<Option<String>, ReportError> {
    let (mut count, mut silent) = (0, None::<(UnixMillis, String)>);
    for row in view.scan::<AgentRow>(&tenant.uid) {
        let ((_, device), row) = row?;
        count += 1;
        if silent.as_ref().is_none_or(|(seen, _)| row.seen < *seen) {
            silent = Some((row.seen, device));
        }
    }
    match silent {
        Some((seen, device)) if count >= MAX_DEVICES => {
            let forgotten = now.get().saturating_sub(seen.get()) > FORGOTTEN;
            if forgotten { Ok(Some(device)) } else { Err(ReportError::TooMany) }
        }
        _ => Ok(None),
    }
}

/// A tenant's devices.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgentList {
    /// Those that reported, the one silent the longest first.
    pub agents: Vec<AgentStatus>,
}

/// How one device is.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgentStatus {
    /// Its id.
    pub device: String,
    /// A name for people.
    pub name: String,
    /// Version of the agent.
    pub version: String,
    /// Operating system.
    pub os: String,
    /// CPU architecture.
    pub arch: String,
    /// When its last report came.
    pub seen: String,
    /// How long ago that is, in seconds.
    pub silent: u64,
    /// Whether a flow of it is behind the tenant's current bundle.
    pub outdated: bool,
    /// What it runs.
    pub flows: Vec<FlowOnAgent>,
    /// For whom to encrypt what only this device is to read, as it reported; agents before age keys have
    /// none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipient: Option<String>,
    /// What failed there last.
    pub error: Option<String>,
}

/// A flow on a device, beside the tenant's current bundle.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowOnAgent {
    /// The flow.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// The number of its bundle there.
    pub seq: u64,
    /// The number of the current bundle; none when the flow has none any more.
    pub current: Option<u64>,
    /// Whether it is there to stay.
    #[schema(value_type = String)]
    pub state: AgentFlowState,
    /// Since when, by the device's clock.
    pub since: String,
}

/// Every device of a tenant.
pub fn list(
    view: &View,
    tenant: &TenantRow,
    now: UnixMillis,
) -> Result<AgentList, colophon_store::Error> {
    let mut current = BTreeMap::new();
    for row in view.scan::<FlowHead>(&tenant.uid) {
        let ((_, flow), head) = row?;
        if head.edge.is_some() {
            current.insert(flow, head.edge_seq);
        }
    }
    let rows = view.scan::<AgentRow>(&tenant.uid).collect::<Result<Vec<_>, _>>()?;
    let mut agents: Vec<AgentStatus> =
        rows.into_iter().map(|((_, device), row)| status(device, row, &current, now)).collect();
    agents.sort_by_key(|agent| std::cmp::Reverse(agent.silent));
    Ok(AgentList { agents })
}

fn status(
    device: String,
    row: AgentRow,
    current: &BTreeMap<FlowId, u64>,
    now: UnixMillis,
) -> AgentStatus {
    let flow = |flow: AgentFlow| FlowOnAgent {
        seq: flow.seq,
        current: current.get(&flow.flow).copied(),
        state: flow.state,
        since: flow.since.rfc3339_seconds(),
        flow: flow.flow,
    };
    let flows: Vec<FlowOnAgent> = row.flows.into_iter().map(flow).collect();
    AgentStatus {
        device,
        outdated: flows.iter().any(|flow| flow.current.is_some_and(|current| current > flow.seq)),
        name: row.name,
        version: row.version,
        os: row.os,
        arch: row.arch,
        seen: row.seen.rfc3339_seconds(),
        silent: now.get().saturating_sub(row.seen.get()) / 1000,
        flows,
        recipient: row.recipient,
        error: row.error,
    }
}
