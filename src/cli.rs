//! The command line.

mod admin;
mod agents;
mod audit;
mod backup;
mod build;
mod builds;
mod check_config;
#[cfg(unix)]
mod checkout;
mod delivery;
mod demo;
mod doctor;
mod edge;
mod edge_env;
mod edge_policy;
mod endpoint;
mod explain;
mod export;
mod flow;
mod fsck;
mod gc;
mod git;
mod hook;
mod import;
mod job;
mod keys;
mod mirror;
mod out;
mod purge;
mod rebuild;
mod render;
mod sandbox;
mod serve;
mod tenant;
mod token;
mod webhook;

use clap::{Parser, Subcommand};

pub use out::ReaderGone;

use crate::config::Overrides;

/// Prints the flows that people draw: a content-addressed build store with a Git facade
#[derive(Debug, Parser)]
#[command(name = "colophon", version, max_term_width = 100)]
pub struct Cli {
    /// Print data as JSON, one value per line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve webhooks, Git clients and edge agents
    Serve(Overrides),
    /// Show everything once, on a fresh data directory
    Demo(demo::Demo),
    /// Build one flow from a file against the data directory, without a server
    Build(build::Build),
    /// List builds, show one, compare two
    #[command(subcommand)]
    Builds(builds::Builds),
    /// Print what a flow compiles to, and store nothing
    Render(render::Render),
    /// Compile flows again that stand, after templates or the program changed
    ///
    /// Reads every flow as it was received, compiles it with today's templates, and commits what
    /// differs: one commit for each tenant, free of quota. To make a tenant's Git objects anew from
    /// the builds that there are, without compiling anything, see `colophon git rebuild`.
    Rebuild(rebuild::Rebuild),
    /// List and delete flows, show their history, and go back to earlier builds
    #[command(subcommand)]
    Flow(flow::Flow),
    /// Manage tenants
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Manage access tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Show what was delivered and what became of it, and run it again
    #[command(subcommand)]
    Delivery(delivery::Delivery),
    /// Have builds told to URLs by signed webhooks, and see what became of it
    #[command(subcommand)]
    Endpoint(endpoint::Endpoint),
    /// Manage addresses for senders that cannot set a tenant header
    #[command(subcommand)]
    Hook(hook::Hook),
    /// Manage the secrets that builders sign deliveries with
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Sign, roll back, archive and show the repositories that edge agents update from, and the agents
    #[command(subcommand)]
    Edge(edge::Edge),
    /// Make root keys away from the server, and use them
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Push tenants' branches to upstream repositories
    #[command(subcommand)]
    Mirror(mirror::Mirror),
    /// Put a tenant's branch into a folder, and keep it there whole
    ///
    /// Readers enter DIR/current: a link to one version, replaced by one rename. Every file is checked by
    /// its Git object id. The token, of kind `git`, is read from COLOPHON_CHECKOUT_TOKEN unless an option
    /// says where it is. Exit codes: 1 disk, 2 usage, 3 network, 4 no such version or tenant, 5 token
    /// refused or tenant suspended, 6 verification, 7 stale (--status), 12 locked, 13 command failed, 14
    /// disk full.
    #[cfg(unix)]
    Checkout(Box<checkout::Checkout>),
    /// Show, check and export the log of what was done
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Delete blobs that nothing names, and give their space back
    Gc(gc::Gc),
    /// Say why a blob is kept
    Explain(explain::Explain),
    /// Check the store, and repair it if asked to
    Fsck(fsck::Fsck),
    /// Delete expired build tags and bundles
    Purge(purge::Purge),
    /// Copy the data directory while it is in use
    Backup(backup::Backup),
    /// Make a data directory from a backup
    Restore(backup::Restore),
    /// Export what tenants built for their auditors, to S3 or a folder, and check it
    ///
    /// Each run adds one bag (BagIt) with what is new: flows, outputs, records, attestations, bills of
    /// materials, Git history and audit log, signed and chained to the bag before. Nothing is
    /// written over. VERIFY-….md beside the bags says how to check all of it with stock tools.
    Export(export::Export),
    /// Make tenants again from an export, in a store that does not have them
    ///
    /// The export is checked first, all of it; then its records, files, Git history and audit log are written, with
    /// the same ids, and the tenant appears in one transaction at the end. An import that was cut goes on when it is
    /// run again. What an export does not hold is listed at the end, with the commands that make it anew.
    Import(Box<import::Import>),
    /// Make a tenant's repository anew, or take it along
    #[command(subcommand)]
    Git(git::Git),
    /// Read the configuration, say what holds, and stop
    CheckConfig(check_config::CheckConfig),
    /// Look at everything that a server needs, and say what is wrong and what helps
    Doctor(Overrides),
    /// Started by the server: keeps a gate's tool
    #[command(name = crate::gates::sandbox::KEEPER, hide = true)]
    Keeper(sandbox::Keeper),
    /// Started by the keeper: becomes a gate's tool
    #[command(name = crate::gates::sandbox::STARTER, hide = true)]
    Starter(sandbox::Starter),
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let out = out::Out::new(self.json);
        match self.command {
            Command::Serve(overrides) => serve::run(&overrides, out),
            Command::Demo(demo) => demo.run(out),
            Command::Build(build) => build.run(out),
            Command::Builds(builds) => builds.run(out),
            Command::Render(render) => render.run(out),
            Command::Rebuild(rebuild) => rebuild.run(out),
            Command::Flow(flow) => flow.run(out),
            Command::Tenant(tenant) => tenant.run(out),
            Command::Token(token) => token.run(out),
            Command::Delivery(delivery) => delivery.run(out),
            Command::Endpoint(endpoint) => endpoint.run(out),
            Command::Hook(hook) => hook.run(out),
            Command::Webhook(webhook) => webhook.run(out),
            Command::Edge(edge) => edge.run(out),
            Command::Keys(keys) => keys.run(out),
            Command::Mirror(mirror) => mirror.run(out),
            #[cfg(unix)]
            Command::Checkout(checkout) => checkout.run(out),
            Command::Audit(audit) => audit.run(out),
            Command::Gc(gc) => gc.run(out),
            Command::Explain(explain) => explain.run(out),
            Command::Fsck(fsck) => fsck.run(out),
            Command::Purge(purge) => purge.run(out),
            Command::Backup(backup) => backup.run(out),
            Command::Restore(restore) => restore.run(out),
            Command::Export(export) => export.run(out),
            Command::Import(import) => import.run(out),
            Command::Git(git) => git.run(out),
            Command::CheckConfig(check) => check.run(out),
            Command::Doctor(overrides) => doctor::run(&overrides, out),
            Command::Keeper(keeper) => keeper.run(),
            Command::Starter(starter) => starter.run(),
        }
    }
}

/// The exit code of a failure: 1, unless the command has others.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    #[cfg(unix)]
    if let Some(code) = checkout::exit_code(error) {
        return code;
    }
    let _ = error;
    1
}

/// What to do about a failure, where there is more to say than the failure itself.
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    #[cfg(unix)]
    if let Some(hint) = checkout::hint(error) {
        return Some(hint);
    }
    let _ = error;
    None
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
