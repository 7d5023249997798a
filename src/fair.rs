//! A fair queue: so much at a time, in turns among tenants, within bounds for each and in total. One that
//! has a thousand things waiting waits for itself, and nobody else does.

mod courtesy;
mod held;
mod party;
mod queue;
pub mod slice;
mod steps;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use courtesy::Courtesy;
pub use held::{aside, at_last, breathe, holding, rest, resume, share};
pub use party::{Party, Share};
pub use steps::{InTurns, Standing, Steps};

use courtesy::Narrow;
use queue::{Begun, Queue, Ticket};

/// How much of one kind of work is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// What may run.
    pub running: usize,
    /// What of one share may run.
    pub running_each: usize,
    /// What may wait.
    pub waiting: usize,
    /// What of one share may wait.
    pub waiting_each: usize,
}

impl Bounds {
    /// Bounds in total alone.
    pub const fn total(running: usize, waiting: usize) -> Self {
        Self { running, running_each: running, waiting, waiting_each: waiting }
    }

    /// For work that takes long and cannot be interrupted: what runs of one share leaves a place to others, where
    /// there is more than one, and what waits of it a part.
    pub fn all_but_one(running: usize, waiting: usize) -> Self {
        let running_each = running.saturating_sub(1).max(1);
        Self { running, running_each, waiting, waiting_each: waiting.div_ceil(4) }
    }

    /// At least one of everybody's runs, and the server's own work is bounded with all other alone.
    fn running_of(&self, share: Share) -> usize {
        match share {
            Share::Server => self.running,
            _ => self.running_each.max(1),
        }
    }

    /// Many may be behind one address, so a network may have as much as half waiting.
    fn waiting_of(&self, share: Share) -> usize {
        match share {
            Share::Server => self.waiting,
            Share::Network(_) => self.waiting_each.max(self.waiting / 2),
            _ => self.waiting_each,
        }
    }
}

/// Why nobody more may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As many wait as may.
    Total,
    /// As many of this share wait as may.
    Share,
}

/// There is no room to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Which bound.
    pub full: Full,
    /// When there will be room, as far as that can be told.
    pub again: Duration,
}

/// What there is of one kind of work, and what has been refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// What runs.
    pub running: usize,
    /// What waits.
    pub waiting: usize,
    /// Shares of which something waits: one, and one storms; many, and all is slow.
    pub waiting_shares: usize,
    /// What was refused so far because too much waited in all.
    pub refused_total: u64,
    /// What was refused so far because too much of one share waited.
    pub refused_share: u64,
    /// How long it took until work began, of all work so far that had to wait.
    pub waited: Duration,
    /// How much work had to wait so far.
    pub waits: u64,
}

/// The queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fair(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Mutex<Queue<oneshot::Sender<Turn>>>,
    /// Told when work of somebody runs who seldom has any.
    courtesy: Option<Courtesy>,
    refused_total: AtomicU64,
    refused_share: AtomicU64,
    waited_nanos: AtomicU64,
    waits: AtomicU64,
}

/// The right to run, until it is dropped. Its time is what it costs.
#[derive(Debug)]
pub struct Turn {
    fair: Fair,
    /// None: it has been handed over.
    begun: Option<Begun>,
    start: Instant,
}

/// A turn, now or later. Dropped, it is given back.
#[derive(Debug)]
#[must_use]
pub enum Entered {
    /// It is our turn.
    Now(Turn),
    /// We wait.
    Later(Waiting),
}

/// A place among those who wait.
#[derive(Debug)]
pub struct Waiting {
    fair: Fair,
    party: Party,
    ticket: Ticket,
    since: Instant,
    turn: oneshot::Receiver<Turn>,
}

/// The queue has ended: the program stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl Fair {
    /// A queue within `bounds`. At least one runs.
    pub fn new(bounds: Bounds) -> Self {
        Self(Inner::new(bounds, None))
    }

    /// The same, in which those who seldom have work are let by. So they are in all other queues with this `courtesy`.
    pub fn courteous(bounds: Bounds, courtesy: &Courtesy) -> Self {
        let inner = Inner::new(bounds, Some(courtesy.clone()));
        let queue: Weak<Inner> = Arc::downgrade(&inner);
        courtesy.tell(queue);
        Self(inner)
    }

    /// How much may run.
    pub fn most(&self) -> usize {
        self.queue().running_most()
    }

    /// How busy it is.
    pub fn state(&self) -> State {
        let counts = self.queue().counts();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        State {
            running: counts.running,
            waiting: counts.waiting,
            waiting_shares: counts.waiting_shares,
            refused_total: read(&self.0.refused_total),
            refused_share: read(&self.0.refused_share),
            waited: Duration::from_nanos(read(&self.0.waited_nanos)),
            waits: read(&self.0.waits),
        }
    }

    /// Gets in line, or says that it is too long.
    pub fn enter(&self, party: Party) -> Result<Entered, Refused> {
        self.come(party, false)
    }

    /// Gets in line however long that is: for what is bounded elsewhere.
    pub fn enter_patiently(&self, party: Party) -> Entered {
        match self.come(party, true) {
            Ok(entered) => entered,
            Err(_) => unreachable!("the patient are not refused"),
        }
    }

    /// A turn, if it is ours at once.
    pub fn enter_now(&self, share: Share) -> Option<Turn> {
        let begun = self.queue().enter_now(share)?;
        Some(self.turn(begun))
    }

    /// A turn at once, or why there is none.
    pub fn enter_or_refuse(&self, share: Share) -> Result<Turn, Refused> {
        let mut queue = self.queue();
        if let Some(begun) = queue.enter_now(share) {
            drop(queue);
            return Ok(self.turn(begun));
        }
        let full = queue.why_not();
        let again = Duration::from_nanos(queue.estimate(share, full));
        drop(queue);
        self.count(full);
        Err(Refused { full, again })
    }

    fn come(&self, party: Party, patient: bool) -> Result<Entered, Refused> {
        let mut queue = self.queue();
        if let Some(begun) = queue.enter_now(party.share) {
            drop(queue);
            return Ok(Entered::Now(self.turn(begun)));
        }
        let (sender, turn) = oneshot::channel();
        let ticket = queue.wait(party, patient, sender).map_err(|full| {
            let again = Duration::from_nanos(queue.estimate(party.share, full));
            Refused { full, again }
        });
        drop(queue);
        let ticket = ticket.inspect_err(|refused| self.count(refused.full))?;
        let (fair, since) = (self.clone(), Instant::now());
        Ok(Entered::Later(Waiting { fair, party, ticket, since, turn }))
    }

    fn count(&self, full: Full) {
        let counter = match full {
            Full::Total => &self.0.refused_total,
            Full::Share => &self.0.refused_share,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn turn(&self, begun: Begun) -> Turn {
        if let Some(courtesy) = self.0.courtesy.as_ref().filter(|_| begun.is_alone) {
            courtesy.come(begun.share);
        }
        Turn { fair: self.clone(), begun: Some(begun), start: Instant::now() }
    }

    fn leave(&self, begun: Begun, spent: Duration) {
        let next = self.queue().leave(begun, nanos(spent));
        self.tell(next);
        self.go(begun);
    }

    fn go(&self, begun: Begun) {
        if let Some(courtesy) = self.0.courtesy.as_ref().filter(|_| begun.is_alone) {
            courtesy.go(begun.share);
        }
    }

    fn tell(&self, next: Vec<(Begun, oneshot::Sender<Turn>)>) {
        for (begun, sender) in next {
            // Whoever has gone meanwhile gives the turn back, which drops it here.
            let _ = sender.send(self.turn(begun));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Turn>>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn new(bounds: Bounds, courtesy: Option<Courtesy>) -> Arc<Self> {
        let bounds = Bounds { running: bounds.running.max(1), ..bounds };
        Arc::new(Self {
            queue: Mutex::new(Queue::new(bounds, courtesy.clone().unwrap_or_default())),
            courtesy,
            refused_total: AtomicU64::new(0),
            refused_share: AtomicU64::new(0),
            waited_nanos: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        })
    }
}

impl Narrow for Inner {
    fn widen(self: Arc<Self>) {
        let fair = Fair(self);
        let next = fair.queue().widen();
        fair.tell(next);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Turn {
    /// Whose it is.
    pub fn share(&self) -> Share {
        self.begun.map_or(Share::Server, |begun| begun.share)
    }

    /// Whether nothing else of its share ran or waited as it began.
    pub fn is_alone(&self) -> bool {
        self.begun.is_some_and(|begun| begun.is_alone)
    }

    /// It is the thread at hand that works in it. Where those are let by who seldom have work, it goes before threads that
    /// work for long when nothing else of its share ran or waited as it began.
    pub fn begin_here(&self) {
        let is_guest = self.fair.0.courtesy.is_some();
        slice::set(is_guest && self.is_alone());
    }

    /// Goes on as `share`'s work, when that would be the next. Else the turn ends.
    pub fn hand_over(mut self, share: Share) -> Option<Self> {
        let begun = self.begun?;
        if begun.share == share {
            return Some(self);
        }
        let spent = nanos(self.start.elapsed());
        let handed = self.fair.queue().hand_over(begun, share, spent);
        let (anew, next) = handed?;
        self.begun = None;
        self.fair.tell(next);
        self.fair.go(begun);
        Some(self.fair.turn(anew))
    }

    fn queue(&self) -> Fair {
        self.fair.clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.fair.leave(begun, self.start.elapsed());
        }
    }
}

impl Entered {
    /// Waits for the turn.
    pub async fn turn(self) -> Result<Turn, Ended> {
        match self {
            Self::Now(turn) => Ok(turn),
            Self::Later(mut waiting) => {
                let turn = (&mut waiting.turn).await.map_err(|_| Ended)?;
                waiting.waited();
                Ok(turn)
            }
        }
    }

    /// Waits for the turn on a thread that may block. None: the program stops.
    pub fn block(self) -> Option<Turn> {
        match self {
            Self::Now(turn) => Some(turn),
            Self::Later(mut waiting) => {
                let (_, never) = oneshot::channel();
                let turn = std::mem::replace(&mut waiting.turn, never).blocking_recv().ok()?;
                waiting.waited();
                Some(turn)
            }
        }
    }
}

impl Waiting {
    fn waited(&self) {
        let inner = &self.fair.0;
        inner.waited_nanos.fetch_add(nanos(self.since.elapsed()), Ordering::Relaxed);
        inner.waits.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.fair.queue().cancel(self.party, self.ticket);
        // A turn that came in between lies in the channel, and goes back with it.
    }
}
