//! The one thread that writes: it gathers what is waiting, makes bytes durable, then rows, then
//! answers everyone.

use std::any::Any;
use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use colophon_model::Digest;

use crate::blob::{BlobRow, Place};
use crate::row::{InvalidRow, Row, key_bytes};
use crate::{Batch, Change, CommitError, Conflict, Kv, PreparedBlob, Segments, Table};

/// Most changes in one commit.
const MAX_GROUP: usize = 512;
/// A group is closed once its blobs have this many bytes.
const MAX_GROUP_BYTES: usize = 8 << 20;
/// Most changes that wait; beyond it, submitting blocks.
const MAX_WAITING: usize = 1024;
/// How many numbers of the inline sequence are leased at a time.
const LEASE: u64 = 1024;
/// The name of the inline sequence in table `sequence-1`.
const INLINE_SEQUENCE: &[u8] = b"inline";

/// What is known of a change in the end.
type Outcome = Result<(), CommitError>;

/// Waits for the answer to a submitted change.
#[derive(Debug)]
#[must_use = "without waiting, nothing is known about the change"]
pub struct Ticket(Receiver<Outcome>);

impl Ticket {
    /// A ticket and the answer that it waits for.
    pub(crate) fn new() -> (Self, impl FnOnce(Outcome) + Send + 'static) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let answer = move |result| {
            let _ = sender.send(result); // the ticket may have been dropped
        };
        (Self(receiver), answer)
    }

    /// Blocks until the change is durable or refused.
    pub fn wait(self) -> Outcome {
        self.0.recv().unwrap_or_else(|_| Err(ended()))
    }
}

/// The answer owed for one change. It is given exactly once, also when the writer panics.
pub(crate) struct Answer(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl Answer {
    pub(crate) fn new(answer: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Some(Box::new(answer)))
    }

    fn give(mut self, outcome: Outcome) {
        if let Some(answer) = self.0.take() {
            answer(outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Err(ended()));
        }
    }
}

fn ended() -> CommitError {
    CommitError::Stopped(Arc::new(io::Error::other("the writer has ended")))
}

struct Job {
    change: Arc<Change>,
    answer: Answer,
}

/// Handle to the writer thread. Dropping it lets the thread finish what is queued, and waits.
pub(crate) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    stopped: Arc<OnceLock<Arc<io::Error>>>,
}

impl Writer {
    /// Starts the thread. It keeps `lock` until it ends.
    pub(crate) fn start(
        kv: Arc<dyn Kv>,
        segments: Arc<dyn Segments>,
        inline_max: usize,
        lock: Arc<dyn Any + Send + Sync>,
    ) -> io::Result<Self> {
        let sequence = Sequence::load(&*kv)?;
        let stopped = Arc::new(OnceLock::new());
        let (queue, jobs) = mpsc::sync_channel(MAX_WAITING);
        let mut work =
            Committer { kv, segments, inline_max, sequence, stopped: Arc::clone(&stopped) };
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            work.run(&jobs);
            drop(work);
            drop(lock);
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), stopped })
    }

    /// Queues a change. When the writer has ended, the answer is given at once.
    pub(crate) fn submit(&self, change: Arc<Change>, answer: Answer) {
        if let Some(queue) = &self.queue {
            let _ = queue.send(Job { change, answer }); // a refused job answers when it is dropped
        }
    }

    /// Why the store has stopped, if it has.
    pub(crate) fn stopped(&self) -> Option<CommitError> {
        self.stopped.get().map(|cause| CommitError::Stopped(Arc::clone(cause)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        // An answer may hold the last handle to the store; the thread cannot wait for itself.
        if let Some(thread) =
            self.thread.take().filter(|t| t.thread().id() != thread::current().id())
        {
            let _ = thread.join();
        }
    }
}

/// What runs on the thread.
struct Committer {
    kv: Arc<dyn Kv>,
    segments: Arc<dyn Segments>,
    inline_max: usize,
    sequence: Sequence,
    stopped: Arc<OnceLock<Arc<io::Error>>>,
}

impl Committer {
    fn run(&mut self, jobs: &Receiver<Job>) {
        let stopped = Arc::clone(&self.stopped);
        let _panicked = Panicked(&stopped);
        while let Ok(first) = jobs.recv() {
            let group = gather(first, jobs);
            match self.commit(&group) {
                Ok(results) => {
                    for (job, result) in group.into_iter().zip(results) {
                        job.answer.give(result.map_err(CommitError::from));
                    }
                }
                Err(cause) => {
                    for job in group {
                        job.answer.give(Err(CommitError::Stopped(Arc::clone(&cause))));
                    }
                }
            }
        }
    }

    /// Commits a group. After the first failure nothing is tried again: what the disk holds is
    /// unknown until the store is opened anew.
    fn commit(&mut self, group: &[Job]) -> Result<Vec<Result<(), Conflict>>, Arc<io::Error>> {
        if let Some(cause) = self.stopped.get() {
            return Err(Arc::clone(cause));
        }
        self.try_commit(group).map_err(|error| {
            let cause = Arc::new(error);
            Arc::clone(self.stopped.get_or_init(|| cause))
        })
    }

    fn try_commit(&mut self, group: &[Job]) -> io::Result<Vec<Result<(), Conflict>>> {
        let blobs = self.store_blobs(group)?;
        let changes = group.iter().map(|job| &job.change.batch);
        let batches: Vec<&Batch> = std::iter::once(&blobs).chain(changes).collect();
        let mut results = self.kv.commit(&batches)?;
        // The batch of blobs has no checks, and nobody waits for it.
        Ok(results.split_off(1))
    }

    /// Makes the bytes of new blobs durable, or part of the batch, and returns their rows.
    fn store_blobs(&mut self, group: &[Job]) -> io::Result<Batch> {
        let new = self.new_blobs(group)?;
        let mut batch = Batch::default();
        let (small, large): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|blob| blob.frame().payload().len() <= self.inline_max);
        for blob in small {
            let number = self.sequence.next(&mut batch);
            let payload = blob.frame().payload().to_vec();
            batch.writes.insert((Table::Inline, key_bytes(&number)), Some(payload));
            name(&mut batch, blob, Place::Inline(number));
        }
        let frames: Vec<_> = large.iter().map(|blob| blob.frame()).collect();
        for (blob, location) in large.iter().zip(self.segments.append(&frames)?) {
            name(&mut batch, blob, Place::Segment(location));
        }
        Ok(batch)
    }

    /// The blobs of the group that the store does not hold yet, each once, in order.
    fn new_blobs<'a>(&self, group: &'a [Job]) -> io::Result<Vec<&'a PreparedBlob>> {
        let mut new = Vec::new();
        let mut seen: HashSet<Digest> = HashSet::new();
        let blobs = || group.iter().flat_map(|job| &job.change.blobs);
        if blobs().next().is_none() {
            return Ok(new);
        }
        let snapshot = self.kv.snapshot()?;
        for blob in blobs() {
            let digest = blob.digest();
            if seen.insert(digest) && snapshot.get(Table::Blob, digest.as_bytes())?.is_none() {
                new.push(blob);
            }
        }
        Ok(new)
    }
}

/// Marks the store as stopped when the writer panics.
struct Panicked<'a>(&'a OnceLock<Arc<io::Error>>);

impl Drop for Panicked<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.set(Arc::new(io::Error::other("the writer has panicked")));
        }
    }
}

/// Takes what is waiting now, without waiting for more.
fn gather(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.change.blob_bytes();
    let mut group = vec![first];
    while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
        let Ok(job) = jobs.try_recv() else { break };
        bytes += job.change.blob_bytes();
        group.push(job);
    }
    group
}

/// Adds the row that says where a blob is.
fn name(batch: &mut Batch, blob: &PreparedBlob, place: Place) {
    let frame = blob.frame();
    let row = BlobRow { codec: frame.codec(), raw_len: frame.raw_len(), place };
    let key = BlobRow::encode_key(&blob.digest());
    batch.writes.insert((BlobRow::TABLE, key), Some(row.encode()));
}

/// Ascending numbers, never given twice. A range of them is leased in the metadata, so that most
/// groups write no row for it; what a crash leaves of a range is skipped.
struct Sequence {
    next: u64,
    leased: u64,
}

impl Sequence {
    fn load(kv: &dyn Kv) -> io::Result<Self> {
        let row = kv.snapshot()?.get(Table::Sequence, INLINE_SEQUENCE)?;
        let next = match row {
            None => 0,
            Some(bytes) => u64::from_be_bytes(bytes.as_slice().try_into().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, InvalidRow::Binary("sequence number"))
            })?),
        };
        Ok(Self { next, leased: next })
    }

    /// The next number; `batch` leases a new range when the last one is used up.
    fn next(&mut self, batch: &mut Batch) -> u64 {
        let number = self.next;
        self.next += 1;
        if number >= self.leased {
            self.leased = number + LEASE;
            let lease = self.leased.to_be_bytes().to_vec();
            batch.writes.insert((Table::Sequence, INLINE_SEQUENCE.to_vec()), Some(lease));
        }
        number
    }
}
