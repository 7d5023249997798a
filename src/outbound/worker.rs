//! The worker of a running server: looks for what is due, and sends it.
//!
//! One request at a time goes to an endpoint, some to those of one tenant, and so many in all. Endpoints that
//! were slow or failed the last time share half of the places, so that those that are well never wait for
//! them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{
    Effect, EndpointId, EndpointRow, EndpointState, OutboxRow, SendRow, SlugOf, TenantRow,
};
use colophon_store::{Error, Store, View};
use tracing::field::Empty;

use super::announce::endpoints;
use super::client::{Client, Message, Reply};
use super::ledger::{Ledger, Turn, Unsettled, Written};
use super::manage::secrets;
use super::state::{Verdict, is_due};
use crate::app::SharedApp;
use crate::audit::as_job;
use crate::http::chain;
use crate::keys::random_bytes;
use crate::outgoing;
use crate::schedule::{Duty, Ended, Schedule, Taken, found};

/// Events that are sent to an endpoint before others get its place.
const AT_A_TURN: usize = 50;
/// How long an endpoint keeps its place, unless one answer takes longer.
const TURN: Duration = Duration::from_secs(2);

/// The worker of a running server.
#[derive(Debug)]
pub struct Notifier {
    schedule: Schedule,
    stopping: Arc<AtomicBool>,
}

impl Notifier {
    /// Starts the worker, unless the configuration says not to.
    pub fn start(app: &SharedApp) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let config = &app.config.outbound;
        let schedule = if config.enabled {
            let (policy, clock) = (app.press.outbound.policy.clone(), app.press.clock.clone());
            let client = Arc::new(Client::new(policy, clock, config.timeout.get()));
            Schedule::start(Sends { app: app.clone(), client, stopping: stopping.clone() })
        } else {
            Schedule::idle()
        };
        Self { schedule, stopping }
    }

    /// Starts nothing more. What an endpoint has taken whose answer did not come back is sent again at the next
    /// start.
    pub async fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.schedule.stop().await;
    }
}

/// An endpoint for which something is due.
#[derive(Debug)]
struct Due {
    tenant: TenantRow,
    place: Place,
    /// When it was due, in milliseconds since 1970.
    since: u64,
}

/// A place that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    tenant: TenantUid,
    endpoint: EndpointId,
    /// Whether it is one of those for endpoints that keep others waiting.
    slow: bool,
}

/// How many places there are.
#[derive(Debug, Clone, Copy)]
struct Places {
    all: usize,
    slow: usize,
    per_tenant: usize,
}

/// Deliveries to endpoints.
struct Sends {
    app: SharedApp,
    client: Arc<Client>,
    stopping: Arc<AtomicBool>,
}

impl Duty for Sends {
    type Due = Due;
    type About = Place;
    const WHAT: &'static str = "a delivery to an endpoint";

    fn about(due: &Due) -> Place {
        due.place
    }

    async fn due(&self, taken: Taken<Place>) -> Vec<Due> {
        let config = &self.app.config.outbound;
        let places = Places {
            all: config.workers,
            slow: config.workers.div_ceil(2),
            per_tenant: config.per_tenant,
        };
        if taken.busy.len() >= places.all {
            return Vec::new();
        }
        let press = self.app.press.clone();
        let looked = self.app.reads.resume(move || due(&press.store, press.clock.now())).await;
        places.seat(found(Self::WHAT, looked), &taken)
    }

    async fn work(&self, due: Due) -> Ended {
        let (app, client, stopping) =
            (self.app.clone(), self.client.clone(), self.stopping.clone());
        let work = move || {
            let sender = Sender { app: &app, client: &client, stopping: &stopping, due: &due };
            let done = as_job("notify", || sender.run());
            done.map_or_else(
                |error| {
                    tracing::error!(error = %chain(&error), "what came of an event is not settled");
                    Ended::Unsettled
                },
                |()| Ended::Settled,
            )
        };
        self.app.notifications.resume(work).await.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "a delivery to an endpoint ended unexpectedly");
            Ended::Unsettled
        })
    }
}

/// Every endpoint for which something is due, in its turn.
fn due(store: &Store, now: UnixMillis) -> Result<Vec<Due>, Error> {
    let view = store.view()?;
    let mut all = Vec::new();
    for row in view.scan::<OutboxRow>(&()) {
        let ((uid, effect), _) = row?;
        if effect == Effect::Notify
            && let Some(tenant) = tenant_of(&view, uid)?
            && tenant.suspended.is_none()
        {
            for (endpoint, row) in endpoints(&view, uid)? {
                all.extend(look(&view, &tenant, (endpoint, &row), now)?);
            }
        }
    }
    all.sort_by_key(|due| due.since);
    Ok(all)
}

fn tenant_of(view: &View, uid: TenantUid) -> Result<Option<TenantRow>, Error> {
    let Some(SlugOf { slug }) = view.get(&uid)? else { return Ok(None) };
    view.get(&slug)
}

fn look(
    view: &View,
    tenant: &TenantRow,
    (endpoint, row): (EndpointId, &EndpointRow),
    now: UnixMillis,
) -> Result<Option<Due>, Error> {
    let to = (tenant.uid, endpoint);
    let state = view.get::<EndpointState>(&to)?.unwrap_or_default();
    if row.disabled.is_some() || !is_due(state.rest, now) {
        return Ok(None);
    }
    let Some((key, _)) = view.scan::<SendRow>(&to).next().transpose()? else { return Ok(None) };
    let since = key.1.0;
    let place = Place { tenant: tenant.uid, endpoint, slow: state.slow };
    Ok(is_due(since, now).then(|| Due { tenant: tenant.clone(), place, since }))
}

impl Places {
    /// Those of `due` that get a place beside what is busy.
    fn seat(self, due: Vec<Due>, Taken { busy, resting }: &Taken<Place>) -> Vec<Due> {
        let mut taken = busy.len();
        let mut slow = busy.iter().filter(|place| place.slow).count();
        let mut of_tenant: HashMap<TenantUid, usize> = HashMap::new();
        for place in busy {
            *of_tenant.entry(place.tenant).or_default() += 1;
        }
        // It may have become slow or well since.
        let at_work = |place: &Place| {
            let mut known = busy.iter().chain(resting);
            known.any(|at| (at.tenant, at.endpoint) == (place.tenant, place.endpoint))
        };
        let mut seated = Vec::new();
        for due in due.into_iter().filter(|due| !at_work(&due.place)) {
            let own = of_tenant.entry(due.place.tenant).or_default();
            let has_room =
                taken < self.all && *own < self.per_tenant && (!due.place.slow || slow < self.slow);
            if has_room {
                taken += 1;
                *own += 1;
                slow += usize::from(due.place.slow);
                seated.push(due);
            }
        }
        seated
    }
}

/// Sends what is due to one endpoint.
struct Sender<'a> {
    app: &'a SharedApp,
    client: &'a Client,
    stopping: &'a AtomicBool,
    due: &'a Due,
}

impl Sender<'_> {
    /// Until nothing is due, something fails, or it is another's turn.
    fn run(&self) -> Result<(), Unsettled> {
        let (store, tenant) = (&self.app.press.store, &self.due.tenant);
        let ledger = Ledger { store, tenant, endpoint: self.due.place.endpoint };
        let start = Instant::now();
        for _ in 0..AT_A_TURN {
            if self.stopping.load(Ordering::Relaxed) || start.elapsed() > TURN {
                return Ok(());
            }
            if store.room().is_err() {
                return Ok(()); // it waits for room: what came of it might not be written down
            }
            let Some(turn) = ledger.next(self.app.press.clock.now())? else { break };
            if !self.attempt(&ledger, &turn)? {
                break;
            }
        }
        ledger.settle()
    }

    /// Whether it was taken.
    fn attempt(&self, ledger: &Ledger<'_>, turn: &Turn) -> Result<bool, Unsettled> {
        let span = self.span(turn);
        if let Some(trace) = &turn.event.trace {
            outgoing::follow(&span, trace);
        }
        let press = &self.app.press;
        span.in_scope(|| {
            let reply = self.send(turn);
            let (now, random) = (press.clock.now(), random_bytes()?);
            let limit = self.app.config.outbound.disable_after.millis();
            let written = ledger.record(turn, &reply, (now, random), limit)?;
            self.tell(&span, turn, &reply, written.as_ref());
            Ok(written.is_some_and(|written| written.verdict == Verdict::Delivered))
        })
    }

    fn send(&self, turn: &Turn) -> Reply {
        let press = &self.app.press;
        let to = (self.due.tenant.uid, self.due.place.endpoint);
        let secrets = secrets(&press.keys, to, &turn.endpoint, press.clock.now());
        let id = turn.event_key().to_string();
        let message = Message { id: &id, body: &turn.event.body, secrets: &secrets };
        self.client.send(&turn.endpoint.url, &message)
    }

    fn span(&self, turn: &Turn) -> tracing::Span {
        let uri: Option<ureq::http::Uri> = turn.endpoint.url.parse().ok();
        let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
        // Its path is not told: to some receivers it is as good as a password.
        let usual = if turn.endpoint.url.starts_with("https:") { 443 } else { 80 };
        let port = uri.as_ref().and_then(hyper::Uri::port_u16).unwrap_or(usual);
        tracing::info_span!(
            target: "trace",
            parent: None,
            "notify",
            otel.kind = "client",
            otel.status_code = Empty,
            openinference.span.kind = "TOOL",
            cicd.pipeline.task.name = "notify",
            cicd.pipeline.task.run.result = Empty,
            http.request.method = "POST",
            http.request.resend_count = turn.row.failures,
            http.response.status_code = Empty,
            server.address = host,
            server.port = port,
            error.type = Empty,
            colophon.tenant = %self.due.tenant.slug,
            colophon.endpoint.id = %self.due.place.endpoint,
            colophon.event.id = %turn.event_key(),
            colophon.event.type = turn.event.kind,
            colophon.flow.id = turn.event.flow.as_ref().map(tracing::field::display),
        )
    }

    fn tell(&self, span: &tracing::Span, turn: &Turn, reply: &Reply, written: Option<&Written>) {
        let Some(Written { verdict, disabled }) = written else { return };
        let (tenant, endpoint) = (self.due.tenant.slug.as_str(), self.due.place.endpoint);
        let metrics = &self.app.press.metrics;
        metrics.webhook(verdict.word(), reply.took);
        if let Ok(status) = reply.status {
            span.record("http.response.status_code", status);
        }
        let event = turn.event_key();
        match verdict.why() {
            None => {
                span.record("cicd.pipeline.task.run.result", "success");
                tracing::debug!(tenant, %endpoint, %event, "an event was delivered");
            }
            Some(why) => {
                span.record("cicd.pipeline.task.run.result", "failure");
                span.record("otel.status_code", "ERROR");
                let kind = reply.status.as_ref().map_or("unreachable".to_owned(), u16::to_string);
                span.record("error.type", kind);
                let next = verdict.next().map(UnixMillis::rfc3339);
                tracing::warn!(tenant, %endpoint, %event, why, next, "an event was not delivered");
            }
        }
        if let Some(why) = disabled {
            metrics.webhook_disabled(why);
            tracing::error!(
                tenant, %endpoint, why,
                "the endpoint is disabled; see `colophon endpoint show`"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::outbound::manage::create;
    use crate::outbound::replay::test as try_out;
    use crate::tenants;
    use crate::units::Size;
    use colophon_model::CodePolicy;
    use colophon_store::Change;
    use colophon_store::rows::{EventKey, HoldRow, RootsOrigin};

    fn due_of(tenant: u8, endpoint: u8, slow: bool) -> Due {
        let (uid, at) = (TenantUid::from_bytes([tenant; 16]), UnixMillis::new(1));
        let tenant = TenantRow {
            uid,
            slug: "acme".parse().unwrap(),
            created: at,
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        };
        let endpoint = EndpointId::from_random([endpoint; 16]);
        Due { tenant, place: Place { tenant: uid, endpoint, slow }, since: 0 }
    }

    fn busy(all: &[(u8, u8, bool)]) -> Taken<Place> {
        let place =
            |&(tenant, endpoint, slow): &(u8, u8, bool)| due_of(tenant, endpoint, slow).place;
        Taken { busy: all.iter().map(place).collect(), ..Taken::default() }
    }

    const PLACES: Places = Places { all: 4, slow: 2, per_tenant: 2 };

    /// However many endpoints hang, and whoever's they are, one that is well finds a place.
    #[test]
    fn endpoints_that_hang_keep_no_others_waiting() {
        let hanging = busy(&[(1, 1, true), (2, 1, true)]);
        let due = || vec![due_of(3, 1, true), due_of(4, 1, true), due_of(5, 1, false)];
        let seated = PLACES.seat(due(), &hanging);
        assert_eq!(seated.len(), 1);
        assert_eq!(seated[0].place, due_of(5, 1, false).place);
        let seated = PLACES.seat(due(), &Taken::default());
        assert_eq!(seated.len(), 3, "two that are slow, and the one that is not");
    }

    #[test]
    fn one_tenant_has_its_share_and_one_endpoint_one_place() {
        let of_one = || (1..=4).map(|n| due_of(1, n, false)).collect::<Vec<_>>();
        assert_eq!(PLACES.seat(of_one(), &Taken::default()).len(), 2);
        assert_eq!(PLACES.seat(of_one(), &busy(&[(1, 9, false)])).len(), 1);
        // It was well when it began, and is slow by now: still the same endpoint.
        let again = vec![due_of(1, 9, true)];
        assert!(PLACES.seat(again, &busy(&[(1, 9, false)])).is_empty());
        // One that came to nothing takes no place, and is not sent to either.
        let resting =
            Taken { resting: busy(&[(1, 1, true), (1, 2, false)]).busy, ..Taken::default() };
        let seated = PLACES.seat(of_one(), &resting);
        let places: Vec<Place> = seated.iter().map(|due| due.place).collect();
        assert_eq!(places, [due_of(1, 3, false).place, due_of(1, 4, false).place]);
        let full = busy(&[(1, 1, false), (2, 1, false), (3, 1, false), (4, 1, false)]);
        assert!(PLACES.seat(vec![due_of(5, 1, false)], &full).is_empty());
    }

    /// A server whose disk counts as full below `low`, and that may send to this machine.
    fn server(data: &std::path::Path, low: Size) -> SharedApp {
        let mut config = Config { data: data.to_owned(), ..Config::default() };
        (config.space.low, config.space.high) = (low, low);
        config.space.reserve = Size::bytes(0);
        config.outbound.allow = vec!["127.0.0.0/8".parse().unwrap()];
        config.outbound.plain_http = true;
        Arc::new(App::open(config, Arc::new(SystemClock)).unwrap())
    }

    /// A tenant with an endpoint that a test event waits for.
    fn endpoint(app: &SharedApp, url: &str) {
        let slug = "acme".parse().unwrap();
        tenants::create(&app.press, &slug, CodePolicy::None).unwrap();
        let wanted = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
        let made = create(&app.press, &slug, &wanted).unwrap();
        try_out(&app.press, &slug, made.endpoint.id).unwrap();
    }

    /// What was put off while the clock was years ahead does not wait for years, and neither does what waits for it.
    #[test]
    fn what_a_clock_that_was_ahead_has_put_off_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let app = server(&dir.path().join("data"), Size::bytes(0));
        endpoint(&app, "http://127.0.0.1:9999/");
        let (store, now) = (&app.press.store, app.press.clock.now());
        let Due { tenant, place, .. } = due(store, now).unwrap().remove(0);
        let (to, ahead) = ((tenant.uid, place.endpoint), now.plus(1 << 40).get());
        let view = store.view().unwrap();
        let (key, row) = view.scan::<SendRow>(&to).next().unwrap().unwrap();
        let flow: colophon_model::FlowId = "one".parse().unwrap();
        let event = EventKey::new(UnixMillis::new(1), 0, [0; 8]);
        let mut change = Change::new();
        change.delete::<SendRow>(&key);
        change.put(&(to, (ahead, key.1.1)), &SendRow { flow: Some(flow.clone()), ..row });
        change.put(&to, &EndpointState { rest: ahead, ..EndpointState::default() });
        change.put(&(to.0, to.1, flow), &HoldRow { event, until: ahead });
        store.commit(change).unwrap();
        assert_eq!(due(store, now).unwrap().len(), 1);
        let ledger = Ledger { store, tenant: &tenant, endpoint: place.endpoint };
        assert!(ledger.next(now).unwrap().is_some());
    }

    /// An event that is sent, and of which nothing can be written down, would be sent again twice a second, for as long
    /// as the disk is full. What was on its way when it became full is written down all the same.
    #[test]
    fn a_full_disk_has_nothing_sent_and_nothing_sent_again() {
        let dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let app = server(&dir.path().join("data"), Size::bytes(0));
        endpoint(&app, &format!("http://{}/", listener.local_addr().unwrap()));
        drop(app);

        let app = server(&dir.path().join("data"), Size::bytes(u64::MAX));
        let (store, now) = (&app.press.store, app.press.clock.now());
        let due = due(store, now).unwrap().remove(0);
        let clock = app.press.clock.clone();
        let client = Client::new(app.press.outbound.policy.clone(), clock, Duration::from_secs(1));
        let stopping = AtomicBool::new(false);
        Sender { app: &app, client: &client, stopping: &stopping, due: &due }.run().unwrap();
        let asked = listener.accept().map(drop).unwrap_err();
        assert_eq!(asked.kind(), std::io::ErrorKind::WouldBlock, "nobody connected");

        let ledger = Ledger { store, tenant: &due.tenant, endpoint: due.place.endpoint };
        let turn = ledger.next(now).unwrap().unwrap();
        let (excerpt, took) = (String::new(), Duration::ZERO);
        let reply = Reply { status: Ok(204), asked: None, excerpt, took };
        ledger.record(&turn, &reply, (now, [0; 9]), u64::MAX).unwrap().unwrap();
        assert!(ledger.next(now).unwrap().is_none(), "it is not sent again");
    }
}
