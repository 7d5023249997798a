//! `colophon edge agents`.

use std::time::Duration;

use clap::Args;
use colophon_model::TenantSlug;
use colophon_store::rows::AgentFlowState;

use super::admin::{self, Access};
use super::out::Out;
use crate::agents::{self, AgentList, AgentStatus, FlowOnAgent};
use crate::config::{Config, Overrides};
use crate::tenants;

/// List a tenant's agents: what they run, who is behind, who is silent
#[derive(Debug, Args)]
pub(super) struct Agents {
    /// The tenant
    tenant: TenantSlug,
    /// Only those that were silent for longer, such as `1d`
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    stale: Option<Duration>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Agents {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let mut list = list(&Config::load(&self.overrides)?, &self.tenant)?;
        if let Some(stale) = self.stale {
            list.agents.retain(|agent| agent.silent > stale.as_secs());
        }
        out.data(&list, text)
    }
}

pub(super) fn list(config: &Config, slug: &TenantSlug) -> anyhow::Result<AgentList> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let tenant = tenants::find(&view, slug)?;
            Ok(agents::list(&view, &tenant, press.clock.now())?)
        }
        Access::Server(client) => client.get(&format!("/v1/t/{slug}/edge/agents")),
    }
}

fn text(list: &AgentList) -> String {
    if list.agents.is_empty() {
        return "no agent has reported".to_owned();
    }
    list.agents.iter().map(agent).collect::<Vec<_>>().join("\n")
}

fn agent(agent: &AgentStatus) -> String {
    let AgentStatus { device, name, version, os, arch, seen, .. } = agent;
    let silent = humantime::format_duration(Duration::from_secs(agent.silent));
    let mut lines =
        vec![format!("{name} ({device}) {version} {os}/{arch}, seen {seen}, {silent} ago")];
    lines.extend(agent.flows.iter().map(|one| format!("  {}", flow(one))));
    lines.extend(agent.recipient.as_ref().map(|recipient| format!("  recipient {recipient}")));
    lines.extend(agent.error.as_ref().map(|error| format!("  failed: {error}")));
    lines.join("\n")
}

fn flow(flow: &FlowOnAgent) -> String {
    let state = match flow.state {
        AgentFlowState::Active => "active",
        AgentFlowState::Pending => "on trial",
        AgentFlowState::RolledBack => "rolled back",
    };
    let behind = match flow.current {
        None => "; the flow has no bundle any more".to_owned(),
        Some(current) if current > flow.seq => format!("; {} behind", current - flow.seq),
        Some(_) => String::new(),
    };
    format!("{} {} {state} since {}{behind}", flow.flow, flow.seq, flow.since)
}
