//! Opening after a crash: a process with a large metadata file is killed while it commits.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use colophon_model::Digest;
use colophon_store::rows::TufFile;
use colophon_store::{Change, Durability, Options, PreparedBlob, Store};

use crate::bench::Bench;
use crate::children::{self, Figures, Ran, own};
use crate::corpus::Numbers;
use crate::disk;
use crate::sides::TENANT;
use crate::table::{Bar, Report, Table, median, number};

/// Blobs of one commit while the store is filled.
const GROUP: u64 = 2000;
/// Size of a blob that stays in the metadata.
const BLOB: usize = 4000;
/// The row that names the last blob of the last commit.
const REF: &str = "filled";

/// The store's durability, by the word on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Commits {
    Full,
    Fast,
}

impl Commits {
    const fn key(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Fast => "fast",
        }
    }

    fn open(self, repo: &Path) -> anyhow::Result<Store> {
        let durability = match self {
            Self::Full => Durability::Full,
            Self::Fast => Durability::Fast,
        };
        // All of it inline: this is about the metadata.
        let options = Options { durability, inline_per_group: usize::MAX, ..Options::default() };
        Ok(Store::open(repo, &options)?)
    }
}

/// A child that fills the metadata, says so, and commits on until it is killed.
#[derive(Args)]
pub(crate) struct Fill {
    commits: Commits,
    repo: PathBuf,
    megabytes: u64,
}

impl Fill {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        let store = self.commits.open(&self.repo)?;
        let mut said = false;
        for number in 0.. {
            ensure!(said || number < self.megabytes, "the metadata does not grow");
            // Other bytes than any process before wrote.
            let seed = u64::from(std::process::id()) << 32 | number;
            commit(&store, seed)?;
            if !said && metadata_size(&self.repo)? >= self.megabytes << 20 {
                Figures::default().print();
                said = true;
            }
        }
        Ok(Figures::default())
    }
}

fn commit(store: &Store, seed: u64) -> anyhow::Result<()> {
    let (mut numbers, mut change) = (Numbers::new(seed), Change::new());
    let mut last = Digest::of(b"");
    for _ in 0..GROUP {
        let blob = PreparedBlob::new(&numbers.noise(BLOB))?;
        last = blob.digest();
        change.blob(TENANT, blob);
    }
    change.put(&(TENANT, REF.to_owned()), &TufFile { digest: last });
    Ok(store.lane(TENANT).submit(change).wait()?)
}

/// Size of the metadata file, in bytes.
fn metadata_size(repo: &Path) -> anyhow::Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(repo)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "redb") {
            size += entry.metadata()?.len();
        }
    }
    Ok(size)
}

/// A child that opens the store and reads what the last commit named.
#[derive(Args)]
pub(crate) struct Reopen {
    commits: Commits,
    repo: PathBuf,
}

impl Reopen {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        let from = Instant::now();
        let store = self.commits.open(&self.repo)?;
        let opened = from.elapsed();
        let view = store.view()?;
        let row: Option<TufFile> = view.get(&(TENANT, REF.to_owned()))?;
        let digest = row.context("the last commit is lost")?.digest;
        let blob = view.read_blob(TENANT, &digest)?;
        ensure!(blob.is_some(), "the last blob is lost");
        let read = from.elapsed();
        Ok(Figures::from([("open", opened.as_secs_f64()), ("first read", read.as_secs_f64())]))
    }
}

/// Cases of the table: how commits are made, and whether the page cache is warm.
const CASES: [(Commits, bool); 4] =
    [(Commits::Full, true), (Commits::Full, false), (Commits::Fast, true), (Commits::Fast, false)];

pub(crate) fn row(bench: &Bench) -> anyhow::Result<Report> {
    let megabytes = if bench.quick { 64 } else { 2048 };
    let repo = bench.fresh("reopen")?;
    let mut report = Report::new("Opening after a crash, 2 GB of metadata");
    let mut results = [const { Vec::<Ran>::new() }; CASES.len()];
    for round in 1..=bench.rounds {
        for ((commits, warm), runs) in CASES.iter().zip(&mut results) {
            eprintln!("reopen, round {round}: {}, warm: {warm}", commits.key());
            crash(*commits, &repo, megabytes)?;
            disk::settle()?;
            if *warm || disk::drop_page_cache()? {
                let mut command = own(["reopen", commits.key()])?;
                command.arg(&repo);
                runs.push(children::run(&command)?);
            }
        }
    }
    let size = metadata_size(&repo)? as f64 / 1e6;
    summarise(&mut report, &results, size);
    Ok(report)
}

/// Lets a child fill the store and kills it while it commits.
fn crash(commits: Commits, repo: &Path, megabytes: u64) -> anyhow::Result<()> {
    let mut command = own(["fill", commits.key()])?;
    command.arg(repo).arg(megabytes.to_string()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    child.kill()?;
    let status = child.wait()?;
    ensure!(!line.is_empty() && status.code().is_none(), "the child ended by itself");
    Ok(())
}

fn summarise(report: &mut Report, results: &[Vec<Ran>], size: f64) {
    let figure = |runs: &[Ran], name| median(runs.iter().map(|run| run.figures.get(name)));
    let mut table = Table::new(&[
        "durability",
        "page cache",
        "open s",
        "first verified read s",
        "ratio",
        "peak MB",
    ]);
    for ((commits, warm), runs) in CASES.iter().zip(results) {
        if runs.is_empty() {
            report
                .notes
                .push("the page cache cannot be emptied here: cold rows did not run".into());
            continue;
        }
        let ratio = figure(runs, "open") / figure(&results[0], "open");
        table.add([
            commits.key().to_owned(),
            if *warm { "warm" } else { "cold" }.to_owned(),
            number(figure(runs, "open")),
            number(figure(runs, "first read")),
            format!("{}x", number(ratio)),
            number(median(runs.iter().map(|run| run.peak))),
        ]);
    }
    report.tables.push(table);
    report.notes.push(format!("killed while committing; metadata file of {} MB", number(size)));
    report.bars.push(Bar::at_most("open after a crash", figure(&results[0], "open"), 1.0, "s"));
    if !results[1].is_empty() {
        let cold = figure(&results[1], "open");
        report.bars.push(Bar::at_most("open after a crash, cold cache", cold, 1.0, "s"));
    }
}
