//! `make bench`: builds over HTTP beside a pipeline as users write one, nginx, and HMAC alone.
//!
//! The server is `colophon serve` with its defaults, but for the log, which says warnings only; clients are
//! threads of this process with a kept-alive connection each, so on a small machine both share its
//! processors. The sides take turns within a round; tables show medians of the rounds, and bars compare within
//! a round. Every answer is checked: 200 for a no-op, 201 for a cold build, which is durable by then.

#![expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]

mod clients;
mod cold;
mod content;
mod costs;
mod disk;
mod family;
mod growth;
mod large;
mod load;
#[path = "../edge/nginx.rs"]
mod nginx;
mod noop;
mod pipeline;
mod place;
#[path = "../git/process.rs"]
#[expect(dead_code, reason = "memory is not measured here")]
mod process;
mod report;
mod service;
mod stages;
#[path = "../peers/src/table.rs"]
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#[expect(unused_imports, dead_code, reason = "its tests run with the other benchmark")]
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::table::Bar;

/// Builds over HTTP, beside a pipeline of FastAPI, Jinja2 and GitPython, nginx, and HMAC alone.
#[derive(Parser)]
struct Args {
    /// This part only; more than once for several. All of them when not given.
    #[arg(long)]
    only: Vec<Part>,
    /// One round of a second each, to see that everything runs. The numbers mean little.
    #[arg(long)]
    small: bool,
    /// Rounds; the tables show medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each side has in a round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Builds of the old tenant in the part about growth; the young one has a hundredth.
    #[arg(long, default_value_t = 10_000)]
    builds: u64,
    /// End with an error when a bar is not met.
    #[arg(long)]
    strict: bool,
    /// Where data goes; emptied first.
    #[arg(long, default_value = "target/bench-http")]
    dir: PathBuf,
    /// Folder of the LangFlow starter projects.
    #[arg(long, default_value = ".cache/langflow-1.13.0")]
    starters: PathBuf,
    /// Python with the packages of benches/http/pipeline/requirements.txt.
    #[arg(long, default_value = ".cache/bench-http/bin/python")]
    python: PathBuf,
    /// The server to measure, such as one of an earlier commit; this commit's when not given.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_colophon"))]
    server: PathBuf,
    /// Given by `cargo bench`, and without meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be run alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// No-ops of a flow of 8 KB, beside nginx and the pipeline.
    Noop,
    /// No-ops of a LangFlow export of 210 KB, beside HMAC.
    Large,
    /// Cold builds, beside the pipeline.
    Cold,
    /// Cold builds with a smoke test, beside the pipeline with black and pytest.
    Smoke,
    /// A tenant with a hundred times the builds of another.
    Growth,
    /// What the logs and traces cost.
    Costs,
}

/// What every part is told.
struct Plan {
    rounds: usize,
    time: Duration,
    builds: u64,
    dir: PathBuf,
    starters: PathBuf,
    python: PathBuf,
    server: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let (rounds, seconds) = if args.small { (1, 1.0) } else { (args.rounds, args.seconds) };
    let plan = Plan {
        rounds,
        time: Duration::from_secs_f64(seconds),
        builds: if args.small { args.builds.min(1_000) } else { args.builds },
        dir: root(&args.dir),
        starters: root(&args.starters),
        python: root(&args.python),
        server: root(&args.server),
    };
    place::empty(&plan.dir)?;
    report::machine()?;
    let mut bars = Vec::new();
    for (part, run) in PARTS {
        if args.only.is_empty() || args.only.contains(part) {
            run(&plan, &mut bars)?;
        }
    }
    table::print_bars(&bars);
    let missed = bars.iter().any(|bar| !bar.met);
    Ok(if args.strict && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

type Run = fn(&Plan, &mut Vec<Bar>) -> anyhow::Result<()>;

const PARTS: &[(Part, Run)] = &[
    (Part::Noop, noop::run),
    (Part::Large, large::run),
    (Part::Cold, cold::run),
    (Part::Smoke, cold::run_with_gates),
    (Part::Growth, growth::run),
    (Part::Costs, costs::run),
];

/// A path below the project's folder; an absolute one as it stands.
fn root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
