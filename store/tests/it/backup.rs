//! A backup is the store at one moment, taken while builds go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use colophon_model::{Digest, UnixMillis};
use colophon_store::rows::TenantHead;
use colophon_store::{Error, FsckOptions, Options, Pace, Progress, Store, restore};

use crate::support::noise;
use crate::world::Tenant;

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

fn silent(_: Progress) {}

fn options() -> Options {
    Options { segment_max: 20_000, ..Options::default() }
}

fn builds(store: &Store, tenant: &Tenant) -> u64 {
    store.view().unwrap().get::<TenantHead>(&tenant.uid).unwrap().unwrap().builds
}

#[test]
fn a_backup_under_load_is_whole_and_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &options()).unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    for n in 0..10 {
        tenant.build(&store, &noise(n, 6000), NOW);
    }
    let stop = AtomicBool::new(false);
    let (before, after) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 100;
            while !stop.load(Ordering::Relaxed) {
                tenant.build(&store, &noise(n, 6000), NOW);
                n += 1;
            }
        });
        let before = builds(&store, &tenant);
        store.backup(&dir.path().join("backup"), &silent).unwrap();
        let after = builds(&store, &tenant);
        stop.store(true, Ordering::Relaxed);
        (before, after)
    });
    let report =
        restore(&dir.path().join("backup"), &dir.path().join("restored"), &silent).unwrap();
    assert!(report.check.is_clean(), "{:?}", report.check.problems);
    assert!(report.check.blobs > 60 && report.copied.segments > 3, "{report:?}");
    let restored = Store::open(&dir.path().join("restored"), &options()).unwrap();
    let there = builds(&restored, &tenant);
    assert!((before..=after).contains(&there), "{before} ≤ {there} ≤ {after}");
    let read = restored.view().unwrap().read_blob(tenant.uid, &Digest::of(&noise(3, 6000)));
    assert_eq!(read.unwrap(), Some(noise(3, 6000)));
    tenant.build(&restored, b"life goes on", NOW);
}

/// Generations go on where the original's were, so that no place is ever named twice.
#[test]
fn a_restored_store_never_writes_over_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &options()).unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    for n in 0..5 {
        tenant.build(&store, &noise(n, 6000), NOW);
    }
    store.backup(&dir.path().join("backup"), &silent).unwrap();
    restore(&dir.path().join("backup"), &dir.path().join("restored"), &silent).unwrap();
    let restored = Store::open(&dir.path().join("restored"), &options()).unwrap();
    for n in 5..9 {
        tenant.build(&restored, &noise(n, 6000), NOW);
    }
    let check = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    assert!(restored.fsck(&check, None, &silent).unwrap().is_clean());
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &options()).unwrap();
    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/file"), "mine").unwrap();
    let refused = store.backup(&dir.path().join("full"), &silent);
    assert!(matches!(refused, Err(Error::NotEmpty { .. })), "{refused:?}");
    store.backup(&dir.path().join("backup"), &silent).unwrap();
    let refused = restore(&dir.path().join("backup"), &dir.path().join("full"), &silent);
    assert!(matches!(refused, Err(Error::NotEmpty { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(dir.path().join("full")).unwrap().count(), 1);
}

/// An interrupted backup is no backup, whatever of it is there.
#[test]
fn half_a_backup_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (backup, to) = (dir.path().join("backup"), dir.path().join("restored"));
    let store = Store::open(&dir.path().join("store"), &options()).unwrap();
    store.backup(&backup, &silent).unwrap();
    fs::remove_file(backup.join("FORMAT")).unwrap();
    assert!(matches!(restore(&backup, &to, &silent), Err(Error::NoBackup { .. })));
    fs::write(backup.join("FORMAT"), "colophon store 99\n").unwrap();
    assert!(matches!(restore(&backup, &to, &silent), Err(Error::Format { .. })));
    assert!(!to.exists());
    assert!(matches!(restore(&dir.path().join("no"), &to, &silent), Err(Error::NoBackup { .. })));
}

/// Damage in a backup is told, not passed on in silence.
#[test]
fn a_damaged_backup_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &options()).unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    tenant.build(&store, &noise(1, 6000), NOW);
    let backup = dir.path().join("backup");
    store.backup(&backup, &silent).unwrap();
    let segment = backup.join("segments/0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let report = restore(&backup, &dir.path().join("restored"), &silent).unwrap();
    assert!(!report.check.is_clean());
    assert_eq!(report.check.problems[0].code, "E_BLOB_DAMAGED");
}
