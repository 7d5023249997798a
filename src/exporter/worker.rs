//! The worker of a running server: looks for what is due, and has it exported.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use colophon_model::{Digest, TenantUid};

use super::due::{Due, Rules, Scope};
use super::ledger;
use super::rest::{Rests, is_wide};
use crate::app::SharedApp;
use crate::audit::as_job;
use crate::export::{Asked, ExportError, Exported, Options, Place, export};
use crate::http::chain;
use crate::keys::random_bytes;
use crate::schedule::{Duty, Ended, Schedule, Taken, found};

/// How often all tenants are looked at. Those whose builds ask are at every look.
const SWEEP: Duration = Duration::from_secs(5);

/// The worker of a running server.
#[derive(Debug)]
pub struct Exporter {
    schedule: Schedule,
    stopping: Arc<AtomicBool>,
}

impl Exporter {
    /// Starts the worker, when the configuration names places.
    pub fn start(app: &SharedApp) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let rules = Rules::of(&app.config.export);
        let schedule = if rules.places.is_empty() {
            Schedule::idle()
        } else {
            Schedule::start(Exports {
                app: app.clone(),
                rules: Arc::new(rules),
                stopping: stopping.clone(),
                rests: Arc::default(),
                swept: Mutex::default(),
            })
        };
        Self { schedule, stopping }
    }

    /// Starts nothing more, and ends what runs with its next request. What was sent shows at the next start.
    pub async fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.schedule.stop().await;
    }
}

/// Exports, one at a time for each tenant.
struct Exports {
    app: SharedApp,
    rules: Arc<Rules>,
    stopping: Arc<AtomicBool>,
    rests: Arc<Mutex<Rests>>,
    /// When all tenants were last looked at.
    swept: Mutex<Option<Instant>>,
}

impl Exports {
    /// All tenants now and then, and those that ask at every look.
    fn scope(&self) -> Scope {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_some_and(|at| at.elapsed() < SWEEP) {
            return Scope::Asking;
        }
        *swept = Some(Instant::now());
        Scope::All
    }
}

fn locked(rests: &Mutex<Rests>) -> MutexGuard<'_, Rests> {
    rests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Duty for Exports {
    type Due = Due;
    type About = (TenantUid, Digest);
    const WHAT: &'static str = "an export";

    fn about(due: &Due) -> (TenantUid, Digest) {
        (due.tenant.uid, due.place)
    }

    async fn due(&self, taken: Taken<(TenantUid, Digest)>) -> Vec<Due> {
        let room = self.app.config.export.workers.saturating_sub(taken.busy.len());
        if room == 0 {
            return Vec::new();
        }
        let (press, rules, scope) = (self.app.press.clone(), self.rules.clone(), self.scope());
        let look = move || rules.due(&press.store.view()?, press.clock.now(), scope);
        let due = found(Self::WHAT, self.app.reads.resume(look).await);
        let all = due.len();
        let seated = locked(&self.rests).seat(due, &taken, (room, self.app.press.clock.now()));
        if seated.len() == room && room < all {
            // Others wait for a place only, and not for the next sweep.
            *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        seated
    }

    async fn work(&self, due: Due) -> Ended {
        let work = Work {
            app: self.app.clone(),
            rules: self.rules.clone(),
            stopping: self.stopping.clone(),
            rests: self.rests.clone(),
            due,
        };
        let done = self.app.exports.resume(move || as_job("export", || work.run())).await;
        done.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "an export ended unexpectedly");
            Ended::Unsettled
        })
    }
}

/// One export.
struct Work {
    app: SharedApp,
    rules: Arc<Rules>,
    stopping: Arc<AtomicBool>,
    rests: Arc<Mutex<Rests>>,
    due: Due,
}

impl Work {
    fn run(&self) -> Ended {
        let Due { tenant, to, place, .. } = &self.due;
        let store = &self.app.press.store;
        let settled = match self.export() {
            Ok(done) => {
                locked(&self.rests).answered(*place);
                self.tell(&done);
                ledger::worked(store, &self.due, &self.rules)
            }
            // What was cut by the end of the program is no failure.
            Err(_) if self.stopping.load(Ordering::Relaxed) => Ok(()),
            Err(ExportError::Erased(_)) => Ok(()),
            Err(error) => self.failed(&error),
        };
        if let Err(error) = settled {
            let (tenant, error) = (tenant.slug.as_str(), chain(&error));
            tracing::error!(tenant, %to, error, "what came of an export is not written down");
            return Ended::Unsettled;
        }
        Ended::Settled
    }

    #[tracing::instrument(target = "trace", name = "export", skip_all, err(Debug, level = "trace"), fields(
        otel.kind = "client",
        openinference.span.kind = "TOOL",
        cicd.pipeline.task.name = "export",
        colophon.tenant = %self.due.tenant.slug,
        colophon.export.place = %self.due.to,
    ))]
    fn export(&self) -> Result<Exported, ExportError> {
        let (press, config) = (&self.app.press, &self.app.config);
        let place = Place::open(&self.due.to, &config.export, &Options::default(), &press.secrets)?;
        let place = place.until(self.stopping.clone());
        let here = (&**press, &config.export, config.data.as_path());
        export(here, &place, &self.due.tenant, Asked::default(), &|_| {})
    }

    fn tell(&self, done: &Exported) {
        let (tenant, to) = (self.due.tenant.slug.as_str(), &self.due.to);
        let builds: u64 = done.bags.iter().map(|bag| bag.builds).sum();
        if done.bags.is_empty() {
            tracing::debug!(tenant, %to, "nothing was to be exported");
        } else {
            let (bags, sequence) = (done.bags.len(), done.sequence);
            tracing::info!(tenant, %to, bags, builds, sequence, "exported by the schedule");
        }
    }

    fn failed(&self, error: &ExportError) -> Result<(), colophon_store::Error> {
        let (store, now) = (&self.app.press.store, self.app.press.clock.now());
        let [chance] = random_bytes::<1>().unwrap_or([255]);
        if is_wide(error.code()) {
            locked(&self.rests).failed(self.due.place, now, chance);
        }
        let why = (error.code(), error.told());
        let state = ledger::failed(store, &self.due, why, (now, chance))?;
        tracing::warn!(
            tenant = self.due.tenant.slug.as_str(), to = %self.due.to, error = state.trouble,
            failures = state.failures, next = state.next.rfc3339(), "the export failed"
        );
        Ok(())
    }
}
