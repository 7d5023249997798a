//! The queue of one endpoint, and what came of what was taken from it. Every change rests on the endpoint
//! being set as it was when it was read: of one that was deleted meanwhile nothing is written.

use colophon_model::audit::{Action, Chain, Subject};
use colophon_model::{FlowId, TenantUid, UnixMillis};
use colophon_store::rows::{
    AttemptRow, Disabled, Effect, EndpointId, EndpointRow, EndpointState, EventKey, EventRow,
    HoldRow, OutboxRow, SendKey, SendRow, TenantRow,
};
use colophon_store::{Change, CommitError, Error, Store, View, audit};

use super::client::Reply;
use super::retry;
use super::state::{self, Verdict};
use crate::audit::By;

/// Rows that one transaction moves or deletes.
const BATCH: usize = 1024;

/// The rows of one endpoint.
pub(super) struct Ledger<'a> {
    pub(super) store: &'a Store,
    pub(super) tenant: &'a TenantRow,
    pub(super) endpoint: EndpointId,
}

/// What is to be sent now.
pub(super) struct Turn {
    pub(super) endpoint: EndpointRow,
    pub(super) key: SendKey,
    pub(super) row: SendRow,
    pub(super) event: EventRow,
}

impl Turn {
    /// Names the event.
    pub(super) const fn event_key(&self) -> EventKey {
        self.key.1.1
    }
}

/// What was written down.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) verdict: Verdict,
    /// Why the endpoint was disabled by it.
    pub(super) disabled: Option<&'static str>,
}

/// Why something was not written down: it stays due.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsettled {
    #[error("the store could not be read")]
    Store(#[from] Error),
    #[error("the store has not taken the change")]
    Commit(#[from] CommitError),
    #[error("there is no randomness")]
    Random(#[from] getrandom::Error),
}

impl Ledger<'_> {
    fn to(&self) -> (TenantUid, EndpointId) {
        (self.tenant.uid, self.endpoint)
    }

    /// The next event to send, if one is due. One that an earlier event of its flow keeps waiting is put behind
    /// that.
    pub(super) fn next(&self, now: UnixMillis) -> Result<Option<Turn>, Unsettled> {
        loop {
            let view = self.store.lane(self.tenant.uid).settled()?;
            let Some(endpoint) = self.awake(&view, now)? else { return Ok(None) };
            let first = view.scan::<SendRow>(&self.to()).next().transpose()?;
            let Some((key, row)) = first.filter(|(key, _)| state::is_due(key.1.0, now)) else {
                return Ok(None);
            };
            let mut change = Change::new();
            change.expect(&self.to(), Some(&endpoint)).expect(&key, Some(&row));
            if let Some(until) = self.waits_until(&view, &key, &row, now)? {
                let behind = (key.0, (until, key.1.1));
                change.delete::<SendRow>(&key).put(&behind, &row);
            } else if let Some(event) = view.get::<EventRow>(&(self.tenant.uid, key.1.1))? {
                return Ok(Some(Turn { endpoint, key, row, event }));
            } else {
                change.delete::<SendRow>(&key); // it was purged: nobody waits for it any more
            }
            self.submit(change)?;
        }
    }

    /// The endpoint, if it may be sent to now.
    fn awake(&self, view: &View, now: UnixMillis) -> Result<Option<EndpointRow>, Error> {
        let state = view.get::<EndpointState>(&self.to())?.unwrap_or_default();
        let endpoint = view.get::<EndpointRow>(&self.to())?;
        Ok(endpoint.filter(|it| it.disabled.is_none() && state::is_due(state.rest, now)))
    }

    /// Until when an earlier event of the same flow keeps this one waiting.
    fn waits_until(
        &self,
        view: &View,
        key: &SendKey,
        row: &SendRow,
        now: UnixMillis,
    ) -> Result<Option<u64>, Error> {
        let Some(flow) = &row.flow else { return Ok(None) };
        let earlier = view.get::<HoldRow>(&self.hold(flow))?;
        let earlier = earlier.filter(|it| it.event < key.1.1 && !state::is_due(it.until, now));
        Ok(earlier.map(|it| it.until))
    }

    fn hold(&self, flow: &FlowId) -> (TenantUid, EndpointId, FlowId) {
        (self.tenant.uid, self.endpoint, flow.clone())
    }

    /// Writes down what came of a turn. `None`: the endpoint was deleted meanwhile.
    pub(super) fn record(
        &self,
        turn: &Turn,
        reply: &Reply,
        (now, random): (UnixMillis, [u8; 9]),
        disable_after: u64,
    ) -> Result<Option<Written>, Unsettled> {
        let [luck, random @ ..] = random;
        let verdict = state::judge(reply, &turn.row, now, luck);
        loop {
            let view = self.store.lane(self.tenant.uid).settled()?;
            let Some(endpoint) = view.get::<EndpointRow>(&self.to())? else { return Ok(None) };
            let before = view.get::<EndpointState>(&self.to())?;
            let after = state::after(&before.clone().unwrap_or_default(), &verdict, reply, now);
            let mut change = Change::new();
            change.expect(&self.to(), Some(&endpoint)).expect(&self.to(), before.as_ref());
            change.put(&self.to(), &after);
            let attempt = attempt(self.endpoint, turn, reply, &verdict);
            let place = u16::try_from(attempt.number).unwrap_or(u16::MAX);
            change.put(&(self.tenant.uid, EventKey::new(now, place, random)), &attempt);
            let lost = match verdict {
                Verdict::Gone => Some("gone"),
                _ if state::is_lost(&after, disable_after) => Some("failing"),
                _ => None,
            };
            let disabled = lost.filter(|_| endpoint.disabled.is_none());
            if let Some(why) = disabled {
                disable(&mut change, &view, self.to(), &endpoint, why, now)?;
                let subject = Subject::new("endpoint", self.endpoint);
                let act = By::here().did(Action::EndpointDisable, subject).with("why", why);
                audit::append(&mut change, &view, Chain::Tenant(self.tenant.uid), &[act], now)?;
            } else if view.get::<SendRow>(&turn.key)?.as_ref() == Some(&turn.row) {
                // Else somebody has asked for it anew, or has disabled the endpoint.
                self.requeue(&mut change, &view, turn, &verdict)?;
            }
            if self.submit(change)? {
                return Ok(Some(Written { verdict, disabled }));
            }
        }
    }

    /// What is to be sent after an attempt, and what later events of the flow wait for.
    fn requeue(
        &self,
        change: &mut Change,
        view: &View,
        turn: &Turn,
        verdict: &Verdict,
    ) -> Result<(), Error> {
        let (key, event) = (turn.key, turn.event_key());
        let failures = turn.row.failures.saturating_add(1);
        change.expect(&key, Some(&turn.row)).delete::<SendRow>(&key);
        if let Some(next) = verdict.next() {
            let row = SendRow { failures, ..turn.row.clone() };
            change.put(&(key.0, (next.get(), event)), &row);
        }
        let Some(flow) = &turn.row.flow else { return Ok(()) };
        let hold = self.hold(flow);
        let standing = view.get::<HoldRow>(&hold)?;
        if standing.is_some_and(|standing| standing.event < event) {
            return Ok(()); // an earlier one is still waited for
        }
        match verdict.next().filter(|_| failures <= retry::HELD) {
            Some(next) => drop(change.put(&hold, &HoldRow { event, until: next.get() })),
            None => drop(change.delete::<HoldRow>(&hold)),
        }
        Ok(())
    }

    /// Takes the tenant's row out of the outbox when nothing is to be sent any more.
    pub(super) fn settle(&self) -> Result<(), Unsettled> {
        let uid = self.tenant.uid;
        let view = self.store.lane(uid).settled()?;
        let Some(row) = view.get::<OutboxRow>(&(uid, Effect::Notify))? else { return Ok(()) };
        if view.scan::<SendRow>(&uid).next().is_some() {
            return Ok(());
        }
        let mut change = Change::new();
        let key = (uid, Effect::Notify);
        change.expect(&key, Some(&row)).delete::<OutboxRow>(&key);
        self.submit(change).map(drop)
    }

    /// Whether the change was taken. If not, something was changed meanwhile. A full disk keeps none of them back: what
    /// was sent, and not written down, would be sent again.
    fn submit(&self, mut change: Change) -> Result<bool, Unsettled> {
        change.use_reserve();
        match self.store.lane(self.tenant.uid).submit(change).wait() {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn attempt(endpoint: EndpointId, turn: &Turn, reply: &Reply, verdict: &Verdict) -> AttemptRow {
    AttemptRow {
        endpoint,
        event: turn.event_key(),
        number: turn.row.failures.saturating_add(1),
        outcome: verdict.word().to_owned(),
        status: reply.status.as_ref().ok().copied(),
        error: verdict.why(),
        excerpt: reply.excerpt.clone(),
        millis: u64::try_from(reply.took.as_millis()).unwrap_or(u64::MAX),
        next: verdict.next(),
        replay: turn.row.replay,
    }
}

/// Adds to `change` that nothing is sent to an endpoint any more, and that what waits does not.
pub(super) fn disable(
    change: &mut Change,
    view: &View,
    to: (TenantUid, EndpointId),
    row: &EndpointRow,
    why: &str,
    now: UnixMillis,
) -> Result<(), Error> {
    let disabled = Some(Disabled { since: now, why: why.to_owned() });
    let version = row.version + 1;
    change.put(&to, &EndpointRow { disabled, version, ..row.clone() });
    forget(change, view, to)
}

/// Adds to `change` that what waits for an endpoint is not sent.
pub(super) fn forget(
    change: &mut Change,
    view: &View,
    to: (TenantUid, EndpointId),
) -> Result<(), Error> {
    // More than one transaction should hold cannot wait: announce.rs bounds it.
    for row in view.scan::<SendRow>(&to) {
        change.delete::<SendRow>(&row?.0);
    }
    for row in view.scan::<HoldRow>(&to).take(BATCH) {
        change.delete::<HoldRow>(&row?.0);
    }
    Ok(())
}
