//! Things that take longer to make than to use, kept for whoever needs one next.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most that are kept: as many as are in use at a time, about. What else is made goes after its use.
const SPARE: usize = 8;

/// The spare ones, of which the one that was used last is taken first: what it keeps in memory is then likely to be
/// near the processor, which it is not when each of many threads has its own.
///
/// A static is used by all that `shuttle` runs, and no more than taken and given back, so the lock is the standard
/// library's.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Works with a spare one, or with what `make` makes.
    pub(crate) fn with<R>(&self, make: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        let spare = self.spare().pop();
        let mut one = spare.unwrap_or_else(make);
        let result = work(&mut one);
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push(one);
        }
        result
    }

    fn spare(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One is made for each that is needed at a time, and the one used last comes first.
    #[test]
    fn what_was_used_last_is_used_next() {
        let pool = Pool::new();
        let used = pool.with(|| 1, |outer| (*outer, pool.with(|| 2, |inner| *inner)));
        assert_eq!(used, (1, 2));
        assert_eq!(pool.with(|| 3, |one| *one), 1);
        assert_eq!(pool.with(|| 3, |one| (*one, pool.with(|| 3, |other| *other))), (1, 2));
    }

    /// However many are in use at a time, a few are kept.
    #[test]
    fn a_few_are_kept() {
        fn nest(pool: &Pool<usize>, depth: usize) {
            pool.with(
                || depth,
                |_| {
                    if depth > 0 {
                        nest(pool, depth - 1);
                    }
                },
            );
        }
        let pool = Pool::new();
        nest(&pool, 2 * SPARE);
        assert_eq!(pool.spare().len(), SPARE);
    }
}
