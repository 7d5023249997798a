//! `colophon flow list`, `delete` and `rollback`.

use clap::Subcommand;
use colophon_model::{BuildId, FlowId, TenantSlug};

use super::admin::{self, Access};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::flows::{Deleted, FlowList, FlowView, GoBack, Reverted};
use crate::tenants;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Flow {
    /// List a tenant's flows
    List {
        /// The tenant
        slug: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Delete a flow: its files leave the branch and its bundle the edge repository; history stays
    Delete {
        /// The tenant
        slug: TenantSlug,
        /// The flow's id, as `colophon flow list` shows it
        flow: FlowId,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Go back to an earlier build of a flow: a new build and commit with its very outputs
    Rollback {
        /// The tenant
        slug: TenantSlug,
        /// The flow's id, as `colophon flow list` shows it
        flow: FlowId,
        /// The build [default: the newest one that is not like the current]
        #[arg(long, value_name = "BUILD")]
        to: Option<BuildId>,
        #[command(flatten)]
        overrides: Overrides,
    },
}

impl Flow {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::List { slug, overrides } => {
                out.data(&list(&Config::load(&overrides)?, &slug)?, listed)
            }
            Self::Delete { slug, flow, overrides } => out
                .data(&delete(&Config::load(&overrides)?, &slug, &flow)?, |deleted| {
                    format!("deleted {} at commit {}", deleted.flow, deleted.commit)
                }),
            Self::Rollback { slug, flow, to, overrides } => {
                out.data(&revert(&Config::load(&overrides)?, &slug, &flow, to)?, |done| {
                    format!("{} is as in build {} at commit {}", done.flow, done.to, done.commit)
                })
            }
        }
    }
}

fn list(config: &Config, slug: &TenantSlug) -> anyhow::Result<FlowList> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            Ok(FlowList::read(&view, &tenants::find(&view, slug)?)?)
        }
        Access::Server(client) => client.get(&format!("/v1/t/{slug}/flows")),
    }
}

fn delete(config: &Config, slug: &TenantSlug, flow: &FlowId) -> anyhow::Result<Deleted> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let tenant = tenants::find(&press.store.view()?, slug)?;
            Ok(Deleted::new(&press.delete(&tenant, flow)?))
        }
        Access::Server(client) => client.delete_for(&format!("/v1/t/{slug}/flows/{flow}")),
    }
}

fn revert(
    config: &Config,
    slug: &TenantSlug,
    flow: &FlowId,
    to: Option<BuildId>,
) -> anyhow::Result<Reverted> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let tenant = tenants::find(&press.store.view()?, slug)?;
            let (record, to) = press.revert(&tenant, flow, to)?;
            Ok(Reverted::new(&record, to))
        }
        Access::Server(client) => {
            client.post(&format!("/v1/t/{slug}/flows/{flow}/rollback"), &GoBack { to })
        }
    }
}

fn listed(list: &FlowList) -> String {
    let width = list.flows.iter().map(|flow| flow.flow.as_str().len()).max().unwrap_or_default();
    let line = |flow: &FlowView| {
        let revision = flow.revision.map_or_else(String::new, |r| format!("  revision {r}"));
        let edge = flow.edge_version.as_ref().map_or_else(String::new, |v| format!("  edge {v}"));
        format!("{:width$}  {}{revision}{edge}", flow.flow.as_str(), flow.name)
    };
    match list.flows.as_slice() {
        [] => "no flows".to_owned(),
        flows => flows.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}
