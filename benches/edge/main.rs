//! `make bench-edge`: what updates of edge bundles take, beside the other ways to send them.

#![expect(clippy::cast_precision_loss, reason = "counts and bytes stay far below 2^52")]

mod content;
#[path = "../dictionaries/dice.rs"]
#[expect(dead_code, reason = "one of two vocabularies is enough here")]
mod dice;
mod load;
mod machine;
mod nginx;
mod peers;
mod place;
mod processor;
mod reads;
mod report;
#[path = "../git/served.rs"]
mod served;
mod stored;
#[path = "../peers/src/table.rs"]
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#[expect(unused_imports, dead_code, reason = "its tests run with the other benchmark")]
mod table;
mod updates;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::content::{LARGE, SMALL};
use crate::place::Place;

/// What updates of edge bundles take.
#[derive(Parser)]
struct Args {
    /// How often a blob is read through each side; the table shows medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long in a round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The smaller bundle only.
    #[arg(long)]
    small: bool,
    /// This part only, which is about the smaller bundle; all of it when not given.
    #[arg(long)]
    only: Option<Part>,
    /// The wheels that are in the bundles, as `tests/setup.sh bench-edge` fetches them.
    #[arg(long, default_value = ".cache/bench-edge")]
    wheels: PathBuf,
    /// Where everything is made.
    #[arg(long, default_value = "target/bench-edge")]
    dir: PathBuf,
    /// Only say what the blobs take that an earlier run left in this folder.
    #[arg(long, value_name = "DIR")]
    stored: Option<PathBuf>,
    /// Given by `cargo bench`, and without meaning here.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true, value_name = "DIR")]
    serve: Option<PathBuf>,
}

/// What can be run alone.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Blobs beside nginx, and polls.
    Reads,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wheels = root(&args.wheels);
    if let Some(data) = args.serve {
        return Place { data, wheels }.serve();
    }
    if let Some(data) = args.stored {
        report::stored(&Place { data: root(&data), wheels }.stored()?);
        return Ok(());
    }
    let dir = root(&args.dir);
    report::machine()?;
    let mut bars = Vec::new();
    let effort = (args.rounds, Duration::from_secs_f64(args.seconds));
    if let Some(Part::Reads) = args.only {
        let at = dir.join("reads");
        let (files, running) = updates::start(&SMALL, &at, &wheels)?;
        reads::run(&running, (&at, &files), effort, &mut bars)?;
        table::print_bars(&bars);
        return Ok(());
    }
    let profiles = if args.small { &[SMALL][..] } else { &[SMALL, LARGE] };
    for profile in profiles {
        let at = dir.join(profile.name.replace(' ', "-"));
        let (mut seen, running) = updates::run(profile, &at, &wheels)?;
        if profile.is_small() {
            let files = seen.steps.last().map_or(&seen.install.path, |step| &step.first.path);
            reads::run(&running, (&at, files), effort, &mut bars)?;
        }
        seen.stored = running.stop()?;
        report::updates(profile, &seen, &mut bars);
    }
    table::print_bars(&bars);
    Ok(())
}

/// A path below the project's folder; an absolute one as it stands.
fn root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
