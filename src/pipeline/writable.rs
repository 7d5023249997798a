//! Whether a tenant may be changed: a suspended one rests, an archived one is only read.

use colophon_store::View;
use colophon_store::rows::TenantRow;

use super::BuildError;

/// The tenant as `view` shows it, when it may be changed. Every change of its branch or its bundles
/// expects this row, so that nobody suspends or archives the tenant in between.
pub(crate) fn writable(view: &View, tenant: &TenantRow) -> Result<TenantRow, BuildError> {
    let row = view.get::<TenantRow>(&tenant.slug)?.filter(|row| row.uid == tenant.uid);
    let row = row.ok_or(BuildError::TenantGone)?;
    match (row.suspended, row.archived) {
        (Some(_), _) => Err(BuildError::Suspended),
        (None, Some(_)) => Err(BuildError::Archived),
        (None, None) => Ok(row),
    }
}
