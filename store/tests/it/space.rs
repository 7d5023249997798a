//! A full disk: what is refused, what is still taken, and that nothing acknowledged is lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use colophon_model::{Digest, UnixMillis};
use colophon_store::rows::{BuildNumber, TufFile};
use colophon_store::{Change, CommitError, Error, GcOptions, Options, Row, Store, Watermarks};

use crate::sim::SimDisk;
use crate::sim::crashes::FEW;
use crate::support::{blob, noise, uid};
use crate::workload::{check_whole, do_build, try_build};
use crate::world::Tenant;

const KIB: u64 = 1 << 10;
const BLOCK: u64 = 4 * KIB;
const MARKS: Watermarks = Watermarks { low: 256 * KIB, high: 384 * KIB, reserve: 128 * KIB };
/// From so many free bytes on a full store takes changes again: the mark, and the reserve anew.
const RESUME: u64 = MARKS.high + MARKS.reserve;

fn options(watermarks: Watermarks) -> Options {
    let (cache_bytes, segment_max) = (1 << 20, 1 << 20);
    Options { cache_bytes, segment_max, watermarks, ..Options::default() }
}

fn try_open(disk: &SimDisk, watermarks: Watermarks) -> Result<Store, Error> {
    Store::open_on(Arc::new(disk.clone()), &options(watermarks))
}

fn open(disk: &SimDisk) -> Store {
    try_open(disk, MARKS).unwrap()
}

fn set_free(disk: &SimDisk, free: u64) {
    disk.set_capacity(Some(disk.used() + free));
}

fn has_reserve(disk: &SimDisk) -> bool {
    disk.files().get("reserve.bin").is_some_and(|bytes| bytes.len() as u64 == MARKS.reserve)
}

/// A change of one row.
fn small(n: u64) -> Change {
    let mut change = Change::new();
    change.put(&(uid(2), n), &BuildNumber::decode(&[7; 16]).unwrap());
    change
}

fn full(result: Result<(), CommitError>) -> (u64, u64) {
    match result {
        Err(CommitError::Full { free, resume }) => (free, resume),
        other => panic!("{other:?}"),
    }
}

/// Builds until the store refuses, and answers how many builds there are.
fn fill(store: &Store) -> u64 {
    let refused = (1..).find_map(|n| try_build(store, n).err().map(|error| (n, error)));
    let (n, error) = refused.unwrap();
    let (free, resume) = full(Err(error));
    assert!(free < MARKS.low && resume == RESUME);
    n - 1
}

#[test]
fn below_the_low_mark_only_maintenance_is_taken() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(2048 * KIB));
    let store = open(&disk);
    assert!(has_reserve(&disk));
    store.room().unwrap();
    let builds = fill(&store);
    assert!(!has_reserve(&disk), "the reserve is given to maintenance");
    full(store.room());
    full(store.commit(small(1)));
    store.health().unwrap();
    let mut maintenance = small(2);
    maintenance.use_reserve();
    store.commit(maintenance).unwrap();
    assert_eq!(check_whole(&store, builds), builds);
    let view = store.view().unwrap();
    assert_eq!(view.get::<BuildNumber>(&(uid(2), 1)).unwrap(), None);
    assert!(view.get::<BuildNumber>(&(uid(2), 2)).unwrap().is_some());
}

/// Space that comes back by drops does not let the store begin and stop all the time.
#[test]
fn at_the_high_mark_changes_are_taken_again_and_the_reserve_is_made_anew() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(2048 * KIB));
    let store = open(&disk);
    let builds = fill(&store);
    for free in [MARKS.low, MARKS.high, RESUME - BLOCK] {
        set_free(&disk, free);
        full(try_build(&store, builds + 1));
        full(store.room());
        assert!(!has_reserve(&disk));
    }
    set_free(&disk, RESUME);
    store.room().unwrap();
    do_build(&store, builds + 1);
    assert!(has_reserve(&disk));
    assert_eq!(check_whole(&store, builds + 1), builds + 1);
}

/// Whoever opens a store on a full disk has the reserve to do it, and can make room.
#[test]
fn a_store_on_a_full_disk_opens_and_waits_for_room() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(2048 * KIB));
    let store = open(&disk);
    let builds = fill(&store);
    drop(store);
    set_free(&disk, RESUME);
    drop(open(&disk));
    assert!(has_reserve(&disk));
    set_free(&disk, 0);
    let store = open(&disk);
    assert!(!has_reserve(&disk));
    full(store.room());
    let mut maintenance = small(1);
    maintenance.use_reserve();
    store.commit(maintenance).unwrap();
    assert_eq!(check_whole(&store, builds), builds);
    disk.set_capacity(None);
    do_build(&store, builds + 1);
    assert!(has_reserve(&disk));
}

/// Names `bytes` as file `n` of the tenant.
fn name(tenant: &Tenant, n: u64, bytes: &[u8]) -> Change {
    let mut change = Change::new();
    change.put(&(tenant.uid, n.to_string()), &TufFile { digest: Digest::of(bytes) });
    change.blob(tenant.uid, blob(bytes));
    change
}

/// The reserve is enough to delete rows, to condemn and delete blobs, and to move what lives out of
/// segments that are mostly dead.
#[test]
fn a_full_store_is_emptied_by_deleting_and_collecting() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(2048 * KIB));
    let marks = Options { segment_max: 64 << 10, ..options(MARKS) };
    let store = Store::open_on(Arc::new(disk.clone()), &marks).unwrap();
    let now = UnixMillis::new(1_800_000_000_000);
    let tenant = Tenant::create(&store, 1, now);
    let full_at = (0..1000).find(|n| store.commit(name(&tenant, *n, &noise(*n, 9000))).is_err());
    let full_at = full_at.unwrap();
    full(store.room());
    for n in (0..full_at).filter(|n| n % 5 != 0) {
        let mut change = Change::new();
        change.delete::<TufFile>(&(tenant.uid, n.to_string())).use_reserve();
        store.commit(change).unwrap();
    }
    let options = GcOptions { grace_millis: 0, ..GcOptions::at(now) };
    for _ in 0..2 {
        store.gc(&options, &|_| {}).unwrap();
    }
    store.room().unwrap();
    store.commit(name(&tenant, full_at, &noise(full_at, 9000))).unwrap();
    assert!(has_reserve(&disk));
    let view = store.view().unwrap();
    for n in (0..=full_at).filter(|n| n % 5 == 0 || *n == full_at) {
        let bytes = noise(n, 9000);
        assert_eq!(view.read_blob(tenant.uid, &Digest::of(&bytes)).unwrap(), Some(bytes));
    }
}

/// Bytes that do not fit are refused with their change, give back what they took, and the next
/// change is taken.
#[test]
fn a_blob_that_does_not_fit_is_refused_alone() {
    let disk = SimDisk::new();
    let store = try_open(&disk, Watermarks::default()).unwrap();
    do_build(&store, 1);
    set_free(&disk, 100 * KIB);
    let (used, files) = (disk.used(), disk.files().len());
    for seed in 10..20 {
        let bytes = [noise(seed, 60_000), noise(seed + 100, 60_000)];
        let mut change = Change::new();
        change.blob(uid(1), blob(&bytes[0])).blob(uid(1), blob(&bytes[1]));
        let (free, _) = full(store.commit(change));
        assert!(free >= 90 * KIB, "{free} bytes are left");
        assert!(!store.view().unwrap().has_blob(uid(1), &Digest::of(&bytes[0])).unwrap());
    }
    assert!(disk.used() <= used + BLOCK && disk.files().len() <= files + 1);
    store.health().unwrap();
    do_build(&store, 2);
    assert_eq!(check_whole(&store, 2), 2);
}

/// What a fill did to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It could not be opened.
    Unopened,
    /// A build was refused, and the store went on.
    Refused,
    /// The store stopped.
    Stopped,
    /// Everything fitted.
    Fits,
}

/// Opens a store and builds until something does not fit, and answers how many builds did. A store
/// that stopped stays so.
pub(crate) fn build_until_full(
    open: impl FnOnce() -> Result<Store, Error>,
    builds: u64,
) -> (u64, Outcome) {
    let Ok(store) = open() else { return (0, Outcome::Unopened) };
    for n in 1..=builds {
        match try_build(&store, n) {
            Ok(()) => {}
            Err(CommitError::Full { .. }) => {
                store.health().unwrap();
                return (n - 1, Outcome::Refused);
            }
            Err(CommitError::Stopped(_)) => {
                assert!(store.commit(small(1)).is_err() && store.health().is_err());
                return (n - 1, Outcome::Stopped);
            }
            Err(conflict) => panic!("{conflict}"),
        }
    }
    (builds, Outcome::Fits)
}

/// The disk is full at each block that a new store and its first builds take, one after the other.
#[test]
fn wherever_the_disk_is_full_nothing_acknowledged_is_lost() {
    let mut outcomes = BTreeSet::new();
    for blocks in 0.. {
        let disk = SimDisk::new();
        disk.set_capacity(Some(blocks * BLOCK));
        let open = || try_open(&disk, Watermarks::default());
        let (acknowledged, outcome) = build_until_full(open, 4);
        outcomes.insert(outcome);
        for decision in FEW {
            let at = disk.operations();
            let after = disk.crashed(at, |n, op| decision(at, n, op));
            check_whole(&open_in(&after), acknowledged);
        }
        disk.set_capacity(None);
        let store = open().unwrap();
        let builds = check_whole(&store, acknowledged);
        do_build(&store, builds + 1);
        if outcome == Outcome::Fits {
            break;
        }
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

fn open_in(disk: &SimDisk) -> Store {
    try_open(disk, Watermarks::default()).unwrap()
}

/// With marks that leave room for a whole group the store is full before anything fails.
#[test]
fn with_watermarks_a_full_disk_stops_nothing() {
    for kib in (512..1024).step_by(12) {
        let disk = SimDisk::new();
        disk.set_capacity(Some(kib * KIB));
        let (_, outcome) = build_until_full(|| try_open(&disk, MARKS), 100);
        assert_eq!(outcome, Outcome::Refused, "{kib} KiB");
    }
}
