//! Small builds committed durably by 1, 8, 32 and 128 submitters at once: four new blobs and a ref.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use colophon_model::{Artifact, FileMode, TenantUid};
use colophon_store::rows::TufFile;
use colophon_store::{Change, PreparedBlob};
use iroh_blobs::Hash;

use crate::bench::Bench;
use crate::children::{self, Figures, Ran, count_syncs, own};
use crate::corpus::small_build;
use crate::disk::{self, Baseline, sync_dir};
use crate::ingest::writer_milliseconds;
use crate::sides::{Blobs as _, Colophon, Files, Iroh, Side};
use crate::table::{Bar, Report, Table, median, number, percentile};

const SIDES: [Side; 3] = [Side::Colophon, Side::Iroh, Side::Files];
const SUBMITTERS: [usize; 4] = [1, 8, 32, 128];

/// A child's run of so many submitters for so long.
#[derive(Args)]
pub(crate) struct Job {
    side: Side,
    repo: PathBuf,
    submitters: usize,
    seconds: f64,
}

/// The four files of one build.
type Build = [Vec<u8>; 4];
/// Commits one build durably. Each submitter has its own.
type Submit = Box<dyn FnMut(Build) -> anyhow::Result<()> + Send>;

impl Job {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        match self.side {
            Side::Colophon => {
                let store = Colophon::open(&self.repo)?;
                let mut figures = self.drive(|number| colophon(&store, number))?;
                let builds = figures.get("builds");
                if builds > 0.0 {
                    figures.set("writer us", writer_milliseconds()? * 1e3 / builds);
                }
                Ok(figures)
            }
            Side::Iroh => {
                let peer = Arc::new(Iroh::open(&self.repo)?);
                self.drive(|number| Ok(iroh(&peer, number)))
            }
            Side::Files | Side::Cacache => {
                let dir = Files::open(&self.repo)?.0;
                self.drive(|number| files(dir.join(number.to_string())))
            }
        }
    }

    /// Lets every submitter build until time is up.
    fn drive(
        &self,
        submitter: impl Fn(usize) -> anyhow::Result<Submit>,
    ) -> anyhow::Result<Figures> {
        let submitters = (0..self.submitters).map(submitter).collect::<anyhow::Result<Vec<_>>>()?;
        let (start, time) = (Instant::now(), Duration::from_secs_f64(self.seconds));
        let mut times = std::thread::scope(|scope| {
            let threads: Vec<_> = (submitters.into_iter().enumerate())
                .map(|(number, submit)| {
                    scope.spawn(move || build_until(start + time, number, submit))
                })
                .collect();
            let times = threads.into_iter().map(|thread| {
                thread.join().map_err(|_| anyhow::anyhow!("a submitter panicked"))?
            });
            times.collect::<anyhow::Result<Vec<_>>>().map(|times| times.concat())
        })?;
        let builds = times.len() as f64;
        Ok(Figures::from([
            ("builds", builds),
            ("per second", builds / start.elapsed().as_secs_f64()),
            ("p50 ms", percentile(&mut times, 50)),
            ("p99 ms", percentile(&mut times, 99)),
        ]))
    }
}

/// The times of one submitter's builds, in milliseconds. Making the files is not part of them.
fn build_until(end: Instant, number: usize, mut submit: Submit) -> anyhow::Result<Vec<f64>> {
    let (mut times, mut count) = (Vec::new(), (number as u64) << 32);
    while Instant::now() < end {
        let files = small_build(count);
        count += 1;
        let from = Instant::now();
        submit(files)?;
        times.push(from.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// A tenant of its own; the ref must be what the build before made it.
fn colophon(Colophon(store): &Colophon, number: usize) -> anyhow::Result<Submit> {
    let (store, tenant) = (store.clone(), TenantUid::from_bytes((number as u128).to_be_bytes()));
    let key = (tenant, "head".to_owned());
    let mut head: Option<TufFile> = store.view()?.get(&key)?;
    Ok(Box::new(move |files| {
        let artifacts = files.map(|bytes| Artifact::new(FileMode::Regular, bytes));
        let new = TufFile { digest: artifacts[3].digest() };
        let mut change = Change::new();
        for artifact in &artifacts {
            change.blob(tenant, PreparedBlob::of_artifact(artifact)?);
        }
        change.expect(&key, head.as_ref()).put(&key, &new);
        store.lane(tenant).submit(change).wait()?;
        head = Some(new);
        Ok(())
    }))
}

/// A tag of its own. Small blobs lie in its database, so `sync_db` makes the build durable.
fn iroh(peer: &Arc<Iroh>, number: usize) -> Submit {
    let peer = Arc::clone(peer);
    Box::new(move |files| {
        peer.runtime.block_on(async {
            let mut last = Hash::EMPTY;
            for bytes in files {
                last = peer.store.add_bytes(bytes).temp_tag().await?.hash();
            }
            let tag = format!("head-{number}");
            peer.store.tags().set(tag, iroh_blobs::HashAndFormat::raw(last)).await?;
            Ok(peer.store.sync_db().await?)
        })
    })
}

/// A directory of its own, with a file `head`.
fn files(dir: PathBuf) -> anyhow::Result<Submit> {
    let files = Files::open(&dir)?;
    Ok(Box::new(move |build| {
        let mut head = String::new();
        for bytes in &build {
            head = blake3::hash(bytes).to_hex().to_string();
            files.write(&head, bytes)?;
        }
        sync_dir(&dir)?;
        files.write("head", head.as_bytes())?;
        sync_dir(&dir)
    }))
}

/// What one side gave at one number of submitters, one element a round.
type Runs = Vec<Ran>;

pub(crate) fn row(bench: &Bench) -> anyhow::Result<Report> {
    let seconds = if bench.quick { 0.3 } else { 2.0 };
    let mut results = vec![[const { Runs::new() }; SIDES.len()]; SUBMITTERS.len()];
    let mut syncs = Vec::new();
    for round in 1..=bench.rounds {
        for (submitters, results) in SUBMITTERS.iter().zip(&mut results) {
            syncs.push(Baseline::measure(&bench.path("."))?.p50);
            for (side, results) in SIDES.iter().zip(results) {
                eprintln!("group, round {round}: {submitters} submitters, {}", side.key());
                results.push(run(bench, *side, *submitters, seconds)?);
            }
        }
    }
    let mut report = Report::new("Small builds, durable: four blobs and a ref each");
    let mut per_build = Vec::new();
    for side in SIDES {
        per_build.push(syncs_per_build(bench, side, seconds)?);
    }
    tabulate(&mut report, &results, &per_build);
    bars(&mut report, &results, per_build[0], median(syncs));
    Ok(report)
}

fn run(bench: &Bench, side: Side, submitters: usize, seconds: f64) -> anyhow::Result<Ran> {
    bench.fresh("group")?;
    disk::settle()?;
    children::run(&command(bench, side, submitters, seconds)?)
}

fn command(
    bench: &Bench,
    side: Side,
    submitters: usize,
    seconds: f64,
) -> anyhow::Result<std::process::Command> {
    let mut command = own(["group", side.key()])?;
    command.arg(bench.path("group")).args([submitters.to_string(), seconds.to_string()]);
    Ok(command)
}

/// Syncs of one build at one submitter, those of opening and closing taken off. Rounded, because
/// a process ends with a few calls that are no build's.
fn syncs_per_build(bench: &Bench, side: Side, seconds: f64) -> anyhow::Result<f64> {
    bench.fresh("group")?;
    children::run(&command(bench, side, 1, 0.0)?)?;
    let (start, _) = count_syncs(&command(bench, side, 1, 0.0)?)?;
    let (all, figures) = count_syncs(&command(bench, side, 1, seconds)?)?;
    let per_build = (all.whole - start.whole) / figures.get("builds").max(1.0);
    Ok((per_build * 20.0).round() / 20.0)
}

fn figure(runs: &Runs, name: &str) -> f64 {
    median(runs.iter().map(|run| run.figures.get(name)))
}

fn tabulate(report: &mut Report, results: &[[Runs; SIDES.len()]], per_build: &[f64]) {
    let mut table = Table::new(&[
        "submitters",
        "side",
        "builds/s",
        "ratio",
        "p50 ms",
        "p99 ms",
        "CPU us a build",
        "peak MB",
    ]);
    for (submitters, results) in SUBMITTERS.iter().zip(results) {
        for (side, runs) in SIDES.iter().zip(results) {
            let ratio = figure(runs, "per second") / figure(&results[0], "per second");
            let cpu = runs.iter().map(|run| run.cpu * 1e6 / run.figures.get("builds").max(1.0));
            table.add([
                submitters.to_string(),
                side.name().replace(" (¹)", ""),
                number(figure(runs, "per second")),
                format!("{}x", number(ratio)),
                number(figure(runs, "p50 ms")),
                number(figure(runs, "p99 ms")),
                number(median(cpu)),
                number(median(runs.iter().map(|run| run.peak))),
            ]);
        }
    }
    report.tables.push(table);
    let counts: Vec<String> = (SIDES.iter().zip(per_build))
        .map(|(side, syncs)| format!("{} {}", side.key(), number(*syncs)))
        .collect();
    report.notes.push(format!("syncs a build at one submitter: {}", counts.join(", ")));
    report
        .notes
        .push("hashing and compressing are part of each build; the files are not".to_owned());
}

fn bars(report: &mut Report, results: &[[Runs; SIDES.len()]], per_build: f64, sync: f64) {
    let ours = |place: usize| &results[place][0];
    let single = figure(ours(0), "p50 ms");
    report.notes.push(format!(
        "one build at one submitter costs {}x the p50 of one fdatasync ({} ms, measured between the runs)",
        number(single / sync),
        number(sync)
    ));
    report.bars.push(Bar::at_most("one small build, alone", per_build, 2.0, "syncs"));
    let share = single / (2.0 * sync);
    report.bars.push(Bar::at_most("one small build, p50", share, 1.2, "times two fdatasyncs"));
    for (place, bound) in [(2, 4000.0), (3, 8000.0)] {
        let what = format!("small builds, {} submitters", SUBMITTERS[place]);
        report.bars.push(Bar::at_least(
            &what,
            figure(ours(place), "per second"),
            bound,
            "builds/s",
        ));
        report.bars.push(Bar::at_most(
            &format!("{what}, p99"),
            figure(ours(place), "p99 ms"),
            30.0,
            "ms",
        ));
    }
    let writer = figure(ours(2), "writer us") / 1e3;
    report.bars.push(Bar::at_most("writer, 32 tenants", writer, 0.3, "ms of processor a build"));
}
