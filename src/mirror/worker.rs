//! The worker of a running server: looks for what is due, and has it pushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use colophon_model::{TenantBranch, TenantUid, UnixMillis};
use colophon_store::rows::{Effect, MirrorRow, MirrorState, OutboxRow, TenantRow};
use colophon_store::{Store, View};

use super::attempt::Attempt;
use super::backoff::LONGEST_ASKED;
use super::client::Client;
use super::state::Outcome;
use super::status::tenant_of;
use crate::app::SharedApp;
use crate::http::chain;
use crate::schedule::{Duty, Ended, Schedule, Taken, found, is_due};

/// The worker of a running server.
#[derive(Debug)]
pub struct Mirrors {
    schedule: Schedule,
    stopping: Arc<AtomicBool>,
}

/// A mirror whose time has come.
struct Due {
    tenant: TenantRow,
    mirror: MirrorRow,
    /// When it was to be tried, and since when it waits: who waits longest goes first, so that a
    /// mirror that fails goes behind the others.
    turn: (UnixMillis, UnixMillis),
}

impl Mirrors {
    /// Starts the worker, unless the configuration says not to.
    pub fn start(app: &SharedApp) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let schedule = if app.config.mirror.enabled {
            let client = Arc::new(Client::new(app.press.clock.clone()));
            Schedule::start(Pushes { app: app.clone(), client, stopping: stopping.clone() })
        } else {
            Schedule::idle()
        };
        Self { schedule, stopping }
    }

    /// Starts nothing more, and cuts what is being sent. What a push reached shows at the next start.
    pub async fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.schedule.stop().await;
    }
}

/// Pushes to mirrors, one at a time to each.
struct Pushes {
    app: SharedApp,
    client: Arc<Client>,
    stopping: Arc<AtomicBool>,
}

impl Duty for Pushes {
    type Due = Due;
    type About = TenantUid;
    const WHAT: &'static str = "a push";

    fn about(due: &Due) -> TenantUid {
        due.tenant.uid
    }

    async fn due(&self, taken: Taken<TenantUid>) -> Vec<Due> {
        let room = self.app.config.mirror.workers.saturating_sub(taken.busy.len());
        if room == 0 {
            return Vec::new();
        }
        let (press, pace) = (self.app.press.clone(), self.app.config.mirror.push_every.millis());
        let look = move || due(&press.store, press.clock.now(), pace);
        let looked = self.app.reads.resume(look).await;
        let mut due = found(Self::WHAT, looked);
        due.retain(|due| !taken.holds(&due.tenant.uid));
        due.truncate(room);
        due
    }

    async fn work(&self, due: Due) -> Ended {
        let (app, client, stopping) =
            (self.app.clone(), self.client.clone(), self.stopping.clone());
        let work = move || attempt(&app, &client, &stopping, &due);
        self.app.mirrors.resume(work).await.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "a push ended unexpectedly");
            Ended::Unsettled
        })
    }
}

/// Every mirror that is due, in its turn. `pace` is the time between two pushes to one, in milliseconds.
fn due(store: &Store, now: UnixMillis, pace: u64) -> Result<Vec<Due>, colophon_store::Error> {
    let view = store.view()?;
    let longest = LONGEST_ASKED.max(pace);
    let mut all = Vec::new();
    for row in view.scan::<OutboxRow>(&()) {
        let ((uid, effect), row) = row?;
        if effect == Effect::Push {
            all.extend(look(&view, uid, row, (now, longest))?);
        }
    }
    all.sort_by_key(|due| due.turn);
    Ok(all)
}

fn look(
    view: &View,
    uid: TenantUid,
    row: OutboxRow,
    (now, longest): (UnixMillis, u64),
) -> Result<Option<Due>, colophon_store::Error> {
    let state = view.get::<MirrorState>(&uid)?;
    let rests = |state: &MirrorState| state.halt.is_some() || !is_due(state.next, now, longest);
    if state.as_ref().is_some_and(rests) {
        return Ok(None);
    }
    let (Some(tenant), Some(mirror)) = (tenant_of(view, uid)?, view.get::<MirrorRow>(&uid)?) else {
        return Ok(None);
    };
    if tenant.suspended.is_some() {
        return Ok(None); // what waits is pushed when it is resumed
    }
    let turn = (state.map_or(row.since, |state| state.next), row.since);
    Ok(Some(Due { tenant, mirror, turn }))
}

#[tracing::instrument(target = "trace", name = "push", skip_all, fields(
    otel.kind = "client",
    otel.status_code = tracing::field::Empty,
    openinference.span.kind = "TOOL",
    cicd.pipeline.task.name = "push",
    cicd.pipeline.task.run.result = tracing::field::Empty,
    vcs.ref.head.name = %TenantBranch::new(due.tenant.slug.clone()),
    vcs.ref.head.type = "branch",
    vcs.repository.url.full = due.mirror.url,
    colophon.tenant = %due.tenant.slug,
))]
fn attempt(app: &SharedApp, client: &Client, stopping: &AtomicBool, due: &Due) -> Ended {
    let config = &app.config.mirror;
    let attempt = Attempt {
        press: &app.press,
        client,
        tenant: &due.tenant,
        mirror: &due.mirror,
        plain_http: config.plain_http,
        pace: config.push_every.millis(),
        stopping,
    };
    match attempt.run() {
        Ok(Some((outcome, state))) => {
            app.press.metrics.push(trace(&outcome));
            tell(&due.tenant, &outcome, &state, &due.mirror.url);
        }
        Ok(None) => {}
        Err(fault) => {
            tracing::error!(error = fault.text(), "what came of a push could not be recorded");
            return Ended::Unsettled;
        }
    }
    Ended::Settled
}

/// Says in the current span how it went, and returns the word for it.
fn trace(outcome: &Outcome) -> &'static str {
    let span = tracing::Span::current();
    let result = match outcome {
        Outcome::Settled | Outcome::Progress => "success",
        Outcome::Diverged(_) | Outcome::Failed(..) => "failure",
    };
    span.record("cicd.pipeline.task.run.result", result);
    if result == "failure" {
        span.record("otel.status_code", "ERROR");
    }
    result
}

fn tell(tenant: &TenantRow, outcome: &Outcome, state: &MirrorState, url: &str) {
    let tenant = tenant.slug.as_str();
    let tip = state.tip.map(|tip| tip.to_string());
    let trouble = state.trouble.as_deref();
    match outcome {
        Outcome::Settled => tracing::info!(tenant, url, tip, "the mirror is up to date"),
        Outcome::Progress => tracing::info!(tenant, url, tip, "pushed; there is more to push"),
        Outcome::Diverged(found) => tracing::error!(
            tenant,
            url,
            name = found.name,
            ours = %found.ours,
            theirs = %found.theirs,
            "the mirror was written to by somebody else; it is left alone"
        ),
        Outcome::Failed(..) if state.halt.is_some() => {
            tracing::error!(
                tenant,
                url,
                trouble,
                "the mirror is parked; see `colophon mirror status`"
            );
        }
        Outcome::Failed(..) => {
            tracing::warn!(tenant, url, trouble, failures = state.failures, "a push failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::CodePolicy;
    use colophon_store::rows::{RootsOrigin, SlugOf};
    use colophon_store::{Change, outbox};

    /// A suspended tenant's work stays in the outbox, for when it is resumed.
    #[test]
    fn the_mirror_of_a_suspended_tenant_rests() {
        let (store, now) = (Store::in_memory().unwrap(), UnixMillis::new(1_000));
        let active = TenantRow {
            uid: TenantUid::from_bytes([1; 16]),
            slug: "acme".parse().unwrap(),
            created: now,
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        };
        let mirror = MirrorRow {
            url: "https://git.example/acme.git".to_owned(),
            username: "x".to_owned(),
            credential: None,
            tags_per_push: 3,
            set: now,
        };
        let put = |row: &TenantRow| {
            let mut change = Change::new();
            change.put(&row.slug, row).put(&row.uid, &SlugOf { slug: row.slug.clone() });
            change.put(&row.uid, &mirror);
            store.commit(change).unwrap();
        };
        put(&active);
        let mut change = Change::new();
        outbox::request(&mut change, &store.view().unwrap(), active.uid, Effect::Push, now)
            .unwrap();
        store.commit(change).unwrap();
        let count = || due(&store, now, 0).unwrap().len();
        assert_eq!(count(), 1);
        put(&TenantRow { suspended: Some(now), ..active.clone() });
        assert_eq!(count(), 0);
        put(&TenantRow { archived: Some(now), ..active.clone() });
        assert_eq!(count(), 1, "what is archived is still brought to its mirror");
        let rest = |millis| {
            let mut change = Change::new();
            let next = now.plus(millis);
            change.put(&active.uid, &MirrorState { next, ..super::super::state::fresh(now) });
            store.commit(change).unwrap();
        };
        rest(LONGEST_ASKED);
        assert_eq!(count(), 0);
        rest(1 << 40);
        assert_eq!(count(), 1, "a clock that was years ahead keeps it not for years");
    }
}
