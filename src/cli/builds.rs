//! `colophon builds`, and what `colophon flow history` lists.

mod follow;
mod watch;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use colophon_model::{BuildId, BuildRecord, FlowId, Target, TenantSlug, TenantUid};
use colophon_store::View;
use serde::{Deserialize, Serialize};

use super::admin::{self, Access};
use super::job::row;
use super::out::Out;
use crate::builds::{
    self, BuildFile, BuildFiles, BuildFilter, BuildLog, BuildPage, BuildSummary, Diff, DiffFile,
    Outcome,
};
use crate::config::{Config, Overrides};
use crate::tenants;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Builds {
    /// List a tenant's builds, newest first
    List(List),
    /// Show one build: what became of it, what the gates said, its files
    Show {
        /// The tenant
        slug: TenantSlug,
        /// The build, as `colophon builds list` shows it
        build: BuildId,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Follow one build to its end, or all of a tenant's as they are made
    ///
    /// Fails when the one build fails. Connections that break are made again, and nothing is told twice.
    Watch(watch::Watch),
    /// Show what differs between two builds
    Diff {
        /// The tenant
        slug: TenantSlug,
        /// The earlier build
        from: BuildId,
        /// The later build
        to: BuildId,
        /// Show lines, not only files
        #[arg(long)]
        unified: bool,
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// Which builds.
#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant
    slug: TenantSlug,
    /// Those of one flow
    #[arg(long)]
    flow: Option<FlowId>,
    /// Those that made something for this target
    #[arg(long, value_parser = ["cloud", "edge"])]
    target: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    overrides: Overrides,
}

/// Which page of a list, and what became of the builds in it.
#[derive(Debug, Args)]
pub(super) struct PageArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Those before this one, as the list before ends with
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<u64>,
    /// Those of which this became
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
}

/// A build, as far as it is told of.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    #[serde(flatten)]
    log: BuildLog,
    files: Vec<BuildFile>,
}

impl PageArgs {
    pub(super) fn filter(&self) -> BuildFilter {
        BuildFilter {
            limit: Some(usize::from(self.limit)),
            cursor: self.cursor,
            outcome: self.outcome,
            ..BuildFilter::default()
        }
    }
}

impl Builds {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::List(List { slug, flow, target, page, overrides }) => {
                let target = target.map(|word| match word.as_str() {
                    "edge" => Target::Edge,
                    _ => Target::Cloud,
                });
                let filter = BuildFilter { flow, target, ..page.filter() };
                let path = format!("/v1/t/{slug}/builds");
                out.data(&list(&overrides, &slug, &path, &filter)?, page_text)
            }
            Self::Show { slug, build, overrides } => {
                out.data(&show(&overrides, &slug, build)?, text)
            }
            Self::Watch(watch) => watch.run(out),
            Self::Diff { slug, from, to, unified, overrides } => {
                out.data(&diff(&overrides, &slug, (from, to), unified)?, diff_text)
            }
        }
    }
}

/// A page of builds: from the data directory or, when a server holds it, from `path` there.
pub(super) fn list(
    overrides: &Overrides,
    slug: &TenantSlug,
    path: &str,
    filter: &BuildFilter,
) -> anyhow::Result<BuildPage> {
    match admin::open(&Config::load(overrides)?)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let tenant = tenants::find(&view, slug)?;
            Ok(BuildPage::read(&view, tenant.uid, filter)?)
        }
        Access::Server(client) => client.get(&format!("{path}?{}", query(filter)?)),
    }
}

/// The filter as a query. What is in it needs no escapes.
fn query(filter: &BuildFilter) -> anyhow::Result<String> {
    let fields = serde_json::to_value(filter)?;
    let pairs = fields.as_object().into_iter().flatten().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={text}")
    });
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

fn show(overrides: &Overrides, slug: &TenantSlug, build: BuildId) -> anyhow::Result<Shown> {
    match admin::open(&Config::load(overrides)?)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let record = find(&view, tenants::find(&view, slug)?.uid, build)?;
            Ok(Shown { log: BuildLog::new(&record), files: BuildFiles::of(&record).files })
        }
        Access::Server(client) => {
            let path = format!("/v1/t/{slug}/builds/{build}");
            let log = client.find(&format!("{path}/log"))?.with_context(|| unknown(build))?;
            let files: BuildFiles = client.get(&format!("{path}/files"))?;
            Ok(Shown { log, files: files.files })
        }
    }
}

fn diff(
    overrides: &Overrides,
    slug: &TenantSlug,
    (from, to): (BuildId, BuildId),
    unified: bool,
) -> anyhow::Result<Diff> {
    match admin::open(&Config::load(overrides)?)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let uid = tenants::find(&view, slug)?.uid;
            let diff = Diff::of(&find(&view, uid, from)?, &find(&view, uid, to)?);
            Ok(if unified { diff.with_lines(&view, uid, CONTEXT)? } else { diff })
        }
        Access::Server(client) => {
            let path = format!("/v1/t/{slug}/builds/{from}/diff/{to}?unified={unified}");
            client.find(&path)?.context("there is no such build")
        }
    }
}

/// Lines around a change.
const CONTEXT: usize = 3;

fn find(view: &View, tenant: TenantUid, build: BuildId) -> anyhow::Result<BuildRecord> {
    builds::find(view, tenant, build)?.with_context(|| unknown(build))
}

fn unknown(build: BuildId) -> String {
    format!("there is no build {build}")
}

/// A build in one line.
fn line(build: &BuildSummary) -> String {
    let targets: Vec<&str> = build.targets.iter().map(|target| target.as_str()).collect();
    format!(
        "{}  {}  {:8}  {:6}  {}  {}",
        build.id,
        build.built_at,
        build.kind.word(),
        build.outcome.word(),
        build.flow,
        targets.join("+"),
    )
}

pub(super) fn page_text(page: &BuildPage) -> String {
    let mut lines: Vec<String> = page.builds.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("no builds".to_owned());
    }
    lines.extend(page.next.as_ref().map(|next| format!("more with --cursor {next}")));
    lines.join("\n")
}

fn text(shown: &Shown) -> String {
    let Shown { log, files } = shown;
    let build = &log.build;
    let mut lines = vec![format!("build {}", build.id)];
    lines.push(row("flow", format!("{} ({})", build.flow, build.name)));
    lines.push(row("outcome", format!("{}, {}", build.outcome.word(), build.kind.word())));
    lines.push(row("built at", build.built_at.clone()));
    lines.push(row("commit", build.commit.to_string()));
    for gate in &log.gates {
        let took = gate.millis.map_or_else(String::new, |millis| format!(" in {millis} ms"));
        let status = format!("{:?}", gate.status).to_lowercase();
        lines.push(row("gate", format!("{} {status}{took}", gate.name)));
        lines.extend(gate.words.iter().flat_map(|words| words.lines()).map(str::to_owned));
    }
    lines.extend(files.iter().map(|file| row("file", format!("{} {}", file.path, file.size))));
    lines.join("\n")
}

fn diff_text(diff: &Diff) -> String {
    let line = |file: &DiffFile| {
        let text = file.unified.as_deref().map_or_else(String::new, |text| format!("\n{text}"));
        let omitted = file.omitted.map_or_else(String::new, |why| format!(" ({why:?})"));
        format!("{} {}{omitted}{}", file.change.letter(), file.path, text.trim_end())
    };
    match diff.files.as_slice() {
        [] => "no differences".to_owned(),
        files => files.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}
