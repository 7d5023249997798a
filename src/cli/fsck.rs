//! `colophon fsck`.

use anyhow::bail;
use clap::Args;
use colophon_store::{FsckReport, Problem};

use super::job::{self, Request, count};
use super::out::Out;
use crate::config::Overrides;
use crate::maintenance;
use crate::units::{Share, Size};

/// Checks the store.
#[derive(Debug, Args)]
pub(super) struct Fsck {
    /// Repair what can be repaired without loss
    #[arg(long)]
    repair: bool,
    /// Do not read the blobs; only look whether they are where they should be
    #[arg(long)]
    quick: bool,
    /// Share of the time that it takes, in percent; less is kinder to builds
    #[arg(long, value_name = "PERCENT", default_value_t = Share::ALL)]
    share: Share,
    #[command(flatten)]
    overrides: Overrides,
}

impl Fsck {
    /// Fails when problems remain.
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { repair, quick, share, overrides } = self;
        let job = maintenance::Fsck { repair, quick, share };
        let report = job::run(&overrides, out, &job, &Request::Post("/v1/maintenance/fsck"))?;
        out.data(&report, text)?;
        settle(&report, repair)
    }
}

fn settle(report: &FsckReport, repair: bool) -> anyhow::Result<()> {
    if report.is_clean() {
        return Ok(());
    }
    let left = count(report.total_problems - report.repaired, "problem");
    if repair {
        bail!("{left} could not be repaired; docs/operations.md says what to do");
    }
    bail!("{left} found; `colophon fsck --repair` repairs what can be repaired without loss")
}

pub(super) fn text(report: &FsckReport) -> String {
    let read = Size::bytes(report.bytes).rounded();
    let mut lines = vec![format!(
        "checked {}, {} and {} ({read} read)",
        count(report.rows, "row"),
        count(report.tenants, "tenant"),
        count(report.blobs, "blob"),
    )];
    lines.extend(report.problems.iter().map(line));
    let unlisted = report.total_problems.saturating_sub(report.problems.len() as u64);
    if unlisted > 0 {
        lines.push(format!("  and {unlisted} more"));
    }
    lines.push(match report.total_problems {
        0 => "nothing is wrong".to_owned(),
        total => format!("{}, {} repaired", count(total, "problem"), report.repaired),
    });
    lines.join("\n")
}

fn line(problem: &Problem) -> String {
    let Problem { code, place, message, repaired } = problem;
    let end = if *repaired { " (repaired)" } else { "" };
    format!("  {code}  {place}: {message}{end}")
}
