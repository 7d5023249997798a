//! The page of a tenant's edge agents.

use colophon_model::UnixMillis;
use colophon_store::rows::{AgentFlowState, TenantRow};
use colophon_store::{Error, View};
use serde::Serialize;

use super::words::{Badge, ago};
use crate::agents::{AgentStatus, FlowOnAgent, list};
use crate::feed;

/// Devices of the page: those that are silent the longest.
const MOST: usize = 500;
/// Silent for so long is worth a look, in seconds: a day.
const SILENT: u64 = 24 * 60 * 60;

/// The page.
#[derive(Debug, Serialize)]
pub struct AgentsPage {
    agents: Vec<Line>,
    /// Devices that are not shown.
    more: usize,
}

#[derive(Debug, Serialize)]
struct Line {
    device: String,
    name: String,
    state: Badge,
    version: String,
    system: String,
    seen: String,
    ago: String,
    flows: Vec<Running>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Running {
    flow: String,
    version: String,
    state: Badge,
}

/// The devices of `tenant`, the one silent the longest first.
///
/// # Errors
/// When the store cannot be read.
pub fn page(view: &View, tenant: &TenantRow, now: UnixMillis) -> Result<AgentsPage, Error> {
    let all = list(view, tenant, now)?.agents;
    let more = all.len().saturating_sub(MOST);
    Ok(AgentsPage { agents: all.into_iter().take(MOST).map(line).collect(), more })
}

fn line(agent: AgentStatus) -> Line {
    let state = match (&agent.error, agent.silent > SILENT, agent.outdated) {
        (Some(_), ..) => Badge::bad("error"),
        (None, true, _) => Badge::warn("silent"),
        (None, false, true) => Badge::warn("behind"),
        (None, false, false) => Badge::good("up to date"),
    };
    Line {
        device: agent.device,
        name: agent.name,
        state,
        version: agent.version,
        system: format!("{} {}", agent.os, agent.arch),
        seen: agent.seen,
        ago: ago(agent.silent),
        flows: agent.flows.iter().map(flow).collect(),
        error: agent.error,
    }
}

fn flow(flow: &FlowOnAgent) -> Running {
    let behind = flow.current.is_some_and(|current| current > flow.seq);
    let state = match flow.state {
        AgentFlowState::RolledBack => Badge::bad("rolled back"),
        AgentFlowState::Pending => Badge::warn("on trial"),
        AgentFlowState::Active if behind => Badge::warn("behind"),
        AgentFlowState::Active => Badge::good("current"),
    };
    Running { flow: flow.flow.to_string(), version: feed::version(flow.seq), state }
}
