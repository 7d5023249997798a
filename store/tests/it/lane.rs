//! Lanes: a tenant's builds rest on each other before they are durable, and fall together.

use std::sync::{Arc, mpsc};
use std::thread;

use colophon_model::Digest;
use colophon_store::rows::{BuildNumber, RefRow, TenantHead};
use colophon_store::{Change, CommitError, Row};

use crate::support::{blob, build, controlled, head, noise, uid};

#[test]
fn a_build_rests_on_one_that_is_not_durable_yet() {
    let (store, kv, _) = controlled();
    kv.shut();
    let bytes = noise(1, 9000);
    let (mut change, first) = build(uid(1), None);
    change.blob(uid(1), blob(&bytes));
    let first_ticket = store.lane(uid(1)).submit(change);

    let lane = store.lane(uid(1));
    let view = lane.view().unwrap();
    assert_eq!(head(&view, uid(1)), Some(first.clone()));
    assert_eq!(view.read_blob(uid(1), &Digest::of(&bytes)).unwrap(), Some(bytes.clone()));
    assert_eq!(view.read_blob(uid(2), &Digest::of(&bytes)).unwrap(), None, "of another tenant");
    assert_eq!(head(&store.view().unwrap(), uid(1)), None, "it is not durable");
    let (change, second) = build(uid(1), Some(&first));
    let second_ticket = lane.submit(change);

    kv.open();
    first_ticket.wait().unwrap();
    second_ticket.wait().unwrap();
    assert_eq!(head(&store.view().unwrap(), uid(1)), Some(second));
}

/// Who remembers a list of refs asks for this number, so it is raised with every change of a ref, and
/// nothing is said of changes that may yet be refused.
#[test]
fn changes_of_refs_are_counted() {
    let (store, kv, _) = controlled();
    let count = |n| store.view().unwrap().ref_changes(uid(n)).unwrap();
    let name = |n| (uid(n), "refs/tags/x".to_owned());
    let row = RefRow { oid: "7".repeat(40).parse().unwrap(), peeled: None };
    let commit = |change| store.commit(change).unwrap();
    assert_eq!((count(1), count(2)), (Some(0), Some(0)));
    let mut change = Change::new();
    commit(std::mem::take(change.put(&name(1), &row)));
    commit(std::mem::take(change.put(&name(1), &row).put(&name(2), &row)));
    commit(std::mem::take(change.delete::<RefRow>(&name(1))));
    commit(std::mem::take(change.put(&uid(1), &TenantHead::default())));
    assert_eq!((count(1), count(2)), (Some(3), Some(1)));
    kv.shut();
    let ticket = store.lane(uid(1)).submit(std::mem::take(change.put(&name(1), &row)));
    let lane = store.lane(uid(1));
    assert_eq!(lane.view().unwrap().ref_changes(uid(1)).unwrap(), None, "it is on its way");
    assert_eq!(count(1), Some(3));
    kv.open();
    ticket.wait().unwrap();
    assert_eq!(count(1), Some(4));
}

/// A pending build that meets a conflict takes those that rest on it along; the lane then shows
/// what is true.
#[test]
fn successors_of_a_refused_build_are_refused() {
    let (store, kv, _) = controlled();
    kv.shut();
    let mut outside = Change::new();
    let theirs = TenantHead { builds: 9, ..TenantHead::default() };
    outside.put(&uid(1), &theirs);
    let outside = store.lane(uid(2)).submit(outside);
    let (change, first) = build(uid(1), None);
    let first_ticket = store.lane(uid(1)).submit(change);
    let second_ticket = store.lane(uid(1)).submit(build(uid(1), Some(&first)).0);
    kv.open();
    outside.wait().unwrap();
    for ticket in [first_ticket, second_ticket] {
        let refused = ticket.wait();
        assert!(matches!(refused, Err(CommitError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(head(&store.lane(uid(1)).view().unwrap(), uid(1)), Some(theirs));
}

/// A build that becomes durable just while a view is taken is in the view all the same.
#[test]
fn a_view_never_misses_a_build_that_commits_meanwhile() {
    let (store, kv, _) = controlled();
    kv.shut();
    let ticket = store.lane(uid(1)).submit(build(uid(1), None).0);
    let gate = Arc::clone(&kv);
    kv.after_next_snapshot(move || {
        gate.open();
        ticket.wait().unwrap();
    });
    let view = store.lane(uid(1)).view().unwrap();
    assert_eq!(head(&view, uid(1)).unwrap().builds, 1);
}

#[test]
fn settled_waits_for_what_is_pending() {
    let (store, kv, _) = controlled();
    kv.shut();
    let ticket = store.lane(uid(1)).submit(build(uid(1), None).0);
    let (sender, settled) = mpsc::channel();
    let lane = store.lane(uid(1));
    let waiting = thread::spawn(move || {
        let view = lane.settled().unwrap();
        sender.send(head(&view, uid(1))).unwrap();
    });
    assert!(settled.try_recv().is_err());
    kv.open();
    assert_eq!(settled.recv().unwrap().unwrap().builds, 1);
    waiting.join().unwrap();
    ticket.wait().unwrap();
}

/// By the time a build is answered, its tenant's views rest on what became of it: a refused one is
/// gone from them.
#[test]
fn an_answer_comes_after_the_lane_is_clear() {
    let (store, kv, _) = controlled();
    kv.shut();
    let (change, pending) = build(uid(1), Some(&TenantHead { builds: 9, ..TenantHead::default() }));
    let (sender, answers) = mpsc::channel();
    let asked = store.clone();
    store.lane(uid(1)).submit_with(change, move |result| {
        let shown = head(&asked.lane(uid(1)).view().unwrap(), uid(1));
        sender.send((result, shown)).unwrap();
    });
    assert_eq!(head(&store.lane(uid(1)).view().unwrap(), uid(1)), Some(pending));
    kv.open();
    let (result, shown) = answers.recv().unwrap();
    assert!(matches!(result, Err(CommitError::Conflict(_))));
    assert_eq!(shown, None);
}

#[test]
fn tenants_do_not_wait_for_each_other() {
    let (store, _, _) = controlled();
    let held = store.lane(uid(1));
    store.lane(uid(2)).submit(build(uid(2), None).0).wait().unwrap();
    drop(held);
    store.lane(uid(1)).submit(build(uid(1), None).0).wait().unwrap();
}

fn number(n: u8) -> BuildNumber {
    BuildNumber::decode(&[n; 16]).unwrap()
}

/// Scans merge pending rows, replaced rows and deleted rows over durable ones, across page borders,
/// in both directions and from the middle.
#[test]
fn scans_see_pending_rows_in_order() {
    let (store, kv, _) = controlled();
    let mut change = Change::new();
    for n in (0..400_u64).step_by(2) {
        change.put(&(uid(1), n), &number(0));
    }
    change.put(&(uid(2), 7), &number(9));
    store.commit(change).unwrap();
    kv.shut();
    let mut first = Change::new();
    for n in 0..400_u64 {
        match n % 8 {
            0 => first.delete::<BuildNumber>(&(uid(1), n)),
            1 | 2 => first.put(&(uid(1), n), &number(1)),
            _ => &mut first,
        };
    }
    let first = store.lane(uid(1)).submit(first);
    let mut second = Change::new();
    second.put(&(uid(1), 0), &number(2)).delete::<BuildNumber>(&(uid(1), 1));
    let second = store.lane(uid(1)).submit(second);

    let view = store.lane(uid(1)).view().unwrap();
    let expected: Vec<(u64, u8)> = (0..400)
        .filter_map(|n| match n {
            0 => Some((0, 2)),
            1 => None,
            _ => match n % 8 {
                1 | 2 => Some((n, 1)),
                4 | 6 => Some((n, 0)),
                _ => None,
            },
        })
        .collect();
    let read = |scan: colophon_store::Scan<'_, BuildNumber>| -> Vec<(u64, u8)> {
        scan.map(|row| row.map(|(key, row)| (key.1, row.build.as_bytes()[0])).unwrap()).collect()
    };
    assert_eq!(read(view.scan(&uid(1))), expected);
    let mut reversed = expected.clone();
    reversed.reverse();
    assert_eq!(read(view.scan(&uid(1)).descending()), reversed);
    let middle = read(view.scan(&uid(1)).starting_at(&(uid(1), 200)));
    assert_eq!(middle, expected.iter().copied().filter(|(n, _)| *n >= 200).collect::<Vec<_>>());
    let last_two = view.scan::<BuildNumber>(&uid(1)).descending().starting_at(&(uid(1), 200));
    assert_eq!(last_two.take(2).map(|row| row.unwrap().0.1).collect::<Vec<_>>(), [198, 196]);
    kv.open();
    first.wait().unwrap();
    second.wait().unwrap();
    assert_eq!(read(store.view().unwrap().scan(&uid(1))), expected);
}
