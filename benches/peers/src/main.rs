//! `make bench-store`: the store beside the tools people know, both sides interleaved in one run.
//!
//! Every measured run is a process of its own: a tool, or this program with a hidden subcommand for
//! what is used as a library. So wall time, peak memory, bytes written and syncs are counted alike.

mod bench;
mod bundle;
mod children;
mod collect;
mod corpus;
mod disk;
mod group;
mod ingest;
mod read;
mod reopen;
mod sides;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::bench::Bench;
use crate::children::Figures;

/// The store beside the tools people know.
#[derive(Parser)]
struct Args {
    /// Run these rows only; all of them when not given.
    #[arg(long, value_enum)]
    only: Vec<Row>,
    /// A tenth of the files and one round, to see that everything runs. The numbers mean nothing.
    #[arg(long)]
    quick: bool,
    /// How often each side runs; the table shows medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where the files go: a directory on the disk to be measured.
    #[arg(long, default_value = "target/bench-store")]
    dir: PathBuf,
    #[command(subcommand)]
    child: Option<Child>,
}

/// A row of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    Ingest,
    Group,
    Read,
    Bundle,
    Reopen,
    Mark,
    Churn,
}

/// One measured run inside a process of its own.
#[derive(Subcommand)]
#[command(hide = true)]
enum Child {
    Corpus { dir: PathBuf, files: usize },
    Ingest(ingest::Job),
    Group(group::Job),
    Read(read::Job),
    Lookup { repo: PathBuf, seconds: f64 },
    Bundle(bundle::Job),
    Fill(reopen::Fill),
    Reopen(reopen::Reopen),
    Builds(collect::Builds),
    Mark(collect::Mark),
    Churn(collect::Churn),
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    match args.child {
        Some(child) => child.run()?.print(),
        None => return compare(&args),
    }
    Ok(ExitCode::SUCCESS)
}

impl Child {
    fn run(self) -> anyhow::Result<Figures> {
        match self {
            Self::Corpus { dir, files } => {
                let bytes = corpus::write(&dir, files)?;
                Ok(Figures::from([("bytes", bytes as f64)]))
            }
            Self::Ingest(job) => job.run(),
            Self::Group(job) => job.run(),
            Self::Read(job) => job.run(),
            Self::Lookup { repo, seconds } => read::lookup(&repo, seconds),
            Self::Bundle(job) => job.run(),
            Self::Fill(job) => job.run(),
            Self::Reopen(job) => job.run(),
            Self::Builds(job) => job.run(),
            Self::Mark(job) => job.run(),
            Self::Churn(job) => job.run(),
        }
    }
}

/// Runs the chosen rows and prints their tables, then how the bars were met.
fn compare(args: &Args) -> anyhow::Result<ExitCode> {
    let mut bench = Bench::start(&args.dir, args.quick, args.rounds)?;
    for row in Row::value_variants() {
        if args.only.is_empty() || args.only.contains(row) {
            bench.run(|bench| match row {
                Row::Ingest => ingest::row(bench),
                Row::Group => group::row(bench),
                Row::Read => read::row(bench),
                Row::Bundle => bundle::row(bench),
                Row::Reopen => reopen::row(bench),
                Row::Mark => collect::mark_row(bench),
                Row::Churn => collect::churn_row(bench),
            })?;
        }
    }
    Ok(bench.finish())
}
