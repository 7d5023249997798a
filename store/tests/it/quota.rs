//! The quota: exact under races, and equal to counting the builds in the window.

use std::num::NonZeroU64;
use std::sync::Barrier;
use std::thread;

use colophon_model::{Target, UnixMillis};
use colophon_store::quota::{Rule, Verdict, charge, check};
use colophon_store::{CommitError, Store};
use proptest::prelude::*;

use crate::support::{build, head, uid};

fn rule(limit: u64, window_millis: u64) -> Rule {
    Rule { limit: NonZeroU64::new(limit).unwrap(), window_millis }
}

const NOW: UnixMillis = UnixMillis::new(1_000_000);

/// One attempt without a lane, as by another replica: checks and commits on what it read, and
/// tries again when someone was faster. `true` if a build was counted.
fn attempt(store: &Store, rule: Rule) -> bool {
    loop {
        let view = store.view().unwrap();
        let old = head(&view, uid(1));
        let current = old.clone().unwrap_or_default();
        if check(&view, uid(1), &current, Target::Cloud, rule, NOW).unwrap() != Verdict::Allowed {
            return false;
        }
        let (mut change, mut new) = build(uid(1), old.as_ref());
        charge(&mut change, uid(1), &mut new, Target::Cloud, NOW);
        change.put(&uid(1), &new);
        match store.commit(change) {
            Ok(()) => return true,
            Err(CommitError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// The same within the tenant's lane, on builds that are not durable yet.
fn attempt_in_lane(store: &Store, rule: Rule) -> bool {
    let lane = store.lane(uid(1));
    let view = lane.view().unwrap();
    let old = head(&view, uid(1));
    let current = old.clone().unwrap_or_default();
    if check(&view, uid(1), &current, Target::Cloud, rule, NOW).unwrap() != Verdict::Allowed {
        return false;
    }
    let (mut change, mut new) = build(uid(1), old.as_ref());
    charge(&mut change, uid(1), &mut new, Target::Cloud, NOW);
    change.put(&uid(1), &new);
    lane.submit(change).wait().unwrap();
    true
}

/// 128 builds at a time, three times as many as are allowed.
fn race(attempt: fn(&Store, Rule) -> bool) {
    const THREADS: usize = 128;
    let store = Store::in_memory().unwrap();
    let start = Barrier::new(THREADS);
    let racer = || {
        start.wait();
        (0..3).filter(|_| attempt(&store, rule(100, 1000))).count()
    };
    let counted: usize = thread::scope(|scope| {
        let racers: Vec<_> = (0..THREADS).map(|_| scope.spawn(racer)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(counted, 100);
    let head = head(&store.view().unwrap(), uid(1)).unwrap();
    assert_eq!(head.quota.get(&Target::Cloud), Some(&100));
}

#[test]
fn racing_replicas_get_exactly_the_limit() {
    race(attempt);
}

#[test]
fn racing_builds_of_a_lane_get_exactly_the_limit() {
    race(attempt_in_lane);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A build is allowed exactly when fewer than `limit` were counted in the window, and a refused
    /// one is told the first time at which it would be allowed.
    #[test]
    fn the_rule_counts_the_window(
        limit in 1..6_u64,
        window in 1..40_u64,
        attempts in proptest::collection::vec((0..20_u64, any::<bool>()), 1..60),
    ) {
        let store = Store::in_memory().unwrap();
        let rule = rule(limit, window);
        let mut now = 100;
        let mut counted: Vec<(u64, Target)> = Vec::new();
        for (pause, edge) in attempts {
            now += pause;
            let target = if edge { Target::Edge } else { Target::Cloud };
            let in_window = |at: u64| {
                let recent = |(time, t): &&(u64, Target)| *t == target && time + window > at;
                counted.iter().filter(recent).count() as u64
            };
            let view = store.view().unwrap();
            let mut new = head(&view, uid(1)).unwrap_or_default();
            let at = UnixMillis::new(now);
            match check(&view, uid(1), &new, target, rule, at).unwrap() {
                Verdict::Allowed => {
                    prop_assert!(in_window(now) < limit);
                    let mut change = colophon_store::Change::new();
                    charge(&mut change, uid(1), &mut new, target, at);
                    change.put(&uid(1), &new);
                    store.commit(change).unwrap();
                    counted.push((now, target));
                }
                Verdict::Exceeded { retry_at } => {
                    prop_assert!(in_window(now) >= limit);
                    prop_assert!(in_window(retry_at.get()) < limit);
                    prop_assert!(in_window(retry_at.get() - 1) >= limit);
                }
            }
        }
    }
}
