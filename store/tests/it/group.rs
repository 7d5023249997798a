//! Group commit: many changes in one commit, each with its own answer.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

use colophon_model::Digest;
use colophon_store::rows::TenantHead;
use colophon_store::{Change, CommitError, Options, Store};

use crate::support::{blob, build, controlled, head, noise, uid};

#[test]
fn one_commit_serves_all_that_wait() {
    let (store, kv, _) = controlled();
    kv.shut();
    let tickets: Vec<_> =
        (1..=100).map(|n| store.lane(uid(n)).submit(build(uid(n), None).0)).collect();
    kv.open();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let commits = kv.commits.load(Ordering::SeqCst);
    assert!(commits <= 2, "100 changes took {commits} commits");
}

#[test]
fn a_conflict_is_answered_to_its_own_change_only() {
    let (store, kv, _) = controlled();
    kv.shut();
    let good = store.lane(uid(1)).submit(build(uid(1), None).0);
    let stale = store.lane(uid(2)).submit(build(uid(2), Some(&TenantHead::default())).0);
    let other = store.lane(uid(3)).submit(build(uid(3), None).0);
    kv.open();
    good.wait().unwrap();
    other.wait().unwrap();
    assert!(matches!(stale.wait(), Err(CommitError::Conflict(_))));
    assert_eq!(head(&store.view().unwrap(), uid(2)), None);
}

/// Threads and tenants mixed on a real directory: every build lands exactly once, and is there
/// after opening again.
#[test]
fn racing_builds_all_land() {
    const THREADS: u8 = 8;
    const TENANTS: u8 = 3;
    const BUILDS: u64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    thread::scope(|scope| {
        for t in 0..THREADS {
            let store = &store;
            scope.spawn(move || (0..BUILDS).for_each(|n| land(store, t % TENANTS, t, n)));
        }
    });
    drop(store);
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    let view = store.view().unwrap();
    let counts: Vec<u64> = (0..TENANTS).map(|n| head(&view, uid(n)).unwrap().builds).collect();
    assert_eq!(counts, [30, 30, 20]);
    for t in 0..THREADS {
        for n in 0..BUILDS {
            for bytes in outputs(t, n) {
                let read = view.read_blob(uid(t % TENANTS), &Digest::of(&bytes)).unwrap();
                assert_eq!(read, Some(bytes));
            }
        }
    }
}

fn outputs(thread: u8, n: u64) -> [Vec<u8>; 3] {
    let seed = u64::from(thread) << 8 | n;
    [noise(seed, 100), noise(seed, 9000), b"shared by all".to_vec()]
}

fn land(store: &Store, tenant: u8, thread: u8, n: u64) {
    let lane = store.lane(uid(tenant));
    let old = head(&lane.view().unwrap(), uid(tenant));
    let (mut change, _) = build(uid(tenant), old.as_ref());
    for bytes in outputs(thread, n) {
        change.blob(uid(tenant), blob(&bytes));
    }
    lane.submit(change).wait().unwrap();
}

/// Dropping the last handle is a way to finish, not to lose what was submitted.
#[test]
fn what_was_submitted_is_committed_before_the_store_closes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    let (sender, answers) = mpsc::channel();
    for n in 1..=20 {
        let sender = sender.clone();
        let answer = move |result| sender.send(result).unwrap();
        store.lane(uid(n)).submit_with(build(uid(n), None).0, answer);
    }
    drop((store, sender));
    let answers: Vec<()> = answers.iter().map(Result::unwrap).collect();
    assert_eq!(answers.len(), 20);
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    assert!((1..=20).all(|n| head(&store.view().unwrap(), uid(n)).is_some()));
}

/// An answer may own the last handle to the store: the writer then must not wait for itself.
#[test]
fn the_last_handle_may_go_on_the_writers_thread() {
    let (store, kv, _) = controlled();
    kv.shut();
    let (sender, answered) = mpsc::channel();
    let last = store.clone();
    store.lane(uid(1)).submit_with(Change::new(), move |result| {
        drop(last);
        sender.send(result).unwrap();
    });
    drop(store);
    kv.open();
    answered.recv().unwrap().unwrap();
}
