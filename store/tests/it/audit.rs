//! The audit log: acts and what they did are durable together, in one order, and nothing is written over.

use std::thread;

use colophon_model::audit::{Act, Action, Actor, ActorKind, Chain, Origin, Subject, Walk};
use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{AuditHead, AuditLine, AuditOrigin, SlugOf};
use colophon_store::{Change, CommitError, Store, View, audit};

use crate::support::uid;

fn act(n: u64) -> Act {
    let actor = Actor::new(ActorKind::Operator, "");
    Act::done(actor, Action::TokenCreate, Subject::new("token", n))
}

fn at(n: u64) -> UnixMillis {
    UnixMillis::new(1_000 + n)
}

/// Walks the chain from its first line to its head.
fn walk(view: &View, chain: Chain) -> Walk {
    let mut walk = Walk::new(chain);
    for row in view.scan::<AuditLine>(&chain.uid()) {
        let ((_, seq), AuditLine(line)) = row.unwrap();
        assert_eq!(walk.step(&line).unwrap().seq, seq);
    }
    let head = view.get::<AuditHead>(&chain.uid()).unwrap().unwrap_or_default();
    assert!(walk.ends_at(&head.0));
    walk
}

fn lines(store: &Store, chain: Chain) -> u64 {
    walk(&store.view().unwrap(), chain).size()
}

/// Many threads, one chain: each act gets a line of its own, and each line its successor.
#[test]
fn acts_that_race_stand_one_after_the_other() {
    let store = Store::in_memory().unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..25 {
                    let lane = store.lane(uid(1));
                    let (view, mut change) = (lane.view().unwrap(), Change::new());
                    let acts = [act(thread * 100 + n)];
                    audit::append(&mut change, &view, Chain::Tenant(uid(1)), &acts, at(n)).unwrap();
                    lane.submit(change).wait().unwrap();
                }
            });
        }
    });
    assert_eq!(lines(&store, Chain::Tenant(uid(1))), 200);
    assert_eq!(lines(&store, Chain::Tenant(uid(2))), 0, "of another tenant");
    assert_eq!(lines(&store, Chain::System), 0);
}

/// An act whose change is refused leaves no line, and one that was not seen is not written over.
#[test]
fn a_refused_change_leaves_no_trace() {
    let store = Store::in_memory().unwrap();
    let chain = Chain::Tenant(uid(1));
    let stale = store.view().unwrap();
    let write = |view: &View, n| {
        let mut change = Change::new();
        change.put(&uid(1), &SlugOf { slug: format!("t{n}").parse().unwrap() });
        audit::append(&mut change, view, chain, &[act(n)], at(n)).unwrap();
        store.commit(change)
    };
    write(&stale, 1).unwrap();
    let Err(CommitError::Conflict(conflict)) = write(&stale, 2) else { panic!("it was taken") };
    assert!(audit::is_only_order(conflict.table), "{}", conflict.table);
    let view = store.view().unwrap();
    assert_eq!(view.get::<SlugOf>(&uid(1)).unwrap().unwrap().slug.as_str(), "t1");
    assert_eq!(walk(&view, chain).size(), 1);
    write(&view, 3).unwrap();
    assert_eq!(lines(&store, chain), 2);
}

/// What may be personal lies beside the chain: deleting it breaks nothing, changing it is seen.
#[test]
fn where_an_act_came_from_can_be_forgotten() {
    let store = Store::in_memory().unwrap();
    let origin = Origin {
        address: "192.0.2.7".to_owned(),
        agent: "curl/8".to_owned(),
        salt: "ab".repeat(16),
        trace: String::new(),
    };
    let mut change = Change::new();
    let acts = [act(1).from(Some(origin.clone())), act(2)];
    audit::append(&mut change, &store.view().unwrap(), Chain::System, &acts, at(0)).unwrap();
    store.commit(change).unwrap();
    let view = store.view().unwrap();
    let key = (Chain::System.uid(), 1);
    let AuditLine(line) = view.get::<AuditLine>(&key).unwrap().unwrap();
    assert!(!line.contains("192.0.2.7"));
    assert!(line.contains(&origin.commitment().to_string()));
    let kept: Vec<_> = view.scan::<AuditOrigin>(&key.0).map(|row| row.unwrap().0).collect();
    assert_eq!(kept, [key], "the second act has none");
    let mut change = Change::new();
    store.commit(std::mem::take(change.delete::<AuditOrigin>(&key))).unwrap();
    assert_eq!(lines(&store, Chain::System), 2);
}

/// Where acts came from is personal data: it goes when its time is over, and what came later stays. The chain is
/// the same byte for byte.
#[test]
fn where_acts_came_from_is_forgotten_in_time_and_the_chain_holds() {
    let store = Store::in_memory().unwrap();
    let from = |n: u64| Origin {
        address: format!("192.0.2.{n}"),
        agent: String::new(),
        salt: format!("{n:032x}"),
        trace: String::new(),
    };
    for chain in [Chain::System, Chain::Tenant(uid(3))] {
        let mut change = Change::new();
        let acts: Vec<_> = (0..1500).map(|n| act(n).from(Some(from(n)))).collect();
        audit::append(&mut change, &store.view().unwrap(), chain, &acts, at(0)).unwrap();
        store.commit(change).unwrap();
        let mut change = Change::new();
        let young = [act(1).from(Some(from(1)))];
        audit::append(&mut change, &store.view().unwrap(), chain, &young, at(50)).unwrap();
        store.commit(change).unwrap();
    }
    let before: Vec<_> =
        store.view().unwrap().scan::<AuditLine>(&Chain::System.uid()).map(Result::unwrap).collect();
    let forget = |now, dry_run| {
        audit::forget_origins(&store, Chain::System, (at(now), 100), dry_run).unwrap()
    };
    assert_eq!(forget(99, false), 0);
    assert_eq!((forget(100, true), forget(100, false), forget(100, false)), (1500, 1500, 0));
    let view = store.view().unwrap();
    let kept = |chain: Chain| view.scan::<AuditOrigin>(&chain.uid()).count();
    assert_eq!((kept(Chain::System), kept(Chain::Tenant(uid(3)))), (1, 1501), "of one chain only");
    let after: Vec<_> = view.scan::<AuditLine>(&Chain::System.uid()).map(Result::unwrap).collect();
    assert_eq!(before, after);
    assert_eq!(lines(&store, Chain::System), 1501, "and they follow each other");
}

/// The system's chain has a place of its own among the tenants'.
#[test]
fn chains_are_told_apart_by_their_uid() {
    assert_eq!(Chain::of(Chain::System.uid()), Chain::System);
    assert_eq!(Chain::of(uid(3)), Chain::Tenant(uid(3)));
    assert_eq!(Chain::System.uid(), TenantUid::from_bytes([0; 16]));
    for chain in [Chain::System, Chain::Tenant(uid(3))] {
        assert_eq!(chain.to_string().parse(), Ok(chain));
    }
}
