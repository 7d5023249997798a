//! What the server does by itself to keep its store in order: interrupted erasures are finished,
//! what is expired is purged, garbage is collected, edge metadata is signed anew before it ends, and
//! every blob is read from time to time.

mod erasures;
mod scrub;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::SharedApp;
use crate::audit::as_job;
use crate::export::Options;
use crate::exporter::{DrillTurn, drill_turn};
use crate::http::chain;
use crate::maintenance::{
    Drill, DrillReport, Drilled, Gc, Job, JobError, Purge, Resign, Site, perform,
};
use crate::tasks::TaskError;
use crate::units::Span;

use erasures::erasures;
use scrub::scrub;

/// How long after the start a job runs first, unless its interval is shorter.
const FIRST: Duration = Duration::from_mins(5);
/// How soon a job is tried again that came to nothing. The wait doubles each time, up to the job's interval.
const AGAIN: Duration = Duration::from_mins(1);
/// Time between two looks for what erasures have left to be done.
const ERASURES: Duration = Duration::from_hours(1);
/// How often it is written when tokens were used last.
const USAGE: Duration = Duration::from_mins(1);
/// Every blob is read at most this often.
const CYCLE: Duration = Duration::from_hours(24);

/// The jobs of a running server.
pub struct Upkeep {
    jobs: JoinSet<()>,
    app: SharedApp,
}

impl Upkeep {
    /// Starts what the configuration asks for.
    pub fn start(app: &SharedApp) -> Self {
        let mut jobs = JoinSet::new();
        jobs.spawn(erasures(app.clone(), Waits::new(AGAIN, ERASURES)));
        jobs.spawn(usage(app.clone()));
        let config = &app.config.maintenance;
        if config.enabled {
            jobs.spawn(repeat(app.clone(), config.purge_every, purge));
            jobs.spawn(repeat(app.clone(), config.gc_every, collect));
            jobs.spawn(repeat(app.clone(), config.resign_every, resign));
            jobs.spawn(scrub(app.clone(), config.scrub_per_second, Waits::new(AGAIN, CYCLE)));
            jobs.spawn(repeat(app.clone(), app.config.export.drill_every, drill));
        }
        Self { jobs, app: app.clone() }
    }

    /// Starts nothing more. A step that runs on is as safe to cut as any other moment.
    pub async fn stop(mut self) {
        self.jobs.shutdown().await;
        write_usage(&self.app).await;
    }
}

async fn usage(app: SharedApp) {
    loop {
        sleep(USAGE).await;
        write_usage(&app).await;
    }
}

async fn write_usage(app: &SharedApp) {
    let writer = app.clone();
    match app.reads.resume(move || writer.usage.flush(&writer.press.store)).await {
        Ok(Ok(_)) | Err(_) => {} // or the program is stopping
        Ok(Err(error)) => {
            tracing::error!(error = %chain(&error), "the last uses of tokens were not written");
        }
    }
}

/// Runs `job` every so often; soon again when it could not run.
async fn repeat<F: Future<Output = bool>>(
    app: SharedApp,
    every: Span,
    job: impl Fn(SharedApp) -> F,
) {
    if every.get().is_zero() {
        return;
    }
    let mut waits = Waits::new(AGAIN, every.get());
    let mut wait = every.get().min(FIRST);
    loop {
        sleep(wait).await;
        wait = waits.after(job(app.clone()).await);
    }
}

/// How long it is until a job runs again.
#[derive(Debug, Clone, Copy)]
struct Waits {
    /// After it came to nothing for the first time, and how often is looked whether it is wanted.
    again: Duration,
    /// After it went well, and the most.
    most: Duration,
    /// After it comes to nothing the next time.
    next: Duration,
}

impl Waits {
    fn new(again: Duration, most: Duration) -> Self {
        let again = again.min(most);
        Self { again, most, next: again }
    }

    /// The wait after a run that went well, or did not: then twice as long each time.
    fn after(&mut self, well: bool) -> Duration {
        let wait = if well { self.most } else { self.next };
        self.next = if well { self.again } else { self.next.saturating_mul(2).min(self.most) };
        wait
    }
}

/// Whether it ran.
async fn purge(app: SharedApp) -> bool {
    let Some(done) = run(&app, "purge", Purge::default()).await else { return false };
    let found = done.found;
    tracing::info!(
        tenants = done.tenants,
        tags = found.tags,
        bundles = found.bundles,
        tuf_files = found.tuf_files,
        quota_stamps = found.quota_stamps,
        claims = found.claims,
        deliveries = found.deliveries,
        refused_bodies = found.refused_bodies,
        origins = found.origins,
        failed = done.failed.len(),
        "purged"
    );
    done.failed.is_empty()
}

/// Whether it ran.
async fn resign(app: SharedApp) -> bool {
    let Some(done) = run(&app, "edge resign", Resign::default()).await else { return false };
    tracing::info!(
        tenants = done.tenants,
        roots = done.roots,
        targets = done.targets,
        snapshots = done.snapshots,
        timestamps = done.timestamps,
        ending = done.ending.len(),
        failed = done.failed.len(),
        "signed edge metadata anew"
    );
    done.failed.is_empty()
}

/// Whether it ran.
async fn collect(app: SharedApp) -> bool {
    let job = Gc { share: app.config.maintenance.gc_share, ..Gc::default() };
    let Some(done) = run(&app, "gc", job).await else { return false };
    tracing::info!(
        blobs = done.blobs,
        condemned = done.condemned,
        deleted = done.deleted,
        deleted_bytes = done.deleted_bytes,
        freed_bytes = done.freed_bytes,
        "collected garbage"
    );
    app.press.metrics.freed(done.freed_bytes);
    if done.missing > 0 {
        tracing::error!(missing = done.missing, "blobs are missing; `colophon fsck` says which");
    }
    true
}

/// Restores the export whose turn it is, for trial. Whether it ran.
async fn drill(app: SharedApp) -> bool {
    const NAME: &str = "export drill";
    let worker = app.clone();
    let look = move || -> Result<_, colophon_store::Error> {
        let (press, config) = (&worker.press, &worker.config.export);
        drill_turn(&press.store.view()?, config)
    };
    let turn = match app.reads.resume(look).await {
        Ok(Ok(Some(turn))) => turn,
        Ok(Ok(None)) | Err(_) => return true, // nothing is exported yet, or the program is stopping
        Ok(Err(error)) => {
            tracing::error!(error = %chain(&error), "whose export is to be restored for trial could not be read");
            return false;
        }
    };
    let (from, tenants) = (turn.from.clone(), vec![turn.tenant.slug.clone()]);
    let job = Drill { from, tenants, options: Options::default() };
    let is_good = |report: &DrillReport| report.tenants.iter().all(Drilled::is_good);
    let Some(report) = run_well(&app, NAME, job, is_good).await else {
        pass_over(&app, turn).await;
        return false;
    };
    for done in report.tenants {
        let (tenant, builds, bytes) = (&done.tenant, done.builds, done.bytes);
        match (done.code, done.problems.first()) {
            (None, _) => {
                tracing::info!(%tenant, builds, bytes, "an export was restored for trial, and is good");
            }
            (Some(code), problem) => {
                let problem = problem.map_or("", String::as_str);
                tracing::error!(%tenant, code, problem, "an export cannot be restored as it should be");
            }
        }
    }
    true
}

/// Lets others have their turn: a place that cannot be opened, say, is not to be tried for ever.
async fn pass_over(app: &SharedApp, turn: DrillTurn) {
    let press = app.press.clone();
    let pass = move || turn.came_to_nothing(&press.store, press.clock.now());
    if let Ok(Err(error)) = app.reads.resume(pass).await {
        tracing::warn!(error = %chain(&error), "that a drill was tried was not written down");
    }
}

/// Runs a job in the one place there is, when its turn comes: a scrub on a slow disk takes that place again as soon as it
/// has left it.
async fn run<J: Job>(app: &SharedApp, name: &'static str, job: J) -> Option<J::Outcome> {
    run_well(app, name, job, |_| true).await
}

/// The same for a job that may end without having gone well.
async fn run_well<J: Job>(
    app: &SharedApp,
    name: &'static str,
    job: J,
    is_good: impl Fn(&J::Outcome) -> bool,
) -> Option<J::Outcome> {
    let worker = app.clone();
    let work = move || {
        let site = Site { press: &worker.press, config: &worker.config };
        as_job(name, || perform(&job, site, &|_| {}))
    };
    let ran = app.maintenance.resume(work).await;
    // One that found the store at other work comes again soon, and is counted then.
    if !is_busy(&ran) {
        app.press.metrics.job(name, matches!(&ran, Ok(Ok(outcome)) if is_good(outcome)));
    }
    settle(name, ran)
}

const fn is_busy<T>(ran: &Result<Result<T, JobError>, TaskError>) -> bool {
    matches!(ran, Ok(Err(JobError::Store(colophon_store::Error::Busy))))
}

/// What came of a job. `None`: another was running, or it failed, which is logged.
fn settle<T>(name: &'static str, done: Result<Result<T, JobError>, TaskError>) -> Option<T> {
    let error: Box<dyn std::error::Error> = match done {
        Ok(Ok(outcome)) => return Some(outcome),
        Ok(Err(JobError::Store(colophon_store::Error::Busy))) => {
            tracing::debug!(name, "another maintenance job runs");
            return None;
        }
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    };
    tracing::error!(error = %chain(&*error), name, "maintenance failed");
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::App;
    use crate::clock::SystemClock;
    use crate::config::Config;

    /// An app over a new data directory, which goes with what is returned beside it.
    pub(super) fn app() -> (SharedApp, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().join("data"), ..Config::default() };
        (Arc::new(App::open(config, Arc::new(SystemClock)).unwrap()), dir)
    }

    /// The server's own jobs wait for the one place: whoever is turned away each time would starve beside a scrub that
    /// always comes again at once.
    #[tokio::test]
    async fn a_job_waits_while_another_has_the_place() {
        let (app, _dir) = app();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let other = app.maintenance.admit().unwrap();
        let other = tokio::spawn(other.run(move || wait.recv().unwrap()));
        let job = run(&app, "purge", Purge::default());
        let mut job = std::pin::pin!(job);
        let first = tokio::time::timeout(Duration::from_millis(50), &mut job).await;
        assert!(first.is_err(), "the place is taken");
        release.send(()).unwrap();
        other.await.unwrap().unwrap();
        assert!(job.await.is_some());
    }

    /// What cannot be done now costs as much each time: it must not be tried all the time, nor be forgotten.
    #[test]
    fn what_comes_to_nothing_waits_twice_as_long_each_time() {
        let mut waits = Waits::new(AGAIN, ERASURES);
        let mut minutes = |well| waits.after(well).as_secs() / 60;
        let failed: Vec<u64> = (0..8).map(|_| minutes(false)).collect();
        assert_eq!(failed, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!([minutes(true), minutes(false), minutes(false)], [60, 1, 2]);
        let often = Duration::from_secs(5);
        assert_eq!(Waits::new(AGAIN, often).after(false), often, "no longer than its interval");
    }
}
