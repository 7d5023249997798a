//! What is done for those who seldom have work: while some of theirs runs, nobody else has more than half of what one may
//! have at a time.
//!
//! A turn says who is next, not how much of a processor is had meanwhile. The system divides processors among threads: one
//! whose work runs on one thread, beside another's on four, would have a fifth.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Share;

/// A queue in which one share has less at a time for a while.
pub(super) trait Narrow: Send + Sync {
    /// Whoever waited for that to end goes on.
    fn widen(self: Arc<Self>);
}

/// Work that runs of those who seldom have any. Cheap to clone: it is the same one then.
#[derive(Clone, Default)]
pub struct Courtesy(Arc<Guests>);

#[derive(Default)]
struct Guests {
    /// How many of them there are: mostly none, and then nothing is locked to know it.
    many: AtomicUsize,
    /// Whose, and how many pieces of work.
    here: Mutex<Vec<(Share, usize)>>,
    queues: Mutex<Vec<Weak<dyn Narrow>>>,
}

impl Courtesy {
    /// Lets `queue` know when some have gone.
    pub(super) fn tell(&self, queue: Weak<dyn Narrow>) {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner).push(queue);
    }

    /// Such work of `share` begins.
    pub(super) fn come(&self, share: Share) {
        let mut here = self.here();
        match here.iter_mut().find(|(other, _)| *other == share) {
            Some((_, pieces)) => *pieces += 1,
            None => here.push((share, 1)),
        }
        self.0.many.store(here.len(), Ordering::SeqCst);
    }

    /// It ends. Call it without any queue's lock.
    pub(super) fn go(&self, share: Share) {
        let mut here = self.here();
        if let Some((_, pieces)) = here.iter_mut().find(|(other, _)| *other == share) {
            *pieces -= 1;
        }
        here.retain(|(_, pieces)| *pieces > 0);
        let (before, left) = (self.0.many.swap(here.len(), Ordering::SeqCst), here.len());
        drop(here);
        // One that is left lets nobody by any more.
        if left < before && left < 2 {
            let queues = self.0.queues.lock().unwrap_or_else(PoisonError::into_inner).clone();
            queues.iter().filter_map(Weak::upgrade).for_each(Narrow::widen);
        }
    }

    /// Whether `share` is to let somebody by.
    pub(super) fn is_due_from(&self, share: Share) -> bool {
        match self.0.many.load(Ordering::SeqCst) {
            0 => false,
            1 => self.here().iter().any(|(other, _)| *other != share),
            _ => true,
        }
    }

    fn here(&self) -> MutexGuard<'_, Vec<(Share, usize)>> {
        self.0.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Courtesy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Courtesy({:?})", self.0.many)
    }
}
