//! Which export is restored for trial next.

use colophon_model::{Digest, UnixMillis};
use colophon_store::rows::{ExportDrill, ExportPlace, SlugOf, TenantRow};
use colophon_store::{Change, CommitError, Error, Store, View};

use super::due::Rules;
use crate::config::ExportConfig;
use crate::export::PlaceUrl;

/// An export that is to be restored for trial.
#[derive(Debug, Clone)]
pub struct DrillTurn {
    /// Whose.
    pub tenant: TenantRow,
    /// Where it lies.
    pub from: PlaceUrl,
    place: Digest,
    before: Option<ExportDrill>,
}

/// The export whose turn it is: of each tenant's at each place of `export.to`, the one that was tried longest ago. The
/// store knows when that was, so that nobody is left out, whenever the server runs. `None`: nothing lies there yet, or
/// there are no drills.
///
/// # Errors
/// When the store cannot be read.
pub fn drill_turn(view: &View, config: &ExportConfig) -> Result<Option<DrillTurn>, Error> {
    if config.drill_every.get().is_zero() {
        return Ok(None);
    }
    let mut there = Vec::new();
    for (from, place) in Rules::of(config).places {
        for row in view.scan::<TenantRow>(&String::new()) {
            let (_, tenant) = row?;
            let key = (tenant.uid, place);
            let stands = view.get::<ExportPlace>(&key)?;
            if stands.is_some_and(|stands| stands.succeeded.is_some()) {
                let before = view.get::<ExportDrill>(&key)?;
                there.push(DrillTurn { tenant, from: from.clone(), place, before });
            }
        }
    }
    // What was never tried comes first, and among equals the first place.
    let turn = |turn: &DrillTurn| (turn.before.map(|row| row.tried), turn.tenant.slug.clone());
    Ok(there.into_iter().min_by_key(turn))
}

impl DrillTurn {
    /// Remembers that it was tried at `now` and came to nothing at all, so that it is the others' turn.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn came_to_nothing(&self, store: &Store, now: UnixMillis) -> Result<(), CommitError> {
        let TenantRow { uid, slug, .. } = self.tenant.clone();
        let mut change = Change::new();
        // What is erased meanwhile must not come back.
        change.expect(&uid, Some(&SlugOf { slug }));
        // Nor must what somebody else tried meanwhile be forgotten.
        let (key, good) = ((uid, self.place), self.before.and_then(|row| row.good));
        change.expect(&key, self.before.as_ref()).put(&key, &ExportDrill { tried: now, good });
        match store.commit(change) {
            Err(CommitError::Conflict(_)) => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use colophon_model::{CodePolicy, TenantUid};
    use colophon_store::rows::RootsOrigin;

    use super::*;
    use crate::units::Span;

    fn tenant(byte: u8, slug: &str) -> TenantRow {
        let (uid, slug) = (TenantUid::from_bytes([byte; 16]), slug.parse().unwrap());
        let (policy, roots) = (CodePolicy::None, RootsOrigin::Server);
        let (suspended, archived, held) = (None, None, None);
        let created = UnixMillis::new(1);
        TenantRow { uid, slug, created, policy, roots, suspended, archived, held }
    }

    /// Everybody's turn comes, at every place, whenever a drill runs and whatever comes of it.
    #[test]
    fn the_export_that_was_tried_longest_ago_is_next() {
        let store = Store::in_memory().unwrap();
        let to = ["file:///a", "file:///b"].map(|url| url.parse().unwrap());
        let drill_every = Span::hours(24);
        let config = ExportConfig { to: to.to_vec(), drill_every, ..ExportConfig::default() };
        let places = Rules::of(&config).places;
        let turn = || drill_turn(&store.view().unwrap(), &config).unwrap();
        // Names and uids are in opposite orders.
        for (byte, slug) in [(3, "acme"), (2, "globex"), (1, "initech")] {
            let tenant = tenant(byte, slug);
            let mut change = Change::new();
            change.put(&tenant.slug, &tenant);
            change.put(&tenant.uid, &SlugOf { slug: tenant.slug.clone() });
            let stands = |succeeded| ExportPlace { succeeded, ..ExportPlace::default() };
            for (_, place) in &places {
                // The last one's never succeeded.
                let succeeded = (slug != "initech").then_some(UnixMillis::new(1));
                change.put(&(tenant.uid, *place), &stands(succeeded));
            }
            store.commit(change).unwrap();
        }
        let round = |from: u64| {
            (from..from + 4)
                .map(|now| {
                    let turn = turn().unwrap();
                    turn.came_to_nothing(&store, UnixMillis::new(now)).unwrap();
                    format!("{} {}", turn.tenant.slug, turn.from)
                })
                .collect::<Vec<_>>()
        };
        let first = round(10);
        let all = ["acme file:///a", "acme file:///b", "globex file:///a", "globex file:///b"];
        assert_eq!(first, all);
        assert_eq!(round(20), first, "and so on");
        let none = ExportConfig { drill_every: Span::seconds(0), ..config.clone() };
        assert!(drill_turn(&store.view().unwrap(), &none).unwrap().is_none());
    }
}
