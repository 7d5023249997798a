//! Which comparisons with the bucket come next: each tenant's in its turn, and what lies there of those that were erased.

use std::collections::{HashSet, VecDeque};

use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::TenantRow;

use crate::schedule::is_due;

/// How long to wait before a comparison that failed, or a look for tenants, is tried again, in milliseconds.
const RETRY: u64 = 60_000;

/// What a piece of work is about: an upload and a comparison never meet at one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum About {
    /// A tenant.
    Tenant(TenantUid),
    /// Those that were erased.
    Erased,
}

/// Whose bundles are to be compared. `None`: those of tenants that were erased.
pub(super) type Item = Option<TenantRow>;

impl About {
    /// What a comparison is about.
    pub(super) fn of(item: &Item) -> Self {
        item.as_ref().map_or(Self::Erased, |tenant| Self::Tenant(tenant.uid))
    }
}

/// What is to be compared, and when that begins anew.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    next: Option<UnixMillis>,
    /// Each not before its time.
    queue: VecDeque<(UnixMillis, Item)>,
    /// What was begun, and is not known to have ended.
    begun: HashSet<About>,
}

impl Rounds {
    /// Whether all are to be compared again, which is done `every` so many milliseconds.
    pub(super) fn is_due(&self, now: UnixMillis, every: u64) -> bool {
        self.next.is_none_or(|next| is_due(next, now, every.max(RETRY)))
    }

    /// Begins a round with `all` tenants, and says that the next one is `every` milliseconds later. What is left of the
    /// last one comes first: with many tenants or few places a round may take longer than that. `None`: the look for
    /// tenants failed, and is tried again soon.
    pub(super) fn begin(&mut self, all: Option<Vec<TenantRow>>, now: UnixMillis, every: u64) {
        let Some(all) = all else {
            self.next = Some(now.plus(RETRY));
            return;
        };
        self.next = Some(now.plus(every));
        let items: Vec<Item> = [None].into_iter().chain(all.into_iter().map(Some)).collect();
        let there: HashSet<About> = items.iter().map(About::of).collect();
        self.queue.retain(|(_, item)| there.contains(&About::of(item)));
        let left: HashSet<About> = self.queue.iter().map(|(_, item)| About::of(item)).collect();
        let anew = items.into_iter().filter(|item| !left.contains(&About::of(item)));
        self.queue.extend(anew.map(|item| (now, item)));
    }

    /// Whether a comparison is among what is `busy`.
    pub(super) fn is_running(&mut self, busy: &HashSet<About>) -> bool {
        self.begun.retain(|about| busy.contains(about));
        !self.begun.is_empty()
    }

    /// The next comparisons, `room` at most, of those that are not `taken`.
    pub(super) fn take(
        &mut self,
        room: usize,
        taken: &HashSet<About>,
        now: UnixMillis,
    ) -> Vec<Item> {
        let mut next = Vec::new();
        for _ in 0..self.queue.len() {
            if next.len() == room {
                break;
            }
            let Some((from, item)) = self.queue.pop_front() else { break };
            let about = About::of(&item);
            if !is_due(from, now, RETRY) || taken.contains(&about) {
                self.queue.push_back((from, item));
            } else {
                self.begun.insert(about);
                next.push(item);
            }
        }
        next
    }

    /// Has a comparison that failed tried again.
    pub(super) fn again(&mut self, item: Item, now: UnixMillis) {
        self.queue.push_back((now.plus(RETRY), item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::CodePolicy;
    use colophon_store::rows::RootsOrigin;

    const NOW: UnixMillis = UnixMillis::new(1_000_000);
    const EVERY: u64 = 3_600_000;

    fn tenants(all: &[u8]) -> Vec<TenantRow> {
        let tenant = |byte: &u8| TenantRow {
            uid: TenantUid::from_bytes([*byte; 16]),
            slug: format!("tenant-{byte}").parse().unwrap(),
            created: NOW,
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        };
        all.iter().map(tenant).collect()
    }

    /// The first byte of each tenant's uid; 0 for those that were erased.
    fn names(items: &[Item]) -> Vec<u8> {
        items.iter().map(|item| item.as_ref().map_or(0, |it| it.uid.as_bytes()[0])).collect()
    }

    /// A round that takes longer than the time between two would never come to the last tenants if it began anew with
    /// the first one.
    #[test]
    fn a_round_that_is_not_done_is_finished_before_the_next() {
        let (mut rounds, none) = (Rounds::default(), HashSet::new());
        assert!(rounds.is_due(NOW, EVERY));
        rounds.begin(Some(tenants(&[1, 2, 3, 4])), NOW, EVERY);
        assert_eq!(names(&rounds.take(3, &none, NOW)), [0, 1, 2]);
        rounds.again(tenants(&[2]).pop(), NOW);
        let later = NOW.plus(EVERY);
        assert!(!rounds.is_due(NOW.plus(EVERY - 1), EVERY) && rounds.is_due(later, EVERY));
        rounds.begin(Some(tenants(&[1, 2, 4, 5])), later, EVERY);
        assert_eq!(names(&rounds.take(9, &none, later)), [4, 2, 0, 1, 5], "each once, 3 is gone");
    }

    /// A look that fails must not leave out a whole round.
    #[test]
    fn a_round_whose_tenants_cannot_be_read_begins_soon() {
        let (mut rounds, none) = (Rounds::default(), HashSet::new());
        rounds.begin(None, NOW, EVERY);
        assert!(
            !rounds.is_due(NOW.plus(RETRY - 1), EVERY) && rounds.is_due(NOW.plus(RETRY), EVERY)
        );
        assert!(rounds.take(9, &none, NOW).is_empty());
    }

    #[test]
    fn a_comparison_runs_until_it_is_not_busy_any_more() {
        let (mut rounds, none) = (Rounds::default(), HashSet::new());
        rounds.begin(Some(tenants(&[1])), NOW, EVERY);
        let erased = HashSet::from([About::Erased]);
        assert!(!rounds.is_running(&erased), "it is not of these rounds");
        assert_eq!(names(&rounds.take(9, &erased, NOW)), [1]);
        let busy = HashSet::from([About::Tenant(TenantUid::from_bytes([1; 16])), About::Erased]);
        assert!(rounds.is_running(&busy));
        assert!(!rounds.is_running(&none) && !rounds.is_running(&busy));
    }
}
