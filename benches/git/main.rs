//! `make bench-git`: a tenant's repository through the product and through stock git, in one server
//! process, the same requests in turn.
//!
//! Content is made once below `target/bench-git/<builds>` and used again; the server is a child of
//! its own, so that its processor time and memory are apart from the clients'.

#![expect(clippy::cast_precision_loss, reason = "counts and bytes stay far below 2^52")]

mod answer;
#[path = "../dictionaries/builder.rs"]
mod builder;
mod client;
mod compare;
mod content;
#[path = "../dictionaries/dice.rs"]
#[expect(dead_code, reason = "one of two vocabularies is enough here")]
mod dice;
mod flows;
mod load;
mod peers;
mod process;
mod report;
mod requests;
mod served;
mod server;
mod size;
mod slow;
#[path = "../peers/src/table.rs"]
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#[expect(unused_imports, reason = "its tests run with the other benchmark")]
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::content::Place;
use crate::size::Effort;

/// The product's, since its routes are served here.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A tenant's repository through the product and through stock git.
#[derive(Parser)]
struct Args {
    /// Sizes of the tenant.
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,20000")]
    builds: Vec<u64>,
    /// 200 builds, one round of a short time, to see that everything runs. The numbers mean nothing.
    #[arg(long)]
    quick: bool,
    /// How often each cell runs; the tables show medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long a cell runs in a round.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Rows whose name holds this only.
    #[arg(long)]
    only: Option<String>,
    /// Where the content goes.
    #[arg(long, default_value = "target/bench-git")]
    dir: PathBuf,
    /// Given by `cargo bench`, and without meaning here.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true, value_name = "DIR")]
    serve: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "DIR")]
    make: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(dir) = args.serve {
        return server::serve(&Place(dir));
    }
    if let Some(dir) = args.make {
        return content::make(&Place(dir), args.builds[0]);
    }
    let builds = if args.quick { vec![200] } else { args.builds };
    let effort = Effort {
        rounds: if args.quick { 1 } else { args.rounds },
        time: Duration::from_secs_f64(if args.quick { 0.3 } else { args.seconds }),
        only: args.only.unwrap_or_default(),
    };
    report::machine()?;
    let mut bars = Vec::new();
    for builds in builds {
        let place = Place(std::path::absolute(root(&args.dir).join(builds.to_string()))?);
        let size = size::run(&place, builds, &effort)?;
        size.report.print();
        bars.extend(size.report.bars);
    }
    table::print_bars(&bars);
    Ok(())
}

/// A path below the project's folder; an absolute one as it stands.
fn root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
