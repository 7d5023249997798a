//! What is written down of the bucket: what lies there, and what is on its way.

use colophon_model::audit::{Action, Chain, Subject};
use colophon_model::{Sha256, TenantUid, UnixMillis};
use colophon_store::rows::{ArtifactRow, BundleAlias, SlugOf, TenantRow, UploadRow};
use colophon_store::{Change, CommitError, Error, Store, View, audit};

use crate::audit::By;
use crate::schedule::is_due;

/// The longest wait between two attempts at a bundle, in milliseconds: five minutes.
const LONGEST: u64 = 5 * 60 * 1000;
/// The wait after the first, which doubles with each further one.
const FIRST: u64 = 1000;

/// A bundle that is to be brought to the bucket.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) zip: Sha256,
    row: UploadRow,
    /// Nothing when it was purged since.
    pub(super) alias: Option<BundleAlias>,
}

impl Job {
    /// How often it failed so far.
    pub(super) const fn failures(&self) -> u32 {
        self.row.failures
    }
}

/// Tenants of whom a bundle is due, who waits longest first.
pub(super) fn due(store: &Store, now: UnixMillis) -> Result<Vec<TenantRow>, Error> {
    let view = store.view()?;
    let mut due: Vec<(UnixMillis, TenantUid)> = Vec::new();
    for row in view.scan::<UploadRow>(&()) {
        let ((uid, _), row) = row?;
        if !is_due(row.next, now, LONGEST) {
            continue;
        }
        // Rows of one tenant lie together.
        match due.last_mut().filter(|(_, last)| *last == uid) {
            Some((first, _)) => *first = row.next.min(*first),
            None => due.push((row.next, uid)),
        }
    }
    due.sort();
    let tenants = due.into_iter().map(|(_, uid)| tenant(&view, uid));
    let awake = |tenant: &TenantRow| tenant.suspended.is_none();
    let tenants = tenants.filter_map(Result::transpose);
    tenants.filter(|tenant| tenant.as_ref().map_or(true, awake)).collect()
}

fn tenant(view: &View, uid: TenantUid) -> Result<Option<TenantRow>, Error> {
    let Some(SlugOf { slug }) = view.get(&uid)? else { return Ok(None) };
    view.get(&slug)
}

/// The bundle of a tenant that has been due for longest.
pub(super) fn next(store: &Store, uid: TenantUid, now: UnixMillis) -> Result<Option<Job>, Error> {
    let view = store.view()?;
    let mut first: Option<(Sha256, UploadRow)> = None;
    for row in view.scan::<UploadRow>(&uid) {
        let ((_, zip), row) = row?;
        if is_due(row.next, now, LONGEST)
            && first.as_ref().is_none_or(|(_, other)| row.next < other.next)
        {
            first = Some((zip, row));
        }
    }
    let Some((zip, row)) = first else { return Ok(None) };
    let alias = view.get::<BundleAlias>(&(uid, zip))?;
    Ok(Some(Job { zip, row, alias }))
}

/// Whether what was to be written down still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is written down.
    Yes,
    /// The tenant is gone, or somebody else was faster.
    TooLate,
}

/// Writes down that a bundle lies at `place`, in the audit log too.
pub(super) fn lies_there(
    store: &Store,
    tenant: &TenantRow,
    job: &Job,
    place: &str,
    now: UnixMillis,
) -> Result<Noted, Error> {
    let key = (tenant.uid, job.zip);
    let row = ArtifactRow { place: place.to_owned(), since: now };
    let mut change = expecting(tenant, job);
    change.delete::<UploadRow>(&key).put(&key, &row);
    let act = By::here().did(Action::ArtifactUpload, Subject::new("bundle", job.zip));
    let length = job.alias.as_ref().map_or(0, |alias| alias.length);
    let act = act.with("place", place).with("bytes", length);
    noted(audit::commit(store, Chain::Tenant(tenant.uid), &change, &[act], now))
}

/// Writes down that there is nothing to bring any more.
pub(super) fn purged(store: &Store, tenant: &TenantRow, job: &Job) -> Result<Noted, Error> {
    settle(store, tenant, job, |change| {
        change.delete::<UploadRow>(&(tenant.uid, job.zip));
    })
}

/// Writes down that an attempt failed, and when the next one is. `chance` spreads those that failed together.
pub(super) fn failed(
    store: &Store,
    tenant: &TenantRow,
    job: &Job,
    (trouble, chance): (String, u8),
    now: UnixMillis,
) -> Result<Noted, Error> {
    let failures = job.row.failures.saturating_add(1);
    let next = now.plus(wait(failures, chance));
    let row = UploadRow { next, failures, trouble: Some(trouble), ..job.row.clone() };
    settle(store, tenant, job, |change| {
        change.put(&(tenant.uid, job.zip), &row);
    })
}

/// How long to wait after so many failures, in milliseconds: half of it is for certain.
fn wait(failures: u32, chance: u8) -> u64 {
    let whole = (FIRST << failures.saturating_sub(1).min(16)).min(LONGEST);
    whole / 2 + whole / 2 * u64::from(chance) / 255
}

/// An erasure takes the tenant's name away first, so nothing is written of a tenant that is being erased.
fn settle(
    store: &Store,
    tenant: &TenantRow,
    job: &Job,
    write: impl FnOnce(&mut Change),
) -> Result<Noted, Error> {
    let mut change = expecting(tenant, job);
    write(&mut change);
    noted(store.commit(change))
}

fn expecting(tenant: &TenantRow, job: &Job) -> Change {
    let mut change = Change::new();
    change.use_reserve();
    change.expect(&tenant.uid, Some(&SlugOf { slug: tenant.slug.clone() }));
    change.expect(&(tenant.uid, job.zip), Some(&job.row));
    change
}

fn noted(committed: Result<(), CommitError>) -> Result<Noted, Error> {
    match committed {
        Ok(()) => Ok(Noted::Yes),
        Err(CommitError::Conflict(_)) => Ok(Noted::TooLate),
        Err(error) => Err(error.into()),
    }
}

/// What waits to be brought to the bucket, over all tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Bundles.
    pub bundles: u64,
    /// Since when the first of them does.
    pub since: Option<UnixMillis>,
    /// Those that failed before.
    pub failing: u64,
}

/// Counts what waits, but for tenants that are suspended: nothing of theirs is brought.
///
/// # Errors
/// When the store cannot be read.
pub fn waiting(view: &View) -> Result<Waiting, Error> {
    let (mut found, mut last) = (Waiting::default(), None);
    for row in view.scan::<UploadRow>(&()) {
        let ((uid, _), row) = row?;
        // Rows of one tenant lie together.
        let awake = match last {
            Some((known, awake)) if known == uid => awake,
            _ => tenant(view, uid)?.is_some_and(|tenant| tenant.suspended.is_none()),
        };
        last = Some((uid, awake));
        if !awake {
            continue;
        }
        found.bundles += 1;
        found.failing += u64::from(row.failures > 0);
        found.since = Some(found.since.map_or(row.since, |since| since.min(row.since)));
    }
    Ok(found)
}

/// Every place where bundles of a tenant lie.
///
/// # Errors
/// When the store cannot be read.
pub fn places(view: &View, tenant: TenantUid) -> Result<Vec<String>, Error> {
    let mut places = Vec::new();
    for row in view.scan::<ArtifactRow>(&tenant) {
        let (_, row) = row?;
        if !places.contains(&row.place) {
            places.push(row.place);
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_are_spread() {
        assert_eq!([wait(1, 255), wait(2, 255), wait(3, 255)], [1000, 2000, 4000]);
        assert_eq!((wait(30, 255), wait(30, 0)), (LONGEST, LONGEST / 2));
        assert_eq!(wait(u32::MAX, 0), LONGEST / 2);
    }

    /// What was put off while the clock was years ahead does not wait for years.
    #[test]
    fn what_a_clock_that_was_ahead_has_put_off_is_due() {
        let (store, now) = (Store::in_memory().unwrap(), UnixMillis::new(1_000_000));
        let (uid, zip) = (TenantUid::from_bytes([1; 16]), Sha256::of(b"a"));
        let slug: colophon_model::TenantSlug = "acme".parse().unwrap();
        let tenant = TenantRow {
            uid,
            slug: slug.clone(),
            created: now,
            policy: colophon_model::CodePolicy::None,
            roots: colophon_store::rows::RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        };
        let found = |millis| {
            let row = UploadRow { next: now.plus(millis), ..UploadRow::new(now) };
            let mut change = Change::new();
            change.put(&slug, &tenant).put(&uid, &SlugOf { slug: slug.clone() });
            change.put(&(uid, zip), &row);
            store.commit(change).unwrap();
            (due(&store, now).unwrap().len(), next(&store, uid, now).unwrap().is_some())
        };
        assert_eq!(found(LONGEST), (0, false));
        assert_eq!(found(1 << 40), (1, true));
    }

    /// Nothing of a suspended tenant is brought, so nobody is woken for it.
    #[test]
    fn what_waits_is_counted_of_tenants_that_are_awake() {
        let (store, now) = (Store::in_memory().unwrap(), UnixMillis::new(9));
        let mut change = Change::new();
        for (byte, slug, suspended) in [(1, "awake", None), (2, "asleep", Some(now))] {
            let (uid, slug): (_, colophon_model::TenantSlug) =
                (TenantUid::from_bytes([byte; 16]), slug.parse().unwrap());
            let tenant = TenantRow {
                uid,
                slug: slug.clone(),
                created: now,
                policy: colophon_model::CodePolicy::None,
                roots: colophon_store::rows::RootsOrigin::Server,
                suspended,
                archived: None,
                held: None,
            };
            change.put(&slug, &tenant).put(&uid, &SlugOf { slug });
            for zip in [b"a", b"b"] {
                let since = UnixMillis::new(u64::from(3 - byte));
                change.put(&(uid, Sha256::of(zip)), &UploadRow::new(since));
            }
        }
        store.commit(change).unwrap();
        let found = waiting(&store.view().unwrap()).unwrap();
        let since = Some(UnixMillis::new(2));
        assert_eq!(found, Waiting { bundles: 2, since, failing: 0 });
    }
}
