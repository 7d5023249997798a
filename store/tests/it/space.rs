//! A full disk: what is refused, what is still taken, and that nothing acknowledged is lost.

use std::sync::Arc;

use colophon_model::Digest;
use colophon_store::rows::BuildNumber;
use colophon_store::{Change, CommitError, Durability, Error, Options, Row, Store, Watermarks};

use crate::sim::SimDisk;
use crate::sim::crashes::FEW;
use crate::support::{blob, noise, uid};
use crate::workload::{check_whole, do_build, try_build};

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
        bytes.iter().for_each(|bytes| drop(change.blob(uid(1), blob(bytes))));
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
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Outcome {
    /// It could not be opened.
    Unopened,
    /// A build was refused, and the store went on.
    Refused,
    /// The store stopped.
    Stopped,
    Fits,
}

/// Opens a store and builds until something does not fit. A store that goes on is asked again, and
/// one that stopped stays so.
fn build_until_full(open: impl FnOnce() -> Result<Store, Error>, builds: u64) -> (u64, Outcome) {
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
    let mut outcomes = std::collections::BTreeSet::new();
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
