//! `colophon edge`: the tenants' edge repositories and their agents.

use clap::{Subcommand, ValueEnum};
use colophon_model::{FlowId, TenantSlug};
use colophon_store::rows::RootsOrigin;
use colophon_trust::Role;

use super::admin::{self, Access};
use super::agents::Agents;
use super::edge_env::Env;
use super::edge_policy::Policy;
use super::job::{self, Request, count, row};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::feed::status::EdgeStatus;
use crate::maintenance::{Archive, Resign, ResignReport, Rollback, RolledBack, Rotate, chosen};

#[derive(Debug, Subcommand)]
pub(super) enum Edge {
    /// List a tenant's agents: what they run, who is behind, who is silent
    Agents(Agents),
    #[command(subcommand)]
    Env(Env),
    /// Show which metadata is valid until when, where root keys were made, and what needs a ceremony
    Status {
        /// Tenants [default: all]
        tenants: Vec<TenantSlug>,
        #[command(flatten)]
        overrides: Overrides,
    },
    Policy(Policy),
    /// Sign metadata anew that would end soon; the server does it by itself
    Resign {
        /// Tenants [default: all]
        tenants: Vec<TenantSlug>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Replace the key of a role, after it was stolen or lost
    Rotate {
        /// The tenant
        tenant: TenantSlug,
        /// Whose key
        #[arg(long, value_enum)]
        role: OnlineRole,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Give agents an older bundle of a flow, under a new number
    Rollback {
        /// The tenant
        tenant: TenantSlug,
        /// The flow's id, as `colophon flow list` shows it
        flow: FlowId,
        /// The number of the bundle to go back to [default: the one before]
        #[arg(long, value_name = "SEQ")]
        to: Option<u64>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Tell agents to remove the tenant's flows; builds go on, and are published when it is restored
    Archive {
        /// The tenant
        tenant: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Give agents an archived tenant's flows again
    Restore {
        /// The tenant
        tenant: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// Roles whose keys are on the server.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OnlineRole {
    /// Signs which bundles there are
    Targets,
    /// Signs which targets file is current; timestamp gets a new key too
    Snapshot,
    /// Signs which snapshot is current
    Timestamp,
}

impl From<OnlineRole> for Role {
    fn from(role: OnlineRole) -> Self {
        match role {
            OnlineRole::Targets => Self::Targets,
            OnlineRole::Snapshot => Self::Snapshot,
            OnlineRole::Timestamp => Self::Timestamp,
        }
    }
}

impl Edge {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Agents(agents) => agents.run(out),
            Self::Env(env) => env.run(out),
            Self::Policy(policy) => policy.run(out),
            Self::Status { tenants, overrides } => {
                let all = status(&Config::load(&overrides)?, &tenants)?;
                out.data(&all, |all| all.iter().map(text).collect::<Vec<_>>().join("\n"))
            }
            Self::Resign { tenants, overrides } => {
                let request = Request::Post("/v1/maintenance/edge/resign");
                out.data(&job::run(&overrides, out, &Resign { tenants }, &request)?, resigned)
            }
            Self::Rotate { tenant, role, overrides } => {
                let (job, request) = (
                    Rotate { tenant, role: role.into() },
                    Request::Post("/v1/maintenance/edge/rotate"),
                );
                out.data(&job::run(&overrides, out, &job, &request)?, text)
            }
            Self::Rollback { tenant, flow, to, overrides } => {
                let request = Request::Post("/v1/maintenance/edge/rollback");
                let job = Rollback { tenant, flow, to };
                out.data(&job::run(&overrides, out, &job, &request)?, rolled_back)
            }
            Self::Archive { tenant, overrides } => archive(&overrides, out, tenant, true),
            Self::Restore { tenant, overrides } => archive(&overrides, out, tenant, false),
        }
    }
}

fn archive(
    overrides: &Overrides,
    out: Out,
    tenant: TenantSlug,
    archived: bool,
) -> anyhow::Result<()> {
    let request = Request::Post("/v1/maintenance/edge/archive");
    out.data(&job::run(overrides, out, &Archive { tenant, archived }, &request)?, text)
}

/// How the repositories of `tenants` stand; of all when none is named.
pub(super) fn status(config: &Config, tenants: &[TenantSlug]) -> anyhow::Result<Vec<EdgeStatus>> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            Ok(EdgeStatus::read(&view, &chosen(&view, tenants)?, press.clock.now())?)
        }
        Access::Server(client) => {
            let all: Vec<EdgeStatus> = client.get("/v1/edge")?;
            if let Some(unknown) = tenants.iter().find(|t| all.iter().all(|s| s.tenant != **t)) {
                anyhow::bail!("there is no tenant `{unknown}`");
            }
            let wanted = |s: &EdgeStatus| tenants.is_empty() || tenants.contains(&s.tenant);
            Ok(all.into_iter().filter(wanted).collect())
        }
    }
}

fn text(status: &EdgeStatus) -> String {
    let made = match status.roots {
        RootsOrigin::Server => "made on this server: whoever holds its master key can sign for it",
        RootsOrigin::Offline => "made in a ceremony",
    };
    let archived = if status.archived { "  archived: agents remove its flows" } else { "" };
    let files = [
        ("root", &status.root),
        ("targets", &status.targets),
        ("snapshot", &status.snapshot),
        ("timestamp", &status.timestamp),
    ];
    let mut lines = vec![format!("{}{archived}", status.tenant), row("root keys", made)];
    lines.extend(files.iter().map(|(role, file)| {
        let key = if file.key_generation == 0 {
            String::new()
        } else {
            format!(", key {}", file.key_generation)
        };
        row(role, format!("version {} until {}{key}", file.version, file.expires))
    }));
    lines.extend(status.warnings.iter().map(|warning| row("warning", warning)));
    lines.join("\n")
}

fn resigned(done: &ResignReport) -> String {
    let mut lines = vec![format!(
        "looked at {}: signed {}, {}, {}, {}",
        count(done.tenants, "tenant"),
        count(done.roots, "root"),
        count(done.targets, "targets file"),
        count(done.snapshots, "snapshot"),
        count(done.timestamps, "timestamp"),
    )];
    lines.extend(done.ending.iter().map(|root| {
        row("ceremony", format!("the root of {} ends at {}", root.tenant, root.expires))
    }));
    lines.extend(
        done.failed.iter().map(|one| row("failed", format!("{}: {}", one.tenant, one.reason))),
    );
    lines.join("\n")
}

fn rolled_back(done: &RolledBack) -> String {
    format!(
        "agents get the files of bundle {} of {} as number {}, commit {}",
        done.to, done.flow, done.seq, done.commit
    )
}
