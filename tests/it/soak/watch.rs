//! What the process takes, and how far the soak is.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::world::World;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What a process took at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Duration,
    /// Memory that is resident, in KiB.
    pub(super) memory: u64,
    /// Open files and connections.
    pub(super) files: u64,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct Watched {
    samples: Mutex<Vec<Sample>>,
}

impl Watched {
    pub(super) fn all(&self) -> Vec<Sample> {
        self.samples.lock().unwrap().clone()
    }
}

/// Looks until it is told to stop.
pub(super) fn work(world: &World, begun: Instant) {
    let mut told = Duration::ZERO;
    while world.site.pause(EVERY) {
        let at = begun.elapsed();
        if let Some(sample) = world.site.pid().and_then(|pid| look(pid, at)) {
            world.watched.samples.lock().unwrap().push(sample);
        }
        if at >= told + TELL_EVERY {
            told = at;
            tell(world, at);
        }
    }
}

fn tell(world: &World, at: Duration) {
    let counts = world.site.counts();
    let count = |what: &str| counts.get(what).copied().unwrap_or_default();
    let (memory, files) = world.watched.all().last().map_or((0, 0), |s| (s.memory >> 10, s.files));
    eprintln!(
        "soak: {:>4} s  kills {}  requests {}  builds {}  no-ops {}  refusals {}  fetches {}  updates {}  memory {memory} MiB  files {files}",
        at.as_secs(),
        count("kills"),
        count("requests"),
        count("builds"),
        count("no-ops"),
        count("refusals"),
        count("fetches"),
        count("agents' updates"),
    );
}

/// What `pid` takes now. `None`: it is gone.
pub(super) fn look(pid: u32, at: Duration) -> Option<Sample> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let memory = memory.trim().strip_suffix(" kB")?.parse().ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Sample { at, memory, files })
}
