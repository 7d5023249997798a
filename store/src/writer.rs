//! The one thread that writes: it gathers what is waiting, makes bytes durable, then rows, then
//! answers everyone.

use std::io;
use std::time::Instant;

use crate::committer::Committer;
use crate::meter::Meter;
use crate::sync::mpsc::{self, Receiver, SyncSender};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, OnceLock};
use crate::{Change, CommitError};

/// Most changes in one commit.
const MAX_GROUP: usize = 512;
/// A group is closed once its blobs have this many bytes.
const MAX_GROUP_BYTES: usize = 8 << 20;
/// Most changes that wait; beyond it, submitting blocks.
const MAX_WAITING: usize = 1024;

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

type Alone = Box<dyn FnOnce(&mut Work) + Send>;

/// What the thread is given to do.
enum Job {
    Commit(Commit),
    /// Work that must not happen while a change is half written, such as taking bytes away.
    Alone(Alone),
}

struct Commit {
    change: Arc<Change>,
    answer: Answer,
}

/// Handle to the writer thread. Dropping it lets the thread finish what is queued, and waits.
pub(crate) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    stopped: Arc<OnceLock<Arc<io::Error>>>,
    meter: Arc<Meter>,
}

impl Writer {
    /// What it has done so far.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Starts the thread. It keeps what `committer` holds until it ends.
    pub(crate) fn start(committer: Committer) -> io::Result<Self> {
        let stopped = Arc::new(OnceLock::new());
        let (queue, jobs) = mpsc::sync_channel(MAX_WAITING);
        let meter = Arc::new(Meter::default());
        let mut work = Work { committer, meter: Arc::clone(&meter), stopped: Arc::clone(&stopped) };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work.run(&jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), stopped, meter })
    }

    /// Queues a change. When the writer has ended, the answer is given at once.
    pub(crate) fn submit(&self, change: Arc<Change>, answer: Answer) {
        if let Some(queue) = &self.queue {
            let _ = queue.send(Job::Commit(Commit { change, answer })); // answered when dropped
        }
    }

    /// Runs `work` between two groups, and waits for it. No change is half written meanwhile.
    ///
    /// # Errors
    /// [`CommitError::Stopped`] when the work failed, now or before: an error of it stops the store.
    pub(crate) fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Committer) -> io::Result<T> + Send + 'static,
    ) -> Result<T, CommitError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let job = Job::Alone(Box::new(move |writer| {
            // Answered once the store has stopped, so that whoever is told finds it so.
            let _ = sender.send(writer.unless_stopped(work).map_err(CommitError::Stopped));
        }));
        if let Some(queue) = &self.queue {
            let _ = queue.send(job);
        }
        receiver.recv().unwrap_or_else(|_| Err(self.stopped().unwrap_or_else(ended)))
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
struct Work {
    committer: Committer,
    meter: Arc<Meter>,
    stopped: Arc<OnceLock<Arc<io::Error>>>,
}

impl Work {
    fn run(&mut self, jobs: &Receiver<Job>) {
        let stopped = Arc::clone(&self.stopped);
        let _panicked = Panicked(&stopped);
        while let Ok(first) = jobs.recv() {
            let (group, alone) = gather(first, jobs);
            if !group.is_empty() {
                self.commit(group);
            }
            if let Some(work) = alone {
                work(self);
            }
        }
    }

    fn commit(&mut self, group: Vec<Commit>) {
        let changes: Vec<Arc<Change>> = group.iter().map(|job| Arc::clone(&job.change)).collect();
        let start = Instant::now();
        let result = self.unless_stopped(|committer| committer.commit(&changes));
        self.meter.group(changes.len(), start.elapsed());
        match result {
            Ok(results) => {
                for (job, result) in group.into_iter().zip(results) {
                    job.answer.give(result);
                }
            }
            Err(cause) => {
                for job in group {
                    job.answer.give(Err(CommitError::Stopped(Arc::clone(&cause))));
                }
            }
        }
    }

    /// After the first failure nothing is tried again: what the disk holds is unknown until the
    /// store is opened anew.
    fn unless_stopped<T>(
        &mut self,
        work: impl FnOnce(&mut Committer) -> io::Result<T>,
    ) -> Result<T, Arc<io::Error>> {
        if let Some(cause) = self.stopped.get() {
            return Err(Arc::clone(cause));
        }
        work(&mut self.committer).map_err(|error| {
            let cause = Arc::new(error);
            Arc::clone(self.stopped.get_or_init(|| cause))
        })
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

/// Takes what is waiting now, without waiting for more, up to the first job that runs alone.
fn gather(first: Job, jobs: &Receiver<Job>) -> (Vec<Commit>, Option<Alone>) {
    let (mut bytes, mut group, mut next) = (0, Vec::new(), Some(first));
    while let Some(job) = next {
        match job {
            Job::Alone(work) => return (group, Some(work)),
            Job::Commit(job) => {
                bytes += job.change.blob_bytes();
                group.push(job);
            }
        }
        let room = group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES;
        next = if room { jobs.try_recv().ok() } else { None };
    }
    (group, None)
}
