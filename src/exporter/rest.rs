//! Places that fail as a whole. One that cannot be reached is not asked again by every tenant in turn: one tries, and
//! the others wait until that works.

use std::collections::{HashMap, HashSet};

use colophon_model::{Digest, TenantUid, UnixMillis};

use super::due::Due;
use crate::schedule::{Taken, is_due};

/// The wait after the first failure, in milliseconds; it doubles with each that follows.
const FIRST: u64 = 15_000;
/// The longest wait: an hour.
pub(super) const LONGEST: u64 = 3_600_000;

/// How long to wait after `failures` in a row, in milliseconds. `chance` is a random number; it makes the wait shorter
/// by up to half, so that not all come back together.
pub(super) fn wait(failures: u32, chance: u8) -> u64 {
    let whole = (FIRST << failures.saturating_sub(1).min(20)).min(LONGEST);
    whole / 2 + whole / 2 * u64::from(chance) / 255
}

/// Whether it is the place that is wrong, and so not one tenant's export alone.
pub(super) fn is_wide(code: &str) -> bool {
    [
        "export-unreachable",
        "export-credentials",
        "export-denied",
        "export-no-bucket",
        "export-clock",
        "export-region",
        "export-unconditional",
        "export-no-worm",
        "export-unsupported",
        "export-refused",
        "export-plain-http",
    ]
    .contains(&code)
}

/// Places that fail, by what they are named by.
#[derive(Debug, Default)]
pub(super) struct Rests(HashMap<Digest, Rest>);

#[derive(Debug)]
struct Rest {
    failures: u32,
    until: UnixMillis,
}

impl Rests {
    /// An export to the place failed for a reason that is the place's.
    pub(super) fn failed(&mut self, place: Digest, now: UnixMillis, chance: u8) {
        let rest = self.0.entry(place).or_insert(Rest { failures: 0, until: now });
        rest.failures = rest.failures.saturating_add(1);
        rest.until = now.plus(wait(rest.failures, chance));
    }

    /// The place answers.
    pub(super) fn answered(&mut self, place: Digest) {
        self.0.remove(&place);
    }

    /// Those of `due` that may be worked on beside what is busy, `room` at most: none of a place that rests, one of a
    /// place that failed, and of each tenant one, so that no tenant has all the room.
    pub(super) fn seat(
        &self,
        due: Vec<Due>,
        taken: &Taken<(TenantUid, Digest)>,
        (room, now): (usize, UnixMillis),
    ) -> Vec<Due> {
        let mut tenants: HashSet<TenantUid> =
            taken.busy.iter().map(|(tenant, _)| *tenant).collect();
        let mut places: HashSet<Digest> = taken.busy.iter().map(|(_, place)| *place).collect();
        let mut seated = Vec::new();
        for due in due {
            if taken.resting.contains(&(due.tenant.uid, due.place)) {
                continue;
            }
            let may = match self.0.get(&due.place) {
                Some(rest) => is_due(rest.until, now, LONGEST) && !places.contains(&due.place),
                None => true,
            };
            if seated.len() < room && may && tenants.insert(due.tenant.uid) {
                places.insert(due.place);
                seated.push(due);
            }
        }
        seated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::CodePolicy;
    use colophon_store::rows::{RootsOrigin, TenantRow};

    fn due(tenant: u8, place: u8) -> Due {
        let tenant = TenantRow {
            uid: TenantUid::from_bytes([tenant; 16]),
            slug: "acme".parse().unwrap(),
            created: UnixMillis::new(0),
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        };
        let to = "s3://evidence".parse().unwrap();
        Due { tenant, to, place: Digest::from_bytes([place; 32]), since: 0 }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_differ_by_chance() {
        assert_eq!([1, 2, 3].map(|n| wait(n, 255)), [15_000, 30_000, 60_000]);
        assert_eq!([1, 40, u32::MAX].map(|n| wait(n, 0)), [7_500, 1_800_000, 1_800_000]);
    }

    /// A thousand tenants do not each try a store that is down, and those of another place do not wait for it.
    #[test]
    fn one_tries_a_place_that_failed_and_others_wait_for_it_alone() {
        let at = UnixMillis::new;
        let (mut rests, bad) = (Rests::default(), Digest::from_bytes([1; 32]));
        let all = || vec![due(1, 1), due(2, 1), due(3, 2), due(4, 1)];
        let places = |seated: Vec<Due>| -> Vec<u8> {
            seated.iter().map(|due| due.place.as_bytes()[0]).collect()
        };
        let none = Taken::default();
        assert_eq!(places(rests.seat(all(), &none, (9, at(0)))), [1, 1, 2, 1]);
        rests.failed(bad, at(0), 255);
        assert_eq!(places(rests.seat(all(), &none, (9, at(14_999)))), [2], "it rests");
        assert_eq!(places(rests.seat(all(), &none, (9, at(15_000)))), [1, 2], "one tries");
        let first = HashSet::from([(TenantUid::from_bytes([1; 16]), bad)]);
        let busy = Taken { busy: first.clone(), ..Taken::default() };
        assert_eq!(places(rests.seat(all(), &busy, (9, at(15_000)))), [2], "one tries already");
        rests.answered(bad);
        assert_eq!(places(rests.seat(all(), &none, (9, at(0)))), [1, 1, 2, 1]);
        let twice = vec![due(1, 1), due(1, 2), due(2, 1)];
        assert_eq!(places(rests.seat(twice, &none, (2, at(0)))), [1, 1], "one for each tenant");
        let resting = Taken { resting: first, ..Taken::default() };
        let next = rests.seat(vec![due(1, 1), due(2, 2)], &resting, (1, at(0)));
        assert_eq!(places(next), [2], "what came to nothing does not keep the only place");
    }
}
