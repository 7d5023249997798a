//! Blobs by hash beside nginx, and agents that find nothing new.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use colophon_model::Digest;

use crate::content::SMALL;
use crate::load::{self, Connection, Rate};
use crate::nginx::Nginx;
use crate::place::{TENANT, fresh};
use crate::report;
use crate::table::{Bar, median};
use crate::updates::Running;

/// Agents that poll.
pub(crate) const AGENTS: usize = 1_000;

/// One file through both.
pub(crate) struct Read {
    pub(crate) bytes: usize,
    pub(crate) ours: Rate,
    pub(crate) nginx: Rate,
}

/// Measures, and tells.
pub(crate) fn run(
    running: &Running,
    files: (&Path, &Path),
    effort: (usize, Duration),
    bars: &mut Vec<Bar>,
) -> anyhow::Result<()> {
    let quiet = self::files(running, files, effort)?;
    let polls = polls(running)?;
    let busy = files_meanwhile(running, files, effort)?;
    report::reads(&quiet, &busy, &polls, bars);
    Ok(())
}

/// Files while the server builds, which it does whichever side is read.
pub(crate) struct Busy {
    pub(crate) reads: Vec<Read>,
    pub(crate) builds_per_second: f64,
}

fn files_meanwhile(
    running: &Running,
    at: (&Path, &Path),
    effort: (usize, Duration),
) -> anyhow::Result<Busy> {
    let (done, start) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let builder = scope.spawn(|| build_until(&done, running));
        let reads = files(running, at, effort);
        done.store(true, Ordering::Relaxed);
        let builds = builder.join().expect("a builder does not panic")?;
        let builds_per_second = f64::from(builds) / start.elapsed().as_secs_f64();
        Ok(Busy { reads: reads?, builds_per_second })
    })
}

/// Delivers the versions again and again, each time as a revision of its own. How many became builds.
fn build_until(done: &AtomicBool, running: &Running) -> anyhow::Result<u32> {
    let (versions, mut builds) = (SMALL.versions()?, 0);
    while !done.load(Ordering::Relaxed) {
        let mut flow: serde_json::Value =
            serde_json::from_slice(&versions[builds as usize % versions.len()])?;
        builds += 1;
        flow["revision"] = (1_000 + builds).into();
        running.tenant.deliver(&running.server, &serde_json::to_vec(&flow)?)?;
    }
    Ok(builds)
}

/// Files of about these sizes, by hash and by name, in turn.
fn files(
    running: &Running,
    (dir, files): (&Path, &Path),
    (rounds, time): (usize, Duration),
) -> anyhow::Result<Vec<Read>> {
    // The list of a generation's files lies beside it, and its digest is that of the bundle.
    let tree = Digest::of(&std::fs::read(format!("{}.tree", files.display()))?);
    let nginx = Nginx::start(&fresh(&dir.join("nginx"))?, files)?;
    let all = listed(files, files)?;
    let server = &running.server;
    let mut reads = Vec::new();
    for wanted in [1_000, 20_000, 150_000] {
        let nearest =
            all.iter().min_by_key(|(_, size)| size.abs_diff(wanted)).context("no files")?;
        let bytes = std::fs::read(files.join(&nearest.0))?;
        let path = format!("/v1/t/{TENANT}/blob/{}?tree={tree}", Digest::of(&bytes));
        let request = load::get(&path, &running.tenant.token);
        let plain = load::get(&format!("/{}", nearest.0.display()), "");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(load::read((&server.address, server.pid()), &request, &bytes, time)?);
            theirs.push(load::read((&nginx.address, nginx.pid()), &plain, &bytes, time)?);
        }
        reads.push(Read { bytes: bytes.len(), ours: middle(&ours), nginx: middle(&theirs) });
    }
    Ok(reads)
}

fn middle(rates: &[Rate]) -> Rate {
    let of = |number: fn(&Rate) -> f64| median(rates.iter().map(number));
    Rate { per_second: of(|rate| rate.per_second), cpu: of(|rate| rate.cpu) }
}

/// Files below a folder, relative to `root`, with their sizes.
fn listed(root: &Path, dir: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.extend(listed(root, &entry.path())?);
        } else {
            let path = entry.path().strip_prefix(root)?.to_owned();
            all.push((path, entry.metadata()?.len()));
        }
    }
    all.sort();
    Ok(all)
}

/// Agents that find nothing new.
pub(crate) struct Polls {
    /// By asking for the next root and for the timestamp.
    pub(crate) files: Rate,
    /// By asking for all at once.
    pub(crate) sync: Rate,
}

/// A thousand agents, each over a connection of its own.
fn polls(running: &Running) -> anyhow::Result<Polls> {
    let server = &running.server;
    let ask = |file: &str| load::get(&format!("/v1/t/{TENANT}/tuf/{file}"), &running.tenant.token);
    let requests = [(ask("2.root.json"), 404), (ask("timestamp.json"), 200)];
    let mut body = Vec::new();
    let status = Connection::open(&server.address)?.ask(&requests[1].0, &mut body)?;
    ensure!(status == 200, "the timestamp was answered with {status}");
    let timestamp: serde_json::Value = serde_json::from_slice(&body)?;
    let query = format!("root=1&timestamp={}", timestamp["signed"]["version"]);
    let path = format!("/v1/t/{TENANT}/edge/sync?{query}");
    let all = [(load::get(&path, &running.tenant.token), 204)];
    let server = (server.address.as_str(), server.pid());
    let files = load::poll(server, &requests, AGENTS)?;
    Ok(Polls { files, sync: load::poll(server, &all, AGENTS)? })
}
