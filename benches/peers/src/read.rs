//! Verified reads of modules of about 23 KB, and the lookup that decides a no-op.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use colophon_model::Digest;
use colophon_store::Change;
use colophon_store::rows::TufFile;

use crate::bench::Bench;
use crate::children::{self, Figures, Ran, own};
use crate::corpus::{self, Numbers};
use crate::sides::{Blobs, Cacache, Colophon, Files, Iroh, Side, TENANT};
use crate::table::{Bar, Report, Table, median, number};

const SIDES: [Side; 4] = [Side::Colophon, Side::Cacache, Side::Iroh, Side::Files];
/// What is read: modules between these sizes, in bytes.
const SIZES: std::ops::Range<usize> = 21_000..25_000;
/// Most modules that are stored for it.
const MODULES: usize = 1000;
/// Rows that the lookup chooses from.
const ROWS: u64 = 10_000;

/// A child that stores modules and reads them on one thread.
#[derive(Args)]
pub(crate) struct Job {
    side: Side,
    corpus: PathBuf,
    repo: PathBuf,
    seconds: f64,
}

impl Job {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        match self.side {
            Side::Colophon => self.measure::<Colophon>(),
            Side::Cacache => self.measure::<Cacache>(),
            Side::Iroh => self.measure::<Iroh>(),
            Side::Files => self.measure::<Files>(),
        }
    }

    fn measure<S: Blobs>(&self) -> anyhow::Result<Figures> {
        let side = S::open(&self.repo)?;
        let (mut addresses, mut stored) = (Vec::new(), 0);
        for path in corpus::list(&self.corpus)? {
            let bytes = std::fs::read(path)?;
            if SIZES.contains(&bytes.len()) && addresses.len() < MODULES {
                stored += bytes.len();
                addresses.push(side.put(bytes)?);
            }
        }
        side.settle()?;
        ensure!(!addresses.is_empty(), "the corpus has no module of that size");
        for address in &addresses {
            side.get(address)?; // nobody's first reads are counted
        }
        let mut numbers = Numbers::new(1);
        let per_second = rate(self.seconds, || {
            let bytes = side.get(&addresses[numbers.below(addresses.len())])?;
            ensure!(SIZES.contains(&bytes.len()), "a blob of another size");
            Ok(())
        })?;
        let mean = stored as f64 / addresses.len() as f64;
        Ok(Figures::from([("per second", per_second), ("mean bytes", mean)]))
    }
}

/// A child that looks up rows, with a view of its own for each, as a request would.
pub(crate) fn lookup(repo: &Path, seconds: f64) -> anyhow::Result<Figures> {
    let Colophon(store) = Colophon::open(repo)?;
    let key = |number: u64| (TENANT, format!("flow-{number}"));
    let row = |number: u64| TufFile { digest: Digest::of(&number.to_be_bytes()) };
    let mut change = Change::new();
    for number in 0..ROWS {
        change.put(&key(number), &row(number));
    }
    store.lane(TENANT).submit(change).wait()?;
    let mut numbers = Numbers::new(1);
    let per_second = rate(seconds, || {
        let number = numbers.next() % ROWS;
        let found: Option<TufFile> = store.view()?.get(&key(number))?;
        ensure!(found == Some(row(number)), "another row");
        Ok(())
    })?;
    Ok(Figures::from([("per second", per_second)]))
}

/// How often `work` is done in a second.
fn rate(seconds: f64, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        for _ in 0..50 {
            work()?;
        }
        count += 50;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

pub(crate) fn row(bench: &Bench) -> anyhow::Result<Report> {
    let corpus = bench.corpus()?;
    let seconds = if bench.quick { "0.3" } else { "2" };
    let (mut reads, mut lookups) = ([const { Vec::<Ran>::new() }; SIDES.len()], Vec::new());
    for round in 1..=bench.rounds {
        for (side, runs) in SIDES.iter().zip(&mut reads) {
            eprintln!("read, round {round}: {}", side.key());
            let repo = bench.fresh("read")?;
            let mut command = own(["read", side.key()])?;
            command.arg(&corpus).arg(&repo).arg(seconds);
            runs.push(children::run(&command)?);
        }
        let mut command = own(["lookup"])?;
        command.arg(bench.fresh("read")?).arg(seconds);
        lookups.push(children::run(&command)?);
    }
    Ok(summarise(&reads, &lookups))
}

fn summarise(reads: &[Vec<Ran>], lookups: &[Ran]) -> Report {
    let rate = |runs: &[Ran]| median(runs.iter().map(|run| run.figures.get("per second")));
    let mut report = Report::new("Verified reads of about 23 KB, one thread, page cache warm");
    let mut table = Table::new(&["side", "reads/s", "ratio", "MB/s", "checked by", "peak MB"]);
    for (side, runs) in SIDES.iter().zip(reads) {
        let bytes = median(runs.iter().map(|run| run.figures.get("mean bytes")));
        let check = match side {
            Side::Colophon | Side::Files => "BLAKE3 of the whole",
            Side::Cacache => "SHA-256",
            Side::Iroh => "BLAKE3 tree",
        };
        table.add([
            side.name().replace(" (¹)", ""),
            number(rate(runs)),
            format!("{}x", number(rate(runs) / rate(&reads[0]))),
            number(rate(runs) * bytes / 1e6),
            check.to_owned(),
            number(median(runs.iter().map(|run| run.peak))),
        ]);
    }
    report.tables.push(table);
    report.notes.push(format!(
        "lookup of one row in a view of its own, {ROWS} rows, one thread: {}/s",
        number(rate(lookups))
    ));
    report.bars.push(Bar::at_least("verified read of 23 KB", rate(&reads[0]), 60_000.0, "reads/s"));
    report.bars.push(Bar::at_least("lookup of a no-op", rate(lookups), 200_000.0, "lookups/s"));
    report
}
