//! `colophon gc`.

use clap::Args;
use colophon_store::GcReport;

use super::job::{self, Request, count, row};
use super::out::Out;
use crate::config::Overrides;
use crate::maintenance;
use crate::units::{Share, Size, Span};

/// Collects garbage.
#[derive(Debug, Args)]
pub(super) struct Gc {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How long a blob that nothing names waits before it is deleted [default: 24h]
    #[arg(long, value_name = "TIME")]
    grace: Option<Span>,
    /// Most bytes to move out of mostly dead segments, such as 10GiB [default: no bound]
    #[arg(long, value_name = "SIZE")]
    budget: Option<Size>,
    /// Share of the time that it takes, in percent; less is kinder to builds
    #[arg(long, value_name = "PERCENT", default_value_t = Share::ALL)]
    share: Share,
    #[command(flatten)]
    overrides: Overrides,
}

impl Gc {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { dry_run, grace, budget, share, overrides } = self;
        let job = maintenance::Gc { dry_run, grace, budget, share };
        let report = job::run(&overrides, out, &job, &Request::Post("/v1/maintenance/gc"))?;
        out.data(&report, text)
    }
}

fn blobs(report: &GcReport) -> String {
    let GcReport { blobs, deltas, .. } = report;
    let size = |bytes| Size::bytes(bytes).rounded();
    let (received, stored) = (size(report.blob_bytes), size(report.stored_bytes));
    format!("{blobs}, {received} as received, {stored} as stored; {deltas} rest on others")
}

fn text(report: &GcReport) -> String {
    let size = |bytes| Size::bytes(bytes).rounded();
    let head = if report.dry_run { "would collect; nothing was changed" } else { "collected" };
    let mut lines = vec![
        head.to_owned(),
        row("blobs", blobs(report)),
        row("deleted", format!("{}, {} as stored", report.deleted, size(report.deleted_bytes))),
        row("freed", format!("{}; {}", size(report.freed_bytes), segments(report))),
    ];
    let more = [
        (report.condemned, "condemned", "nothing names them since now; deleted after the grace"),
        (report.waiting, "waiting", "condemned before, still in their grace"),
        (report.resurrected, "named again", "condemned before, and in use once more"),
        (report.released, "released", "taken from their tenants after the grace"),
        (report.deferred, "deferred", "a reader still holds them; the next run deletes them"),
    ];
    let more = more.into_iter().filter(|(number, ..)| *number > 0);
    lines.extend(more.map(|(number, label, why)| row(label, format!("{number} ({why})"))));
    lines.extend(warnings(report));
    lines.join("\n")
}

fn segments(report: &GcReport) -> String {
    let emptied = format!("{} emptied", count(report.compacted_segments, "segment"));
    match report.retired_segments {
        0 => emptied,
        held => format!("{emptied}; {held} of them when their readers have ended"),
    }
}

fn warnings(report: &GcReport) -> Vec<String> {
    let mut lines = Vec::new();
    if report.missing > 0 {
        lines.push(row("missing", format!("{}; `colophon fsck` says which", report.missing)));
    }
    if report.held_tenants > 0 {
        let tenants = count(report.held_tenants, "tenant");
        let why = "left alone because a damaged row hides what is in use; see `colophon fsck`";
        lines.push(row("held", format!("{tenants} {why}")));
    }
    lines
}
