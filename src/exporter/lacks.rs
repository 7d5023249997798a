//! What a place has not, of what a tenant has.

use colophon_model::{BuildRecord, UnixMillis};
use colophon_store::rows::{BuildNumber, ExportPlace, TenantHead, TenantRow};
use colophon_store::{Error, View};

use crate::export::increment::first_telling;

/// What a place lacks, as far as this server has seen what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacks {
    /// How many builds.
    pub builds: u64,
    /// The time of the oldest build or act that is not there. None: everything is.
    pub since: Option<UnixMillis>,
}

/// What a place lacks of `tenant`, by what is remembered of it. Exports alone, which are written down too, are
/// nothing to export.
///
/// # Errors
/// When the store cannot be read.
pub fn lacks(view: &View, tenant: &TenantRow, place: &ExportPlace) -> Result<Lacks, Error> {
    let builds = view.get::<TenantHead>(&tenant.uid)?.unwrap_or_default().builds;
    let build = build_time(view, tenant, place.builds + 1)?;
    let line = first_telling(view, tenant, place.lines)?;
    let none = (place.sequence == 0).then_some(tenant.created);
    Ok(Lacks {
        builds: builds.saturating_sub(place.builds),
        since: [build, line, none].into_iter().flatten().min(),
    })
}

/// When build number `number` was made, if there is one.
pub(super) fn build_time(
    view: &View,
    tenant: &TenantRow,
    number: u64,
) -> Result<Option<UnixMillis>, Error> {
    let Some(row) = view.get::<BuildNumber>(&(tenant.uid, number))? else { return Ok(None) };
    let record = view.get::<BuildRecord>(&(tenant.uid, row.build))?;
    Ok(record.map(|record| record.stamp.time()))
}
