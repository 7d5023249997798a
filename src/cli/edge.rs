//! `colophon edge`: the tenants' edge repositories and their agents.

use clap::Subcommand;

use super::agents::Agents;
use super::out::Out;

#[derive(Debug, Subcommand)]
pub(super) enum Edge {
    /// List a tenant's agents: what they run, who is behind, who is silent
    Agents(Agents),
}

impl Edge {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Agents(agents) => agents.run(out),
        }
    }
}
