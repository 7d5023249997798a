//! The statement that a shredding is done, completed after a crash or once a place that failed can be written again.
//!
//! The store remembers it without the tenant's name, which nothing here may keep: the statement that it began, at the place, says
//! the rest.

use colophon_model::audit::Chain;
use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_store::rows::{ExportKey, ShredFate, ShredPlace, ShredRecord, TenantRow};
use colophon_store::{Change, Error};

use crate::export::{ErasureRecord, ExportError, KeyFate, Registrar};
use crate::maintenance::{JobError, Site};

/// Remembers that a tenant's erasure begins, before anybody else is told.
pub(super) fn remember(
    site: Site<'_>,
    tenant: TenantUid,
    began: UnixMillis,
    places: &[ShredPlace],
) -> Result<ShredRecord, JobError> {
    let row = ShredRecord {
        tenant: Chain::pseudonym(tenant),
        began,
        finished: None,
        keys: Vec::new(),
        places: places.to_vec(),
    };
    set(site, &row)?;
    Ok(row)
}

/// Remembers what became of copies of the keys, before the store forgets the tenant.
pub(super) fn keep_fates(
    site: Site<'_>,
    row: &mut ShredRecord,
    fates: &[KeyFate],
) -> Result<(), JobError> {
    let one = |KeyFate { place, deleted, left }| ShredFate { place, deleted, left };
    row.keys = fates.iter().cloned().map(one).collect();
    set(site, row)
}

fn fates(row: &ShredRecord) -> Vec<KeyFate> {
    let one = |ShredFate { place, deleted, left }| KeyFate { deleted, left, place };
    row.keys.iter().cloned().map(one).collect()
}

/// Puts the row, or takes it away when nothing is left to be written.
pub(super) fn set(site: Site<'_>, row: &ShredRecord) -> Result<(), JobError> {
    let key = Digest::of(row.tenant.as_bytes());
    let mut change = Change::new();
    // On a full disk too: it is part of an erasure.
    change.use_reserve();
    if row.places.is_empty() {
        change.delete::<ShredRecord>(&key);
    } else {
        change.put(&key, row);
    }
    Ok(site.press.store.commit(change).map_err(Error::from)?)
}

/// Says that it is done, and that the store's own key is gone.
pub(super) fn complete(record: &mut ErasureRecord, finished: UnixMillis) {
    record.finished = Some(finished.rfc3339());
    record.keys.push(KeyFate { deleted: 1, left: Vec::new(), place: "store".to_owned() });
}

/// Writes the statements that are missing of erasures that are done; returns how many were written. What cannot be written stays for
/// the next time, and so does what is not erased yet.
///
/// # Errors
/// When the store cannot be read or refuses.
pub fn write_missing(site: Site<'_>) -> Result<usize, JobError> {
    let view = site.press.store.view()?;
    let rows = view.scan::<ShredRecord>(&()).map(|row| row.map(|(_, row)| row));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    // A view is a reader, which the end of an erasure waits for.
    drop(view);
    let mut written = 0;
    for row in rows {
        match one(site, row) {
            Ok(count) => written += count,
            Err(error) => tracing::warn!(%error, "the record of an erasure is still to be written"),
        }
    }
    Ok(written)
}

fn one(site: Site<'_>, mut row: ShredRecord) -> Result<usize, JobError> {
    if let Some(tenant) = living(site, &row.tenant)? {
        return goes_on(site, &tenant, row).map(|()| 0);
    }
    // After the look for the tenant: in the moment in which it went, its erasure was there.
    if site.press.store.open_erasures()?.contains(&row.began) {
        return Ok(0);
    }
    let registrar = Registrar::new(site.press, &site.config.export)?;
    let Some(begun) = begun(&registrar, &row)? else {
        tracing::warn!(began = %row.began.rfc3339(), "no place has the record that an erasure began");
        return Ok(0);
    };
    let finished = row.finished.unwrap_or_else(|| site.press.clock.now());
    // Before it is written anywhere, so that it says the same everywhere.
    row.finished = Some(finished);
    set(site, &row)?;
    let mut record = ErasureRecord { keys: fates(&row), ..begun };
    complete(&mut record, finished);
    let before = row.places.len();
    let since = row.began;
    row.places.retain(|place| match registrar.write(place, since, &record) {
        Ok(()) => false,
        Err(error) => {
            let place = &place.url;
            tracing::warn!(place, error = error.told(), "the record of an erasure is not written");
            true
        }
    });
    set(site, &row)?;
    Ok(before - row.places.len())
}

/// The tenant with that pseudonym, if it is there.
fn living(site: Site<'_>, pseudonym: &str) -> Result<Option<TenantRow>, JobError> {
    let view = site.press.store.view()?;
    let mut tenants = view.scan::<TenantRow>(&()).map(|row| row.map(|(_, tenant)| tenant));
    let found = tenants
        .find(|row| row.as_ref().map_or(true, |tenant| Chain::pseudonym(tenant.uid) == pseudonym));
    Ok(found.transpose()?)
}

/// The erasure was cut before the store began: it came to nothing, whatever became of copies of the keys by then.
fn goes_on(site: Site<'_>, tenant: &TenantRow, mut row: ShredRecord) -> Result<(), JobError> {
    let key = site.press.store.view()?.get::<ExportKey>(&tenant.uid)?;
    if let Some(key) = key {
        super::forget_copies(site, (tenant, &key), &fates(&row))?;
    }
    super::came_to_nothing(site, tenant)?;
    row.places.clear();
    set(site, &row)
}

/// The statement that it began, from the first place that has it.
fn begun(
    registrar: &Registrar<'_>,
    row: &ShredRecord,
) -> Result<Option<ErasureRecord>, ExportError> {
    let mut trouble = None;
    for place in &row.places {
        match registrar.begun(place, (&row.tenant, row.began)) {
            Ok(Some(record)) => return Ok(Some(record)),
            Ok(None) => {}
            Err(error) => trouble = Some(error),
        }
    }
    trouble.map_or(Ok(None), Err)
}
