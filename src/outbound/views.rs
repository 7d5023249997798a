//! Endpoints, events and attempts as people see them.

use colophon_model::{BuildId, FlowId, TenantUid, UnixMillis};
use colophon_store::rows::{
    AttemptRow, EndpointId, EndpointRow, EndpointState, EventKey, EventRow, SendRow, SlugOf,
    TenantRow,
};
use colophon_store::{Error, View};
use serde::{Deserialize, Serialize};

use super::state::is_due;
use crate::intake::secrets::SecretView;

/// Rows that one request looks at, whatever it filters.
const LOOKED_AT: usize = 10_000;
/// Most rows of one answer.
pub const MOST: usize = 200;

/// Every endpoint of a tenant.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndpointList {
    /// The endpoints.
    pub endpoints: Vec<EndpointView>,
}

/// Where an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointPhase {
    /// It takes what is sent, as far as is known.
    Active,
    /// The last attempt failed; others follow by themselves.
    Failing,
    /// Nothing is sent.
    Disabled,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndpointView {
    /// Its name.
    #[schema(value_type = String)]
    pub id: EndpointId,
    /// Where events are sent.
    pub url: String,
    /// Types of events that are sent there.
    pub events: Vec<String>,
    /// The only flow whose events are sent there.
    #[schema(value_type = Option<String>)]
    pub flow: Option<FlowId>,
    /// What its maker called it.
    pub label: String,
    /// When it was made.
    pub created: String,
    /// In a word.
    pub phase: EndpointPhase,
    /// Since when nothing is sent there.
    pub disabled: Option<String>,
    /// Why: `asked`, `gone` (it answered 410) or `failing` (for too long).
    pub disabled_why: Option<String>,
    /// When it last took an event.
    pub succeeded: Option<String>,
    /// Since when every attempt failed.
    pub failing: Option<String>,
    /// How many did.
    pub failures: u32,
    /// Why the last one failed.
    pub trouble: Option<String>,
    /// Its secrets, newest first, but not what they are.
    pub secrets: Vec<SecretView>,
    /// Version, for `If-Match`.
    pub version: u64,
}

/// A new endpoint, with what is told once.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedEndpoint {
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: EndpointView,
    /// The secret that events are signed with.
    pub secret: String,
}

impl EndpointView {
    pub(super) fn new(
        id: EndpointId,
        row: EndpointRow,
        state: Option<EndpointState>,
        now: UnixMillis,
    ) -> Self {
        let state = state.unwrap_or_default();
        let phase = match (&row.disabled, state.failing) {
            (Some(_), _) => EndpointPhase::Disabled,
            (None, Some(_)) => EndpointPhase::Failing,
            (None, None) => EndpointPhase::Active,
        };
        let (disabled, disabled_why) = row.disabled.map(|it| (it.since.rfc3339(), it.why)).unzip();
        Self {
            id,
            url: row.url,
            events: row.events,
            flow: row.flow,
            label: row.label,
            created: row.created.rfc3339_seconds(),
            phase,
            disabled,
            disabled_why,
            succeeded: state.succeeded.map(UnixMillis::rfc3339),
            failing: state.failing.map(UnixMillis::rfc3339),
            failures: state.failures,
            trouble: state.trouble,
            secrets: SecretView::all(&row.secrets, now),
            version: row.version,
        }
    }
}

/// The endpoints of a tenant, the oldest first.
pub fn endpoints(view: &View, tenant: &TenantRow, now: UnixMillis) -> Result<EndpointList, Error> {
    let mut endpoints = Vec::new();
    for (id, row) in super::announce::endpoints(view, tenant.uid)? {
        let state = view.get::<EndpointState>(&(tenant.uid, id))?;
        endpoints.push((row.created, EndpointView::new(id, row, state, now)));
    }
    endpoints.sort_by_key(|(created, endpoint)| (*created, endpoint.id));
    Ok(EndpointList { endpoints: endpoints.into_iter().map(|(_, endpoint)| endpoint).collect() })
}

/// How many endpoints of all tenants are active, failing and disabled.
pub fn phases(view: &View) -> Result<[(&'static str, u64); 3], Error> {
    let mut counts = [("active", 0), ("failing", 0), ("disabled", 0)];
    for row in view.scan::<EndpointRow>(&()) {
        let (to, row) = row?;
        let failing = view.get::<EndpointState>(&to)?.is_some_and(|state| state.failing.is_some());
        let place = if row.disabled.is_some() { 2 } else { usize::from(failing) };
        counts[place].1 += 1;
    }
    Ok(counts)
}

/// How long, in milliseconds, the oldest event has been due at `now` that could be sent: those of endpoints that
/// rest, or whose tenant is suspended, could not.
pub fn late(view: &View, now: UnixMillis) -> Result<u64, Error> {
    let mut late = 0;
    for row in view.scan::<EndpointRow>(&()) {
        let (to, row) = row?;
        let state = view.get::<EndpointState>(&to)?.unwrap_or_default();
        let tenant = match view.get::<SlugOf>(&to.0)? {
            Some(SlugOf { slug }) => view.get::<TenantRow>(&slug)?,
            None => None,
        };
        let is_awake = tenant.is_some_and(|tenant| tenant.suspended.is_none());
        if row.disabled.is_some() || !is_due(state.rest, now) || !is_awake {
            continue;
        }
        if let Some((key, _)) = view.scan::<SendRow>(&to).next().transpose()? {
            late = late.max(now.get().saturating_sub(key.1.0));
        }
    }
    Ok(late)
}

/// Which attempts are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttemptFilter {
    /// At most so many, 1 to 200; default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Those before this one: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<EventKey>,
    /// Those of one event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventKey>,
    /// Those that `delivered`, `failed` or `gave-up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// Attempts, newest first.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptList {
    /// The attempts.
    pub attempts: Vec<AttemptView>,
    /// `cursor` of the next page; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub next: Option<EventKey>,
}

/// An attempt to deliver an event.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptView {
    /// Its name in the log.
    #[schema(value_type = String)]
    pub id: EventKey,
    /// When it ended.
    pub at: String,
    /// Where to.
    #[schema(value_type = String)]
    pub endpoint: EndpointId,
    /// What: the `webhook-id`.
    #[schema(value_type = String)]
    pub event: EventKey,
    /// Its number among those of this event.
    pub number: u32,
    /// `delivered`, `failed` (another follows) or `gave-up`.
    pub outcome: String,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub excerpt: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// When the next one is made.
    pub next: Option<String>,
    /// Whether somebody asked for the event again.
    pub replay: bool,
}

impl AttemptView {
    fn new(id: EventKey, row: AttemptRow) -> Self {
        Self {
            id,
            at: id.time().rfc3339(),
            endpoint: row.endpoint,
            event: row.event,
            number: row.number,
            outcome: row.outcome,
            status: row.status,
            error: row.error,
            excerpt: row.excerpt,
            millis: row.millis,
            next: row.next.map(UnixMillis::rfc3339),
            replay: row.replay,
        }
    }
}

/// Attempts at one endpoint of a tenant, or at all of them.
pub fn attempts(
    view: &View,
    tenant: &TenantRow,
    endpoint: Option<EndpointId>,
    filter: &AttemptFilter,
) -> Result<AttemptList, Error> {
    let passes = |row: &AttemptRow| {
        endpoint.is_none_or(|endpoint| endpoint == row.endpoint)
            && filter.event.is_none_or(|event| event == row.event)
            && filter.outcome.as_ref().is_none_or(|outcome| *outcome == row.outcome)
    };
    let mut rows = view.scan::<AttemptRow>(&tenant.uid).descending();
    if let Some(cursor) = filter.cursor {
        rows = rows.starting_at(&(tenant.uid, cursor));
    }
    let limit = filter.limit.unwrap_or(50).clamp(1, MOST);
    let mut list = AttemptList { attempts: Vec::new(), next: None };
    for (looked, row) in rows.enumerate() {
        let ((_, key), row) = row?;
        if Some(key) == filter.cursor {
            continue;
        }
        if passes(&row) {
            list.attempts.push(AttemptView::new(key, row));
        }
        if list.attempts.len() == limit || looked == LOOKED_AT {
            list.next = Some(key);
            break;
        }
    }
    Ok(list)
}

/// Which events are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// At most so many, 1 to 200; default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Those before this one: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<EventKey>,
    /// Those of one type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Those of one flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowId>,
}

/// Events, newest first.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventList {
    /// The events.
    pub events: Vec<EventView>,
    /// `cursor` of the next page; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub next: Option<EventKey>,
}

/// Something that happened and was told to an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OutboundEvent)]
pub struct EventView {
    /// Its name: the `webhook-id` of its deliveries.
    #[schema(value_type = String)]
    pub id: EventKey,
    /// Its type.
    pub r#type: String,
    /// When it happened.
    pub at: String,
    /// The flow that it is about.
    #[schema(value_type = Option<String>)]
    pub flow: Option<FlowId>,
    /// The build that it is about.
    #[schema(value_type = Option<String>)]
    pub build: Option<BuildId>,
    /// What is sent. Told of a single event only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<serde_json::Value>,
    /// Endpoints that it is still to be sent to. Told of a single event only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub waiting: Option<Vec<EndpointId>>,
    /// Attempts to deliver it, newest first, 200 at most. Told of a single event only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempts: Option<Vec<AttemptView>>,
}

impl EventView {
    fn new(id: EventKey, row: &EventRow) -> Self {
        Self {
            id,
            r#type: row.kind.clone(),
            at: row.at.rfc3339(),
            flow: row.flow.clone(),
            build: row.build,
            payload: None,
            waiting: None,
            attempts: None,
        }
    }
}

/// Events of a tenant that were told to an endpoint.
pub fn events(view: &View, tenant: &TenantRow, filter: &EventFilter) -> Result<EventList, Error> {
    let passes = |row: &EventRow| {
        filter.kind.as_ref().is_none_or(|kind| *kind == row.kind)
            && (filter.flow.is_none() || filter.flow == row.flow)
    };
    let mut rows = view.scan::<EventRow>(&tenant.uid).descending();
    if let Some(cursor) = filter.cursor {
        rows = rows.starting_at(&(tenant.uid, cursor));
    }
    let limit = filter.limit.unwrap_or(50).clamp(1, MOST);
    let mut list = EventList { events: Vec::new(), next: None };
    for (looked, row) in rows.enumerate() {
        let ((_, key), row) = row?;
        if Some(key) == filter.cursor {
            continue;
        }
        if passes(&row) {
            list.events.push(EventView::new(key, &row));
        }
        if list.events.len() == limit || looked == LOOKED_AT {
            list.next = Some(key);
            break;
        }
    }
    Ok(list)
}

/// One event with all that is known of it. `None`: there is none of that name, or no longer.
pub fn event(view: &View, tenant: &TenantRow, key: EventKey) -> Result<Option<EventView>, Error> {
    let Some(row) = view.get::<EventRow>(&(tenant.uid, key))? else { return Ok(None) };
    let filter = AttemptFilter { limit: Some(MOST), event: Some(key), ..AttemptFilter::default() };
    let attempts = attempts(view, tenant, None, &filter)?.attempts;
    Ok(Some(EventView {
        payload: serde_json::from_str(&row.body).ok(),
        waiting: Some(waiting(view, tenant.uid, key)?),
        attempts: Some(attempts),
        ..EventView::new(key, &row)
    }))
}

fn waiting(view: &View, tenant: TenantUid, event: EventKey) -> Result<Vec<EndpointId>, Error> {
    let mut found = Vec::new();
    for row in view.scan::<SendRow>(&tenant) {
        let ((to, (_, key)), _) = row?;
        if key == event {
            found.push(to.1);
        }
    }
    Ok(found)
}
