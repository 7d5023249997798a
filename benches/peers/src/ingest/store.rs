//! Our side: files are read, hashed, looked up and compressed on all cores, and go to the writer in
//! groups while the next ones are prepared.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use colophon_model::{Artifact, ArtifactPath, FileMode, Tree, TreeEntry};
use colophon_store::rows::TufFile;
use colophon_store::{Change, PreparedBlob, Store, Ticket, View};
use rayon::prelude::*;

use crate::children::Figures;
use crate::corpus;
use crate::sides::{Blobs as _, Colophon, TENANT};

/// Files of one change. The writer takes all changes that wait into one commit.
const GROUP: usize = 64;
/// The ref that names the ingested tree.
const REF: &str = "corpus";

/// What is timed, and on which threads.
pub(super) const STAGES: &[(&str, &str)] = &[
    ("open", "main"),
    ("list", "main"),
    ("read", "all cores"),
    ("hash", "all cores"),
    ("look up", "all cores"),
    ("compress", "all cores"),
    ("submit", "all cores"),
    ("wait for the writer", "main"),
    ("close", "main"),
    ("writer, on the processor", "writer"),
];

/// Ingests `corpus` into the store at `repo`, or only opens and closes it.
pub(super) fn ingest(corpus: Option<&Path>, repo: &Path) -> anyhow::Result<Figures> {
    let clock = Clock::default();
    let Colophon(store) = clock.time("open", || Colophon::open(repo))?;
    let mut writer = 0.0;
    if let Some(corpus) = corpus {
        let files = clock.time("list", || corpus::list(corpus))?;
        store_files(&store, corpus, &files, &clock)?;
        writer = writer_milliseconds()?;
    }
    clock.time("close", || drop(store));
    Ok(clock.figures(writer))
}

fn store_files(
    store: &Store,
    corpus: &Path,
    files: &[PathBuf],
    clock: &Clock,
) -> anyhow::Result<()> {
    let tickets = Mutex::new(Vec::new());
    let groups: Vec<Vec<TreeEntry>> = files
        .par_chunks(GROUP)
        .map(|group| {
            // A view that lives longer would keep the pages that commits free from being used again.
            let (entries, change) = prepare(&store.view()?, corpus, group, clock)?;
            if let Some(change) = change {
                let ticket = clock.time("submit", || store.lane(TENANT).submit(change));
                tickets.lock().expect("nobody panics with it").push(ticket);
            }
            Ok(entries)
        })
        .collect::<anyhow::Result<_>>()?;
    let tree = Artifact::new(FileMode::Regular, Tree::new(groups.concat())?.encode());
    let row = TufFile { digest: tree.digest() };
    let mut tickets = tickets.into_inner().expect("nobody panics with it");
    if store.view()?.get::<TufFile>(&(TENANT, REF.to_owned()))? != Some(row) {
        let mut change = Change::new();
        change.blob(TENANT, PreparedBlob::of_artifact(&tree)?);
        change.put(&(TENANT, REF.to_owned()), &row);
        tickets.push(store.lane(TENANT).submit(change));
    }
    clock.time("wait for the writer", || tickets.into_iter().try_for_each(Ticket::wait))?;
    Ok(())
}

/// Reads a group of files; the change stores those that are new.
fn prepare(
    view: &View,
    corpus: &Path,
    files: &[PathBuf],
    clock: &Clock,
) -> anyhow::Result<(Vec<TreeEntry>, Option<Change>)> {
    let (mut entries, mut change) = (Vec::with_capacity(files.len()), None);
    for path in files {
        let bytes = clock.time("read", || std::fs::read(path))?;
        let artifact = clock.time("hash", || Artifact::new(FileMode::Regular, bytes));
        let digest = artifact.digest();
        if !clock.time("look up", || view.has_blob(TENANT, &digest))? {
            let blob = clock.time("compress", || PreparedBlob::of_artifact(&artifact))?;
            change.get_or_insert_with(Change::new).blob(TENANT, blob);
        }
        let name = path.strip_prefix(corpus)?.to_str().context("a path is not text")?;
        let path = ArtifactPath::new(name)?;
        entries.push(TreeEntry { path, mode: artifact.mode(), digest });
    }
    Ok((entries, change))
}

/// How long each stage took, summed over all threads.
#[derive(Default)]
struct Clock([AtomicU64; STAGES.len()]);

impl Clock {
    fn time<T>(&self, stage: &str, work: impl FnOnce() -> T) -> T {
        let from = Instant::now();
        let result = work();
        let place = STAGES.iter().position(|(name, _)| *name == stage);
        if let Some(sum) = place.and_then(|place| self.0.get(place)) {
            sum.fetch_add(from.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        result
    }

    fn figures(&self, writer: f64) -> Figures {
        let mut figures = Figures::default();
        for ((stage, _), sum) in STAGES.iter().zip(&self.0) {
            let time = Duration::from_nanos(sum.load(Ordering::Relaxed));
            figures.set(stage, time.as_secs_f64() * 1e3);
        }
        figures.set("writer, on the processor", writer);
        figures
    }
}

/// Processor time of the store's writer so far, in milliseconds. It must have run: a thread gives
/// itself its name.
pub(crate) fn writer_milliseconds() -> anyhow::Result<f64> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == "store-writer" {
            let times = std::fs::read_to_string(task.join("schedstat"))?;
            let nanoseconds = times.split(' ').next().context("no processor time")?;
            return Ok(nanoseconds.parse::<f64>()? / 1e6);
        }
    }
    anyhow::bail!("the store has no writer thread")
}
