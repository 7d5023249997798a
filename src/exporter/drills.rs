//! Which export is restored for trial next.

use colophon_model::{TenantSlug, UnixMillis};
use colophon_store::rows::{ExportPlace, TenantRow};
use colophon_store::{Error, View};

use super::due::Rules;
use crate::config::ExportConfig;
use crate::export::PlaceUrl;

/// The export whose turn it is at `now`: each tenant's at each place of `export.to`, one after the other, one in each
/// `export.drill_every`. The clock says whose turn it is, so that restarts keep nobody waiting. `None`: nothing lies
/// there yet, or there are no drills.
///
/// # Errors
/// When the store cannot be read.
pub fn drill_turn(
    view: &View,
    config: &ExportConfig,
    now: UnixMillis,
) -> Result<Option<(TenantSlug, PlaceUrl)>, Error> {
    let Some(period) = now.get().checked_div(config.drill_every.millis()) else { return Ok(None) };
    let mut there = Vec::new();
    for (to, place) in Rules::of(config).places {
        for row in view.scan::<TenantRow>(&String::new()) {
            let (_, tenant) = row?;
            let stands = view.get::<ExportPlace>(&(tenant.uid, place))?;
            if stands.is_some_and(|stands| stands.succeeded.is_some()) {
                there.push((tenant.slug, to.clone()));
            }
        }
    }
    let at = period.checked_rem(there.len() as u64);
    Ok(at.map(|at| there.swap_remove(at as usize)))
}
