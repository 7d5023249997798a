//! Compression dictionaries: how they are trained, and what they gain.
//!
//! Without arguments: ratio and speed per kind of blob, with the shipped dictionaries and without, on
//! flows that they were not trained on. `--sizes`: other sizes and levels. `--train <folder>`: trains
//! on the project's own templates and fixtures and on made-up flows.

mod builder;
mod corpus;
mod dice;
mod langflow;
mod measure;
mod report;
mod tenant;
mod train;

use std::path::{Path, PathBuf};

use colophon_compiler::Compiler;

use crate::corpus::{Corpus, HELD_OUT, MODULES, TRAINED};

fn main() -> anyhow::Result<()> {
    let compiler = Compiler::new()?;
    // `cargo bench` passes flags of its own, such as `--bench`.
    let mut arguments = std::env::args().skip_while(|a| a != "--train" && a != "--sizes");
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--train"), Some(folder)) => train::write_all(&trained(&compiler)?, &root(&folder)),
        (Some("--train"), None) => anyhow::bail!("--train needs the folder to write to"),
        (Some("--sizes"), _) => {
            report::sizes(&trained(&compiler)?, &Corpus::generated(&compiler, &HELD_OUT)?)
        }
        _ => kinds(&compiler),
    }
}

fn kinds(compiler: &Compiler) -> anyhow::Result<()> {
    report::kinds("Made-up flows", &Corpus::generated(compiler, &HELD_OUT)?)?;
    let starters = root(".cache/langflow-1.13.0");
    if starters.is_dir() {
        let corpus = Corpus::of_folder(compiler, &starters)?;
        report::kinds("LangFlow's starter projects", &corpus)?;
    } else {
        eprintln!("NOT RUN: no LangFlow starter projects; `make test-setup` fetches them");
    }
    report::modules(&Corpus::generated(compiler, &MODULES)?)
}

/// What dictionaries may learn from: everything in it is the project's own.
fn trained(compiler: &Compiler) -> anyhow::Result<Corpus> {
    let fixtures = Corpus::of_folder(compiler, &root("tests/fixtures/flows"))?;
    Ok(Corpus::generated(compiler, &TRAINED)?.with(fixtures))
}

/// A path below the project's folder; an absolute one as it stands.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
