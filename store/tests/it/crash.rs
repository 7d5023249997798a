//! A crash before every single operation on the disk, and another one during the recovery: whatever
//! was acknowledged is there afterwards, and nothing is there by halves.

use std::collections::BTreeSet;
use std::sync::Arc;

use colophon_model::Digest;
use colophon_store::rows::{BuildNumber, TenantHead};
use colophon_store::{
    Batch, Change, Durability, KeyRange, Kv, Options, Order, RedbKv, Row, Store, Table, Watermarks,
};

use crate::sim::{Fate, Op, SimDisk};
use crate::support::{blob, noise, uid};

/// A segment takes three large blobs, so that files are sealed and begun between builds and amid
/// them.
fn options(durability: Durability) -> Options {
    Options {
        durability,
        cache_bytes: 1 << 20,
        segment_max: 12_000,
        watermarks: Watermarks { low: 1, high: 1, reserve: 8192 },
        ..Options::default()
    }
}

fn open(disk: &SimDisk, durability: Durability) -> Store {
    Store::open_on(Arc::new(disk.clone()), &options(durability)).unwrap()
}

/// Build `n`: a small blob, two large ones, the head and the number row.
fn build(n: u64) -> (Change, [Vec<u8>; 3]) {
    let tenant = uid(1);
    let bytes = [format!("small {n}").into_bytes(), noise(n, 6000), noise(n + 100, 5000)];
    let old = (n > 1).then(|| TenantHead { builds: n - 1, ..TenantHead::default() });
    let mut change = Change::new();
    change
        .expect(&tenant, old.as_ref())
        .put(&tenant, &TenantHead { builds: n, ..TenantHead::default() })
        .put(&(tenant, n), &number(n));
    for bytes in &bytes {
        change.blob(tenant, blob(bytes));
    }
    (change, bytes)
}

fn number(n: u64) -> BuildNumber {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    BuildNumber::decode(&bytes).unwrap()
}

fn do_build(store: &Store, n: u64) {
    store.lane(uid(1)).submit(build(n).0).wait().unwrap();
}

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

/// More builds than any test makes.
const MAX_BUILDS: u64 = 8;

/// Checks that the store holds some number of builds, at least `least`, each of them whole, and
/// nothing of the next. Answers how many.
fn check_whole(store: &Store, least: u64) -> u64 {
    let view = store.view().unwrap();
    let builds = view.get::<TenantHead>(&uid(1)).unwrap().map_or(0, |head| head.builds);
    assert!(builds >= least, "{least} builds were acknowledged, {builds} are there");
    for n in 1..=MAX_BUILDS {
        let there = n <= builds;
        assert_eq!(view.get(&(uid(1), n)).unwrap(), there.then(|| number(n)));
        for bytes in build(n).1 {
            let read = view.read_blob(uid(1), &Digest::of(&bytes)).unwrap();
            assert_eq!(read, there.then_some(bytes));
        }
    }
    builds
}

/// Decides about operation `n` of those before a crash at `at`.
type Decision = fn(at: usize, n: usize, op: &Op) -> Fate;

/// Those that differ most, for crashes after crashes.
const FEW: [Decision; 4] = [
    |_, _, _| Fate::Lost,
    |_, n, _| kept_if(n % 3 == 1),
    |_, _, op| kept_if(is_of_bytes(op)),
    |at, n, op| if n + 1 == at { torn(op) } else { Fate::Kept },
];

const ALL: [Decision; 8] = [
    FEW[0],
    FEW[1],
    FEW[2],
    FEW[3],
    |_, _, _| Fate::Kept,
    |_, n, _| kept_if(n.is_multiple_of(2)),
    |_, _, op| kept_if(!is_of_bytes(op)),
    |_, n, op| if n.is_multiple_of(2) { torn(op) } else { Fate::Kept },
];

fn is_of_bytes(op: &Op) -> bool {
    matches!(op, Op::Write { .. } | Op::SetLen { .. })
}

fn kept_if(kept: bool) -> Fate {
    if kept { Fate::Kept } else { Fate::Lost }
}

fn torn(op: &Op) -> Fate {
    match op {
        Op::Write { bytes, .. } => Fate::Torn(bytes.len() / 2),
        _ => Fate::Kept,
    }
}

/// States of a disk that were looked at, with how many builds they were to hold at least.
type Seen = BTreeSet<(Digest, u64)>;

/// Shows every different state that a crash at any operation of `disk` leaves, once, together with
/// how many builds `least` says that it must hold at least.
fn crashes(
    disk: &SimDisk,
    decisions: &[Decision],
    seen: &mut Seen,
    least: impl Fn(usize) -> u64,
    mut show: impl FnMut(&SimDisk, u64),
) {
    for at in 0..=disk.operations() {
        for decision in decisions {
            let after = disk.crashed(at, |n, op| decision(at, n, op));
            if seen.insert((after.fingerprint(), least(at))) {
                show(&after, least(at));
            }
        }
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

/// Opens `disk`, makes some more builds and closes it, crashing before every operation of that.
/// Whatever the first opening showed stays, acknowledged or not, since somebody may have seen it.
fn crash_recovery(disk: &SimDisk, least: u64, more: u64, durability: Durability, seen: &mut Seen) {
    let store = open(disk, durability);
    let builds = check_whole(&store, least);
    let mut known = vec![(0, least), (disk.operations(), builds)];
    for n in builds + 1..=builds + more {
        do_build(&store, n);
        known.push((disk.operations(), n));
    }
    drop(store);
    let least = |at| known.iter().filter(|(from, _)| *from <= at).map(|(_, n)| *n).max();
    crashes(disk, &FEW, seen, |at| least(at).unwrap(), |after, least| {
        check_whole(&open(after, durability), least);
    });
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
    crashes(
        &disk,
        &mut seen,
        |at| u64::from(at >= before),
        |after, made| {
            if made == 1 {
                let kv = open(after);
                assert_eq!(all(&kv), expected);
                let metas = after.files().keys().filter(|name| name.starts_with("meta.")).count();
                assert_eq!(metas, 1, "the other file is removed");
                kv.rewrite().unwrap();
                assert_eq!(all(&kv), expected);
            }
        },
    );
}
