//! Flows that are to be read from a builder's API: kept as rows, so that an event that was acknowledged is
//! never forgotten, and worked off by a task of the running server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use colophon_model::TenantUid;
use colophon_store::rows::{DeliveryKey, DeliveryRow, HookId, HookRow, PullRow, SlugOf, TenantRow};
use colophon_store::{Change, CommitError, View};

use super::log::{Draft, Entry};
use super::pull::{Event, PullClient, PullError};
use crate::app::SharedApp;
use crate::audit::as_job;
use crate::fair::Share;
use crate::http::{ApiError, chain};
use crate::pipeline::{BuildError, Delivery, Outcome, Press};
use crate::schedule::{Duty, Ended, Schedule, Taken, found, is_due};
use crate::tasks::TaskError;

/// Reads at a time, one for each tenant.
pub const AT_ONCE: usize = 8;
/// Most that wait for a tenant.
const WAITING: usize = 256;
/// How long to wait after each failure, in milliseconds; after the last the delivery is refused.
const WAITS: [u64; 6] = [5_000, 30_000, 120_000, 600_000, 1_800_000, LONGEST];
/// The longest of them.
const LONGEST: u64 = 3_600_000;

/// Takes an event that came in at `hook`: what it names is read soon. Returns what is said of it.
pub fn take(
    press: &Press,
    tenant: &TenantRow,
    hook: HookId,
    event: Event,
    draft: &Draft,
) -> Result<&'static str, ApiError> {
    let (uid, key) = (tenant.uid, draft.key);
    let Event::Published { flow, version } = event else {
        let row = DeliveryRow { outcome: "ignored".to_owned(), status: 200, ..draft.row.clone() };
        press.deliveries.push(Entry { tenant: tenant.clone(), key, row, body: None });
        return Ok("ignored");
    };
    let lane = press.lane(uid);
    if lane.view()?.scan::<PullRow>(&uid).take(WAITING).count() == WAITING {
        return Err(ApiError::many_pulls());
    }
    let at = draft.row.at;
    let row = DeliveryRow { outcome: "accepted".to_owned(), status: 202, ..draft.row.clone() };
    let mut change = Change::new();
    change.expect(&uid, Some(&SlugOf { slug: tenant.slug.clone() }));
    change.put(&(uid, key), &row);
    change.put(&(uid, key), &PullRow { hook, flow, version, failures: 0, next: at });
    match lane.submit(change).wait() {
        Ok(()) => Ok("accepted"),
        // The tenant was erased meanwhile.
        Err(CommitError::Conflict(_)) => Err(ApiError::not_found()),
        Err(error) => Err(BuildError::from(error).into()),
    }
}

/// The task of a running server.
pub struct Pulls(Schedule);

impl Pulls {
    /// Starts it.
    pub fn start(app: &SharedApp) -> Self {
        let client = Arc::new(PullClient::new(app.config.limits.body_bytes));
        Self(Schedule::start(Reads { app: app.clone(), client }))
    }

    /// Starts nothing more. What was begun is begun again at the next start.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// A read whose time has come.
#[derive(Debug, Clone)]
struct Due {
    tenant: TenantRow,
    key: DeliveryKey,
    row: PullRow,
}

/// Reads from builders, one at a time for each tenant.
struct Reads {
    app: SharedApp,
    client: Arc<PullClient>,
}

impl Duty for Reads {
    type Due = Due;
    type About = TenantUid;
    const WHAT: &'static str = "a read from a builder";

    fn about(due: &Due) -> TenantUid {
        due.tenant.uid
    }

    async fn due(&self, taken: Taken<TenantUid>) -> Vec<Due> {
        let press = self.app.press.clone();
        found(Self::WHAT, self.app.reads.resume(move || due(&press, &taken)).await)
    }

    async fn work(&self, due: Due) -> Ended {
        match attempt(&self.app, self.client.clone(), due).await {
            Ok(()) => Ended::Settled,
            Err(error) => {
                tracing::error!(error = %chain(&error), "what was read from a builder is not settled");
                Ended::Unsettled
            }
        }
    }
}

/// What is due, one for each tenant that has nothing in work, who waits longest first.
fn due(press: &Press, taken: &Taken<TenantUid>) -> Result<Vec<Due>, colophon_store::Error> {
    if press.store.room().is_err() {
        return Ok(Vec::new()); // nothing could be built of what is read
    }
    let (view, now) = (press.store.view()?, press.clock.now());
    let mut first: HashMap<TenantUid, (DeliveryKey, PullRow)> = HashMap::new();
    for row in view.scan::<PullRow>(&()) {
        let ((uid, key), row) = row?;
        if !is_due(row.next, now, LONGEST) || taken.holds(&uid) {
            continue;
        }
        // A suspended tenant rests: what waits for it is read when it is resumed.
        match first.get(&uid) {
            Some((_, earlier)) if earlier.next <= row.next => {}
            _ => drop(first.insert(uid, (key, row))),
        }
    }
    let mut turns: Vec<_> = first.into_iter().collect();
    turns.sort_by_key(|(uid, (key, row))| (row.next, *key, *uid));
    let mut found = Vec::new();
    for (uid, (key, row)) in turns {
        if found.len() + taken.busy.len() >= AT_ONCE {
            break;
        }
        let tenant = tenant_of(&view, uid)?.filter(|tenant| tenant.suspended.is_none());
        found.extend(tenant.map(|tenant| Due { tenant, key, row }));
    }
    Ok(found)
}

fn tenant_of(view: &View, uid: TenantUid) -> Result<Option<TenantRow>, colophon_store::Error> {
    let Some(SlugOf { slug }) = view.get(&uid)? else { return Ok(None) };
    view.get(&slug)
}

/// Why a read was not settled: it stays due.
#[derive(Debug, thiserror::Error)]
enum Unsettled {
    #[error("the store could not be read")]
    Store(#[from] colophon_store::Error),
    #[error("the store has not taken the change")]
    Commit(#[from] CommitError),
    #[error("it did not run to its end")]
    Task(#[from] TaskError),
}

/// What a builder answered, for the delivery that asks; `None` when the log has forgotten the delivery.
type Answer = Option<(Draft, Result<Vec<u8>, PullError>)>;

/// Reads a flow and builds it, or says when to try again. A builder that is slow keeps other reads
/// waiting, and no builds.
async fn attempt(app: &SharedApp, client: Arc<PullClient>, due: Due) -> Result<(), Unsettled> {
    let due = Arc::new(due);
    let (reader, asked) = (app.clone(), due.clone());
    let answer = app.pulls.resume(move || ask(&reader, &client, &asked)).await??;
    let press = app.press.clone();
    let share = Share::Tenant(due.tenant.uid);
    app.builds.resume_for(share, move || as_job("pull", || finish(&press, &due, answer))).await?
}

fn ask(app: &SharedApp, client: &PullClient, due: &Due) -> Result<Answer, colophon_store::Error> {
    let (press, start) = (&app.press, Instant::now());
    let view = press.store.view()?;
    let row = view.get::<DeliveryRow>(&(due.tenant.uid, due.key))?;
    let hook = view.get::<HookRow>(&due.row.hook)?.and_then(|hook| hook.pull);
    drop(view);
    let Some(row) = row else { return Ok(None) };
    let draft = Draft { key: due.key, row, start, gate_status: app.config.gates.status };
    let PullRow { flow, version, .. } = &due.row;
    let read = match hook {
        Some(from) => client.read(&from.url, (&press.secrets, &from.credential), (flow, version)),
        None => Err(PullError { reason: "its hook was deleted".to_owned(), is_final: true }),
    };
    Ok(Some((draft, read)))
}

fn finish(press: &Press, due: &Due, answer: Answer) -> Result<(), Unsettled> {
    match answer {
        Some((draft, Ok(body))) => build(press, due, &draft, body),
        Some((draft, Err(error))) => fail(press, due, &draft, &error),
        None => end(press, due, None),
    }
}

/// Builds what was read. The flow's revision orders it, like any delivery.
fn build(press: &Press, due: &Due, draft: &Draft, body: Vec<u8>) -> Result<(), Unsettled> {
    let mut delivery = Delivery::new(due.tenant.clone(), body, press.clock.now());
    delivery.origin.log = Some(draft.clone());
    let track = press.progress.begin(due.tenant.uid, due.key, due.key.time());
    delivery.origin.watch = track.watch();
    let row = match press.run(delivery) {
        Ok(finished) => match &finished.outcome {
            Outcome::Built(_) => None,
            outcome => Some(draft.clone().unchanged(outcome.word(), outcome.record())),
        },
        Err(BuildError::Gate(_)) => None,
        Err(BuildError::Suspended) => return Ok(()), // it is read again when the tenant is resumed
        Err(error) => {
            let told = ApiError::build(&error);
            if matches!(told.status(), 429 | 503 | 507) {
                let reason = chain(&error);
                return fail(press, due, draft, &PullError { reason, is_final: false });
            }
            let flow = error.flow().cloned();
            Some(DeliveryRow { flow, ..draft.clone().refused(told.status(), told.code()) })
        }
    };
    end(press, due, row)
}

/// Tries again later, or gives up.
fn fail(press: &Press, due: &Due, draft: &Draft, error: &PullError) -> Result<(), Unsettled> {
    tracing::warn!(
        tenant.slug = %due.tenant.slug, delivery = %due.key, %error,
        "a flow could not be read from its builder"
    );
    let wait = WAITS.get(due.row.failures as usize).filter(|_| !error.is_final);
    let Some(wait) = wait else {
        return end(press, due, Some(draft.clone().refused(502, "pull-failed")));
    };
    let next = press.clock.now().plus(*wait);
    let later = PullRow { failures: due.row.failures + 1, next, ..due.row.clone() };
    let key = (due.tenant.uid, due.key);
    let mut change = Change::new();
    change.expect(&key, Some(&due.row)).put(&key, &later);
    settle_change(press, due, change)
}

/// Says what became of it, and has nothing more to do.
fn end(press: &Press, due: &Due, row: Option<DeliveryRow>) -> Result<(), Unsettled> {
    let key = (due.tenant.uid, due.key);
    let mut change = Change::new();
    change.expect(&key, Some(&due.row)).delete::<PullRow>(&key);
    if let Some(row) = row {
        change.put(&key, &row);
    }
    settle_change(press, due, change)
}

/// A conflict means that the tenant was erased meanwhile. Its row is looked at too: an erasure takes tables one
/// after the other, and what was written behind it would stay. A disk that has become full since keeps it not back:
/// the builder would be asked again and again.
fn settle_change(press: &Press, due: &Due, mut change: Change) -> Result<(), Unsettled> {
    change.use_reserve();
    change.expect(&due.tenant.uid, Some(&SlugOf { slug: due.tenant.slug.clone() }));
    match press.lane(due.tenant.uid).submit(change).wait() {
        Ok(()) | Err(CommitError::Conflict(_)) => {
            press.progress.changed(due.tenant.uid);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use colophon_model::{CodePolicy, Digest};

    use super::*;
    use crate::app::{Owner, open_press};
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::tenants::{self, Step};
    use crate::units::Size;

    fn delivery(press: &Press) -> DeliveryRow {
        DeliveryRow {
            at: press.clock.now(),
            by: "url".to_owned(),
            secret: None,
            from: Some("192.0.2.7".to_owned()),
            id: None,
            signed: None,
            replay_of: None,
            body: Digest::of(b"x"),
            size: 1,
            outcome: "refused".to_owned(),
            status: 502,
            code: None,
            flow: None,
            build: None,
            micros: 0,
        }
    }

    /// A press whose disk counts as full below `low`.
    fn press(data: &Path, low: Size) -> Press {
        let mut config = Config { data: data.join("data"), ..Config::default() };
        (config.space.low, config.space.high, config.space.reserve) = (low, low, Size::bytes(0));
        open_press(&config, Arc::new(SystemClock), Owner::Command).unwrap()
    }

    /// A tenant with a read that is due, and the delivery that asked for it.
    fn waiting(press: &Press) -> (Due, Draft) {
        let tenant = tenants::create(press, &"acme".parse().unwrap(), CodePolicy::None);
        let (tenant, now) = (tenant.unwrap().tenant, press.clock.now());
        let (uid, key) = (tenant.uid, DeliveryKey::new(now, [0; 10]));
        let (flow, version) = ("f1".to_owned(), "v1".to_owned());
        let hook = HookId::from_random([1; 16]);
        let row = PullRow { hook, flow, version, failures: 0, next: now };
        let draft = Draft { key, row: delivery(press), start: Instant::now(), gate_status: 422 };
        let mut change = Change::new();
        change.put(&(uid, key), &row).put(&(uid, key), &draft.row);
        press.store.commit(change).unwrap();
        (Due { tenant, key, row }, draft)
    }

    fn standing(press: &Press, due: &Due) -> Option<PullRow> {
        press.store.view().unwrap().get(&(due.tenant.uid, due.key)).unwrap()
    }

    fn looked(press: &Press) -> usize {
        super::due(press, &Taken::default()).unwrap().len()
    }

    /// An erasure takes the tenant's row first and its tables one after the other, deliveries before reads. What
    /// a read under way has to say must not be written behind it, where it would stay for ever.
    #[test]
    fn a_read_that_ends_during_an_erasure_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let press = press(dir.path(), Size::bytes(0));
        let (due, _) = waiting(&press);
        let (uid, key) = (due.tenant.uid, due.key);
        let mut change = Change::new();
        change.delete::<SlugOf>(&uid).delete::<DeliveryRow>(&(uid, key));
        press.store.commit(change).unwrap();
        end(&press, &due, Some(delivery(&press))).unwrap();
        let view = press.store.view().unwrap();
        assert_eq!(view.get::<DeliveryRow>(&(uid, key)).unwrap(), None);
    }

    /// An event that was acknowledged is not lost because its tenant was suspended while the builder was asked.
    #[test]
    fn a_read_that_ends_while_its_tenant_is_suspended_waits_until_it_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let press = press(dir.path(), Size::bytes(0));
        let (due, draft) = waiting(&press);
        let step = |step| tenants::step(&press, &due.tenant.slug, step).unwrap();
        step(Step::Suspend);
        let flow = br#"{"schema": "x"}"#.to_vec();
        build(&press, &due, &draft, flow).unwrap();
        assert_eq!((standing(&press, &due).as_ref(), looked(&press)), (Some(&due.row), 0));
        let view = press.store.view().unwrap();
        let told = view.get::<DeliveryRow>(&(due.tenant.uid, due.key)).unwrap();
        assert_eq!(told, Some(draft.row), "nothing is said of it yet");
        step(Step::Resume);
        assert_eq!(looked(&press), 1);
    }

    /// What was put off while the clock was years ahead does not wait for years.
    #[test]
    fn a_read_that_a_clock_that_was_ahead_has_put_off_is_due() {
        let dir = tempfile::tempdir().unwrap();
        let press = press(dir.path(), Size::bytes(0));
        let (due, _) = waiting(&press);
        let put_off = |millis| {
            let mut change = Change::new();
            let next = press.clock.now().plus(millis);
            change.put(&(due.tenant.uid, due.key), &PullRow { next, ..due.row.clone() });
            press.store.commit(change).unwrap();
        };
        put_off(LONGEST);
        assert_eq!(looked(&press), 0);
        put_off(1 << 40);
        assert_eq!(looked(&press), 1);
    }

    /// A builder whose answers cannot be built or written down would be asked twice a second, for as long as the disk
    /// is full. What was asked when it became full is put off all the same.
    #[test]
    fn a_full_disk_has_no_builder_asked_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let roomy = press(dir.path(), Size::bytes(0));
        let (due, draft) = waiting(&roomy);
        assert_eq!(looked(&roomy), 1);
        drop(roomy);
        let full = press(dir.path(), Size::bytes(u64::MAX));
        assert_eq!(looked(&full), 0);
        let error = PullError { reason: "busy".to_owned(), is_final: false };
        fail(&full, &due, &draft, &error).unwrap();
        assert_eq!(standing(&full, &due).unwrap().failures, 1);
        let due = Due { row: standing(&full, &due).unwrap(), ..due };
        end(&full, &due, None).unwrap();
        assert_eq!(standing(&full, &due), None);
    }
}
