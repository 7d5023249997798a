//! After a failed write the store stops: nothing is acknowledged, nothing is tried again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use colophon_model::Digest;
use colophon_store::{Change, CommitError, Durability, Store};

use crate::crash::crash_recovery;
use crate::sim::crashes::{ALL, Seen};
use crate::sim::{EIO, ENOSPC, Op, SimDisk};
use crate::support::{blob, build, controlled, head, noise, uid};
use crate::workload::{check_whole, do_build, open, options, try_build};

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

/// Makes a store on `disk`, builds until that fails, and answers how many builds were acknowledged.
/// After the first failure nothing is acknowledged any more, although the disk works again.
fn build_until_it_fails(disk: &SimDisk, durability: Durability) -> u64 {
    let opened = Store::open_on(Arc::new(disk.clone()), &options(durability));
    let Ok(store) = opened else { return 0 };
    let mut acknowledged = 0;
    while acknowledged < 4 && try_build(&store, acknowledged + 1).is_ok() {
        acknowledged += 1;
    }
    disk.stop_failing();
    if acknowledged < 4 {
        assert!(is_stopped(&try_build(&store, acknowledged + 1)), "it was tried again");
        assert!(is_stopped(&store.health()));
    }
    acknowledged
}

/// Lets operation `nth` of those that `counts` fail once, and nothing after it.
fn fail_once(disk: &SimDisk, nth: usize, error: i32, counts: fn(&Op) -> bool) {
    let mut seen = 0;
    disk.fail_when(move |op| {
        seen += usize::from(counts(op));
        (counts(op) && seen == nth).then_some(error)
    });
}

/// Lets each operation that `counts` fail once in its turn. Whether the machine crashes then or only
/// the process ends, the next one finds whatever was acknowledged.
fn fail_each(durability: Durability, error: i32, counts: fn(&Op) -> bool) -> usize {
    for nth in 1.. {
        let disk = SimDisk::new();
        fail_once(&disk, nth, error, counts);
        let acknowledged = build_until_it_fails(&disk, durability);
        if acknowledged == 4 {
            return nth - 1;
        }
        for decision in ALL {
            let at = disk.operations();
            let after = disk.crashed(at, |n, op| decision(at, n, op));
            check_whole(&open(&after, durability), acknowledged);
        }
        check_whole(&open(&disk, durability), acknowledged);
    }
    unreachable!("some operation is the last")
}

/// A sync that fails once may have dropped the very pages it failed on, so it is never repeated.
#[test]
fn a_sync_that_fails_once_acknowledges_nothing_and_loses_nothing() {
    let syncs = fail_each(Durability::Full, EIO, Op::is_sync);
    assert!(syncs > 20, "only {syncs} syncs were made to fail");
    fail_each(Durability::Fast, EIO, Op::is_sync);
}

/// A sync that fails for want of space is a failed sync all the same.
#[test]
fn a_sync_that_finds_the_disk_full_acknowledges_nothing_either() {
    fail_each(Durability::Full, ENOSPC, Op::is_sync);
}

#[test]
fn any_operation_that_fails_once_acknowledges_nothing_and_loses_nothing() {
    let operations = fail_each(Durability::Full, EIO, |_| true);
    assert!(operations > 80, "only {operations} operations were made to fail");
    fail_each(Durability::Fast, EIO, |_| true);
}

/// Lets each operation that `counts` fail once in its turn, opens the store again while the machine
/// goes on, builds on what it shows, and crashes before every operation of that. Answers how many
/// states were looked at.
fn fail_each_and_build_on(durability: Durability, error: i32, counts: fn(&Op) -> bool) -> usize {
    let mut seen = Seen::new();
    for nth in 1.. {
        let disk = SimDisk::new();
        fail_once(&disk, nth, error, counts);
        let acknowledged = build_until_it_fails(&disk, durability);
        if acknowledged == 4 {
            break;
        }
        disk.forget();
        crash_recovery(&disk, acknowledged, 2, durability, &mut seen);
    }
    seen.len()
}

/// A system that failed to sync goes on showing bytes that are on no disk. What the next process
/// finds is not built on before it is known to be durable.
#[test]
fn nothing_rests_on_bytes_that_a_failed_sync_left_in_memory() {
    for durability in [Durability::Full, Durability::Fast] {
        let seen = fail_each_and_build_on(durability, EIO, Op::is_file_sync);
        assert!(seen > 500, "only {seen} crashes were tried");
    }
}

/// What was durable before stays readable when the disk of the metadata failed.
#[test]
fn a_store_that_stopped_on_its_disk_still_reads() {
    let disk = SimDisk::new();
    let store = open(&disk, Durability::Full);
    do_build(&store, 1);
    fail_once(
        &disk,
        1,
        EIO,
        |op| matches!(op, Op::Sync { file } if file.born.starts_with("meta.")),
    );
    assert!(is_stopped(&try_build(&store, 2)));
    check_whole(&store, 1);
}
