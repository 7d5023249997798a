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

/// Acts that wait to be written down. What waits is lost when the process is killed.
#[derive(Debug, Default)]
pub struct Gathered(Mutex<HashMap<Key, Waiting>>);

/// Acts that differ in none of these are one line with a count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
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

impl Gathered {
    /// Adds that `act` was done now.
    pub fn add(&self, chain: Chain, act: Act, window: Window, now: UnixMillis) {
        let mut waiting = self.lock();
        let mut key = Key {
            chain,
            actor: Some(act.actor.clone()),
            action: act.action,
            subject: Some(act.subject.clone()),
            outcome: act.outcome.clone(),
            address: act.origin.as_ref().map(|origin| origin.address.clone()),
        };
        let mut act = act;
        if waiting.len() >= MOST && !waiting.contains_key(&key) {
            key = Key { actor: None, subject: None, address: None, ..key };
            act = anyone(act);
        }
        let count = act.count;
        waiting
            .entry(key)
            .and_modify(|same| same.act.count += count)
            .or_insert(Waiting { act, due: now.plus(window.millis()) });
    }

    /// Takes what is due at `now`, or all there is, by chain.
    pub fn take(&self, now: Option<UnixMillis>) -> BTreeMap<Chain, Vec<Act>> {
        let mut taken: BTreeMap<Chain, Vec<Act>> = BTreeMap::new();
        let is_due = |waiting: &Waiting| now.is_none_or(|now| waiting.due <= now);
        for (key, waiting) in self.lock().extract_if(|_, waiting| is_due(waiting)) {
            taken.entry(key.chain).or_default().push(waiting.act);
        }
        for acts in taken.values_mut() {
            // A table has no order of its own, and a log should not show one.
            acts.sort_by(|a, b| {
                (&a.action, &a.actor, &a.subject).cmp(&(&b.action, &b.actor, &b.subject))
            });
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Whoever tries a million names must not fill the memory, and is counted all the same.
    #[test]
    fn memory_is_bounded_and_nothing_goes_uncounted() {
        let gathered = Gathered::default();
        for n in 0..MOST + 500 {
            gathered.add(Chain::System, read(&n.to_string()), Window::Minute, at(0));
        }
        let acts = gathered.take(None).remove(&Chain::System).unwrap();
        assert_eq!(acts.len(), MOST + 1);
        assert_eq!(acts.iter().map(|act| act.count).sum::<u64>(), MOST as u64 + 500);
    }
}
