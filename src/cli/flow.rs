//! `colophon flow list`, `history`, `delete` and `rollback`.

use clap::Subcommand;
use colophon_model::{BuildId, FlowId, TenantSlug};

use super::admin::{self, Access};
use super::builds::{self, PageArgs};
use super::out::Out;
use crate::builds::BuildFilter;
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
    /// List the builds of a flow, newest first, also of one that was deleted
    History {
        /// The tenant
        slug: TenantSlug,
        /// The flow's id
        flow: FlowId,
        #[command(flatten)]
        page: PageArgs,
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
            Self::History { slug, flow, page, overrides } => {
                let path = format!("/v1/t/{slug}/flows/{flow}/history");
                let filter = BuildFilter { flow: Some(flow), ..page.filter() };
                out.data(&builds::list(&overrides, &slug, &path, &filter)?, builds::page_text)
            }
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
        Access::Server(client) => all(|cursor| {
            let more = cursor.map_or_else(String::new, |flow| format!("?cursor={flow}"));
            client.get(&format!("/v1/t/{slug}/flows{more}"))
        }),
    }
}

/// Every page of a list.
fn all(page: impl Fn(Option<FlowId>) -> anyhow::Result<FlowList>) -> anyhow::Result<FlowList> {
    let mut list = page(None)?;
    while let Some(cursor) = list.next.take() {
        let more = page(Some(cursor))?;
        list.flows.extend(more.flows);
        list.next = more.next;
    }
    Ok(list)
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
