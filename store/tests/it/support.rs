//! Shared by several tests: small values, and seams that count, wait or fail on demand.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use colophon_model::audit::{Act, Action, Actor, Subject};
use colophon_model::{Digest, TenantUid};
use colophon_store::rows::TenantHead;
use colophon_store::{
    Batch, Change, Conflict, Kv, Location, MemoryKv, MemorySegments, PreparedBlob, SegmentInfo,
    Segments, Snapshot, Store, Usage, View,
};

pub(crate) fn uid(n: u8) -> TenantUid {
    TenantUid::from_bytes([n; 16])
}

/// What is written down about an erasure.
pub(crate) fn erasure() -> Act {
    Act::done(Actor::system("test"), Action::TenantErase, Subject::new("tenant", "x"))
}

pub(crate) fn blob(bytes: &[u8]) -> PreparedBlob {
    PreparedBlob::new(bytes).unwrap()
}

/// Bytes that do not compress, so that they go to a segment when there are enough of them.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let block = |i: u64| *Digest::of(&[seed.to_be_bytes(), i.to_be_bytes()].concat()).as_bytes();
    let mut bytes: Vec<u8> = (0..=len as u64 / 32).flat_map(block).collect();
    bytes.truncate(len);
    bytes
}

pub(crate) fn head(view: &View, tenant: TenantUid) -> Option<TenantHead> {
    view.get::<TenantHead>(&tenant).unwrap()
}

/// A build in its smallest form: it expects the head it rests on and replaces it.
pub(crate) fn build(tenant: TenantUid, old: Option<&TenantHead>) -> (Change, TenantHead) {
    let mut new = old.cloned().unwrap_or_default();
    new.builds += 1;
    let mut change = Change::new();
    change.expect(&tenant, old).put(&tenant, &new);
    (change, new)
}

/// Rows in memory whose commits are counted, can be held back, and can be made to fail.
#[derive(Default)]
pub(crate) struct TestKv {
    rows: MemoryKv,
    pub(crate) commits: AtomicUsize,
    pub(crate) fail: AtomicBool,
    shut: Mutex<bool>,
    opened: Condvar,
    after_snapshot: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl TestKv {
    /// Lets commits wait until [`Self::open`].
    pub(crate) fn shut(&self) {
        *self.shut.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.shut.lock().unwrap() = false;
        self.opened.notify_all();
    }

    /// Runs `work` once, right after the next snapshot is taken and before it is handed out.
    pub(crate) fn after_next_snapshot(&self, work: impl FnOnce() + Send + 'static) {
        *self.after_snapshot.lock().unwrap() = Some(Box::new(work));
    }
}

impl Kv for TestKv {
    fn snapshot(&self) -> io::Result<Box<dyn Snapshot>> {
        let snapshot = self.rows.snapshot();
        let work = self.after_snapshot.lock().unwrap().take();
        if let Some(work) = work {
            work();
        }
        snapshot
    }

    fn commit(&self, batches: &[&Batch]) -> io::Result<Vec<Result<(), Conflict>>> {
        drop(self.opened.wait_while(self.shut.lock().unwrap(), |shut| *shut).unwrap());
        self.commits.fetch_add(1, Ordering::SeqCst);
        if self.fail.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.rows.commit(batches)
    }

    fn usage(&self) -> io::Result<Usage> {
        self.rows.usage()
    }

    fn rewrite(&self) -> io::Result<()> {
        self.rows.rewrite()
    }
}

/// Frames in memory whose appends and reads can be made to fail.
#[derive(Default)]
pub(crate) struct TestSegments {
    frames: MemorySegments,
    pub(crate) fail: AtomicBool,
    /// Whether nothing can be read for now.
    pub(crate) unread: AtomicBool,
}

impl Segments for TestSegments {
    fn append(&self, frames: &[&[u8]]) -> io::Result<Vec<Location>> {
        if self.fail.load(Ordering::SeqCst) && !frames.is_empty() {
            return Err(io::Error::other("injected"));
        }
        self.frames.append(frames)
    }

    fn read(&self, location: &Location) -> io::Result<Vec<u8>> {
        if self.unread.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.frames.read(location)
    }

    fn list(&self) -> io::Result<Vec<SegmentInfo>> {
        self.frames.list()
    }

    fn seal(&self) -> io::Result<()> {
        self.frames.seal()
    }

    fn remove(&self, generation: u64) -> io::Result<()> {
        self.frames.remove(generation)
    }
}

/// A store over seams that the test controls.
pub(crate) fn controlled() -> (Store, Arc<TestKv>, Arc<TestSegments>) {
    let (kv, segments) = (Arc::new(TestKv::default()), Arc::new(TestSegments::default()));
    let store = Store::over(kv.clone(), segments.clone(), 4096).unwrap();
    (store, kv, segments)
}
