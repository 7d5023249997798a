//! After a failed write the store stops: nothing is acknowledged, nothing is tried again.

use std::sync::atomic::Ordering;

use colophon_model::Digest;
use colophon_store::{Change, CommitError};

use crate::support::{blob, build, controlled, head, noise, uid};

fn is_stopped(result: &Result<(), CommitError>) -> bool {
    matches!(result, Err(CommitError::Stopped(_)))
}

#[test]
fn a_failed_commit_fails_its_whole_group_and_all_that_follows() {
    let (store, kv, _) = controlled();
    kv.shut();
    kv.fail.store(true, Ordering::SeqCst);
    let tickets: Vec<_> =
        (1..=5).map(|n| store.lane(uid(n)).submit(build(uid(n), None).0)).collect();
    kv.open();
    for ticket in tickets {
        assert!(is_stopped(&ticket.wait()));
    }
    kv.fail.store(false, Ordering::SeqCst);
    let commits = kv.commits.load(Ordering::SeqCst);
    assert!(is_stopped(&store.commit(build(uid(9), None).0)));
    assert_eq!(kv.commits.load(Ordering::SeqCst), commits, "nothing was tried again");
    assert!(is_stopped(&store.health()));
    assert_eq!(head(&store.view().unwrap(), uid(9)), None);
}

#[test]
fn rows_never_name_bytes_that_could_not_be_written() {
    let (store, kv, segments) = controlled();
    segments.fail.store(true, Ordering::SeqCst);
    let bytes = noise(1, 9000);
    let mut change = Change::new();
    change.blob(uid(1), blob(&bytes));
    assert!(is_stopped(&store.lane(uid(1)).submit(change).wait()));
    assert_eq!(kv.commits.load(Ordering::SeqCst), 0);
    assert!(!store.view().unwrap().has_blob(uid(1), &Digest::of(&bytes)).unwrap());
    assert!(is_stopped(&store.health()));
}

/// What was durable before stays readable, also through a lane.
#[test]
fn a_stopped_store_still_reads() {
    let (store, kv, _) = controlled();
    let (change, first) = build(uid(1), None);
    store.lane(uid(1)).submit(change).wait().unwrap();
    kv.fail.store(true, Ordering::SeqCst);
    let (change, _) = build(uid(1), Some(&first));
    assert!(is_stopped(&store.lane(uid(1)).submit(change).wait()));
    assert_eq!(head(&store.lane(uid(1)).settled().unwrap(), uid(1)), Some(first));
}

/// A change whose answer panics takes the writer down, and everyone who waits is told.
#[test]
fn nobody_waits_for_a_writer_that_has_ended() {
    let (store, kv, _) = controlled();
    kv.shut();
    store.lane(uid(1)).submit_with(build(uid(1), None).0, |_| panic!("an answer that panics"));
    let waiting = store.lane(uid(2)).submit(build(uid(2), None).0);
    kv.open();
    let _ = waiting.wait(); // in the same group or not, it is answered
    let later = std::iter::repeat_with(|| store.commit(build(uid(3), None).0));
    assert!(later.take(1000).any(|result| is_stopped(&result)));
    assert!(is_stopped(&store.health()));
}
