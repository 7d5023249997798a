//! The two forms of this program that start a gate's tool in its sandbox. Not for people.

use clap::Args;

use crate::gates::sandbox;

/// The keeper: waits for a tool, and ends it in time.
#[derive(Debug, Args)]
pub(super) struct Keeper {
    /// What to start, as JSON
    policy: String,
}

/// The starter: becomes the tool.
#[derive(Debug, Args)]
pub(super) struct Starter {
    /// Whether the keeper has entered new namespaces: 0 or 1
    namespaces: u8,
    /// What to start, as JSON
    policy: String,
}

impl Keeper {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        std::process::exit(sandbox::keep(&self.policy))
    }
}

impl Starter {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        std::process::exit(sandbox::start(self.namespaces == 1, &self.policy))
    }
}
