//! Leaving events for endpoints. Of what no endpoint of a tenant wants to know, nothing is written.

use colophon_model::{BuildRecord, Digest, FlowId, TenantUid, UnixMillis};
use colophon_store::rows::{
    Effect, EndpointId, EndpointRow, EndpointState, EventKey, EventRow, SendRow, SlugOf, TenantRow,
};
use colophon_store::{Change, CommitError, Error, View, outbox};

use super::event::{Context, EventKind};
use crate::fair;
use crate::http::chain;
use crate::keys::random_bytes;
use crate::outgoing;
use crate::pipeline::{BuildError, Finished, Outcome, Press};

/// Most events that wait for an endpoint that fails. Over it new ones are not told to it.
pub(super) const WAITING: usize = 10_000;

/// Something to tell of.
pub(super) struct News {
    pub(super) key: EventKey,
    pub(super) row: EventRow,
}

impl Press {
    /// Adds to `change`, which rests on `view`, what there is to tell of the builds of one tenant that it
    /// makes.
    ///
    /// # Errors
    /// When the tenant's endpoints cannot be read.
    pub(crate) fn announce(
        &self,
        change: &mut Change,
        view: &View,
        tenant: &TenantRow,
        records: &[BuildRecord],
    ) -> Result<(), Error> {
        let all = endpoints(view, tenant.uid)?;
        if all.is_empty() {
            return Ok(());
        }
        let context = Context { tenant: &tenant.slug, url: &self.outbound.public_url };
        let mut told = Teller::new(change, view, tenant.uid, self.clock.now());
        for (place, record) in records.iter().enumerate() {
            let kind = match record.failure {
                Some(_) => EventKind::BuildFailed,
                None => EventKind::BuildSucceeded,
            };
            let to = interested(&all, kind, Some(&record.flow));
            if to.is_empty() {
                continue;
            }
            let at = record.stamp.time();
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            // The uid is random and told to nobody, so the key cannot be guessed.
            let named = [record.tenant.as_bytes(), record.id.as_bytes().as_slice()].concat();
            let bits = Digest::of(&named).as_bytes().first_chunk().copied().unwrap_or_default();
            let row = EventRow {
                kind: kind.word().to_owned(),
                at,
                flow: Some(record.flow.clone()),
                build: Some(record.id),
                body: context.build(kind, record, at),
                trace: produced(kind),
            };
            let key = EventKey::new(at, place, bits);
            let left = told.tell(&News { key, row }, &to)?;
            self.metrics.webhooks_dropped(left);
        }
        told.end()
    }

    /// Tells of a delivery that made no build: one that changes nothing, and one of a flow that the compiler
    /// refuses. It is durable when this returns. Tenants without an endpoint that wants to know pay for a look
    /// alone.
    pub(crate) fn announce_unbuilt(
        &self,
        tenant: &TenantRow,
        body: Digest,
        result: &Result<Finished, BuildError>,
    ) {
        let done = match result {
            Ok(Finished { outcome: Outcome::NoOp(record), .. }) => {
                let kind = EventKind::BuildNoop;
                let about = (Some(record.flow.clone()), Some(record.id));
                self.tell(tenant, kind, about, |context, at| context.build(kind, record, at))
            }
            Err(BuildError::Flow(problems)) => {
                let kind = EventKind::BuildFailed;
                self.tell(tenant, kind, (None, None), |context, at| {
                    context.refused(problems, body, at)
                })
            }
            _ => return,
        };
        if let Err(error) = done {
            tracing::warn!(
                tenant = %tenant.slug, error = %chain(&error), "an event was not written down"
            );
        }
    }

    fn tell(
        &self,
        tenant: &TenantRow,
        kind: EventKind,
        (flow, build): (Option<FlowId>, Option<colophon_model::BuildId>),
        body: impl Fn(&Context<'_>, UnixMillis) -> String,
    ) -> Result<(), Unwritten> {
        let durable = self.store.view()?;
        if interested(&endpoints(&durable, tenant.uid)?, kind, flow.as_ref()).is_empty() {
            return Ok(());
        }
        let lane = self.lane(tenant.uid);
        let view = lane.view()?;
        let all = endpoints(&view, tenant.uid)?;
        let to = interested(&all, kind, flow.as_ref());
        let at = self.clock.now();
        let context = Context { tenant: &tenant.slug, url: &self.outbound.public_url };
        let (body, trace) = (body(&context, at), produced(kind));
        let row = EventRow { kind: kind.word().to_owned(), at, flow, build, body, trace };
        let key = EventKey::new(at, 0, random_bytes()?);
        let mut change = Change::new();
        // The tenant may be erased meanwhile, and then has no events.
        change.expect(&tenant.uid, Some(&SlugOf { slug: tenant.slug.clone() }));
        let mut told = Teller::new(&mut change, &view, tenant.uid, at);
        let left = told.tell(&News { key, row }, &to)?;
        told.end()?;
        self.metrics.webhooks_dropped(left);
        match fair::aside(|| lane.submit(change).wait()) {
            Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Why an event was not written down.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error("the store could not be read")]
    Store(#[from] Error),
    #[error("the store has not taken the change")]
    Commit(#[from] CommitError),
    #[error("there is no randomness")]
    Random(#[from] getrandom::Error),
}

/// A span for what is written, so that its delivery is seen to follow from it, and its `traceparent`.
fn produced(kind: EventKind) -> Option<String> {
    let span = tracing::info_span!(
        target: "trace",
        "notify create",
        otel.kind = "producer",
        openinference.span.kind = "TOOL",
        cicd.pipeline.task.name = "notify",
        colophon.event.type = kind.word(),
    );
    span.in_scope(outgoing::traceparent)
}

/// Puts events and what is to be sent into a change of one tenant.
pub(super) struct Teller<'a> {
    view: &'a View,
    tenant: TenantUid,
    change: &'a mut Change,
    now: UnixMillis,
    /// Whether anything is to be sent.
    any: bool,
}

impl<'a> Teller<'a> {
    /// For a change of `tenant` that rests on `view`.
    pub(super) const fn new(
        change: &'a mut Change,
        view: &'a View,
        tenant: TenantUid,
        now: UnixMillis,
    ) -> Self {
        Self { view, tenant, change, now, any: false }
    }

    /// Has an event sent to endpoints, at once. Returns to how many it is not, because too much waits for them.
    pub(super) fn tell(
        &mut self,
        news: &News,
        to: &[&(EndpointId, EndpointRow)],
    ) -> Result<u64, Error> {
        let mut left = 0;
        self.change.put(&(self.tenant, news.key), &news.row);
        for (endpoint, _) in to {
            if is_full(self.view, (self.tenant, *endpoint))? {
                left += 1;
                continue;
            }
            self.queue(*endpoint, (news.key, &news.row), false);
        }
        Ok(left)
    }

    /// Has an event sent to one endpoint at once.
    pub(super) fn queue(
        &mut self,
        endpoint: EndpointId,
        (event, row): (EventKey, &EventRow),
        replay: bool,
    ) {
        // A build's stamp may be ahead of the clock, and its event need not wait for that.
        let due = row.at.min(self.now).get();
        let send = SendRow { flow: row.flow.clone(), failures: 0, replay };
        self.change.put(&((self.tenant, endpoint), (due, event)), &send);
        self.any = true;
    }

    /// Says in the outbox that there is something to send, if there is.
    pub(super) fn end(self) -> Result<(), Error> {
        if self.any {
            outbox::request(self.change, self.view, self.tenant, Effect::Notify, self.now)?;
        }
        Ok(())
    }
}

/// Only an endpoint that fails is counted for: what one takes does not wait.
fn is_full(view: &View, to: (TenantUid, EndpointId)) -> Result<bool, Error> {
    let failing = view.get::<EndpointState>(&to)?.is_some_and(|state| state.failing.is_some());
    Ok(failing && view.scan::<SendRow>(&to).take(WAITING).count() == WAITING)
}

/// Every endpoint of a tenant.
pub(super) fn endpoints(
    view: &View,
    tenant: TenantUid,
) -> Result<Vec<(EndpointId, EndpointRow)>, Error> {
    view.scan::<EndpointRow>(&tenant).map(|row| row.map(|((_, id), row)| (id, row))).collect()
}

/// Whether somebody wants to know of the tenant's deliveries that change nothing.
pub(crate) fn hears_of_noops(view: &View, tenant: TenantUid) -> Result<bool, Error> {
    Ok(!interested(&endpoints(view, tenant)?, EventKind::BuildNoop, None).is_empty())
}

/// Those that want to know of such an event.
fn interested<'a>(
    all: &'a [(EndpointId, EndpointRow)],
    kind: EventKind,
    flow: Option<&FlowId>,
) -> Vec<&'a (EndpointId, EndpointRow)> {
    all.iter().filter(|(_, endpoint)| wants(endpoint, kind.word(), flow)).collect()
}

/// Whether an endpoint wants to know of an event of this type, about this flow. What is about no flow that is
/// known may be about any.
pub(super) fn wants(endpoint: &EndpointRow, kind: &str, flow: Option<&FlowId>) -> bool {
    let about = match (&endpoint.flow, flow) {
        (Some(wanted), Some(flow)) => wanted == flow,
        _ => true,
    };
    endpoint.disabled.is_none() && about && endpoint.events.iter().any(|wanted| wanted == kind)
}
