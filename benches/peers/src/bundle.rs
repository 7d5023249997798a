//! Bundles of 10 MiB, put durably one after the other and read back verified.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use clap::Args;

use crate::bench::Bench;
use crate::children::{self, Figures, Ran, count_syncs, own};
use crate::corpus::Numbers;
use crate::disk;
use crate::sides::{Blobs, Cacache, Colophon, Files, Iroh, NOT_DURABLE, Side};
use crate::table::{Bar, Report, Table, median, number};

const SIDES: [Side; 4] = [Side::Colophon, Side::Cacache, Side::Iroh, Side::Files];
const BUNDLE: usize = 10 << 20;

/// A child that stores so many bundles.
#[derive(Args)]
pub(crate) struct Job {
    side: Side,
    repo: PathBuf,
    count: u64,
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

    /// Bundles are zips, so they do not compress. Making their bytes is not timed.
    fn measure<S: Blobs>(&self) -> anyhow::Result<Figures> {
        let side = S::open(&self.repo)?;
        let (mut addresses, mut put) = (Vec::new(), 0.0);
        for number in 0..self.count {
            let bytes = Numbers::new(number).noise(BUNDLE);
            let from = Instant::now();
            addresses.push(side.put(bytes)?);
            put += from.elapsed().as_secs_f64();
        }
        let from = Instant::now();
        side.settle()?;
        put += from.elapsed().as_secs_f64();
        let from = Instant::now();
        for address in &addresses {
            ensure!(side.get(address)?.len() == BUNDLE, "a bundle of another size");
        }
        let megabytes = (self.count as usize * BUNDLE) as f64 / 1e6;
        let get = from.elapsed().as_secs_f64();
        Ok(Figures::from([("put", megabytes / put), ("get", megabytes / get)]))
    }
}

pub(crate) fn row(bench: &Bench) -> anyhow::Result<Report> {
    let count = if bench.quick { "3" } else { "20" };
    let mut results = [const { Vec::<Ran>::new() }; SIDES.len()];
    let command = |side: Side, count: &str| {
        let mut command = own(["bundle", side.key()])?;
        command.arg(bench.fresh("bundle")?).arg(count);
        anyhow::Ok(command)
    };
    for round in 1..=bench.rounds {
        for (side, runs) in SIDES.iter().zip(&mut results) {
            eprintln!("bundle, round {round}: {}", side.key());
            let command = command(*side, count)?;
            disk::settle()?;
            runs.push(children::run(&command)?);
        }
    }
    let mut syncs = Vec::new();
    for side in SIDES {
        let (start, _) = count_syncs(&command(side, "0")?)?;
        let (all, _) = count_syncs(&command(side, "20")?)?;
        syncs.push((all.whole - start.whole) / 20.0);
    }
    Ok(summarise(&results, &syncs))
}

fn summarise(results: &[Vec<Ran>], syncs: &[f64]) -> Report {
    let figure = |runs: &[Ran], name| median(runs.iter().map(|run| run.figures.get(name)));
    let mut report = Report::new("Bundles of 10 MiB that do not compress, one after the other");
    let mut table =
        Table::new(&["side", "put MB/s", "ratio", "get MB/s", "ratio", "syncs a put", "peak MB"]);
    let ours = &results[0];
    for ((side, runs), syncs) in SIDES.iter().zip(results).zip(syncs) {
        let (put, get) = (figure(runs, "put"), figure(runs, "get"));
        table.add([
            side.name().to_owned(),
            number(put),
            format!("{}x", number(put / figure(ours, "put"))),
            number(get),
            format!("{}x", number(get / figure(ours, "get"))),
            number(*syncs),
            number(median(runs.iter().map(|run| run.peak))),
        ]);
    }
    report.tables.push(table);
    report.notes.push(NOT_DURABLE.to_owned());
    report.bars.push(Bar::at_least("10 MiB bundle put", figure(ours, "put"), 200.0, "MB/s"));
    report
}
