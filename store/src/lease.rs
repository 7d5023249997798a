//! Leases: what was readable when a lease began stays readable until it ends.
//!
//! Time is cut into epochs. A lease belongs to the epoch it began in. Whoever wants to take bytes
//! away first makes them unreachable for those who come later, then closes the epoch and waits until
//! every lease of it, and of those before, has ended. Nothing waits for a lease but that.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

/// Keeps bytes from being taken away while it, or a clone of it, lives. Free to hold; a long one
/// only delays the return of space.
#[derive(Debug, Clone)]
pub struct Lease {
    _epoch: Arc<Epoch>,
}

#[derive(Debug)]
struct Epoch(Arc<Bell>);

impl Drop for Epoch {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// Rings whenever an epoch ends.
#[derive(Debug, Default)]
struct Bell {
    lock: Mutex<()>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        // Taken, so that it does not ring between another's look and its wait.
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.rung.notify_all();
    }
}

/// Gives leases, and tells when old ones have ended.
#[derive(Debug)]
pub(crate) struct Leases {
    bell: Arc<Bell>,
    epochs: Mutex<Epochs>,
}

#[derive(Debug)]
struct Epochs {
    current: Arc<Epoch>,
    /// Closed epochs that may still have leases, oldest first.
    closed: VecDeque<Weak<Epoch>>,
}

impl Leases {
    pub(crate) fn new() -> Self {
        let bell: Arc<Bell> = Arc::default();
        let current = Arc::new(Epoch(Arc::clone(&bell)));
        Self { bell, epochs: Mutex::new(Epochs { current, closed: VecDeque::new() }) }
    }

    /// Begins a lease. A snapshot that it is to protect is taken after it.
    pub(crate) fn begin(&self) -> Lease {
        Lease { _epoch: Arc::clone(&self.epochs().current) }
    }

    /// Closes the current epoch. What became unreachable before this call is out of use once the
    /// barrier has passed.
    pub(crate) fn barrier(&self) -> Barrier {
        let mut epochs = self.epochs();
        let next = Arc::new(Epoch(Arc::clone(&self.bell)));
        let closed = std::mem::replace(&mut epochs.current, next);
        epochs.closed.push_back(Arc::downgrade(&closed));
        drop(closed);
        epochs.closed.retain(|epoch| epoch.strong_count() > 0);
        let epochs = epochs.closed.iter().cloned().collect();
        Barrier { bell: Arc::clone(&self.bell), epochs }
    }

    fn epochs(&self) -> crate::sync::MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the leases that began before it.
#[derive(Debug)]
pub(crate) struct Barrier {
    bell: Arc<Bell>,
    epochs: Vec<Weak<Epoch>>,
}

impl Barrier {
    /// Whether all of them have ended.
    pub(crate) fn has_passed(&self) -> bool {
        self.epochs.iter().all(|epoch| epoch.strong_count() == 0)
    }

    /// Waits until they have, at most for `limit`; whether they have.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let lock = self.bell.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.bell.rung.wait_timeout_while(lock, limit, |()| !self.has_passed());
        self.has_passed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_waits_for_older_leases_and_for_no_younger_one() {
        let leases = Leases::new();
        let (first, second) = (leases.begin(), leases.begin());
        let barrier = leases.barrier();
        let younger = leases.begin();
        assert!(!barrier.has_passed());
        drop(first);
        let clone = second.clone();
        drop(second);
        assert!(!barrier.has_passed(), "a clone holds as the lease does");
        drop(clone);
        assert!(barrier.has_passed());
        let next = leases.barrier();
        assert!(!next.has_passed());
        drop(younger);
        assert!(next.has_passed());
    }

    /// A second barrier also waits for what the first one waits for.
    #[test]
    fn barriers_are_in_order() {
        let leases = Leases::new();
        let old = leases.begin();
        let first = leases.barrier();
        let second = leases.barrier();
        assert!(!first.has_passed() && !second.has_passed());
        drop(old);
        assert!(first.has_passed() && second.has_passed());
        assert!(leases.barrier().has_passed() && leases.epochs().closed.is_empty());
    }
}
