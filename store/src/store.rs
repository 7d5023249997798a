//! The store: opening it, reading from it, writing to it.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use colophon_model::TenantUid;

use crate::directory::Directory;
use crate::lane::Lanes;
use crate::writer::{Answer, Ticket, Writer};
use crate::{
    Change, CommitError, Durability, Error, FileSegments, Kv, Lane, MemoryKv, MemorySegments,
    RedbKv, Segments, View,
};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much is paid per commit for a quick start after a crash.
    pub durability: Durability,
    /// Memory for pages of the metadata, in bytes.
    pub cache_bytes: usize,
    /// Blobs up to this size after compression, in bytes, are kept in the metadata.
    pub inline_max: usize,
    /// Size at which a segment is sealed, in bytes.
    pub segment_max: u64,
    /// One line about this process, shown to another that finds the store locked.
    pub owner: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            cache_bytes: 64 << 20,
            inline_max: 4 << 10,
            segment_max: 64 << 20,
            owner: String::new(),
        }
    }
}

/// Blobs and rows with one commit point. Cheap to clone; the last handle to go waits for what was
/// submitted.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// Fields are dropped in this order: the lock goes when nothing uses the files any more.
struct Inner {
    writer: Writer,
    lanes: Arc<Lanes>,
    kv: Arc<dyn Kv>,
    segments: Arc<dyn Segments>,
    _lock: Lock,
}

/// Keeps others out for as long as anyone holds it.
type Lock = Arc<dyn Any + Send + Sync>;

impl Store {
    /// Opens the store in `dir`, or makes one there.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::Format`] when a newer version
    /// wrote it, [`Error::File`] for anything that the file system refuses.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let directory = Directory::open(dir, &options.owner)?;
        let segments = directory.segments()?;
        let segments = FileSegments::open(&segments, options.segment_max)
            .map_err(|source| Error::File { path: segments, source })?;
        let kv = directory
            .metadata(|path| RedbKv::open(path, options.durability, options.cache_bytes))?;
        let lock = Arc::new(directory.into_lock());
        Self::start(Arc::new(kv), Arc::new(segments), options.inline_max, lock)
    }

    /// A store that is gone with its last handle, for tests and for trying things out.
    pub fn in_memory() -> Result<Self, Error> {
        let (kv, segments) = (MemoryKv::new(), MemorySegments::new());
        Self::over(Arc::new(kv), Arc::new(segments), Options::default().inline_max)
    }

    /// A store over other implementations of the two seams. Nobody else may write to them.
    pub fn over(
        kv: Arc<dyn Kv>,
        segments: Arc<dyn Segments>,
        inline_max: usize,
    ) -> Result<Self, Error> {
        Self::start(kv, segments, inline_max, Arc::new(()))
    }

    fn start(
        kv: Arc<dyn Kv>,
        segments: Arc<dyn Segments>,
        inline_max: usize,
        lock: Lock,
    ) -> Result<Self, Error> {
        let writer =
            Writer::start(Arc::clone(&kv), Arc::clone(&segments), inline_max, Arc::clone(&lock))
                .map_err(Error::Read)?;
        Ok(Self(Arc::new(Inner { writer, lanes: Arc::default(), kv, segments, _lock: lock })))
    }

    /// The durable state as of now.
    pub fn view(&self) -> Result<View, Error> {
        self.view_over(Vec::new())
    }

    /// The durable state with `pending` on top.
    pub(crate) fn view_over(&self, pending: Vec<Arc<Change>>) -> Result<View, Error> {
        let snapshot = self.0.kv.snapshot().map_err(Error::Read)?;
        Ok(View::new(snapshot, pending, Arc::clone(&self.0.segments)))
    }

    /// Waits for the tenant's lane and holds it. Holding two lanes at once may deadlock.
    pub fn lane(&self, tenant: TenantUid) -> Lane {
        Lanes::hold(&self.0.lanes, self.clone(), tenant)
    }

    /// Commits a change outside any lane (a new tenant, a token) and waits until it is durable or
    /// refused.
    pub fn commit(&self, change: Change) -> Result<(), CommitError> {
        let (ticket, answer) = Ticket::new();
        self.writer().submit(Arc::new(change), Answer::new(answer));
        ticket.wait()
    }

    /// Whether the store can still write.
    ///
    /// # Errors
    /// [`CommitError::Stopped`] with the failure that ended it.
    pub fn health(&self) -> Result<(), CommitError> {
        self.writer().stopped().map_or(Ok(()), Err)
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }
}
