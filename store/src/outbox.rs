//! Side effects follow the commit: a change that calls for one says so in its own transaction.

use colophon_model::{Sha256, TenantUid, UnixMillis};

use crate::rows::{ArtifactRow, Effect, MirrorRow, OutboxRow, UploadRow};
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

/// Adds to `change` that a bundle must be brought to the bucket at `place`, unless it lies there or is on its way.
///
/// `view` is what the change rests on. Bundles fail one by one, so each has a row of its own, and there is none in
/// the tenant's outbox.
pub fn upload(
    change: &mut Change,
    view: &View,
    (tenant, zip): (TenantUid, Sha256),
    place: &str,
    now: UnixMillis,
) -> Result<(), Error> {
    let key = (tenant, zip);
    let lies_there = view.get::<ArtifactRow>(&key)?.is_some_and(|row| row.place == place);
    if !lies_there && view.get::<UploadRow>(&key)?.is_none() {
        change.put(&key, &UploadRow::new(now));
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
