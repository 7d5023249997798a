//! What is served: a tenant with its builds, and the same content as a repository of stock git.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use colophon::app::{Owner, open_press};
use colophon::clock::{Clock, SystemClock};
use colophon::config::Config;
use colophon::gates::Mode;
use colophon::maintenance::{GitExport, GitRebuild, Job as _, Site};
use colophon::pipeline::{Delivery, Outcome, Press};
use colophon::tenants;
use colophon::tokens::{self, TokenKind};
use colophon_model::{CodePolicy, TenantSlug, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::flows::Flows;
use crate::process;
use crate::table::median;

pub(crate) const TENANT: &str = "bench-tenant";

/// Builds whose cost is told, each with the hundred before it.
const MARKS: [u64; 4] = [100, 1_000, 5_000, 20_000];
const WINDOW: u64 = 100;
/// Between two builds, in milliseconds: 96 a day, which the default quota allows.
const STEP: u64 = 15 * 60 * 1000;

/// Where things lie below a directory.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.0.join("export.git")
    }

    fn summary(&self) -> PathBuf {
        self.0.join("made.json")
    }

    /// What was made here before, if it was finished.
    pub(crate) fn made(&self) -> Option<Made> {
        serde_json::from_slice(&std::fs::read(self.summary()).ok()?).ok()
    }
}

/// What was made, and what it cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) builds: u64,
    pub(crate) objects: u64,
    pub(crate) token: String,
    pub(crate) windows: Vec<Window>,
}

/// The cost of the builds before a mark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) builds: u64,
    /// The median of a whole build, and of its stages in and behind the lane, in milliseconds.
    pub(crate) whole: f64,
    pub(crate) commit: f64,
    /// Processor time of the process a build, all threads, in milliseconds.
    pub(crate) cpu: f64,
    /// The median of making a build's commit again: rendering aside, its trees, deltas and signatures.
    pub(crate) projection: f64,
}

/// A clock that steps from build to build, and ends about now.
struct Steps(AtomicU64);

impl Clock for Steps {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::Relaxed))
    }
}

/// Makes `builds` builds one after the other, exports them and packs the export as well as git can.
pub(crate) fn make(place: &Place, builds: u64) -> anyhow::Result<()> {
    let start = SystemClock.now().get() - builds * STEP;
    let clock = Arc::new(Steps(AtomicU64::new(start)));
    let config = config(place);
    let press = open_press(&config, clock.clone(), Owner::Command)?;
    let slug: TenantSlug = TENANT.parse()?;
    tenants::create(&press, &slug, CodePolicy::default())?;
    let mut windows = build(&press, &clock, &slug, builds)?;
    let site = Site { press: &press, config: &config };
    replay(site, &slug, &mut windows)?;
    let bare = place.bare();
    let exported = GitExport { tenant: slug.clone(), bare: bare.clone() }.run(site, &|_| ())?;
    repack(&bare)?;
    let now = SystemClock.now();
    let token = tokens::create_token(&press.store, &slug, TokenKind::Git, "bench", 365, now)?;
    let token = token.token.reveal().to_owned();
    let made = Made { builds, objects: exported.objects, token, windows };
    Ok(std::fs::write(place.summary(), serde_json::to_vec(&made)?)?)
}

/// The configuration of both who makes and who serves.
pub(crate) fn config(place: &Place) -> Config {
    let mut config = Config { data: place.data(), ..Config::default() };
    config.quota.builds_per_day = NonZeroU64::MAX;
    // Sixteen connections of one tenant, and slow readers beside nothing else.
    config.git.per_tenant = 16;
    config.gates.smoke = Mode::Off;
    config
}

fn build(
    press: &Press,
    clock: &Steps,
    slug: &TenantSlug,
    builds: u64,
) -> anyhow::Result<Vec<Window>> {
    let tenant = tenants::find(&press.store.view()?, slug)?;
    let mut flows = Flows::new();
    let mut windows = Vec::new();
    let (mut whole, mut commit, mut cpu) = (Vec::new(), Vec::new(), process::cpu_of_self()?);
    let mut made = 0;
    while made < builds {
        let received = UnixMillis::new(clock.0.fetch_add(STEP, Ordering::Relaxed) + STEP);
        let delivery = Delivery::new(tenant.clone(), flows.deliver()?, received);
        let from = Instant::now();
        let finished = press.run(delivery)?;
        if matches!(finished.outcome, Outcome::NoOp(_)) {
            continue;
        }
        whole.push(from.elapsed().as_secs_f64() * 1e3);
        commit.push(finished.timing.commit.millis());
        made += 1;
        if made % WINDOW == 0 {
            let (now, before) = (process::cpu_of_self()?, cpu);
            let (whole, commit) = (median(whole.drain(..)), median(commit.drain(..)));
            let each = (now - before) * 1e3 / WINDOW as f64;
            cpu = now;
            if MARKS.contains(&made) || made == builds {
                windows.push(Window { builds: made, whole, commit, cpu: each, projection: 0.0 });
                eprintln!("{made} builds: {whole:.2} ms a build");
            }
        }
    }
    Ok(windows)
}

/// Makes all commits again, which changes nothing, and tells how long each took.
fn replay(site: Site<'_>, slug: &TenantSlug, windows: &mut [Window]) -> anyhow::Result<()> {
    let times = std::sync::Mutex::new(vec![Instant::now()]);
    let job = GitRebuild { tenant: slug.clone(), dry_run: true };
    let rebuilt = job.run(site, &|progress| {
        if progress.stage == "making commits" {
            times.lock().expect("no thread panics while it holds this").push(Instant::now());
        }
    })?;
    ensure!(rebuilt.replaced == 0, "a rebuild makes other objects");
    let times = times.into_inner()?;
    for window in windows {
        let end = window.builds as usize + 1;
        let own = times.get(end - WINDOW as usize - 1..end).context("builds were not replayed")?;
        let gaps = own.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3);
        window.projection = median(gaps);
    }
    Ok(())
}

fn repack(bare: &Path) -> anyhow::Result<()> {
    git(bare, &["repack", "-adf", "--write-bitmap-index", "-q"])?;
    git(bare, &["commit-graph", "write", "--reachable"])?;
    for option in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        git(bare, &["config", option, "true"])?;
    }
    Ok(())
}

/// Runs git in a repository and returns what it printed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").arg("-C").arg(dir).args(args).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {args:?} failed: {said}");
    Ok(String::from_utf8(output.stdout)?)
}
