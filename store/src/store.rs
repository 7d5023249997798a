//! The store: opening it, reading from it, writing to it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::TryLockError;

use colophon_model::{Digest, TenantUid};

use crate::committer::{Committer, Inline};
use crate::damage::Damage;
use crate::era::Era;
use crate::format;
use crate::gc::Retired;
use crate::lane::Lanes;
use crate::lease::Leases;
use crate::meter::Meter;
use crate::rows::FlowHead;
use crate::space::Space;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::turns::Turns;
use crate::writer::{Answer, Ticket, Writer};
use crate::{
    Change, CommitError, Disk, Durability, Error, FileSegments, Kv, Lane, Lease, MemoryKv,
    MemorySegments, OsDisk, RedbKv, Row, Segments, Table, View, Watermarks,
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
    /// Bytes of blobs that one group of changes adds to the metadata; what is beyond goes to a
    /// segment.
    pub inline_per_group: usize,
    /// Size at which a segment is sealed, in bytes.
    pub segment_max: u64,
    /// When the disk counts as full.
    pub watermarks: Watermarks,
    /// One line about this process, shown to another that finds the store locked.
    pub owner: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            cache_bytes: 64 << 20,
            inline_max: 4 << 10,
            inline_per_group: 256 << 10,
            segment_max: 64 << 20,
            watermarks: Watermarks::default(),
            owner: String::new(),
        }
    }
}

/// Blobs and rows with one commit point. Cheap to clone; the last handle to go waits for what was
/// submitted.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: Writer,
    lanes: Arc<Lanes>,
    kv: Arc<dyn Kv>,
    segments: Arc<dyn Segments>,
    damage: Arc<Damage>,
    leases: Leases,
    era: Era,
    turns: Turns,
    space: Arc<Space>,
    /// Held by the one maintenance job that runs.
    maintenance: Mutex<()>,
    retired: Mutex<Vec<Retired>>,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Blobs, each once.
    pub blobs: u64,
    /// Segments that hold larger ones.
    pub segments: u64,
    /// Their length in all, in bytes.
    pub segment_bytes: u64,
    /// Bytes that are free on its disk, if it has one.
    pub free: Option<u64>,
}

impl Store {
    /// Opens the store in `dir`, or makes one there.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::Format`] when a newer version
    /// wrote it, [`Error::File`] for anything that the file system refuses.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let disk = Arc::new(OsDisk::open(dir, &options.owner)?);
        Self::open_on(disk, options).map_err(|error| error.within(dir))
    }

    /// Opens the store on `disk`, or makes one there.
    pub fn open_on(disk: Arc<dyn Disk>, options: &Options) -> Result<Self, Error> {
        let file = |name: &str| {
            let path = name.into();
            move |source: io::Error| Error::File { path, source }
        };
        format::check(&*disk)?;
        // A process that was killed may have left names behind that are not durable yet.
        disk.sync_dir("").map_err(file(""))?;
        let space = Space::open(Arc::clone(&disk), options.watermarks).map_err(file(""))?;
        let segments =
            FileSegments::open(Arc::clone(&disk), options.segment_max).map_err(file("segments"))?;
        let kv =
            RedbKv::open(disk, options.durability, options.cache_bytes).map_err(file("CURRENT"))?;
        let inline = Inline { max: options.inline_max, per_group: options.inline_per_group };
        Self::start(Arc::new(kv), Arc::new(segments), space, inline)
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
        let inline = Inline { max: inline_max, per_group: Options::default().inline_per_group };
        Self::start(kv, segments, Space::unlimited(), inline)
    }

    fn start(
        kv: Arc<dyn Kv>,
        segments: Arc<dyn Segments>,
        space: Space,
        inline: Inline,
    ) -> Result<Self, Error> {
        let snapshot = kv.snapshot().map_err(Error::Read)?;
        let damage = Arc::new(Damage::load(&*snapshot).map_err(Error::Read)?);
        drop(snapshot);
        let space = Arc::new(space);
        let committer = Committer::new(
            Arc::clone(&kv),
            Arc::clone(&segments),
            Arc::clone(&damage),
            Arc::clone(&space),
            inline,
        )
        .map_err(Error::Read)?;
        let (era, turns) = (committer.era(), committer.turns());
        let writer = Writer::start(committer).map_err(Error::Read)?;
        Ok(Self(Arc::new(Inner {
            writer,
            lanes: Arc::default(),
            kv,
            segments,
            damage,
            leases: Leases::new(),
            era,
            turns,
            space,
            maintenance: Mutex::new(()),
            retired: Mutex::new(Vec::new()),
        })))
    }

    /// The durable state as of now.
    pub fn view(&self) -> Result<View, Error> {
        self.view_over(Vec::new())
    }

    /// The durable state with `pending` on top.
    pub(crate) fn view_over(&self, pending: Vec<Arc<Change>>) -> Result<View, Error> {
        // The number first: what the snapshot shows is then of this era or a later one.
        let (lease, era) = (self.lease(), self.era());
        let snapshot = self.0.kv.snapshot().map_err(Error::Read)?;
        let (segments, damage) = (Arc::clone(&self.0.segments), Arc::clone(&self.0.damage));
        Ok(View::new(snapshot, pending, segments, damage, lease, era))
    }

    /// The number of the current era. What a view of [`Self::view`] showed still stands while this is
    /// the number of [`View::era`]: a token that it found is not revoked, a tenant not erased, and a blob
    /// or a bundle that the tenant had it has still, whole as far as is known. Nothing is said of what
    /// was not found, nor of rows that builds replace, such as heads.
    ///
    /// Commits that only add do not raise it. It costs nothing to ask, and is of this process alone.
    pub fn era(&self) -> u64 {
        self.0.era.number()
    }

    /// The number of a flow's current turn. What a view that was taken after it was asked for shows of
    /// the flow's head still holds, build and key, while this is the number.
    ///
    /// Every build of the flow raises it. It costs nothing to ask, and is of this process alone.
    pub fn turn(&self, flow: &<FlowHead as Row>::Key) -> u64 {
        self.0.turns.number(flow)
    }

    /// Waits for the tenant's lane and holds it. Holding two lanes at once may deadlock.
    pub fn lane(&self, tenant: TenantUid) -> Lane {
        Lanes::hold(&self.0.lanes, self.clone(), tenant)
    }

    /// Holds the tenant's lane, if nobody holds it or waits for it.
    pub fn lane_now(&self, tenant: TenantUid) -> Option<Lane> {
        Lanes::hold_now(&self.0.lanes, self.clone(), tenant)
    }

    /// Commits a change outside any lane (a new tenant, a token) and waits until it is durable or
    /// refused.
    pub fn commit(&self, change: Change) -> Result<(), CommitError> {
        self.submit(change).wait()
    }

    /// Queues a change outside any lane.
    pub(crate) fn submit(&self, change: Change) -> Ticket {
        let (ticket, answer) = Ticket::new();
        self.writer().submit(Arc::new(change), Answer::new(answer));
        ticket
    }

    /// Has the writer look at what readers reported as damaged, on a full disk too.
    pub(crate) fn quarantine_suspects(&self) -> Result<(), CommitError> {
        let mut change = Change::new();
        change.use_reserve();
        self.commit(change)
    }

    /// Whether the store can still write.
    ///
    /// # Errors
    /// [`CommitError::Stopped`] with the failure that ended it.
    pub fn health(&self) -> Result<(), CommitError> {
        self.writer().stopped().map_or(Ok(()), Err)
    }

    /// Whether a change would be taken now.
    ///
    /// # Errors
    /// [`CommitError::Full`] while the disk is full, [`CommitError::Stopped`] as [`Self::health`].
    pub fn room(&self) -> Result<(), CommitError> {
        self.health()?;
        self.0.space.check()
    }

    /// What the writer did since the store was opened.
    pub fn meter(&self) -> &Meter {
        self.writer().meter()
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// [`Error::Read`] when the metadata or the disk cannot be asked.
    pub fn extent(&self) -> Result<Extent, Error> {
        let blobs = self.0.kv.snapshot().and_then(|rows| rows.count(Table::Blob));
        let segments = self.0.segments.list().map_err(Error::Read)?;
        Ok(Extent {
            blobs: blobs.map_err(Error::Read)?,
            segments: segments.len() as u64,
            segment_bytes: segments.iter().map(|segment| segment.length).sum(),
            free: self.0.space.free().map_err(Error::Read)?,
        })
    }

    /// The turn of one maintenance job: two at once would undo each other's plans.
    pub(crate) fn maintenance(&self) -> Result<MutexGuard<'_, ()>, Error> {
        match self.0.maintenance.try_lock() {
            Ok(turn) => Ok(turn),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Error::Busy),
        }
    }

    /// Gives segments up that no row names any more.
    pub(crate) fn retire(&self, generations: Vec<u64>) {
        if !generations.is_empty() {
            let barrier = self.leases().barrier();
            self.retired().push(Retired { barrier, generations });
        }
    }

    /// Removes those retired segments that nobody can read any more; returns how many are left.
    pub(crate) fn remove_retired(&self) -> Result<u64, Error> {
        let all = std::mem::take(&mut *self.retired());
        let (ready, waiting): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|retired| retired.barrier.has_passed());
        let left = waiting.iter().map(|retired| retired.generations.len() as u64).sum();
        self.retired().extend(waiting);
        for generation in ready.into_iter().flat_map(|retired| retired.generations) {
            self.writer().alone(move |committer| committer.segments.remove(generation))?;
        }
        Ok(left)
    }

    pub(crate) fn retired_generations(&self) -> BTreeSet<u64> {
        self.retired().iter().flat_map(|retired| retired.generations.clone()).collect()
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Retired>> {
        self.0.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the blob's bytes are known to be lost or wrong, so that whoever has them should bring
    /// them.
    pub fn is_damaged(&self, digest: &Digest) -> bool {
        self.0.damage.holds(digest)
    }

    /// Begins a lease; see [`View::lease`].
    pub(crate) fn lease(&self) -> Lease {
        self.0.leases.begin()
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.0.leases
    }

    pub(crate) fn damage(&self) -> &Damage {
        &self.0.damage
    }

    /// The refusal of work that did not fit on the disk.
    pub(crate) fn refusal(&self) -> CommitError {
        self.0.space.refusal()
    }

    pub(crate) fn rows(&self) -> &dyn Kv {
        &*self.0.kv
    }

    pub(crate) fn frames(&self) -> &dyn Segments {
        &*self.0.segments
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }
}
