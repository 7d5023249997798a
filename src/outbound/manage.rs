//! Setting endpoints and their secrets.

use colophon_model::audit::{Action, Subject};
use colophon_model::{FlowId, TenantSlug, TenantUid, UnixMillis};
use colophon_store::rows::{
    Disabled, EndpointId, EndpointRow, EndpointState, TenantRow, WebhookSecret,
};
use colophon_store::{Change, CommitError, View};
use serde::{Deserialize, Serialize};

use super::event::{EventKind, InvalidKind};
use super::ledger::{disable, forget};
use super::url::EndpointUrl;
use super::views::{CreatedEndpoint, EndpointView};
use crate::audit;
use crate::expected::Expected;
use crate::intake::MAX_KEYS;
use crate::intake::secrets::{self as generations, LONGEST_OVERLAP, Rotate, SecretError};
use crate::keys::{MasterKey, random_bytes};
use crate::pipeline::{ATTEMPTS, Press};
use crate::tenants::{self, TenantError};

/// Most endpoints of a tenant.
const MOST: usize = 16;
/// Longest label, in bytes.
const LABEL: usize = 100;

/// What an endpoint is told by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEndpoint {
    /// Where events are sent.
    pub url: String,
    /// Types of events that are sent there; `build.succeeded` and `build.failed` if nothing is said.
    #[serde(default = "usual_events")]
    pub events: Vec<String>,
    /// The only flow whose events are sent there.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub flow: Option<FlowId>,
    /// A word by which people recognise it.
    #[serde(default)]
    pub label: String,
    /// Whether anything is sent there. What waits for one that is disabled is dropped, and can be replayed.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn usual_events() -> Vec<String> {
    [EventKind::BuildSucceeded, EventKind::BuildFailed].map(|kind| kind.word().to_owned()).into()
}

const fn yes() -> bool {
    true
}

/// A new secret of an endpoint, told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewEndpointSecret {
    /// Its number.
    pub generation: u32,
    /// The secret.
    pub secret: String,
    /// When the secrets before it end.
    pub others_end: String,
}

/// Why an endpoint was not set or found.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// There is no such tenant, or the store refused.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// What was given is not usable; every problem is named.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The tenant has as many as it may have.
    #[error("the tenant has {MOST} endpoints already")]
    TooMany,
    /// The tenant has no such endpoint.
    #[error("the tenant has no such endpoint")]
    Unknown,
    /// The tenant has no such event, or no longer.
    #[error("the tenant has no such event, or no longer")]
    NoEvent,
    /// The endpoint is disabled.
    #[error("the endpoint is disabled, so nothing is sent to it")]
    Disabled,
    /// The endpoint is not what somebody expected to find.
    #[error("the endpoint is not as it was expected to be; nothing was changed")]
    Unexpected,
    /// The secrets could not be changed so.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Others changed the same at the same time.
    #[error("the endpoint was changed by others at the same time")]
    Contended,
}

impl From<colophon_store::Error> for EndpointError {
    fn from(error: colophon_store::Error) -> Self {
        Self::Tenant(error.into())
    }
}

/// Names every problem at once.
fn check(press: &Press, wanted: &SetEndpoint) -> Result<EndpointRow, EndpointError> {
    let mut problems = Vec::new();
    let url = EndpointUrl::parse(&wanted.url, &press.outbound.policy);
    let url = url.map_err(|e| problems.push(e.to_string()));
    let kinds: Result<Vec<EventKind>, InvalidKind> =
        wanted.events.iter().map(|word| word.parse()).collect();
    let mut kinds = kinds.unwrap_or_else(|e| {
        problems.push(e.to_string());
        Vec::new()
    });
    if wanted.events.is_empty() {
        problems.push("an endpoint must want at least one type of events".to_owned());
    }
    if wanted.label.len() > LABEL || wanted.label.contains(char::is_control) {
        problems.push(format!("the label must be one line of at most {LABEL} bytes"));
    }
    let Some(url) = url.ok().filter(|_| problems.is_empty()) else {
        return Err(EndpointError::Invalid(problems));
    };
    kinds.sort();
    kinds.dedup();
    Ok(EndpointRow {
        url: url.as_str().to_owned(),
        events: kinds.iter().map(|kind| kind.word().to_owned()).collect(),
        flow: wanted.flow.clone(),
        label: wanted.label.clone(),
        created: UnixMillis::new(0),
        version: 1,
        disabled: None,
        next: 1,
        secrets: Vec::new(),
    })
}

/// Makes an endpoint of tenant `slug`, with a first secret.
pub fn create(
    press: &Press,
    slug: &TenantSlug,
    wanted: &SetEndpoint,
) -> Result<CreatedEndpoint, EndpointError> {
    let mut row = check(press, wanted)?;
    let now = press.clock.now();
    let id = EndpointId::from_random(random_bytes().map_err(TenantError::from)?);
    row.created = now;
    row.disabled = (!wanted.enabled).then(|| asked(now));
    generations::renew((&mut row.next, &mut row.secrets), now, now)?;
    let tenant = change(press, slug, (Action::EndpointCreate, id), |change, view, tenant| {
        if view.scan::<EndpointRow>(&tenant.uid).take(MOST).count() == MOST {
            return Err(EndpointError::TooMany);
        }
        let to = (tenant.uid, id);
        change.expect::<EndpointRow>(&to, None).put(&to, &row);
        Ok(())
    })?;
    let secret = press.keys.endpoint_secret(tenant.uid, id, 1);
    Ok(CreatedEndpoint { endpoint: EndpointView::new(id, row, None, now), secret })
}

fn asked(since: UnixMillis) -> Disabled {
    Disabled { since, why: "asked".to_owned() }
}

/// An endpoint as it is set and fares.
pub fn show(
    press: &Press,
    slug: &TenantSlug,
    id: EndpointId,
) -> Result<EndpointView, EndpointError> {
    let view = press.store.view()?;
    let tenant = tenants::find(&view, slug)?;
    let to = (tenant.uid, id);
    let row = view.get::<EndpointRow>(&to)?.ok_or(EndpointError::Unknown)?;
    let state = view.get::<EndpointState>(&to)?;
    Ok(EndpointView::new(id, row, state, press.clock.now()))
}

/// Sets an endpoint anew, if it is as `expected`. Its secrets stay. One that is enabled again begins without
/// what was known of its failures.
pub fn update(
    press: &Press,
    slug: &TenantSlug,
    id: EndpointId,
    wanted: &SetEndpoint,
    expected: &Expected,
) -> Result<EndpointView, EndpointError> {
    let new = check(press, wanted)?;
    let now = press.clock.now();
    change(press, slug, (Action::EndpointChange, id), |change, view, tenant| {
        let to = (tenant.uid, id);
        let old = find(change, view, to, expected)?;
        let EndpointRow { url, events, flow, label, .. } = new.clone();
        let version = old.version + 1;
        let row = EndpointRow { url, events, flow, label, version, ..old.clone() };
        match (wanted.enabled, &old.disabled) {
            (true, None) | (false, Some(_)) => drop(change.put(&to, &row)),
            (true, Some(_)) => {
                change.put(&to, &EndpointRow { disabled: None, ..row });
                change.delete::<EndpointState>(&to);
            }
            (false, None) => {
                // It counts the version up itself.
                disable(
                    change,
                    view,
                    to,
                    &EndpointRow { version: old.version, ..row },
                    "asked",
                    now,
                )?;
            }
        }
        Ok(())
    })?;
    show(press, slug, id)
}

/// Takes an endpoint away, if it is as `expected`. What was sent to it stays in the log for its time.
pub fn delete(
    press: &Press,
    slug: &TenantSlug,
    id: EndpointId,
    expected: &Expected,
) -> Result<(), EndpointError> {
    change(press, slug, (Action::EndpointDelete, id), |change, view, tenant| {
        let to = (tenant.uid, id);
        find(change, view, to, expected)?;
        change.use_reserve().delete::<EndpointRow>(&to).delete::<EndpointState>(&to);
        Ok(forget(change, view, to)?)
    })?;
    Ok(())
}

/// Makes a new secret; those that are good end after the overlap, and sign until then beside the new one.
pub fn rotate(
    press: &Press,
    slug: &TenantSlug,
    id: EndpointId,
    wanted: Rotate,
) -> Result<NewEndpointSecret, EndpointError> {
    if wanted.overlap > LONGEST_OVERLAP {
        return Err(SecretError::TooLong.into());
    }
    let now = press.clock.now();
    let ends = now.plus(wanted.overlap.millis());
    let mut generation = 0;
    let tenant = change(press, slug, (Action::EndpointRotate, id), |change, view, tenant| {
        let to = (tenant.uid, id);
        let mut row = find(change, view, to, &Expected::Anything)?;
        generation = generations::renew((&mut row.next, &mut row.secrets), now, ends)?;
        row.version += 1;
        change.put(&to, &row);
        Ok(())
    })?;
    let secret = press.keys.endpoint_secret(tenant.uid, id, generation);
    Ok(NewEndpointSecret { generation, secret, others_end: ends.rfc3339_seconds() })
}

/// Ends a secret at once. The last good one stays: without one nothing could be signed.
pub fn revoke(
    press: &Press,
    slug: &TenantSlug,
    id: EndpointId,
    generation: u32,
) -> Result<EndpointView, EndpointError> {
    let now = press.clock.now();
    change(press, slug, (Action::EndpointRevoke, id), |change, view, tenant| {
        let to = (tenant.uid, id);
        let mut row = find(change, view, to, &Expected::Anything)?;
        generations::end(&mut row.secrets, generation, now)?;
        if !row.secrets.iter().any(|secret| generations::is_good(secret, now)) {
            let text = "this is the only good secret; rotate it instead, with `overlap` 0s";
            return Err(EndpointError::Invalid(vec![text.to_owned()]));
        }
        row.version += 1;
        change.put(&to, &row);
        Ok(())
    })?;
    show(press, slug, id)
}

/// Secrets of an endpoint that are good at `now`, newest first. The newest always is: nothing is sent without
/// a signature.
pub(super) fn secrets(
    keys: &MasterKey,
    (tenant, endpoint): (TenantUid, EndpointId),
    row: &EndpointRow,
    now: UnixMillis,
) -> Vec<String> {
    let is_good = |secret: &&WebhookSecret| generations::is_good(secret, now);
    let good = row.secrets.iter().rev().filter(is_good).take(MAX_KEYS);
    good.map(|secret| keys.endpoint_secret(tenant, endpoint, secret.generation)).collect()
}

/// The endpoint, which must be the same when `change` is committed.
pub(super) fn find(
    change: &mut Change,
    view: &View,
    to: (TenantUid, EndpointId),
    expected: &Expected,
) -> Result<EndpointRow, EndpointError> {
    let row = view.get::<EndpointRow>(&to)?.ok_or(EndpointError::Unknown)?;
    if !expected.is_met(Some(&row.version.to_string())) {
        return Err(EndpointError::Unexpected);
    }
    change.expect(&to, Some(&row));
    Ok(row)
}

/// Makes a change in the tenant's lane, where no build comes in between, and writes down whose act it is.
pub(super) fn change(
    press: &Press,
    slug: &TenantSlug,
    (action, id): (Action, EndpointId),
    mut make: impl FnMut(&mut Change, &View, &TenantRow) -> Result<(), EndpointError>,
) -> Result<TenantRow, EndpointError> {
    for _ in 0..ATTEMPTS {
        let tenant = tenants::find(&press.store.view()?, slug)?;
        let lane = press.lane(tenant.uid);
        let view = lane.settled()?;
        let mut change = Change::new();
        // The tenant may be erased meanwhile, and then has no endpoints.
        change.expect(slug, Some(&tenant));
        make(&mut change, &view, &tenant)?;
        let what = (action, Subject::new("endpoint", id));
        audit::done(&mut change, &view, tenant.uid, what, press.clock.now())?;
        match lane.submit(change).wait() {
            Ok(()) => return Ok(tenant),
            Err(CommitError::Conflict(_)) => {} // look again
            Err(error) => return Err(TenantError::from(error).into()),
        }
    }
    Err(EndpointError::Contended)
}
