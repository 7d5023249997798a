//! Side effects follow the commit: a change that calls for one says so in its own transaction.

use colophon_model::{TenantUid, UnixMillis};

use crate::rows::{Effect, MirrorRow, OutboxRow};
use crate::{Change, Error, View};

/// Adds to `change` that the tenant's refs must be pushed to its upstream, if it has one.
///
/// `view` is what the change rests on. Changes of one tenant that call for the same come together in
/// one row, which counts them, so that whoever does the work can tell when it has done all.
pub fn refs_changed(
    change: &mut Change,
    view: &View,
    tenant: TenantUid,
    now: UnixMillis,
) -> Result<(), Error> {
    if view.get::<MirrorRow>(&tenant)?.is_some() {
        request(change, view, tenant, Effect::Push, now)?;
    }
    Ok(())
}

/// Adds to `change` that `effect` is asked for.
pub fn request(
    change: &mut Change,
    view: &View,
    tenant: TenantUid,
    effect: Effect,
    now: UnixMillis,
) -> Result<(), Error> {
    let waiting = view.get::<OutboxRow>(&(tenant, effect))?;
    let OutboxRow { since, changes } = waiting.unwrap_or(OutboxRow { since: now, changes: 0 });
    change.put(&(tenant, effect), &OutboxRow { since, changes: changes + 1 });
    Ok(())
}
