//! A disk that loses, or keeps by halves, what was not synced: whatever was acknowledged is there
//! afterwards, and nothing is there by halves.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use colophon_model::Digest;
use colophon_store::rows::{BuildNumber, TenantHead};
use colophon_store::{
    Change, CommitError, Durability, Kv, MemorySegments, RedbKv, Row, Segments, Store,
};
use redb::StorageBackend;

use crate::support::{blob, noise, uid};

#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// A disk in memory that remembers, in order, all that was done to it.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    live: Mutex<Vec<u8>>,
    log: Mutex<Vec<Op>>,
    fail_sync: AtomicBool,
}

impl Disk {
    /// The disk after a crash before operation `at`: all that was synced by then, and of the writes
    /// since the last sync those that `kept` picks.
    fn crashed(&self, at: usize, kept: impl Fn(usize) -> bool) -> Self {
        let log = self.0.log.lock().unwrap();
        let synced = log[..at].iter().rposition(|op| matches!(op, Op::Sync)).unwrap_or(0);
        let mut image = Vec::new();
        for (n, op) in log[..at].iter().enumerate() {
            match op {
                Op::Write(offset, bytes) if n < synced || kept(n) => {
                    let start = usize::try_from(*offset).unwrap();
                    image[start..start + bytes.len()].copy_from_slice(bytes);
                }
                Op::SetLen(len) => image.resize(usize::try_from(*len).unwrap(), 0),
                Op::Write(..) | Op::Sync => {}
            }
        }
        let disk = Self::default();
        *disk.0.live.lock().unwrap() = image;
        disk
    }

    fn operations(&self) -> usize {
        self.0.log.lock().unwrap().len()
    }

    fn do_op(&self, op: Op) {
        self.0.log.lock().unwrap().push(op);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.live.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let live = self.0.live.lock().unwrap();
        let bytes = live.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.live.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        self.do_op(Op::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.do_op(Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.0.live.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        self.do_op(Op::Write(offset, data.to_vec()));
        Ok(())
    }
}

fn open(disk: &Disk, segments: &Arc<dyn Segments>, durability: Durability) -> Store {
    let kv: Arc<dyn Kv> =
        Arc::new(RedbKv::with_backend(disk.clone(), durability, 1 << 20).unwrap());
    Store::over(kv, Arc::clone(segments), 4096).unwrap()
}

/// Build `n`: a small blob, a large one, the head and the number row.
fn build(n: u64) -> (Change, [Vec<u8>; 2]) {
    let tenant = uid(1);
    let bytes = [format!("small {n}").into_bytes(), noise(n, 6000)];
    let old = (n > 1).then(|| TenantHead { builds: n - 1, ..TenantHead::default() });
    let mut change = Change::new();
    change
        .expect(&tenant, old.as_ref())
        .put(&tenant, &TenantHead { builds: n, ..TenantHead::default() })
        .put(&(tenant, n), &number(n))
        .blob(tenant, blob(&bytes[0]))
        .blob(tenant, blob(&bytes[1]));
    (change, bytes)
}

fn number(n: u64) -> BuildNumber {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    BuildNumber::decode(&bytes).unwrap()
}

const BUILDS: u64 = 6;

/// Builds on `disk`, and after how many operations each was acknowledged.
fn workload(disk: &Disk, segments: &Arc<dyn Segments>, durability: Durability) -> Vec<usize> {
    let store = open(disk, segments, durability);
    let mut acknowledged = vec![disk.operations()];
    for n in 1..=BUILDS {
        store.lane(uid(1)).submit(build(n).0).wait().unwrap();
        acknowledged.push(disk.operations());
    }
    acknowledged
}

/// Checks that the store holds some number of builds, at least `least`, each of them whole.
fn check_whole(store: &Store, least: u64) {
    let view = store.view().unwrap();
    let builds = view.get::<TenantHead>(&uid(1)).unwrap().map_or(0, |head| head.builds);
    assert!(builds >= least, "{least} builds were acknowledged, {builds} are there");
    for n in 1..=BUILDS {
        let there = n <= builds;
        assert_eq!(view.get(&(uid(1), n)).unwrap(), there.then(|| number(n)));
        for bytes in build(n).1 {
            let read = view.read_blob(uid(1), &Digest::of(&bytes)).unwrap();
            assert_eq!(read, there.then_some(bytes));
        }
    }
}

/// Crashes before every operation after the store was first opened.
fn crash_everywhere(durability: Durability) {
    let (disk, segments) = (Disk::default(), Arc::new(MemorySegments::new()) as Arc<dyn Segments>);
    let acknowledged = workload(&disk, &segments, durability);
    let mut crashes = 0;
    for at in acknowledged[0]..=disk.operations() {
        let least = acknowledged.iter().filter(|done| **done <= at).count() as u64 - 1;
        // None of the unsynced writes, all, or every other one.
        for kept in [|_| false, |_| true, |n: usize| n.is_multiple_of(2), |n| n % 3 == 1] {
            let after = disk.crashed(at, kept);
            check_whole(&open(&after, &segments, durability), least);
            crashes += 1;
        }
    }
    assert!(crashes > 40, "only {crashes} crashes were tried");
}

#[test]
fn full_durability_keeps_every_acknowledged_build_whole() {
    crash_everywhere(Durability::Full);
}

#[test]
fn fast_durability_keeps_every_acknowledged_build_whole() {
    crash_everywhere(Durability::Fast);
}

/// What a durable build costs is counted in syncs; the segment's own comes on top.
#[test]
fn a_build_costs_two_syncs_of_the_metadata_or_one_when_fast() {
    for (durability, expected) in [(Durability::Full, 2), (Durability::Fast, 1)] {
        let disk = Disk::default();
        let segments = Arc::new(MemorySegments::new()) as Arc<dyn Segments>;
        let acknowledged = workload(&disk, &segments, durability);
        let log = disk.0.log.lock().unwrap();
        for build in acknowledged.windows(2) {
            let operations = &log[build[0]..build[1]];
            let syncs = operations.iter().filter(|op| matches!(op, Op::Sync)).count();
            assert_eq!(syncs, expected, "{durability:?}");
        }
    }
}

/// After a crash the sequence of inline blobs goes on behind what was leased: no old blob's bytes
/// are overwritten.
#[test]
fn work_goes_on_after_a_crash() {
    let (disk, segments) = (Disk::default(), Arc::new(MemorySegments::new()) as Arc<dyn Segments>);
    let acknowledged = workload(&disk, &segments, Durability::Full);
    let after = disk.crashed(acknowledged[3], |_| false);
    let store = open(&after, &segments, Durability::Full);
    check_whole(&store, 3);
    for n in 4..=BUILDS {
        store.lane(uid(1)).submit(build(n).0).wait().unwrap();
    }
    check_whole(&store, BUILDS);
}

/// A sync that fails once may have dropped the very pages it failed on, so it is never repeated.
#[test]
fn a_failed_sync_stops_the_store_for_good() {
    let (disk, segments) = (Disk::default(), Arc::new(MemorySegments::new()) as Arc<dyn Segments>);
    let store = open(&disk, &segments, Durability::Full);
    store.lane(uid(1)).submit(build(1).0).wait().unwrap();
    disk.0.fail_sync.store(true, Ordering::SeqCst);
    let failed = store.lane(uid(1)).submit(build(2).0).wait();
    assert!(matches!(failed, Err(CommitError::Stopped(_))), "{failed:?}");
    disk.0.fail_sync.store(false, Ordering::SeqCst);
    let later = store.lane(uid(1)).submit(build(2).0).wait();
    assert!(matches!(later, Err(CommitError::Stopped(_))), "{later:?}");
    assert!(store.health().is_err());
}
