//! Collection: marking a million blobs, what builds feel of it, and what ten times the live data
//! leaves on the disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use colophon_model::{
    ArtifactPath, BuildId, BuildInputs, BuildKey, BuildRecord, FileMode, FlowId, FlowSource,
    NativeFlowId, Oid, Output, OutputFile, Stamp, Target, UnixMillis,
};
use colophon_store::rows::{Planted, TenantHead, TufFile};
use colophon_store::{Change, GcOptions, Options, PreparedBlob, Store};

use crate::bench::Bench;
use crate::children::Figures;
use crate::children::{self, own};
use crate::corpus::Numbers;
use crate::disk;
use crate::sides::TENANT;
use crate::table::{Bar, Report, Table, median, number, percentile};

/// Files of one build.
const FILES: u64 = 20;
/// Builds of one commit while the store is filled.
const GROUP: u64 = 100;
/// Marks, of which the median counts.
const MARKS: usize = 5;
/// Small builds that are timed with and without a mark beside them.
const BUILDS: usize = 2000;
const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

/// A child that fills a store with builds of twenty files each.
#[derive(Args)]
pub(crate) struct Builds {
    repo: PathBuf,
    blobs: u64,
}

impl Builds {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        let store = Store::open(&self.repo, &Options::default())?;
        let mut change = Change::new();
        change.put(&TENANT, &TenantHead::default());
        name_planted(&mut change)?;
        store.commit(change)?;
        for first in (0..self.blobs / FILES).step_by(GROUP as usize) {
            let mut change = Change::new();
            for build in first..(first + GROUP).min(self.blobs / FILES) {
                put_build(&mut change, build)?;
            }
            store.commit(change)?;
        }
        Ok(Figures::default())
    }
}

/// As every tenant has one; without it the Git log would be looked through as well.
fn name_planted(change: &mut Change) -> anyhow::Result<()> {
    let blob = PreparedBlob::new(b"planted")?;
    let planted = Planted { digest: blob.digest() };
    change.put(&(TENANT, "README.md".to_owned()), &planted).blob(TENANT, blob);
    Ok(())
}

fn put_build(change: &mut Change, build: u64) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for file in 0..FILES {
        let blob = PreparedBlob::new(&(build * FILES + file).to_be_bytes())?;
        files.push(OutputFile {
            path: ArtifactPath::new(format!("app/flows/acme/flow_{file}.py"))?,
            mode: FileMode::Regular,
            digest: blob.digest(),
            size: 8,
        });
        change.blob(TENANT, blob);
    }
    let record = record(build, files)?;
    change.put(&(TENANT, record.id), &record);
    Ok(())
}

fn record(build: u64, files: Vec<OutputFile>) -> anyhow::Result<BuildRecord> {
    let some = files[0].digest;
    let inputs = BuildInputs {
        plan: some,
        templates: some,
        compiler: "1",
        targets: &[Target::Cloud],
        options: b"",
    };
    let key = BuildKey::derive(&inputs);
    Ok(BuildRecord {
        id: BuildId::derive(TENANT, build, &key),
        tenant: TENANT,
        number: build,
        flow: FlowId::new("flow")?,
        name: "Flow".to_owned(),
        source: FlowSource::Builder,
        native: NativeFlowId::new("flow")?,
        revision: Some(build),
        key,
        plan: some,
        body: some,
        templates: some,
        compiler: "1".to_owned(),
        received: NOW,
        stamp: Stamp::after(None, NOW),
        commit: Oid::from_bytes([1; 20]),
        tags: Vec::new(),
        outputs: vec![Output { target: Target::Cloud, tree: some, files, edge: None }],
        gates: Vec::new(),
        manifest: Some(some),
        signatures: None,
        kind: colophon_model::BuildKind::Delivery,
        failure: None,
    })
}

/// A child that marks, and times small builds alone and beside marks.
#[derive(Args)]
pub(crate) struct Mark {
    repo: PathBuf,
}

impl Mark {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        let store = Store::open(&self.repo, &Options::default())?;
        let mut figures = Figures::default();
        let mut seconds = Vec::new();
        for _ in 0..MARKS {
            let (took, blobs) = mark(&store)?;
            seconds.push(took);
            figures.set("blobs", blobs as f64);
        }
        figures.set("mark", median(seconds));
        figures.set("alone", builds_p99(&store, 0)?);
        let done = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let marking = scope.spawn(|| -> anyhow::Result<()> {
                while !done.load(Ordering::Relaxed) {
                    mark(&store)?;
                }
                Ok(())
            });
            let beside = builds_p99(&store, 1);
            done.store(true, Ordering::Relaxed);
            marking.join().map_err(|_| anyhow::anyhow!("marking panicked"))??;
            beside
        });
        figures.set("beside", beside?);
        Ok(figures)
    }
}

/// Seconds of one mark, and how many memberships it found named.
fn mark(store: &Store) -> anyhow::Result<(f64, u64)> {
    let options =
        GcOptions { dry_run: true, compact_below: 0, rewrite_below: 0, ..GcOptions::at(NOW) };
    let from = Instant::now();
    let report = store.gc(&options, &|_| {})?;
    ensure!(report.condemned == 0 && report.held_tenants == 0, "{report:?}");
    Ok((from.elapsed().as_secs_f64(), report.reached))
}

/// The p99 of durable small builds, in milliseconds.
fn builds_p99(store: &Store, run: u64) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for n in 0..BUILDS as u64 {
        let from = Instant::now();
        let mut change = Change::new();
        for file in 0..4_u64 {
            let words = format!("run {run} of {}, build {n}, file {file}", std::process::id());
            let blob = PreparedBlob::new(words.as_bytes())?;
            let row = TufFile { digest: blob.digest() };
            change.put(&(TENANT, format!("run{run}-{n}-{file}")), &row).blob(TENANT, blob);
        }
        store.lane(TENANT).submit(change).wait()?;
        times.push(from.elapsed().as_secs_f64() * 1e3);
    }
    Ok(percentile(&mut times, 99))
}

pub(crate) fn mark_row(bench: &Bench) -> anyhow::Result<Report> {
    let blobs = if bench.quick { 20_000 } else { 1_000_000 };
    let repo = bench.fresh("mark")?;
    let mut fill = own(["builds"])?;
    fill.arg(&repo).arg(blobs.to_string());
    children::run(&fill)?;
    disk::settle()?;
    let mut command = own(["mark"])?;
    command.arg(&repo);
    let ran = children::run(&command)?;
    let figure = |name| ran.figures.get(name);
    let mut report = Report::new("Marking a million blobs, named by 50,000 build records");
    let mut table =
        Table::new(&["blobs", "mark s", "build p99 ms alone", "beside marks", "peak MB"]);
    table.add([
        number(figure("blobs")),
        number(figure("mark")),
        number(figure("alone")),
        number(figure("beside")),
        number(ran.peak),
    ]);
    report.tables.push(table);
    report.notes.push(
        "the whole collection as a dry run: records parsed, memberships and blobs compared".into(),
    );
    report.bars.push(Bar::at_most("mark of 1 M blobs", figure("mark"), 2.0, "s"));
    let ratio = figure("beside") / figure("alone");
    report.bars.push(Bar::at_most("p99 of builds beside a mark", ratio, 1.2, "of alone"));
    Ok(report)
}

/// A child that writes `live` blobs over and over, with a collection after each round.
#[derive(Args)]
pub(crate) struct Churn {
    repo: PathBuf,
    live: u64,
}

impl Churn {
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        let store = Store::open(&self.repo, &Options::default())?;
        let mut change = Change::new();
        change.put(&TENANT, &TenantHead::default());
        store.commit(change)?;
        let options = GcOptions { grace_millis: 0, ..GcOptions::at(NOW) };
        let mut figures = Figures::default();
        let mut passes = Vec::new();
        for round in 0..=10 {
            let live = self.write(&store, round)?;
            store.gc(&options, &|_| {})?;
            let from = Instant::now();
            store.gc(&options, &|_| {})?;
            passes.push(from.elapsed().as_secs_f64());
            figures.set("live", live as f64 / 1e6);
        }
        drop(store);
        figures.set("disk", allocated(&self.repo)? as f64 / 1e6);
        figures.set("pass", median(passes));
        Ok(figures)
    }

    /// Small builds of ten blobs each, one of them large, that take the names of the round before.
    fn write(&self, store: &Store, round: u64) -> anyhow::Result<u64> {
        let mut live = 0;
        for build in 0..self.live / 10 {
            let mut change = Change::new();
            for file in 0..10 {
                let n = build * 10 + file;
                let length = if file == 0 { 20_000 } else { 2000 };
                let blob = PreparedBlob::new(&Numbers::new(round << 32 | n).noise(length))?;
                live += blob.frame().payload().len() as u64;
                change.put(&(TENANT, n.to_string()), &TufFile { digest: blob.digest() });
                change.blob(TENANT, blob);
            }
            store.commit(change)?;
        }
        Ok(live)
    }
}

/// Bytes that a directory's files take up on the disk.
fn allocated(dir: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;

    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { allocated(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}

pub(crate) fn churn_row(bench: &Bench) -> anyhow::Result<Report> {
    let live = if bench.quick { 1000 } else { 20_000 };
    let repo = bench.fresh("churn")?;
    let mut command = own(["churn"])?;
    command.arg(&repo).arg(live.to_string());
    let ran = children::run(&command)?;
    let figure = |name| ran.figures.get(name);
    let ratio = figure("disk") / figure("live");
    let mut report = Report::new("Space after ten times the live data was written and unnamed");
    let mut table = Table::new(&["live MB", "on disk MB", "ratio", "collection s", "peak MB"]);
    table.add([
        number(figure("live")),
        number(figure("disk")),
        format!("{}x", number(ratio)),
        number(figure("pass")),
        number(ran.peak),
    ]);
    report.tables.push(table);
    report.notes.push("bytes that do not compress; a tenth of the blobs is 20 KB and lies in segments, the others are 2 KB and lie in the metadata".into());
    report.bars.push(Bar::at_most("space after 10 x churn", ratio, 1.5, "of live"));
    Ok(report)
}
