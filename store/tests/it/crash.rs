//! A crash before every single operation on the disk, and another one during the recovery: whatever
//! was acknowledged is there afterwards, and nothing is there by halves.

use std::sync::Arc;

use colophon_store::{Batch, Change, Durability, KeyRange, Kv, Order, RedbKv, Table};

use crate::sim::SimDisk;
use crate::sim::crashes::{ALL, Decision, FEW, Seen, crashes};
use crate::support::{blob, uid};
use crate::workload::{check_whole, do_build, number, open};

/// A disk on which a store was made, used, closed, opened and used again.
struct Workload {
    disk: SimDisk,
    /// After how many operations each build was acknowledged.
    acknowledged: Vec<usize>,
}

impl Workload {
    /// Some builds before the store is closed, and some after.
    fn new(durability: Durability, before: u64, after: u64) -> Self {
        let disk = SimDisk::new();
        let mut acknowledged = Vec::new();
        for builds in [1..=before, before + 1..=before + after] {
            let store = open(&disk, durability);
            for n in builds {
                do_build(&store, n);
                acknowledged.push(disk.operations());
            }
        }
        Self { disk, acknowledged }
    }

    /// How many builds must be there when the disk crashes before operation `at`.
    fn least(&self, at: usize) -> u64 {
        self.acknowledged.iter().filter(|done| **done <= at).count() as u64
    }

    /// Shows each state that a crash leaves, and answers how many there are.
    fn crashes(&self, decisions: &[Decision], show: impl FnMut(&SimDisk, u64)) -> usize {
        let mut seen = Seen::new();
        crashes(&self.disk, decisions, &mut seen, |at| self.least(at), show);
        seen.len()
    }
}

/// Crashes before every operation, opens the store again and goes on building.
fn crash_everywhere(durability: Durability) {
    let tried = Workload::new(durability, 4, 2).crashes(&ALL, |after, least| {
        let store = open(after, durability);
        let builds = check_whole(&store, least);
        do_build(&store, builds + 1);
        check_whole(&store, builds + 1);
    });
    assert!(tried > 300, "only {tried} crashes were tried");
}

#[test]
fn full_durability_keeps_every_acknowledged_build_whole() {
    crash_everywhere(Durability::Full);
}

#[test]
fn fast_durability_keeps_every_acknowledged_build_whole() {
    crash_everywhere(Durability::Fast);
}

/// Opens `disk`, makes `more` builds and closes it, crashing before every operation of that.
/// Whatever the first opening showed stays, acknowledged or not, since somebody may have seen it.
pub(crate) fn crash_recovery(
    disk: &SimDisk,
    least: u64,
    more: u64,
    durability: Durability,
    seen: &mut Seen,
) {
    let store = open(disk, durability);
    let builds = check_whole(&store, least);
    let mut known = vec![(0, least), (disk.operations(), builds)];
    for n in builds + 1..=builds + more {
        do_build(&store, n);
        known.push((disk.operations(), n));
    }
    drop(store);
    let least = |at| known.iter().filter(|(from, _)| *from <= at).map(|(_, n)| *n).max();
    crashes(
        disk,
        &FEW,
        seen,
        |at| least(at).unwrap(),
        |after, least| {
            check_whole(&open(after, durability), least);
        },
    );
}

/// Crashes before every operation, and again before every operation of the recovery.
fn crash_twice_everywhere(durability: Durability) {
    let mut seen = Seen::new();
    Workload::new(durability, 2, 1).crashes(&FEW, |after, least| {
        crash_recovery(after, least, 0, durability, &mut seen);
    });
    assert!(seen.len() > 1000, "only {} crashes were tried", seen.len());
}

#[test]
fn a_crash_during_the_recovery_loses_nothing_either() {
    crash_twice_everywhere(Durability::Full);
}

#[test]
fn a_crash_during_a_fast_recovery_loses_nothing_either() {
    crash_twice_everywhere(Durability::Fast);
}

/// A killed process leaves what it wrote to those who come after it, durable or not. What they see
/// and build on must not be lost with the machine.
fn kill_then_crash_everywhere(durability: Durability) {
    let workload = Workload::new(durability, 2, 1);
    let mut seen = Seen::new();
    for at in 0..=workload.disk.operations() {
        let least = workload.least(at);
        crash_recovery(&workload.disk.killed(at), least, 1, durability, &mut seen);
    }
    assert!(seen.len() > 1000, "only {} crashes were tried", seen.len());
}

#[test]
fn what_a_killed_process_left_is_made_durable() {
    kill_then_crash_everywhere(Durability::Full);
}

#[test]
fn what_a_killed_fast_process_left_is_made_durable() {
    kill_then_crash_everywhere(Durability::Fast);
}

/// What a durable build costs is counted in syncs: of the metadata, of a segment when a blob is
/// large and, when a segment is begun, of its directory and of the segment before.
#[test]
fn a_build_costs_two_syncs_or_one_when_fast_and_one_more_with_a_segment() {
    for (durability, metadata) in [(Durability::Full, 2), (Durability::Fast, 1)] {
        let disk = SimDisk::new();
        let store = open(&disk, durability);
        for (n, segments) in (1..).zip([2, 3, 1, 3, 3, 1]) {
            let mut small = Change::new();
            small.put(&(uid(2), n), &number(n)).blob(uid(2), blob(format!("only {n}").as_bytes()));
            assert_eq!(syncs(&disk, || store.commit(small).unwrap()), metadata, "{durability:?}");
            assert_eq!(syncs(&disk, || do_build(&store, n)), metadata + segments, "{durability:?}");
        }
    }
}

fn syncs(disk: &SimDisk, work: impl FnOnce()) -> usize {
    let before = disk.operations();
    work();
    disk.log()[before..].iter().filter(|op| op.is_sync()).count()
}

/// Rows that are moved to a new file are in the old one or in the new one, whole.
#[test]
fn a_crash_during_a_rewrite_changes_no_row() {
    let disk = SimDisk::new();
    let open =
        |disk: &SimDisk| RedbKv::open(Arc::new(disk.clone()), Durability::Full, 1 << 20).unwrap();
    let kv = open(&disk);
    let row = |n: u8| ((Table::Ref, vec![n]), Some(vec![n; 1000]));
    let rows = Batch { checks: Vec::new(), writes: (0..40).map(row).collect() };
    kv.commit(&[&rows]).unwrap();
    let before = disk.operations();
    kv.rewrite().unwrap();
    let mut seen = Seen::new();
    let all = |kv: &RedbKv| {
        let snapshot = kv.snapshot().unwrap();
        snapshot.range(Table::Ref, &KeyRange::prefix(b""), Order::Ascending, 100).unwrap()
    };
    let expected = all(&kv);
    let least = |at| u64::from(at >= before);
    crashes(&disk, &ALL, &mut seen, least, |after, filled| {
        if filled == 1 {
            let kv = open(after);
            assert_eq!(all(&kv), expected);
            let metas = after.files().keys().filter(|name| name.starts_with("meta.")).count();
            assert_eq!(metas, 1, "the other file is removed");
            kv.rewrite().unwrap();
            assert_eq!(all(&kv), expected);
        }
    });
}
