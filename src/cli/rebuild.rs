//! `colophon rebuild`.

use anyhow::bail;
use clap::Args;
use colophon_model::TenantSlug;

use super::job::{self, Request, count, row};
use super::out::Out;
use crate::config::Overrides;
use crate::maintenance::{FailedFlow, Recompile, RecompileReport};

/// Whose flows to compile again.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// One tenant
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    slug: Option<TenantSlug>,
    /// Every tenant
    #[arg(long)]
    all: bool,
    /// Compile, say what would be committed, and commit nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    overrides: Overrides,
}

impl Rebuild {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { slug, dry_run, overrides, .. } = self;
        let job = Recompile { tenant: slug, dry_run };
        let report = job::run(&overrides, out, &job, &Request::Post("/v1/maintenance/rebuild"))?;
        out.data(&report, text)?;
        if report.failed > 0 {
            bail!(
                "{} no longer compile{}; what was built of them before stands",
                count(report.failed, "flow"),
                if report.failed == 1 { "s" } else { "" }
            );
        }
        Ok(())
    }
}

fn text(report: &RecompileReport) -> String {
    let head = if report.dry_run { "would rebuild; nothing was changed" } else { "rebuilt" };
    let commits = count(report.commits, "commit");
    let rebuilt = if report.dry_run {
        report.rebuilt.to_string()
    } else {
        format!("{}, in {commits}", report.rebuilt)
    };
    let mut lines = vec![
        head.to_owned(),
        row(
            "looked at",
            format!("{} of {}", count(report.flows, "flow"), count(report.tenants, "tenant")),
        ),
        row("rebuilt", rebuilt),
        row("unchanged", report.unchanged),
        row("failed", report.failed),
    ];
    lines.extend(report.failures.iter().flat_map(failure));
    lines.join("\n")
}

fn failure(failure: &FailedFlow) -> Vec<String> {
    let mut lines = vec![format!("{}/{} no longer compiles:", failure.tenant, failure.flow)];
    lines.extend(failure.reasons.iter().map(|reason| format!("  {reason}")));
    lines
}
