//! Which tenants are to be exported, and where to.

use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_store::rows::{Effect, ExportPlace, ExportState, OutboxRow, SlugOf, TenantRow};
use colophon_store::{Error, View};

use super::lacks::build_time;
use crate::config::ExportConfig;
use crate::export::{Options, Place, PlaceUrl};

/// Where and when is exported.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The places, and what their rows in the store are named by.
    pub(super) places: Vec<(PlaceUrl, Digest)>,
    /// Milliseconds after the last export. None: not by the clock.
    every: Option<u64>,
    /// Milliseconds after a build. None: not after builds.
    settle: Option<u64>,
}

/// A tenant whose time has come.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) tenant: TenantRow,
    pub(super) to: PlaceUrl,
    pub(super) place: Digest,
    /// When it was due, in milliseconds since 1970.
    pub(super) since: u64,
}

/// Which tenants are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those whose builds ask for it.
    Asking,
    /// All.
    All,
}

impl Rules {
    /// What the configuration says. A place that it cannot mean is left out: `check-config` tells of it.
    pub(super) fn of(config: &ExportConfig) -> Self {
        let id = |url: &PlaceUrl| Place::id_of(url, config, &Options::default()).ok();
        let every = config.every.millis();
        Self {
            places: config.to.iter().filter_map(|url| Some((url.clone(), id(url)?))).collect(),
            every: (every > 0).then_some(every),
            settle: config.after_builds.then(|| config.settle.millis()),
        }
    }

    /// Everything that is due at `now`, what was due first before others.
    pub(super) fn due(
        &self,
        view: &View,
        now: UnixMillis,
        scope: Scope,
    ) -> Result<Vec<Due>, Error> {
        let mut all = Vec::new();
        for tenant in self.tenants(view, scope)? {
            for (to, place) in &self.places {
                let when = self.when(view, &tenant, *place)?;
                if let Some(since) = when.filter(|when| *when <= now.get()) {
                    let (tenant, to) = (tenant.clone(), to.clone());
                    all.push(Due { tenant, to, place: *place, since });
                }
            }
        }
        all.sort_by_key(|due| due.since);
        Ok(all)
    }

    /// Suspended and archived tenants are exported as others are: it is evidence.
    fn tenants(&self, view: &View, scope: Scope) -> Result<Vec<TenantRow>, Error> {
        if scope == Scope::All {
            return view.scan::<TenantRow>(&String::new()).map(|row| Ok(row?.1)).collect();
        }
        let mut asking = Vec::new();
        if self.settle.is_some() {
            for row in view.scan::<OutboxRow>(&()) {
                let ((uid, effect), _) = row?;
                if effect == Effect::Export {
                    asking.extend(tenant_of(view, uid)?);
                }
            }
        }
        Ok(asking)
    }

    /// When a tenant is to be exported to a place next, in milliseconds since 1970. None: not before it builds.
    pub(super) fn when(
        &self,
        view: &View,
        tenant: &TenantRow,
        place: Digest,
    ) -> Result<Option<u64>, Error> {
        let key = (tenant.uid, place);
        let row = view.get::<ExportPlace>(&key)?.unwrap_or_default();
        let clock = self.every.map(|every| {
            row.succeeded.map_or(tenant.created.get(), |at| at.get().saturating_add(every))
        });
        let build = match self.settle {
            Some(settle) => build_time(view, tenant, row.builds + 1)?
                .map(|made| made.get().saturating_add(settle)),
            None => None,
        };
        let due = [clock, build].into_iter().flatten().min();
        let next = failing(view, key, &row)?.map_or(0, |state| state.next.get());
        Ok(due.map(|due| due.max(next)))
    }
}

/// How exports of the schedule fail, unless one by hand has worked since.
pub(super) fn failing(
    view: &View,
    key: (TenantUid, Digest),
    row: &ExportPlace,
) -> Result<Option<ExportState>, Error> {
    let state = view.get::<ExportState>(&key)?;
    Ok(state.filter(|state| row.succeeded.is_none_or(|at| at < state.failed)))
}

fn tenant_of(view: &View, uid: TenantUid) -> Result<Option<TenantRow>, Error> {
    let Some(SlugOf { slug }) = view.get(&uid)? else { return Ok(None) };
    view.get(&slug)
}
