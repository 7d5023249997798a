//! Whether a tenant may be made here, and that it is about to be.

use colophon_model::TenantUid;
use colophon_store::rows::{ImportRow, SlugOf, TenantHead, TenantRow};
use colophon_store::{Change, CommitError, Report, View};

use super::{RestoreError, Surveyed};
use crate::export::place::Place;
use crate::pipeline::Press;

/// An import that has begun.
pub(super) struct Begun {
    pub(super) row: ImportRow,
    /// Whether it goes on with what an earlier attempt has written.
    pub(super) resumed: bool,
}

/// Makes sure that nobody has the name or the uid.
///
/// # Errors
/// [`RestoreError::Exists`], [`RestoreError::Erased`].
pub fn check_free(press: &Press, view: &View, tenant: &TenantRow) -> Result<(), RestoreError> {
    let taken = view.get::<TenantRow>(&tenant.slug)?.is_some()
        || view.get::<SlugOf>(&tenant.uid)?.is_some()
        || view.get::<TenantHead>(&tenant.uid)?.is_some();
    if taken {
        return Err(RestoreError::Exists(tenant.slug.clone()));
    }
    if press.store.is_retired(&tenant.slug)? {
        return Err(RestoreError::Erased(tenant.slug.clone()));
    }
    Ok(())
}

/// Writes down that the import is under way. What another one has left, from another state of the export, is taken
/// away before.
pub(super) fn begin(
    press: &Press,
    place: &Place,
    from: &Surveyed,
    keeps_root: bool,
    report: Report<'_>,
) -> Result<Begun, RestoreError> {
    let tenant = &from.tenant;
    let view = press.store.view()?;
    check_free(press, &view, tenant)?;
    // A root from the pool is bound to another uid.
    if press.offline_roots && !keeps_root {
        return Err(RestoreError::OtherKey(tenant.slug.clone()));
    }
    let row = ImportRow {
        slug: tenant.slug.clone(),
        url: place.url().to_string(),
        tagmanifest: from.proven.head.tagmanifest,
        begun: press.clock.now(),
    };
    let before = view.get::<ImportRow>(&tenant.uid)?;
    drop(view);
    if let Some(before) = before {
        let same = ImportRow { begun: row.begun, ..before.clone() } == row;
        if same {
            return Ok(Begun { row: before, resumed: true });
        }
        press.store.discard_import(tenant.uid, row.begun, report)?;
    }
    put(press, tenant.uid, &row)?;
    Ok(Begun { row, resumed: false })
}

fn put(press: &Press, uid: TenantUid, row: &ImportRow) -> Result<(), RestoreError> {
    let mut change = Change::new();
    change.expect::<SlugOf>(&uid, None).expect::<ImportRow>(&uid, None).put(&uid, row);
    match press.store.commit(change) {
        Err(CommitError::Conflict(_)) => Err(RestoreError::Exists(row.slug.clone())),
        done => Ok(done.map_err(colophon_store::Error::from)?),
    }
}
