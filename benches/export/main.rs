//! `make bench-export`: the first export of a tenant and that of one more build, beside `rclone copy` and `restic backup`
//! of the same files, to one SeaweedFS.
//!
//! The tenant is made once below `target/bench-export/<builds>`, and copied for each run. Each way is a process of its own,
//! which counts from its start to its end, and sends to a place of its own in each round; what comes first rotates. Times
//! are taken without anything between; requests and bytes are counted in another round, by a proxy.

#![expect(clippy::cast_precision_loss, reason = "counts and bytes stay far below 2^52")]

#[path = "../dictionaries/builder.rs"]
mod builder;
mod content;
#[path = "../dictionaries/dice.rs"]
#[expect(dead_code, reason = "one of two vocabularies is enough here")]
mod dice;
#[path = "../git/flows.rs"]
mod flows;
mod measure;
mod proxy;
mod report;
mod store;
#[path = "../peers/src/table.rs"]
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#[expect(unused_imports, dead_code, reason = "its tests run with the other benchmark")]
mod table;
mod ways;

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::content::Tenant;
use crate::proxy::Proxy;
use crate::report::Rows;
use crate::store::Store;
use crate::ways::{Scene, Way};

/// The first export of a tenant and that of one more build.
#[derive(Parser)]
struct Args {
    /// Builds of the tenant.
    #[arg(long, default_value_t = 1000)]
    builds: u64,
    /// How often each way sends everything; the tables show medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// 30 builds, one round, to see that everything runs. The numbers mean little.
    #[arg(long)]
    small: bool,
    /// Ends with 1 when a bar is missed.
    #[arg(long)]
    strict: bool,
    /// Where everything is made.
    #[arg(long, default_value = "target/bench-export")]
    dir: PathBuf,
    /// Where `tests/setup.sh s3` puts SeaweedFS.
    #[arg(long, default_value = ".cache/s3/bin/weed")]
    weed: PathBuf,
    /// Given by `cargo bench`, and without meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (builds, rounds) = if args.small { (30, 1) } else { (args.builds, args.rounds) };
    let dir = root(&args.dir).join(builds.to_string());
    let store = Store::start(&root(&args.weed), &dir)?;
    let proxy = Proxy::before(store.port)?;
    let mut tenant = Tenant::open(&dir, builds)?;
    let scene = Scene::new(&dir, &tenant)?;
    let (mut first, mut more) = (Rows::default(), Rows::default());
    for round in 0..=rounds {
        // The last one is counted, and not timed.
        let counted = (round == rounds).then_some(&proxy);
        let port = counted.map_or(store.port, |proxy| proxy.port);
        let begin = |way: Way| way.prepare(&scene, port, round);
        Way::ALL.into_iter().try_for_each(begin)?;
        scene.export_files()?;
        first.round(&scene, (port, round), counted)?;
        tenant.build()?;
        scene.export_files()?;
        more.round(&scene, (port, round), counted)?;
        eprintln!("round {} of {} is done", round + 1, rounds + 1);
    }
    let met = report::print(&scene, (builds, rounds), &first, &more)?;
    anyhow::ensure!(met || !args.strict, "a bar is missed");
    Ok(())
}

/// A path below the project's folder; an absolute one as it stands.
fn root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
