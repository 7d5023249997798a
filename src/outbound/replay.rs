//! Sending an event that was sent before, or one that only tries an endpoint out.

use colophon_model::audit::Action;
use colophon_model::{TenantSlug, TenantUid, UnixMillis};
use colophon_store::rows::{EndpointId, EndpointRow, EndpointState, EventKey, EventRow, SendRow};
use colophon_store::{Change, View};
use serde::{Deserialize, Serialize};

use super::announce::{News, Teller, WAITING, wants};
use super::event::{Context, EventKind};
use super::manage::{EndpointError, change, find};
use crate::expected::Expected;
use crate::keys::random_bytes;
use crate::pipeline::Press;
use crate::tenants::TenantError;

/// What is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Replay {
    /// One event, whatever the endpoint wants to know.
    #[schema(value_type = String)]
    Event(EventKey),
    /// Every event since a time (RFC 3339) that the endpoint wants to know of.
    Since(String),
}

/// What will be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Queued {
    /// How many events.
    pub queued: u64,
    /// The event, when it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub event: Option<EventKey>,
}

/// Has events sent to an endpoint again: with the same ids and bodies, in the order in which they happened, and
/// with all their attempts before them. What waits anyway is sent at once.
pub fn replay(
    press: &Press,
    slug: &TenantSlug,
    id: EndpointId,
    what: &Replay,
) -> Result<Queued, EndpointError> {
    let since = match what {
        Replay::Event(_) => None,
        Replay::Since(text) => Some(time(text)?),
    };
    let mut queued = Queued { queued: 0, event: None };
    change(press, slug, (Action::EndpointReplay, id), |change, view, tenant| {
        let to = (tenant.uid, id);
        let endpoint = awake(change, view, to)?;
        let found = match (what, since) {
            (Replay::Event(key), _) => {
                let row = view.get::<EventRow>(&(tenant.uid, *key))?;
                vec![(*key, row.ok_or(EndpointError::NoEvent)?)]
            }
            (_, Some(since)) => wanted(view, tenant.uid, &endpoint, since)?,
            (_, None) => Vec::new(),
        };
        queued = Queued { queued: found.len() as u64, event: None };
        if let (Replay::Event(key), [_]) = (what, found.as_slice()) {
            queued.event = Some(*key);
        }
        queue(press, change, view, to, &found)
    })?;
    Ok(queued)
}

fn time(text: &str) -> Result<UnixMillis, EndpointError> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    let millis = time.ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    let wrong = || format!("`{text}` is no time of RFC 3339, such as `2026-11-30T08:00:00Z`");
    millis.map(UnixMillis::new).ok_or_else(|| EndpointError::Invalid(vec![wrong()]))
}

/// Events since a time that the endpoint wants to know of.
fn wanted(
    view: &View,
    tenant: TenantUid,
    endpoint: &EndpointRow,
    since: UnixMillis,
) -> Result<Vec<(EventKey, EventRow)>, EndpointError> {
    let from = (tenant, EventKey::new(since, 0, [0; 8]));
    let mut found = Vec::new();
    for row in view.scan::<EventRow>(&tenant).starting_at(&from) {
        let ((_, key), event) = row?;
        if wants(endpoint, &event.kind, event.flow.as_ref()) {
            found.push((key, event));
        }
        if found.len() > WAITING {
            let text = format!("there are more than {WAITING} such events; give a later time");
            return Err(EndpointError::Invalid(vec![text]));
        }
    }
    Ok(found)
}

/// Puts events in the queue, in place of what waits of them. The endpoint is tried at once.
fn queue(
    press: &Press,
    change: &mut Change,
    view: &View,
    to: (TenantUid, EndpointId),
    events: &[(EventKey, EventRow)],
) -> Result<(), EndpointError> {
    for row in view.scan::<SendRow>(&to) {
        let (key, _) = row?;
        if events.binary_search_by_key(&key.1.1, |(event, _)| *event).is_ok() {
            change.delete::<SendRow>(&key);
        }
    }
    if let Some(state) = view.get::<EndpointState>(&to)? {
        change.put(&to, &EndpointState { rest: 0, ..state });
    }
    let mut told = Teller::new(change, view, to.0, press.clock.now());
    for (event, row) in events {
        told.queue(to.1, (*event, row), true);
    }
    Ok(told.end()?)
}

/// Has a test event sent to an endpoint, whatever it wants to know.
pub fn test(press: &Press, slug: &TenantSlug, id: EndpointId) -> Result<Queued, EndpointError> {
    let at = press.clock.now();
    let key = EventKey::new(at, 0, random_bytes().map_err(TenantError::from)?);
    let context = Context { tenant: slug, url: &press.outbound.public_url };
    let row = EventRow {
        kind: EventKind::Test.word().to_owned(),
        at,
        flow: None,
        build: None,
        body: context.test(&id.to_string(), at),
        trace: crate::outgoing::traceparent(),
    };
    let news = News { key, row };
    change(press, slug, (Action::EndpointTest, id), |change, view, tenant| {
        let to = (tenant.uid, id);
        let endpoint = awake(change, view, to)?;
        let mut told = Teller::new(change, view, tenant.uid, at);
        told.tell(&news, &[&(id, endpoint)])?;
        Ok(told.end()?)
    })?;
    Ok(Queued { queued: 1, event: Some(key) })
}

/// The endpoint, if anything is sent to it.
fn awake(
    change: &mut Change,
    view: &View,
    to: (TenantUid, EndpointId),
) -> Result<EndpointRow, EndpointError> {
    let row = find(change, view, to, &Expected::Anything)?;
    if row.disabled.is_some() { Err(EndpointError::Disabled) } else { Ok(row) }
}
