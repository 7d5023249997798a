//! What is written down of an export that the server made by itself.

use colophon_model::UnixMillis;
use colophon_store::rows::{Effect, ExportPlace, ExportState, OutboxRow, SlugOf, TenantHead};
use colophon_store::{Change, CommitError, Error, Store};

use super::due::{Due, Rules};
use super::rest::wait;

/// Writes down that an export failed, and returns how many have, one after the other.
pub(super) fn failed(
    store: &Store,
    due: &Due,
    (code, trouble): (&str, String),
    (now, chance): (UnixMillis, u8),
) -> Result<ExportState, Error> {
    let key = (due.tenant.uid, due.place);
    let before = store.view()?.get::<ExportState>(&key)?;
    let failures = before.map_or(0, |state| state.failures).saturating_add(1);
    let next = UnixMillis::new(now.get().saturating_add(wait(failures, chance)));
    let state = ExportState { failures, failed: now, next, code: code.to_owned(), trouble };
    submit(store, due, |change| {
        change.put(&key, &state);
    })?;
    Ok(state)
}

/// Writes down that an export worked: failures before it are over, and builds ask for nothing more once every place has
/// them.
pub(super) fn worked(store: &Store, due: &Due, rules: &Rules) -> Result<(), Error> {
    let (uid, key) = (due.tenant.uid, (due.tenant.uid, due.place));
    let view = store.lane(uid).settled()?;
    let asking = view.get::<OutboxRow>(&(uid, Effect::Export))?;
    let builds = view.get::<TenantHead>(&uid)?.unwrap_or_default().builds;
    let mut whole = true;
    for (_, place) in &rules.places {
        let row = view.get::<ExportPlace>(&(uid, *place))?.unwrap_or_default();
        whole &= row.builds >= builds;
    }
    let failing = view.get::<ExportState>(&key)?.is_some();
    let answered = asking.filter(|_| whole);
    if !failing && answered.is_none() {
        return Ok(());
    }
    submit(store, due, |change| {
        if failing {
            change.delete::<ExportState>(&key);
        }
        if let Some(row) = answered {
            let effect = (uid, Effect::Export);
            change.expect(&effect, Some(&row)).delete::<OutboxRow>(&effect);
        }
    })
}

/// What was changed meanwhile is looked at again, and nothing of a tenant is written that was erased.
fn submit(store: &Store, due: &Due, fill: impl FnOnce(&mut Change)) -> Result<(), Error> {
    let mut change = Change::new();
    let named = SlugOf { slug: due.tenant.slug.clone() };
    change.use_reserve().expect(&due.tenant.uid, Some(&named));
    fill(&mut change);
    match store.lane(due.tenant.uid).submit(change).wait() {
        Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
