//! `colophon render`: what a flow compiles to, without a store; for authors of flows and templates.

mod view;
mod watch;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use colophon_compiler::{Compiled, Compiler, Limits, Plan, Problem, Problems};
use colophon_model::{ArtifactPath, FileSet, FlowId, TenantSlug};

use super::out::Out;
use super::tenant::Components;
use crate::config::{Config, Overrides};
use crate::{templates, wheels};
use view::Rendered;

/// What to render, and where to.
#[derive(Debug, Args)]
pub(super) struct Render {
    /// The flow's JSON; `-` for standard input
    file: PathBuf,
    /// Write the files below this folder instead of printing them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The tenant whose name stands in the files
    #[arg(long, value_name = "SLUG", default_value = "example")]
    tenant: TenantSlug,
    /// Which component sources the flow may carry
    #[arg(long, value_enum, default_value_t)]
    policy: Components,
    /// Render again whenever the flow or a template changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    overrides: Overrides,
}

impl Render {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let config = Config::load(&self.overrides)?;
        if self.watch {
            if is_stdin(&self.file) {
                bail!("standard input cannot be watched; name a file");
            }
            return watch::run(&self, &config, out);
        }
        let mut written = BTreeSet::new();
        match self.render(&config, &mut written)? {
            Ok(rendered) => out.data(&rendered, |r| r.text(self.out.as_deref())),
            Err(problems) => Err(super::build::explain_problems(problems.as_slice(), &self.file)),
        }
    }

    /// Renders once. Problems of the flow are the inner error; what else goes wrong the outer one.
    /// `written` are the files below `--out` of the last time; those that are no more are deleted.
    fn render(
        &self,
        config: &Config,
        written: &mut BTreeSet<PathBuf>,
    ) -> anyhow::Result<Result<Rendered, Problems>> {
        let compiler = templates::compiler(config.compiler.templates.as_deref())?
            .with_wheels(wheels::read(config.compiler.wheels.as_deref())?);
        let body = super::build::read(&self.file)?;
        let start = Instant::now();
        let (plan, flow, output) = match self.compile(&compiler, config, &body) {
            Ok(made) => made,
            Err(problems) => return Ok(Err(problems)),
        };
        let took = start.elapsed();
        if let Some(dir) = &self.out {
            let edge = output.edge.as_ref().map(|bundle| &bundle.branch_files);
            write([&output.cloud].into_iter().chain(edge), dir, written)?;
        }
        let key = compiler.key(&plan);
        Ok(Ok(Rendered::new(&self.tenant, flow, key, output, &plan.warnings, took)))
    }

    fn compile(
        &self,
        compiler: &Compiler,
        config: &Config,
        body: &[u8],
    ) -> Result<(Plan, FlowId, Compiled), Problems> {
        let limits = Limits { body: config.limits.body_bytes, ..Limits::default() };
        let plan = compiler.parse(body, self.policy.into(), &limits)?;
        let flow = plan.slug.clone().unwrap_or_else(|| FlowId::from_name(plan.name.as_str()));
        let output = compiler.compile(&plan, &self.tenant, &flow)?;
        Ok((plan, flow, output))
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Writes what differs, and deletes what was written before and is no more.
fn write<'a>(
    sets: impl Iterator<Item = &'a FileSet>,
    dir: &Path,
    written: &mut BTreeSet<PathBuf>,
) -> anyhow::Result<()> {
    let before = std::mem::take(written);
    for (path, file) in sets.flat_map(FileSet::iter) {
        let place = place(dir, path);
        let failed = || format!("cannot write `{}`", place.display());
        if fs::read(&place).ok().as_deref() != Some(file.bytes()) {
            fs::create_dir_all(place.parent().unwrap_or(dir)).with_context(failed)?;
            fs::write(&place, file.bytes()).with_context(failed)?;
        }
        written.insert(place);
    }
    for gone in before.difference(written) {
        fs::remove_file(gone).with_context(|| format!("cannot delete `{}`", gone.display()))?;
    }
    Ok(())
}

fn place(dir: &Path, path: &ArtifactPath) -> PathBuf {
    path.as_str().split('/').fold(dir.to_owned(), |dir, part| dir.join(part))
}

/// A flow's problems, each on a line of its own.
fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("  {problem}")).collect()
}
