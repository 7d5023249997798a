//! Acts that change nothing, gathered with their like.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use colophon_model::UnixMillis;
use colophon_model::audit::{Act, Action, Actor, Chain, Outcome, Subject};

/// How long an act is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// A second: what a builder was told about its flow.
    Second,
    /// A minute: reads, and credentials that were refused.
    Minute,
}

impl Window {
    const fn millis(self) -> u64 {
        match self {
            Self::Second => 1_000,
            Self::Minute => 60_000,
        }
    }
}

/// Different acts that are gathered at a time. What comes beyond is counted together, by chain and action.
const MOST: usize = 10_000;
/// Those of one chain: whoever makes many of them, such as one who tries credentials from many addresses, must
/// not take from others that it is told who did what.
const MOST_OF_CHAIN: usize = 2_000;
/// Those that a chain may have however many others there are.
const ALWAYS: usize = 16;

/// Acts that wait to be written down. What waits is lost when the process is killed.
#[derive(Debug, Default)]
pub struct Gathered {
    acts: Mutex<Acts>,
    behind: Mutex<Option<UnixMillis>>,
}

#[derive(Debug, Default)]
struct Acts {
    waiting: HashMap<Key, Waiting>,
    /// How many of them each chain has.
    of: HashMap<Chain, usize>,
}

impl Acts {
    /// Whether there is room for one more of this chain.
    fn has_room(&self, chain: Chain) -> bool {
        let of = self.of.get(&chain).copied().unwrap_or_default();
        of < ALWAYS || (of < MOST_OF_CHAIN && self.waiting.len() < MOST)
    }
}

/// Acts that differ in none of these are one line with a count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    chain: Chain,
    actor: Option<Actor>,
    action: Action,
    subject: Option<Subject>,
    outcome: Outcome,
    address: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    act: Act,
    due: UnixMillis,
}

impl Key {
    /// Of what `actor` has done to `subject`.
    pub(super) fn done(
        chain: Chain,
        actor: Actor,
        address: Option<String>,
        (action, subject): (Action, Subject),
    ) -> Self {
        let (actor, subject, outcome) = (Some(actor), Some(subject), Outcome::Success);
        Self { chain, actor, action, subject, outcome, address }
    }

    fn of(chain: Chain, act: &Act) -> Self {
        let address = act.origin.as_ref().map(|origin| origin.address.clone());
        let what = (act.action, act.subject.clone());
        let done = Self::done(chain, act.actor.clone(), address, what);
        Self { outcome: act.outcome.clone(), ..done }
    }
}

impl Gathered {
    /// Counts one more act of this kind. False: none waits, and it is to be added as it is.
    pub(super) fn add_like(&self, key: &Key) -> bool {
        let mut acts = self.lock();
        let same = acts.waiting.get_mut(key);
        same.map(|same| same.act.count += 1).is_some()
    }

    /// Adds that `act` was done now.
    pub fn add(&self, chain: Chain, act: Act, window: Window, now: UnixMillis) {
        let mut acts = self.lock();
        let mut key = Key::of(chain, &act);
        let mut act = act;
        if !acts.waiting.contains_key(&key) && !acts.has_room(chain) {
            key = Key { actor: None, subject: None, address: None, ..key };
            act = anyone(act);
        }
        if let Some(same) = acts.waiting.get_mut(&key) {
            same.act.count += act.count;
            return;
        }
        acts.waiting.insert(key, Waiting { act, due: now.plus(window.millis()) });
        *acts.of.entry(chain).or_default() += 1;
    }

    /// Takes what is due at `now`, or all there is, by chain.
    pub fn take(&self, now: Option<UnixMillis>) -> BTreeMap<Chain, Vec<Act>> {
        let mut taken: BTreeMap<Chain, Vec<Act>> = BTreeMap::new();
        let is_due = |waiting: &Waiting| now.is_none_or(|now| waiting.due <= now);
        let mut acts = self.lock();
        for (key, waiting) in acts.waiting.extract_if(|_, waiting| is_due(waiting)) {
            taken.entry(key.chain).or_default().push(waiting.act);
        }
        for (chain, gone) in &taken {
            acts.of.entry(*chain).and_modify(|count| *count = count.saturating_sub(gone.len()));
        }
        acts.of.retain(|_, count| *count > 0);
        drop(acts);
        for acts in taken.values_mut() {
            // A table has no order of its own, and a log should not show one.
            acts.sort_by(|a, b| {
                (&a.action, &a.actor, &a.subject).cmp(&(&b.action, &b.actor, &b.subject))
            });
        }
        taken
    }

    /// Puts back acts that could not be written down at `now`; they are due again in a second. They keep to the
    /// same bound as new ones, and none goes uncounted.
    pub fn put_back(&self, chain: Chain, acts: Vec<Act>, now: UnixMillis) {
        for act in acts {
            self.add(chain, act, Window::Second, now);
        }
        self.behind().get_or_insert(now);
    }

    /// Whether anything is due at `now`.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.lock().waiting.values().any(|waiting| waiting.due <= now)
    }

    /// Notes that what is due cannot be written down at `now`, or that all of it could.
    pub fn note(&self, now: UnixMillis, written: bool) {
        let mut behind = self.behind();
        *behind = if written { None } else { behind.or(Some(now)) };
    }

    /// Since when acts that were due could not be written down; `None`: nothing is late.
    pub fn behind_since(&self) -> Option<UnixMillis> {
        *self.behind()
    }

    /// How many acts wait.
    pub fn count(&self) -> u64 {
        self.lock().waiting.values().map(|waiting| waiting.act.count).sum()
    }

    fn behind(&self) -> MutexGuard<'_, Option<UnixMillis>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Acts> {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The act without what tells it from its like.
fn anyone(act: Act) -> Act {
    let actor = Actor::new(colophon_model::audit::ActorKind::Unknown, "many");
    Act { actor, subject: Subject::new("many", ""), detail: BTreeMap::new(), origin: None, ..act }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::TenantUid;
    use colophon_model::audit::ActorKind;

    fn read(id: &str) -> Act {
        let actor = Actor::new(ActorKind::Token, "t");
        Act::done(actor, Action::ContentRead, Subject::new("blob", id))
    }

    const fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(millis)
    }

    #[test]
    fn the_same_is_counted_and_comes_out_when_it_is_due() {
        let gathered = Gathered::default();
        let tenant = Chain::Tenant(TenantUid::from_bytes([1; 16]));
        for millis in 0..500 {
            gathered.add(tenant, read("a"), Window::Minute, at(millis));
        }
        gathered.add(tenant, read("b"), Window::Second, at(100));
        gathered.add(Chain::System, read("a"), Window::Minute, at(5_000));
        assert!(gathered.take(Some(at(1_099))).is_empty());
        let first = gathered.take(Some(at(1_100)));
        assert_eq!(first[&tenant].iter().map(|a| a.count).collect::<Vec<_>>(), [1]);
        let second = gathered.take(Some(at(60_000)));
        assert_eq!(second[&tenant].iter().map(|a| a.count).collect::<Vec<_>>(), [500]);
        assert_eq!(gathered.take(None).len(), 1, "the system's, before it is due");
        assert!(gathered.take(None).is_empty());
    }

    /// What could not be written is due again soon, with its count, beside what came meanwhile.
    #[test]
    fn what_is_put_back_is_counted_with_its_like() {
        let gathered = Gathered::default();
        gathered.add(Chain::System, read("a"), Window::Second, at(0));
        let acts = gathered.take(Some(at(1_000))).remove(&Chain::System).unwrap();
        gathered.add(Chain::System, read("a"), Window::Second, at(1_000));
        gathered.put_back(Chain::System, acts, at(1_500));
        assert_eq!((gathered.behind_since(), gathered.count()), (Some(at(1_500)), 2));
        gathered.put_back(Chain::System, Vec::new(), at(9_000));
        assert_eq!(gathered.behind_since(), Some(at(1_500)), "since the first time");
        assert!(gathered.is_due(at(2_000)) && !gathered.is_due(at(1_999)));
        let acts = gathered.take(Some(at(2_000))).remove(&Chain::System).unwrap();
        assert_eq!((acts.len(), acts[0].count), (1, 2));
        gathered.note(at(2_000), true);
        assert_eq!(gathered.behind_since(), None);
    }

    /// Whoever tries a million names must not fill the memory, and is counted all the same.
    #[test]
    fn memory_is_bounded_and_nothing_goes_uncounted() {
        let gathered = Gathered::default();
        let chain = |n: u8| Chain::Tenant(TenantUid::from_bytes([n; 16]));
        for n in 0..MOST_OF_CHAIN + 500 {
            (1..=9).for_each(|of| {
                gathered.add(chain(of), read(&n.to_string()), Window::Minute, at(0));
            });
        }
        let taken = gathered.take(None);
        assert!(taken.values().map(Vec::len).sum::<usize>() <= MOST + 9 * (ALWAYS + 1));
        for acts in taken.values() {
            assert_eq!(acts.iter().map(|act| act.count).sum::<u64>(), MOST_OF_CHAIN as u64 + 500);
        }
        assert!(gathered.lock().of.is_empty());
    }

    /// A flood of refused credentials must not take from a tenant's log who read what.
    #[test]
    fn a_flood_in_one_chain_leaves_the_others_as_they_are() {
        let gathered = Gathered::default();
        for n in 0..2 * MOST {
            gathered.add(Chain::System, read(&n.to_string()), Window::Minute, at(0));
        }
        let tenant = Chain::Tenant(TenantUid::from_bytes([1; 16]));
        gathered.add(tenant, read("a"), Window::Minute, at(0));
        let acts = gathered.take(None).remove(&tenant).unwrap();
        assert_eq!((acts[0].actor.kind, acts[0].subject.id.as_str()), (ActorKind::Token, "a"));
    }
}
