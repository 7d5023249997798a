//! The worker of a running server: brings bundles to the bucket, and looks from time to time whether all is there.
//!
//! One tenant is worked on at a time by one worker, a few bundles at a turn, so that whoever publishes many does not
//! keep others waiting. The bucket need not be there when the server starts, nor later: what is due waits.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use colophon_model::audit::{Act, Action, Chain, Outcome, Subject};
use colophon_model::{Sha256, UnixMillis};
use colophon_store::Error;
use colophon_store::rows::TenantRow;
use tokio::task::JoinSet;

use super::check;
use super::ledger::{self, Job, Noted};
use super::rounds::{About, Rounds};
use super::shelf::{Cleared, Put, Shelf};
use crate::app::SharedApp;
use crate::audit::{By, as_job};
use crate::http::chain;
use crate::keys::random_bytes;
use crate::place::Trouble;
use crate::schedule::{Duty, Ended, Schedule, Taken, found};
use crate::tasks::{TaskError, Tasks};

/// Bundles of a tenant that are brought before another tenant gets the place.
const AT_A_TURN: usize = 8;
/// How long the bucket's credentials are used before it is looked whether they are to be renewed.
const REFRESH: Duration = Duration::from_mins(1);
/// How long to wait before a bucket that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(5);
/// Looks take one part in so many of the time, however much waits.
const SHARE: u32 = 20;

/// The worker of a running server.
#[derive(Debug)]
pub struct Uploader {
    schedule: Schedule,
    keeper: JoinSet<()>,
}

impl Uploader {
    /// Starts the worker, when there is a bucket.
    pub fn start(app: &SharedApp) -> Self {
        let mut keeper = JoinSet::new();
        if !app.press.artifacts.is_on() {
            return Self { schedule: Schedule::idle(), keeper };
        }
        keeper.spawn(keep(app.clone()));
        let schedule = Schedule::start(Uploads {
            app: app.clone(),
            rounds: Mutex::default(),
            look: Mutex::default(),
        });
        Self { schedule, keeper }
    }

    /// Starts nothing more. What was cut is begun again at the next start.
    pub async fn stop(mut self) {
        self.keeper.shutdown().await;
        self.schedule.stop().await;
    }
}

/// Opens the bucket, and keeps its credentials good.
async fn keep(app: SharedApp) {
    let worker = app.clone();
    let Some(bucket) = opened(&app.reads, move || open(&worker), REOPEN).await else { return };
    app.press.artifacts.opened(bucket);
    while let Some(bucket) = app.press.artifacts.shelf() {
        bucket.refresh().await;
        tokio::time::sleep(REFRESH).await;
    }
}

/// What `open` opens, however long it takes until it can be, with a `pause` after each failure. `None`: there is none.
async fn opened<T: Send + 'static>(
    tasks: &Tasks,
    open: impl Fn() -> Option<Result<T, Trouble>> + Clone + Send + 'static,
    pause: Duration,
) -> Option<T> {
    loop {
        match tasks.resume(open.clone()).await {
            Ok(Some(Ok(bucket))) => return Some(bucket),
            Ok(Some(Err(trouble))) => tell_closed(&trouble),
            Ok(None) => return None,
            // It panicked. When the program stops, the task that waits here is stopped too.
            Err(error) => {
                tracing::error!(error = %chain(&error), "opening the bucket ended unexpectedly");
            }
        }
        tokio::time::sleep(pause).await;
    }
}

fn open(app: &SharedApp) -> Option<Result<Shelf, Trouble>> {
    let url = app.config.edge.artifacts.as_ref()?;
    Some(Shelf::open(url, &app.config, &app.press.secrets))
}

fn tell_closed(trouble: &Trouble) {
    tracing::error!(
        %trouble,
        code = trouble.code,
        hint = trouble.hint,
        "the bucket of bundles cannot be opened; the server's own URLs are given out"
    );
}

/// Work on the bucket.
#[derive(Debug)]
enum Due {
    /// Bundles of a tenant are to be brought.
    Upload(TenantRow),
    /// What lies there of a tenant is to be compared with what should.
    Check(TenantRow),
    /// What lies there of tenants that were erased is to go.
    Erased,
}

struct Uploads {
    app: SharedApp,
    rounds: Mutex<Rounds>,
    /// When the next look for what is to be brought may begin.
    look: Mutex<Option<Instant>>,
}

/// What is begun beside what is taken, when there are `all` places. Uploads may come without end, and must not keep
/// comparisons waiting for as long: one of several places is a comparison's, if there is one to make.
fn seat(
    rounds: &mut Rounds,
    uploads: Vec<TenantRow>,
    Taken { busy, resting }: Taken<About>,
    (all, now): (usize, UnixMillis),
) -> Vec<Due> {
    let mut room = all.saturating_sub(busy.len());
    let first = usize::from(all > 1 && !rounds.is_running(&busy)).min(room);
    let mut out: HashSet<About> = busy.into_iter().chain(resting).collect();
    let mut checks = rounds.take(first, &out, now);
    room -= checks.len();
    out.extend(checks.iter().map(About::of));
    let mut due = Vec::new();
    for tenant in uploads {
        if room > 0 && out.insert(About::Tenant(tenant.uid)) {
            room -= 1;
            due.push(Due::Upload(tenant));
        }
    }
    checks.extend(rounds.take(room, &out, now));
    due.extend(checks.into_iter().map(|item| item.map_or(Due::Erased, Due::Check)));
    due
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Duty for Uploads {
    type Due = Due;
    type About = About;
    const WHAT: &'static str = "an upload";

    fn about(due: &Due) -> About {
        match due {
            Due::Upload(tenant) | Due::Check(tenant) => About::Tenant(tenant.uid),
            Due::Erased => About::Erased,
        }
    }

    async fn due(&self, taken: Taken<About>) -> Vec<Due> {
        let all = self.app.config.edge.artifact_uploads;
        if taken.busy.len() >= all || self.app.press.artifacts.shelf().is_none() {
            return Vec::new();
        }
        self.begin_round().await;
        let uploads = self.uploads().await;
        seat(&mut self.rounds(), uploads, taken, (all, self.now()))
    }

    async fn work(&self, due: Due) -> Ended {
        let Some(bucket) = self.app.press.artifacts.shelf() else { return Ended::Settled };
        match due {
            Due::Upload(tenant) => {
                if let Err(error) = self.turn(bucket, &tenant).await {
                    let (tenant, error) = (tenant.slug.as_str(), chain(&error));
                    tracing::error!(tenant, error, "what came of an upload is not settled");
                    return Ended::Unsettled;
                }
            }
            Due::Check(tenant) => {
                let checked = self.check(bucket, &tenant).await;
                self.tell_check(checked, Some(tenant));
            }
            Due::Erased => {
                let checked = self.erased(bucket).await;
                self.tell_check(checked, None);
            }
        }
        Ended::Settled
    }
}

/// Why a piece of work was not done.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Place(#[from] Trouble),
    #[error(transparent)]
    Zip(#[from] crate::zips::ZipError),
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Task(#[from] TaskError),
}

impl Failed {
    /// The stable code of what was wrong.
    const fn code(&self) -> &'static str {
        match self {
            Self::Place(trouble) => trouble.code,
            Self::Zip(_) => "artifact-bundle",
            Self::Store(_) | Self::Task(_) => "artifact-store",
        }
    }
}

impl Uploads {
    fn now(&self) -> UnixMillis {
        self.app.press.clock.now()
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        locked(&self.rounds)
    }

    /// Tenants whose bundles are due. While much waits, it is looked less often.
    async fn uploads(&self) -> Vec<TenantRow> {
        let begun = Instant::now();
        if locked(&self.look).is_some_and(|look| look > begun) {
            return Vec::new();
        }
        let (press, now) = (self.app.press.clone(), self.now());
        let looked = self.app.reads.resume(move || ledger::due(&press.store, now)).await;
        let due = found(Self::WHAT, looked);
        *locked(&self.look) = Some(begun + begun.elapsed() * SHARE);
        due
    }

    /// Begins a round of comparisons when it is time.
    async fn begin_round(&self) {
        let (now, every) = (self.now(), self.app.config.edge.artifact_check_every.millis());
        if !self.rounds().is_due(now, every) {
            return;
        }
        let press = self.app.press.clone();
        let all = move || {
            let view = press.store.view()?;
            let rows = view.scan::<TenantRow>(&String::new());
            rows.map(|row| row.map(|(_, tenant)| tenant)).collect::<Result<Vec<_>, Error>>()
        };
        let all = match self.app.reads.resume(all).await.map_err(Failed::from) {
            Ok(Ok(all)) => Some(all),
            Ok(Err(error)) => tell_unread(&error.into()),
            Err(error) => tell_unread(&error),
        };
        self.rounds().begin(all, now, every);
    }

    /// Brings bundles of a tenant until none is due, one failed, or it is another's turn.
    async fn turn(&self, bucket: &Shelf, tenant: &TenantRow) -> Result<(), Failed> {
        for _ in 0..AT_A_TURN {
            let (press, uid, now) = (self.app.press.clone(), tenant.uid, self.now());
            let next = move || ledger::next(&press.store, uid, now);
            let Some(job) = self.app.reads.resume(next).await?? else { break };
            if !self.upload(bucket, tenant, &job).await? {
                break;
            }
        }
        Ok(())
    }

    /// Brings one bundle, and writes down what came of it. `false`: it failed.
    #[tracing::instrument(target = "trace", name = "upload", skip_all, fields(
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        openinference.span.kind = "TOOL",
        cicd.pipeline.task.name = "upload",
        cicd.pipeline.task.run.result = tracing::field::Empty,
        http.request.resend_count = job.failures(),
        error.type = tracing::field::Empty,
        colophon.tenant = %tenant.slug,
        colophon.artifact.place = bucket.url(),
        colophon.artifact.sha256 = %job.zip,
    ))]
    async fn upload(&self, bucket: &Shelf, tenant: &TenantRow, job: &Job) -> Result<bool, Failed> {
        let carried = self.carry(bucket, tenant, job).await;
        trace(&carried);
        let well = carried.is_ok();
        if self.note(tenant, job, carried).await? == Noted::TooLate && well {
            // The tenant was erased meanwhile: what was just written goes again.
            self.take_back(bucket, tenant, job).await;
        }
        Ok(well)
    }

    /// The bundle as it was signed, to the bucket. `None`: it was purged since.
    async fn carry(
        &self,
        bucket: &Shelf,
        tenant: &TenantRow,
        job: &Job,
    ) -> Result<Option<Put>, Failed> {
        let press = &self.app.press;
        let Some(alias) = job.alias.clone() else { return Ok(None) };
        let zip = press.bundles.zips.get(press, tenant.uid, (job.zip, alias)).await?;
        let length = zip.len() as u64;
        let put = bucket.put(&tenant.slug, &job.zip, zip).await?;
        if put == Put::Written {
            press.metrics.artifact_sent(length);
        }
        Ok(Some(put))
    }

    async fn note(
        &self,
        tenant: &TenantRow,
        job: &Job,
        carried: Result<Option<Put>, Failed>,
    ) -> Result<Noted, Failed> {
        let (press, now) = (self.app.press.clone(), self.now());
        let (row, work) = (tenant.clone(), job.clone());
        match carried {
            Ok(None) => {
                let note = move || ledger::purged(&press.store, &row, &work);
                Ok(self.app.reads.resume(note).await??)
            }
            Ok(Some(_)) => {
                press.metrics.artifact_uploaded(true);
                tracing::info!(tenant = %tenant.slug, zip = %job.zip, "a bundle lies in the bucket");
                let note = move || {
                    let place = press.artifacts.name().unwrap_or_default().to_owned();
                    as_job(JOB, || ledger::lies_there(&press.store, &row, &work, &place, now))
                };
                Ok(self.app.reads.resume(note).await??)
            }
            Err(failed) => {
                press.metrics.artifact_uploaded(false);
                tell_failed(tenant, job, &failed);
                let [chance] = random_bytes::<1>().unwrap_or([255]);
                let trouble = (chain(&failed), chance);
                let note = move || ledger::failed(&press.store, &row, &work, trouble, now);
                Ok(self.app.reads.resume(note).await??)
            }
        }
    }

    async fn take_back(&self, bucket: &Shelf, tenant: &TenantRow, job: &Job) {
        let (store, slug) = (self.app.press.store.clone(), tenant.slug.clone());
        let is_gone = self.app.reads.resume(move || store.is_retired(&slug)).await;
        if matches!(is_gone, Ok(Ok(true))) {
            match bucket.take_away(&tenant.slug, |zip| *zip == job.zip).await {
                Ok(cleared) => tell_left(None, &cleared),
                Err(trouble) => {
                    tracing::error!(%trouble, "a bundle of a tenant that was erased is left in the bucket");
                }
            }
        }
    }

    /// Brings what lies there of a tenant together with what should; returns how much differed.
    async fn check(&self, bucket: &Shelf, tenant: &TenantRow) -> Result<usize, Failed> {
        let seen = bucket.look(&tenant.slug).await?;
        let (press, row, now) = (self.app.press.clone(), tenant.clone(), self.now());
        let compare = move || {
            let place = press.artifacts.name().unwrap_or_default();
            check::compare(&press.store, &row, (place, &seen), now)
        };
        let found = self.app.reads.resume(compare).await??;
        if !found.left.is_empty() {
            let cleared = bucket.take_away(&tenant.slug, |zip| found.left.contains(zip)).await?;
            tell_left(Some(tenant), &cleared);
            self.write_down(Chain::Tenant(tenant.uid), cleared).await;
        }
        Ok(found.missing.len() + found.left.len())
    }

    /// Has the audit log tell what was taken out of the bucket, and what could not be.
    async fn write_down(&self, chain: Chain, cleared: Cleared) {
        let press = self.app.press.clone();
        let write = move || {
            as_job(JOB, || {
                let place = press.artifacts.name().unwrap_or_default();
                for act in removals(chain, place, &cleared) {
                    press.write_down_or_keep(chain, act);
                }
            });
        };
        if let Err(error) = self.app.reads.resume(write).await {
            tracing::warn!(error = %crate::http::chain(&error), "what was taken out of the bucket is not written down");
        }
    }

    /// Takes away what lies there of tenants that were erased.
    async fn erased(&self, bucket: &Shelf) -> Result<usize, Failed> {
        let mut removed = 0;
        for slug in bucket.tenants().await? {
            let (store, name) = (self.app.press.store.clone(), slug.clone());
            if self.app.reads.resume(move || store.is_retired(&name)).await?? {
                let cleared = bucket.take_away(&slug, |_| true).await?;
                tell_left(None, &cleared);
                removed += cleared.removed.len();
                self.write_down(Chain::System, cleared).await;
            }
        }
        Ok(removed)
    }

    fn tell_check(&self, checked: Result<usize, Failed>, item: Option<TenantRow>) {
        let tenant = item.as_ref().map(|tenant| tenant.slug.to_string());
        match checked {
            Ok(0) => {}
            Ok(differed) => {
                tracing::info!(tenant, differed, "the bucket was brought in line with the store");
            }
            Err(failed) => {
                tracing::warn!(tenant, error = %chain(&failed), "the bucket could not be compared");
                let now = self.now();
                self.rounds().again(item, now);
            }
        }
    }
}

/// As whom the audit log knows this worker.
const JOB: &str = "artifacts";

/// What was taken away, a line for each bundle of a tenant. The system's log does not name what an erased tenant had.
fn removals(chain: Chain, place: &str, cleared: &Cleared) -> Vec<Act> {
    let left = cleared.left.len() as u64;
    let told = |act: Act| {
        if left == 0 { act } else { act.came_to(Outcome::Failed("artifact-left".to_owned())) }
    };
    match chain {
        Chain::System => {
            let act = By::here().did(Action::ArtifactRemove, Subject::new("place", place));
            let act = act.with("bundles", cleared.removed.len() as u64).with("left", left);
            vec![told(act)]
        }
        Chain::Tenant(_) => {
            let act = |zip: &Sha256| {
                let act = By::here().did(Action::ArtifactRemove, Subject::new("bundle", zip));
                let name = zip.to_string();
                let is_left = cleared.left.iter().any(|text| text.contains(&name));
                let act = act.with("place", place);
                if is_left { told(act) } else { act }
            };
            cleared.removed.iter().map(act).collect()
        }
    }
}

/// Says in the current span how it went.
fn trace(carried: &Result<Option<Put>, Failed>) {
    let span = tracing::Span::current();
    let result = match carried {
        Ok(Some(Put::Written)) => "success",
        Ok(_) => "skip",
        Err(failed) => {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", failed.code());
            "failure"
        }
    };
    span.record("cicd.pipeline.task.run.result", result);
}

/// Tells the log what of bundles that should be gone is still there. Nobody else names it.
fn tell_left(tenant: Option<&TenantRow>, cleared: &Cleared) {
    let tenant = tenant.map(|tenant| tenant.slug.to_string());
    for left in &cleared.left {
        tracing::error!(tenant, left, "what was purged could not be taken out of the bucket");
    }
    if let Some(trouble) = &cleared.unseen {
        tracing::warn!(tenant, %trouble, hint = DENIED, "old versions in the bucket cannot be looked for");
    }
}

const DENIED: &str = "`colophon edge policy --upload` prints what the server's key must be allowed";

fn tell_unread(error: &Failed) -> Option<Vec<TenantRow>> {
    tracing::error!(error = %chain(error), "whose bundles are to be compared cannot be read; it is tried again");
    None
}

fn tell_failed(tenant: &TenantRow, job: &Job, failed: &Failed) {
    let (code, hint) = match failed {
        Failed::Place(trouble) if trouble.code == "export-denied" => {
            (Some(trouble.code), Some(DENIED))
        }
        Failed::Place(trouble) => (Some(trouble.code), trouble.hint),
        _ => (None, None),
    };
    tracing::warn!(
        tenant = %tenant.slug,
        zip = %job.zip,
        failures = job.failures() + 1,
        error = %chain(failed),
        code,
        hint,
        "a bundle could not be uploaded; it is tried again"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{CodePolicy, TenantUid};
    use colophon_store::rows::RootsOrigin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn tenant(byte: u8) -> TenantRow {
        TenantRow {
            uid: TenantUid::from_bytes([byte; 16]),
            slug: format!("tenant-{byte}").parse().unwrap(),
            created: UnixMillis::new(0),
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        }
    }

    /// A panic is not the end of the program: without the keeper nothing would be brought until the next start.
    #[tokio::test]
    async fn a_bucket_is_opened_although_the_first_attempt_panics() {
        let (tasks, tries) = (Tasks::new(1, 0), Arc::new(AtomicU32::new(0)));
        let count = tries.clone();
        let open = move || {
            assert!(count.fetch_add(1, Ordering::Relaxed) > 0, "on purpose");
            Some(Ok::<_, Trouble>(7))
        };
        assert_eq!(opened(&tasks, open, Duration::ZERO).await, Some(7));
        assert_eq!(tries.load(Ordering::Relaxed), 2);
        assert_eq!(opened(&tasks, || None::<Result<u32, Trouble>>, Duration::ZERO).await, None);
    }

    /// What begins beside what is taken: `u` and `c` with a tenant's number, `e` for those that were erased.
    fn begun(rounds: &mut Rounds, uploads: &[u8], taken: &[u8], all: usize) -> Vec<String> {
        let busy = taken.iter().map(|byte| About::Tenant(tenant(*byte).uid)).collect();
        let taken = Taken { busy, ..Taken::default() };
        let uploads = uploads.iter().copied().map(tenant).collect();
        let seated = seat(rounds, uploads, taken, (all, UnixMillis::new(1)));
        let name = |due: &Due| match due {
            Due::Upload(tenant) => format!("u{}", tenant.uid.as_bytes()[0]),
            Due::Check(tenant) => format!("c{}", tenant.uid.as_bytes()[0]),
            Due::Erased => "e".to_owned(),
        };
        seated.iter().map(name).collect()
    }

    /// However much is to be brought, what was purged goes from the bucket, and what is missing there is found.
    #[test]
    fn uploads_without_end_keep_no_comparison_waiting() {
        let round = |all: &[u8]| {
            let mut rounds = Rounds::default();
            let tenants = all.iter().copied().map(tenant).collect();
            rounds.begin(Some(tenants), UnixMillis::new(0), 1000);
            rounds
        };
        let mut rounds = round(&[7, 8]);
        assert_eq!(begun(&mut rounds, &[1, 2, 3], &[], 2), ["u1", "e"]);
        assert_eq!(begun(&mut rounds, &[2, 3], &[1], 2), ["c7"], "the first one has ended");
        assert_eq!(begun(&mut rounds, &[2, 3], &[7], 2), ["u2"], "one place is enough");
        assert_eq!(begun(&mut rounds, &[8], &[], 3), ["c8"], "and never two at one tenant");
        assert_eq!(begun(&mut rounds, &[1, 2], &[], 2), ["u1", "u2"], "nothing is kept free");
        let mut rounds = round(&[7]);
        assert_eq!(
            begun(&mut rounds, &[1], &[], 3),
            ["u1", "e", "c7"],
            "what is left is theirs too"
        );
        assert_eq!(begun(&mut round(&[7]), &[1], &[], 1), ["u1"], "the only place is for uploads");
    }
}
