//! Ingest of the corpus, cold and once more, beside programs and crates.

mod crates;
mod programs;
mod store;

pub(crate) use store::writer_milliseconds;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::bench::Bench;
use crate::children::{self, Figures, Ran, Syncs, count_syncs, own};
use crate::disk;
use crate::sides::{NOT_DURABLE, Side};
use crate::table::{Bar, Report, Table, median, number};

/// A child's run over the corpus.
#[derive(Args)]
pub(crate) struct Job {
    side: Side,
    corpus: PathBuf,
    repo: PathBuf,
    /// Only open and close.
    #[arg(long)]
    open_only: bool,
}

impl Job {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        let corpus = (!self.open_only).then_some(self.corpus.as_path());
        let mut figures = match self.side {
            Side::Colophon => store::ingest(corpus, &self.repo)?,
            Side::Cacache => crates::cacache(corpus, &self.repo)?,
            Side::Iroh => crates::iroh(corpus, &self.repo)?,
            Side::Files => crates::files(corpus, &self.repo)?,
        };
        figures.set("given", given_bytes()?);
        Ok(figures)
    }
}

/// Bytes that this process has passed to `write` calls so far. Unlike what reaches the file system
/// it does not depend on when pages are written back.
fn given_bytes() -> anyhow::Result<f64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let given = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(given.context("the kernel does not count writes")?.parse()?)
}

/// What is compared: the commands that a user of it would give.
struct Contender {
    key: String,
    name: String,
    /// Makes an empty repository. Not timed.
    init: Vec<Command>,
    first: Command,
    again: Command,
    /// Opens the repository and closes it, to tell what a start costs.
    open: Command,
    /// Makes the repository small. Not timed.
    pack: Option<Command>,
}

/// What one contender gave, one element a round.
#[derive(Default)]
struct Results {
    first: Vec<Ran>,
    again: Vec<Ran>,
    open: Vec<Ran>,
    disk: Vec<f64>,
    packed: Vec<f64>,
    syncs: [Syncs; 3],
}

pub(crate) fn row(bench: &Bench) -> anyhow::Result<Report> {
    let corpus = bench.corpus()?;
    let mut report = Report::new("Ingest of the corpus, durable");
    let mut contenders = vec![library(bench, Side::Colophon, &corpus)?];
    contenders.append(&mut programs::all(bench, &corpus, &mut report.notes));
    for side in [Side::Cacache, Side::Iroh, Side::Files] {
        contenders.push(library(bench, side, &corpus)?);
    }
    let mut results: Vec<Results> = contenders.iter().map(|_| Results::default()).collect();
    for round in 1..=bench.rounds {
        for (contender, results) in contenders.iter().zip(&mut results) {
            eprintln!("ingest, round {round}: {}", contender.key);
            contender.measure(bench, results)?;
        }
    }
    for (contender, results) in contenders.iter().zip(&mut results) {
        eprintln!("ingest, syncs: {}", contender.key);
        contender.prepare(bench)?;
        results.syncs = [
            count_syncs(&contender.first)?.0,
            count_syncs(&contender.again)?.0,
            count_syncs(&contender.open)?.0,
        ];
    }
    summarise(&mut report, &contenders, &results);
    Ok(report)
}

/// A side that is a library: this program as a child.
fn library(bench: &Bench, side: Side, corpus: &Path) -> anyhow::Result<Contender> {
    let key = side.key().to_owned();
    let repo = bench.path(&key).join("repo");
    let command = |more: Option<&str>| {
        let mut command = own(["ingest", &key])?;
        command.arg(corpus).arg(&repo).args(more);
        anyhow::Ok(command)
    };
    Ok(Contender {
        name: side.name().to_owned(),
        init: vec![command(Some("--open-only"))?],
        first: command(None)?,
        again: command(None)?,
        open: command(Some("--open-only"))?,
        pack: None,
        key,
    })
}

impl Contender {
    /// An empty repository.
    fn prepare(&self, bench: &Bench) -> anyhow::Result<PathBuf> {
        let dir = bench.fresh(&self.key)?;
        for command in &self.init {
            children::run(command)?;
        }
        Ok(dir.join("repo"))
    }

    fn measure(&self, bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
        let repo = self.prepare(bench)?;
        disk::settle()?;
        results.first.push(children::run(&self.first)?);
        disk::settle()?;
        results.disk.push(disk::used(&repo)? as f64 / 1e6);
        results.again.push(children::run(&self.again)?);
        results.open.push(children::run(&self.open)?);
        if let Some(pack) = &self.pack {
            children::run(pack)?;
            results.packed.push(disk::used(&repo)? as f64 / 1e6);
        }
        std::fs::remove_dir_all(bench.path(&self.key)).context("cannot clean up")
    }
}

fn seconds(runs: &[Ran]) -> f64 {
    median(runs.iter().map(|run| run.seconds))
}

fn written(runs: &[Ran]) -> f64 {
    median(runs.iter().map(|run| run.written))
}

fn syncs(of: Syncs) -> String {
    let ranges = if of.ranges > 0.0 { format!(" +{} ranges", of.ranges) } else { String::new() };
    format!("{}{ranges}", of.whole)
}

fn summarise(report: &mut Report, contenders: &[Contender], results: &[Results]) {
    let ours = &results[0];
    let mut table = Table::new(&[
        "side",
        "cold s",
        "ratio",
        "again s",
        "start s",
        "syncs cold/again/start",
        "MB written again/start",
        "MB on disk",
        "CPU s cold",
        "peak MB cold/again",
    ]);
    for (contender, of) in contenders.iter().zip(results) {
        let packed = median(of.packed.iter().copied());
        let packed =
            if of.packed.is_empty() { String::new() } else { format!(" ({})", number(packed)) };
        table.add([
            contender.name.clone(),
            number(seconds(&of.first)),
            format!("{}x", number(seconds(&of.first) / seconds(&ours.first))),
            number(seconds(&of.again)),
            number(seconds(&of.open)),
            of.syncs.map(syncs).join(" / "),
            [&of.again, &of.open].map(|runs| number(written(runs))).join(" / "),
            format!("{}{packed}", number(median(of.disk.iter().copied()))),
            number(median(of.first.iter().map(|run| run.cpu))),
            [&of.first, &of.again]
                .map(|runs| number(median(runs.iter().map(|run| run.peak))))
                .join(" / "),
        ]);
    }
    report.tables.push(table);
    report.tables.push(stages(ours));
    report.notes.push(NOT_DURABLE.to_owned());
    report.notes.push(
        "start: open and close the repository, a part of both runs (for restic the key derivation); \
         in brackets after `git gc`; ranges: calls of sync_file_range; syncs are counted in a run of \
         their own that strace slows, and where commits take what is waiting there are more of them then"
            .to_owned(),
    );
    bars(report, contenders, results);
}

/// Where our time goes.
fn stages(ours: &Results) -> Table {
    let mut table = Table::new(&["stage of our run", "threads", "cold ms", "again ms"]);
    for (stage, threads) in store::STAGES {
        let of = |runs: &[Ran]| number(median(runs.iter().map(|run| run.figures.get(stage))));
        table.add([(*stage).to_owned(), (*threads).to_owned(), of(&ours.first), of(&ours.again)]);
    }
    table
}

fn bars(report: &mut Report, contenders: &[Contender], results: &[Results]) {
    let ours = &results[0];
    let (cold, start) = (seconds(&ours.first), seconds(&ours.open));
    let bars = &mut report.bars;
    bars.push(Bar::at_most("cold ingest", cold, 0.6, "s"));
    if let Some(restic) = contenders.iter().position(|other| other.key == "restic") {
        let restic = &results[restic];
        let third = 1.0 / 3.0;
        let share = cold / seconds(&restic.first);
        bars.push(Bar::at_most("cold ingest beside restic", share, third, "of its time"));
        let share = (cold - start) / (seconds(&restic.first) - seconds(&restic.open));
        bars.push(Bar::at_most("the same, starts apart", share, third, "of its time"));
    }
    bars.push(Bar::at_most("second ingest", seconds(&ours.again), 0.15, "s"));
    let writes = written(&ours.again);
    bars.push(Bar::at_most("second ingest writes", writes, 0.0, "MB"));
    let given = |runs: &[Ran]| median(runs.iter().map(|run| run.figures.get("given")));
    let apart = given(&ours.again) - given(&ours.open);
    bars.push(Bar::at_most("the same, start apart", apart, 0.0, "bytes"));
    let [_, again, start] = ours.syncs.map(|syncs| syncs.whole);
    bars.push(Bar::at_most("second ingest syncs", again, 0.0, "syncs"));
    bars.push(Bar::at_most("the same, start apart", again - start, 0.0, "syncs"));
    let disk = median(ours.disk.iter().copied());
    bars.push(Bar::at_most("ingested corpus", disk, 9.5, "MB on disk"));
}
