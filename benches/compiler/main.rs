//! `make bench-compiler`: from a flow's JSON to formatted files, in this process, beside a pipeline of
//! Jinja2 and black; and `colophon rebuild --all`.
//!
//! The sides take turns flow by flow, so that both meet the same hours of the machine. Times are of the
//! processor where they can be, for other work on the machine does not change those.

#![expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]

mod flows;
mod peer;
#[path = "../git/process.rs"]
#[expect(dead_code, reason = "memory is not measured here")]
mod process;
mod rebuild;
mod report;
mod stages;
#[path = "../peers/src/table.rs"]
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#[expect(unused_imports, reason = "its tests run with the other benchmark")]
#[allow(dead_code, reason = "percentiles are not told here")]
mod table;

use std::path::{Path, PathBuf};

use clap::Parser;
use colophon_compiler::Compiler;

/// The compiler beside Jinja2 and black, and a rebuild of many flows.
#[derive(Parser)]
struct Args {
    /// One round and 200 flows, to see that everything runs. The numbers mean nothing.
    #[arg(long)]
    quick: bool,
    /// How often each flow is compiled on each side; the tables show medians.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Flows that are rebuilt; 0 leaves that part out.
    #[arg(long, default_value_t = 10_000)]
    flows: usize,
    /// Where the store of the rebuild goes; emptied first.
    #[arg(long, default_value = "target/bench-compiler")]
    dir: PathBuf,
    /// Folder of the LangFlow starter projects.
    #[arg(long, default_value = ".cache/langflow-1.13.0")]
    starters: PathBuf,
    /// Python with the packages of benches/compiler/peer/requirements.txt.
    #[arg(long, default_value = ".cache/bench-compiler/bin/python")]
    python: PathBuf,
    /// Given by `cargo bench`, and without meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let rounds = if args.quick { 1 } else { args.rounds };
    let flows = if args.quick { args.flows.min(200) } else { args.flows };
    report::machine()?;
    let mut bars = Vec::new();
    let compiler = Compiler::new()?;
    let (dir, starters) = (root(&args.dir), root(&args.starters));
    std::fs::create_dir_all(&dir)?;
    let bodies = flows::all(&dir, &starters)?;
    let mut peer = peer::Peer::start(&root(&args.python))?;
    let measured = stages::beside(&compiler, &bodies, &mut peer, rounds)?;
    report::beside(&measured, &mut bars);
    report::threads(&stages::threads(&compiler, &bodies, rounds)?, &mut bars);
    if flows > 0 {
        report::rebuild(&rebuild::run(&dir.join("store"), flows)?);
    }
    table::print_bars(&bars);
    Ok(())
}

/// A path below the project's folder; an absolute one as it stands.
fn root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
