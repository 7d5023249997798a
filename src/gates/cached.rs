//! Something that takes long to get and then stays: kept when it was got, and when it was not, not
//! tried again for a while.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How long a failure is believed.
const BELIEVED: Duration = Duration::from_secs(10);

/// The thing, or why there is none.
pub(super) struct Cached<T>(Mutex<Option<(Instant, Result<T, String>)>>);

impl<T: Clone> Cached<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// What is kept, or else what `make` gives. Others wait meanwhile.
    pub(super) fn get(&self, make: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let mut kept = self.lock();
        match &*kept {
            Some((_, Ok(thing))) => return Ok(thing.clone()),
            Some((at, Err(reason))) if at.elapsed() < BELIEVED => return Err(reason.clone()),
            _ => {}
        }
        let result = make();
        *kept = Some((Instant::now(), result.clone()));
        result
    }

    /// Forgets what is kept, when it is still what `is` says.
    pub(super) fn forget(&self, is: impl FnOnce(&T) -> bool) {
        let mut kept = self.lock();
        if kept.as_ref().is_some_and(|(_, thing)| thing.as_ref().is_ok_and(is)) {
            *kept = None;
        }
    }

    /// Keeps another.
    pub(super) fn replace(&self, thing: T) {
        *self.lock() = Some((Instant::now(), Ok(thing)));
    }

    /// Whether it is there, without waiting: what is not there yet is said to be on its way.
    pub(super) fn there(&self) -> Result<(), String> {
        let starting = || Err("it is being started".to_owned());
        match self.0.try_lock() {
            Ok(kept) => match &*kept {
                Some((_, thing)) => thing.as_ref().map(drop).map_err(Clone::clone),
                None => starting(),
            },
            Err(TryLockError::WouldBlock) => starting(),
            Err(TryLockError::Poisoned(_)) => Err("it failed".to_owned()),
        }
    }

    /// Whether it was not got, and long enough ago to try again. Does not wait.
    pub(super) fn is_stale(&self) -> bool {
        let kept = self.0.try_lock();
        kept.is_ok_and(|kept| match &*kept {
            Some((at, thing)) => thing.is_err() && at.elapsed() >= BELIEVED,
            None => false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Result<T, String>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_got_stays_and_a_failure_is_believed_for_a_while() {
        let cached = Cached::new();
        assert!(cached.there().is_err());
        assert_eq!(cached.get(|| Err("none".to_owned())), Err("none".to_owned()));
        assert_eq!(cached.get(|| Ok(1)), Err("none".to_owned()), "asked a moment ago");
        assert_eq!(cached.there(), Err("none".to_owned()));
        cached.replace(2);
        assert_eq!(cached.get(|| Ok(3)), Ok(2));
        cached.forget(|n| *n == 1);
        assert_eq!(cached.there(), Ok(()), "another one");
        cached.forget(|n| *n == 2);
        assert_eq!(cached.get(|| Ok(3)), Ok(3));
    }
}
