//! The command line.

mod admin;
mod build;
mod check_config;
mod demo;
mod out;
mod serve;
mod tenant;
mod token;

use clap::{Parser, Subcommand};

use crate::config::Overrides;

/// Prints the flows that people draw: a content-addressed build store with a Git facade
#[derive(Debug, Parser)]
#[command(name = "colophon", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    overrides: Overrides,
    /// Print data as JSON, one value per line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve webhooks, Git clients and edge agents
    Serve,
    /// Show everything once, on a fresh data directory
    Demo(demo::Demo),
    /// Build one flow from a file against the data directory, without a server
    Build(build::Build),
    /// Manage tenants
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Manage access tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Read the configuration, say what holds, and stop
    CheckConfig,
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let out = out::Out::new(self.json);
        match self.command {
            Command::Serve => serve::run(&self.overrides, out),
            Command::Demo(demo) => demo.run(out),
            Command::Build(build) => build.run(&self.overrides, out),
            Command::Tenant(tenant) => tenant.run(&self.overrides, out),
            Command::Token(token) => token.run(&self.overrides, out),
            Command::CheckConfig => check_config::run(&self.overrides, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
