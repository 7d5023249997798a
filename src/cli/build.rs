//! `colophon build`: one flow from a file, here or by the server that holds the data.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use colophon_compiler::Problem;
use colophon_model::{BuildRecord, TenantSlug};
use serde::Serialize;
use serde_json::Value;

use super::admin::{self, Access, Client};
use super::job::{Bar, building};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::pipeline::{BuildError, Delivery, Press, refusal};
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
struct Built<'a, B> {
    outcome: &'a str,
    build: &'a B,
}

impl Build {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let body = read(&self.file)?;
        match admin::open(&Config::load(&self.overrides)?)? {
            Access::Direct(press) => self.here(&press, body, out),
            Access::Server(client) => self.there(&client, &body, out),
        }
    }

    fn here(&self, press: &Press, body: Vec<u8>, out: Out) -> anyhow::Result<()> {
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

    fn there(&self, client: &Client, body: &[u8], out: Out) -> anyhow::Result<()> {
        let bar = Bar::new(out);
        bar.show(&building("accepted"));
        let answer = client.deliver(&self.slug, body);
        drop(bar);
        let told = answer?.map_err(|problem| explain_told(&problem, &self.file))?;
        for warning in list(&told, "warnings") {
            eprintln!("warning: {}", problem_line(warning));
        }
        let outcome = told["outcome"].as_str().unwrap_or_default();
        out.data(&Built { outcome, build: &told }, told_text)
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

/// A refusal as the server tells it, with all that is wrong.
fn explain_told(told: &Value, file: &std::path::Path) -> anyhow::Error {
    let indented = |told: &Value| format!("  {}", problem_line(told));
    let lines: Vec<String> = list(told, "errors").map(indented).collect();
    if lines.is_empty() {
        return admin::problem(told);
    }
    anyhow::anyhow!("flow `{}`: {}:\n{}", file.display(), admin::problem(told), lines.join("\n"))
}

/// A problem as the server tells it, as [`Problem`] writes itself.
fn problem_line(told: &Value) -> String {
    let word = |name: &str| told[name].as_str().unwrap_or_default();
    let node = told["node"].as_str().map_or_else(String::new, |node| format!(" (node `{node}`)"));
    format!("{} at `{}`{node}: {}", word("code"), word("pointer"), word("detail"))
}

fn list<'a>(told: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    told[name].as_array().into_iter().flatten()
}

fn told_text(told: &Built<'_, Value>) -> String {
    let (outcome, told) = (told.outcome, told.build);
    let word = |name: &str| told[name].as_str().unwrap_or_default();
    if matches!(outcome, "noop" | "replayed") {
        return format!("unchanged: flow {} stands at commit {}", word("flow"), word("commit"));
    }
    let mut lines = vec![format!("built {} at commit {}", word("flow"), word("commit"))];
    let tags = list(told, "tags").filter_map(Value::as_str);
    lines.extend(tags.map(|tag| format!("  tag   {tag}")));
    let files = list(told, "outputs").flat_map(|output| list(output, "files"));
    let paths = files.filter_map(|file| file["path"].as_str());
    lines.extend(paths.map(|path| format!("  file  {path}")));
    lines.join("\n")
}

fn text(built: &Built<'_, BuildRecord>) -> String {
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
