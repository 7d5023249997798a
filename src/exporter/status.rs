//! How exports fare, as operators see it.

use std::collections::BTreeMap;

use colophon_model::{Digest, TenantSlug, UnixMillis};
use colophon_store::rows::{ExportDrill, ExportKey, ExportPlace, KeyLeftover, TenantRow};
use colophon_store::{Error, View};
use serde::{Deserialize, Serialize};

use super::due::{Rules, failing};
use super::lacks::lacks;
use crate::config::ExportConfig;
use crate::tenants::{self, TenantError};

/// A tenant's export to a place, and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExportStatus {
    /// The tenant.
    #[schema(value_type = String)]
    pub slug: TenantSlug,
    /// The place.
    pub to: String,
    /// In a word.
    pub phase: Phase,
    /// Whether the server exports there by itself.
    pub scheduled: bool,
    /// The number of the newest bag that this server has seen there.
    pub sequence: u64,
    /// The number of the last build there.
    pub builds: u64,
    /// Builds that are not there yet.
    pub waiting: u64,
    /// The time of the oldest build or act that is not there yet, RFC 3339.
    pub since: Option<String>,
    /// Seconds since then; 0 when everything is there.
    pub lag: u64,
    /// When everything was last there, RFC 3339.
    pub succeeded: Option<String>,
    /// The earliest time of the next export, RFC 3339, when there will be one.
    pub next: Option<String>,
    /// Exports of the schedule that failed since.
    pub failures: u32,
    /// The stable code of what was wrong with the last one.
    pub code: Option<String>,
    /// What was wrong with it.
    pub trouble: Option<String>,
    /// Copies of the tenant's keys, by place, that should be gone and could not be deleted. They are the tenant's: each of its
    /// exports says the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys_left: Vec<KeysLeft>,
}

/// Copies of keys that should be gone, at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeysLeft {
    /// The place.
    pub at: String,
    /// Since when they should be gone, RFC 3339.
    pub since: String,
    /// When that was tried last, RFC 3339.
    pub tried: String,
    /// What is there still, and why.
    pub left: Vec<String>,
}

/// Where an export stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportPhase)]
pub enum Phase {
    /// Everything is there.
    Current,
    /// Something is to be exported.
    Waiting,
    /// The last export of the schedule failed; another will follow by itself.
    Failing,
}

/// Exports to one place, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The place.
    pub to: String,
    /// Tenants of which everything is there.
    pub current: u64,
    /// Tenants of which something is not.
    pub waiting: u64,
    /// Tenants whose last export of the schedule failed.
    pub failing: u64,
    /// Seconds since the oldest build or act of any tenant that is not there; 0 when everything is.
    pub lag: u64,
    /// When an export of any tenant there was last restored for trial, and good.
    pub drilled: Option<UnixMillis>,
}

/// Exports of every tenant, to places where the server exports to by itself and to others that it remembers.
///
/// # Errors
/// When the store cannot be read.
pub fn list(
    view: &View,
    config: &ExportConfig,
    now: UnixMillis,
) -> Result<Vec<ExportStatus>, Error> {
    let rules = Rules::of(config);
    let mut all = Vec::new();
    for row in view.scan::<TenantRow>(&String::new()) {
        all.extend(of(view, &rules, &row?.1, now)?);
    }
    Ok(all)
}

/// Exports of one tenant.
///
/// # Errors
/// When there is no such tenant, or the store cannot be read.
pub fn status(
    view: &View,
    config: &ExportConfig,
    slug: &TenantSlug,
    now: UnixMillis,
) -> Result<Vec<ExportStatus>, TenantError> {
    let tenant = tenants::find(view, slug)?;
    Ok(of(view, &Rules::of(config), &tenant, now)?)
}

/// Every place where the server exports to by itself, with its tenants counted.
///
/// # Errors
/// When the store cannot be read.
pub fn counts(view: &View, config: &ExportConfig, now: UnixMillis) -> Result<Vec<Count>, Error> {
    let rules = Rules::of(config);
    let none = |to| Count { to, current: 0, waiting: 0, failing: 0, lag: 0, drilled: None };
    let mut counts: Vec<Count> =
        rules.places.iter().map(|(url, _)| none(url.to_string())).collect();
    if counts.is_empty() {
        return Ok(counts);
    }
    for row in view.scan::<TenantRow>(&String::new()) {
        let (_, tenant) = row?;
        for ((url, place), count) in rules.places.iter().zip(&mut counts) {
            let row = view.get::<ExportPlace>(&(tenant.uid, *place))?.unwrap_or_default();
            let status = read(view, (&rules, &url.to_string()), &tenant, (*place, &row), now)?;
            count.lag = count.lag.max(status.lag);
            let drill = view.get::<ExportDrill>(&(tenant.uid, *place))?;
            count.drilled = count.drilled.max(drill.and_then(|drill| drill.good));
            match status.phase {
                Phase::Current => count.current += 1,
                Phase::Waiting => count.waiting += 1,
                Phase::Failing => count.failing += 1,
            }
        }
    }
    Ok(counts)
}

fn of(
    view: &View,
    rules: &Rules,
    tenant: &TenantRow,
    now: UnixMillis,
) -> Result<Vec<ExportStatus>, Error> {
    let scheduled = rules.places.iter().map(|(url, place)| {
        (*place, ExportPlace { url: url.to_string(), ..ExportPlace::default() })
    });
    let mut places: BTreeMap<Digest, ExportPlace> = scheduled.collect();
    for row in view.scan::<ExportPlace>(&tenant.uid) {
        let ((_, place), row) = row?;
        places.insert(place, row);
    }
    let one = |(place, row): (&Digest, &ExportPlace)| {
        read(view, (rules, &row.url), tenant, (*place, row), now)
    };
    let mut all: Vec<ExportStatus> = places.iter().map(one).collect::<Result<_, _>>()?;
    all.sort_by(|a, b| (!a.scheduled, &a.to).cmp(&(!b.scheduled, &b.to)));
    Ok(all)
}

fn keys_left(view: &View, tenant: &TenantRow) -> Result<Vec<KeysLeft>, Error> {
    let keys = view.get::<ExportKey>(&tenant.uid)?;
    let left = keys.map(|keys| keys.leftovers).unwrap_or_default();
    let one = |KeyLeftover { url, left, since, tried, .. }| KeysLeft {
        at: url,
        since: since.rfc3339(),
        tried: tried.rfc3339(),
        left,
    };
    Ok(left.into_iter().map(one).collect())
}

fn read(
    view: &View,
    (rules, to): (&Rules, &str),
    tenant: &TenantRow,
    (place, row): (Digest, &ExportPlace),
    now: UnixMillis,
) -> Result<ExportStatus, Error> {
    let lacks = lacks(view, tenant, row)?;
    let scheduled = rules.places.iter().any(|(_, known)| *known == place);
    let state = failing(view, (tenant.uid, place), row, now)?.filter(|_| scheduled);
    let next = if scheduled { rules.when(view, tenant, place, now)? } else { None };
    let lag = lacks.since.map_or(0, |since| now.get().saturating_sub(since.get()) / 1000);
    Ok(ExportStatus {
        slug: tenant.slug.clone(),
        to: to.to_owned(),
        phase: match (&state, lacks.since) {
            (Some(_), _) => Phase::Failing,
            (None, Some(_)) => Phase::Waiting,
            (None, None) => Phase::Current,
        },
        scheduled,
        sequence: row.sequence,
        builds: row.builds,
        waiting: lacks.builds,
        since: lacks.since.map(UnixMillis::rfc3339),
        lag,
        succeeded: row.succeeded.map(UnixMillis::rfc3339),
        next: next.map(|at| UnixMillis::new(at).rfc3339()),
        failures: state.as_ref().map_or(0, |state| state.failures),
        code: state.as_ref().map(|state| state.code.clone()),
        trouble: state.map(|state| state.trouble),
        keys_left: keys_left(view, tenant)?,
    })
}
