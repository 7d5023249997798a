//! `colophon build`: one flow from a file, without a server.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use colophon_compiler::Problem;
use colophon_model::{BuildRecord, TenantSlug};
use serde::Serialize;

use super::admin;
use super::job::{Bar, building};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::pipeline::{BuildError, Delivery, refusal};
use crate::progress::Watch;
use crate::tenants;

/// Builds one flow.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The tenant
    slug: TenantSlug,
    /// The flow's JSON; `-` for standard input
    file: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Serialize)]
struct Built<'a> {
    outcome: &'static str,
    build: &'a BuildRecord,
}

impl Build {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let body = read(&self.file)?;
        let press = admin::direct(&Config::load(&self.overrides)?)?;
        let tenant = tenants::find(&press.store.view()?, &self.slug)?;
        let received = press.clock.now();
        let bar = Arc::new(Bar::new(out));
        bar.show(&building("accepted"));
        let mut delivery = Delivery::new(tenant, body, received);
        let shown = bar.clone();
        delivery.origin.watch = Watch::new(move |stage| shown.show(&building(stage.word())));
        let finished = press.run(delivery);
        drop(bar);
        press.write_gathered(true); // no server does it here
        let finished = finished.map_err(|e| explain(e, &self.file))?;
        for warning in &finished.warnings {
            eprintln!("warning: {warning}");
        }
        let outcome = &finished.outcome;
        out.data(&Built { outcome: outcome.word(), build: outcome.record() }, text)
    }
}

/// The flow in `file`, or on standard input.
pub(super) fn read(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut body)?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("cannot read flow `{}`", file.display()))
}

fn explain(error: BuildError, file: &std::path::Path) -> anyhow::Error {
    if let BuildError::Gate(record) = &error {
        let words = refusal(record).and_then(|gate| gate.words.as_deref()).unwrap_or_default();
        let build = record.id;
        return anyhow::anyhow!("{error}; build {build} keeps what was said:\n{words}");
    }
    match &error {
        BuildError::Flow(problems) => explain_problems(problems.as_slice(), file),
        _ => error.into(),
    }
}

/// A flow's problems, each on a line of its own.
pub(super) fn explain_problems(problems: &[Problem], file: &std::path::Path) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(|p| format!("  {p}")).collect();
    anyhow::anyhow!("flow `{}` is not valid:\n{}", file.display(), lines.join("\n"))
}

fn text(built: &Built<'_>) -> String {
    let record = built.build;
    if built.outcome == "noop" {
        return format!("unchanged: flow {} stands at commit {}", record.flow, record.commit);
    }
    let mut lines = vec![format!("built {} at commit {}", record.flow, record.commit)];
    lines.extend(record.tags.iter().map(|t| format!("  tag   {t}")));
    let files = record.outputs.iter().flat_map(|o| &o.files);
    lines.extend(files.map(|f| format!("  file  {}", f.path)));
    lines.join("\n")
}
