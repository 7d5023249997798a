//! Builds with a number each, for tests that lose a disk or fill it: what is there afterwards can be
//! told from the numbers alone.

use std::sync::Arc;

use colophon_model::Digest;
use colophon_store::rows::{BuildNumber, TenantHead};
use colophon_store::{Change, CommitError, Durability, Options, Row, Store, Watermarks};

use crate::sim::SimDisk;
use crate::support::{blob, noise, uid};

/// A segment takes three large blobs, so that files are sealed and begun between builds and amid
/// them.
pub(crate) fn options(durability: Durability) -> Options {
    Options {
        durability,
        cache_bytes: 1 << 20,
        segment_max: 12_000,
        watermarks: Watermarks { low: 1, high: 1, reserve: 8192 },
        ..Options::default()
    }
}

pub(crate) fn open(disk: &SimDisk, durability: Durability) -> Store {
    Store::open_on(Arc::new(disk.clone()), &options(durability)).unwrap()
}

/// Build `n`: a small blob, two large ones, the head and the number row.
pub(crate) fn build(n: u64) -> (Change, [Vec<u8>; 3]) {
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

pub(crate) fn number(n: u64) -> BuildNumber {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    BuildNumber::decode(&bytes).unwrap()
}

/// Makes build `n` and waits for it.
pub(crate) fn try_build(store: &Store, n: u64) -> Result<(), CommitError> {
    store.lane(uid(1)).submit(build(n).0).wait()
}

/// As [`try_build`], where nothing may fail.
pub(crate) fn do_build(store: &Store, n: u64) {
    try_build(store, n).unwrap();
}

/// More builds than most tests make.
const MAX_BUILDS: u64 = 8;

/// Checks that the store holds some number of builds, at least `least`, each of them whole, and
/// nothing of the next. Answers how many.
pub(crate) fn check_whole(store: &Store, least: u64) -> u64 {
    let view = store.view().unwrap();
    let builds = view.get::<TenantHead>(&uid(1)).unwrap().map_or(0, |head| head.builds);
    assert!(builds >= least, "{least} builds were acknowledged, {builds} are there");
    for n in 1..=builds.max(MAX_BUILDS) {
        let there = n <= builds;
        assert_eq!(view.get(&(uid(1), n)).unwrap(), there.then(|| number(n)));
        for bytes in build(n).1 {
            let read = view.read_blob(uid(1), &Digest::of(&bytes)).unwrap();
            assert_eq!(read, there.then_some(bytes));
        }
    }
    builds
}
