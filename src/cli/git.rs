//! `colophon git …`: a tenant's repository, made anew or taken along.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use colophon_model::TenantSlug;

use super::job::{self, Request, count, row};
use super::out::Out;
use crate::config::Overrides;
use crate::maintenance::{Exported, GitBundle, GitExport, GitRebuild};
use crate::projection::Rebuilt;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Git {
    /// Make a tenant's Git objects anew from the build records, to the same commits
    ///
    /// Compiles nothing. To compile flows again with today's templates, see `colophon rebuild`.
    Rebuild(RebuildArgs),
    /// Write a tenant's repository as a bare repository that stock git reads
    Export(ExportArgs),
    /// Write a tenant's branch and tags as one file that stock git clones
    Bundle(BundleArgs),
}

/// Whose objects.
#[derive(Debug, Args)]
pub(super) struct RebuildArgs {
    /// The tenant
    tenant: TenantSlug,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// Where to.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The tenant
    tenant: TenantSlug,
    /// Where to: a directory that does not exist, or is empty
    #[arg(long, value_name = "DIR")]
    bare: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

/// What, and where to.
#[derive(Debug, Args)]
pub(super) struct BundleArgs {
    /// The tenant
    tenant: TenantSlug,
    /// Where to: a file that does not exist
    file: PathBuf,
    /// A commit (40 hex digits) or tag that the reader has: only what came after it
    #[arg(long, value_name = "REVISION")]
    since: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Git {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Rebuild(args) => rebuild(args, out),
            Self::Export(args) => export(args, out),
            Self::Bundle(args) => bundle(args, out),
        }
    }
}

fn rebuild(args: RebuildArgs, out: Out) -> anyhow::Result<()> {
    let RebuildArgs { tenant, dry_run, overrides } = args;
    let job = GitRebuild { tenant, dry_run };
    let request = Request::Post("/v1/maintenance/git/rebuild");
    out.data(&job::run(&overrides, out, &job, &request)?, rebuilt)
}

fn export(args: ExportArgs, out: Out) -> anyhow::Result<()> {
    let ExportArgs { tenant, bare, overrides } = args;
    let job = GitExport { tenant, bare: absolute(&bare)? };
    let request = Request::Post("/v1/maintenance/git/export");
    out.data(&job::run(&overrides, out, &job, &request)?, exported)
}

fn bundle(args: BundleArgs, out: Out) -> anyhow::Result<()> {
    let BundleArgs { tenant, file, since, overrides } = args;
    let job = GitBundle { tenant, file: absolute(&file)?, since };
    let request = Request::Post("/v1/maintenance/git/bundle");
    out.data(&job::run(&overrides, out, &job, &request)?, exported)
}

/// A server stands elsewhere.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))
}

fn rebuilt(done: &Rebuilt) -> String {
    let title = match (done.dry_run, done.replaced + done.refs_replaced + done.removed) {
        (_, 0) => "all objects stand as they would be made",
        (true, _) => "would rebuild; nothing was changed",
        (false, _) => "rebuilt",
    };
    let mut lines = vec![
        title.to_owned(),
        row("tip", done.tip),
        row("builds", done.builds),
        row("objects", format!("{}, {} replaced", done.objects, done.replaced)),
        row("tags", format!("{}, {} replaced with the branch", done.tags, done.refs_replaced)),
        row("strays", format!("{} removed", count(done.removed, "row"))),
    ];
    if done.moved {
        lines.push("  objects have other places in the log: a clone under way fails".to_owned());
    }
    lines.join("\n")
}

fn exported(done: &Exported) -> String {
    let Exported { path, tip, refs, objects } = done;
    let (refs, objects) = (count(*refs, "ref"), count(*objects, "object"));
    format!(
        "wrote {}\n{}\n{}",
        path.display(),
        row("tip", tip),
        row("holds", format!("{refs}, {objects}"))
    )
}
