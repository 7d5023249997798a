//! Which tenants are to be exported, and where to.

use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_store::rows::{Effect, ExportPlace, ExportState, OutboxRow, SlugOf, TenantRow};
use colophon_store::{Error, View};

use super::lacks::build_time;
use super::rest::LONGEST;
use crate::config::ExportConfig;
use crate::export::{Options, Place, PlaceUrl};
use crate::schedule::due_at;

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
                let when = self.when(view, &tenant, *place, now)?;
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
        now: UnixMillis,
    ) -> Result<Option<u64>, Error> {
        let key = (tenant.uid, place);
        let row = view.get::<ExportPlace>(&key)?.unwrap_or_default();
        let clock = self.every.map(|every| {
            let next = row.succeeded.map_or(tenant.created, |at| at.plus(every));
            due_at(next, now, every)
        });
        let build = match self.settle {
            Some(settle) => build_time(view, tenant, row.builds + 1)?
                .map(|made| due_at(made.plus(settle), now, settle)),
            None => None,
        };
        let due = [clock, build].into_iter().flatten().min();
        let next = failing(view, key, &row, now)?.map(|state| due_at(state.next, now, LONGEST));
        Ok(due.map(|due| due.max(next.unwrap_or(due)).get()))
    }
}

/// How exports of the schedule fail, unless one by hand has worked since. One that is to come has worked while the clock
/// was ahead, and tells nothing of a failure since.
pub(super) fn failing(
    view: &View,
    key: (TenantUid, Digest),
    row: &ExportPlace,
    now: UnixMillis,
) -> Result<Option<ExportState>, Error> {
    let state = view.get::<ExportState>(&key)?;
    let has_worked = |at: UnixMillis, state: &ExportState| state.failed <= at && at <= now;
    Ok(state.filter(|state| !row.succeeded.is_some_and(|at| has_worked(at, state))))
}

fn tenant_of(view: &View, uid: TenantUid) -> Result<Option<TenantRow>, Error> {
    let Some(SlugOf { slug }) = view.get(&uid)? else { return Ok(None) };
    view.get(&slug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::CodePolicy;
    use colophon_store::rows::RootsOrigin;
    use colophon_store::{Change, Store};

    const DAY: u64 = 86_400_000;
    const NOW: UnixMillis = UnixMillis::new(1000 * DAY);
    const AHEAD: UnixMillis = UnixMillis::new(9000 * DAY);

    fn tenant() -> TenantRow {
        TenantRow {
            uid: TenantUid::from_bytes([1; 16]),
            slug: "acme".parse().unwrap(),
            created: UnixMillis::new(DAY),
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        }
    }

    /// When a tenant is exported next that is every day, after it was `succeeded`, and the next time failed at the
    /// first of `failed` and rests until the second.
    fn when(succeeded: UnixMillis, failed: Option<(UnixMillis, UnixMillis)>) -> u64 {
        let (store, tenant, place) = (Store::in_memory().unwrap(), tenant(), Digest::of(b"x"));
        let key = (tenant.uid, place);
        let mut change = Change::new();
        let row = ExportPlace { succeeded: Some(succeeded), ..ExportPlace::default() };
        change.put(&key, &row);
        if let Some((failed, next)) = failed {
            let (code, trouble) = (String::new(), String::new());
            change.put(&key, &ExportState { failures: 1, failed, next, code, trouble });
        }
        store.commit(change).unwrap();
        let rules = Rules { places: Vec::new(), every: Some(DAY), settle: None };
        rules.when(&store.view().unwrap(), &tenant, place, NOW).unwrap().unwrap()
    }

    /// A clock that was years ahead at the last export does not keep the next from being made for years.
    #[test]
    fn an_export_by_a_clock_that_was_ahead_is_followed_by_another() {
        assert_eq!(when(NOW, None), NOW.plus(DAY).get());
        assert_eq!(when(AHEAD, None), NOW.get());
    }

    /// Nor does it have one that fails be tried at every look, nor one rest for years that failed.
    #[test]
    fn a_failure_counts_unless_an_export_has_worked_since() {
        let (hour, rested) = (DAY / 24, NOW.plus(600_000));
        let before = UnixMillis::new(NOW.get() - hour);
        let old = UnixMillis::new(NOW.get() - 2 * DAY);
        assert_eq!(when(old, Some((before, rested))), rested.get());
        assert_eq!(when(NOW, Some((before, rested))), NOW.plus(DAY).get(), "by hand, since");
        assert_eq!(when(AHEAD, Some((before, rested))), rested.get());
        assert_eq!(when(old, Some((AHEAD, AHEAD.plus(hour)))), NOW.get());
    }
}
