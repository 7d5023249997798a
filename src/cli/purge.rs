//! `colophon purge`.

use anyhow::bail;
use clap::Args;
use colophon_model::TenantSlug;

use super::job::{self, Request, count, row};
use super::out::Out;
use crate::config::Overrides;
use crate::maintenance::{self, Purged};
use crate::units::Span;

/// Deletes what is kept for a time only.
#[derive(Debug, Args)]
pub(super) struct Purge {
    /// Say what would go, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// How long the tags of a build are kept [default: 30d, or as configured]
    #[arg(long, value_name = "TIME")]
    older_than: Option<Span>,
    /// One tenant [default: all]
    #[arg(long, value_name = "SLUG")]
    tenant: Option<TenantSlug>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Purge {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { dry_run, older_than, tenant, overrides } = self;
        let job = maintenance::Purge { dry_run, older_than, tenant };
        let purged = job::run(&overrides, out, &job, &Request::Post("/v1/maintenance/purge"))?;
        out.data(&purged, text)?;
        if purged.failed.is_empty() { Ok(()) } else { bail!("not every tenant was purged") }
    }
}

fn text(purged: &Purged) -> String {
    let found = &purged.found;
    let tenants = count(purged.tenants, "tenant");
    let head = if purged.dry_run {
        format!("would purge of {tenants}; nothing was changed")
    } else {
        format!("purged of {tenants}")
    };
    let mut lines = vec![
        head,
        row("build tags", found.tags),
        row("bundles", found.bundles),
        row("edge files", found.tuf_files),
        row("quota marks", found.quota_stamps),
        row("delivery ids", found.claims),
        row("deliveries", found.deliveries),
        row("bodies", found.refused_bodies),
        row("origins of acts", found.origins),
        row("events", found.events),
    ];
    lines.extend(
        purged.failed.iter().map(|one| row("failed", format!("{}: {}", one.tenant, one.reason))),
    );
    if !purged.dry_run && found.bundles + found.tuf_files > 0 {
        lines.push(
            "the bytes of bundles and edge files go with `colophon gc`, after its grace".to_owned(),
        );
    }
    lines.join("\n")
}
