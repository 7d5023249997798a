//! No more bytes in a second than are allowed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A bound on bytes in a second.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u64,
    free: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many bytes in a second; 0: as many as go.
    pub(super) const fn new(per_second: u64) -> Self {
        Self { per_second, free: Mutex::new(None) }
    }

    /// When `bytes` may be sent that are ready now; `None`: at once.
    pub(super) fn next(&self, bytes: u64) -> Option<Instant> {
        (self.per_second > 0).then(|| self.turn(Instant::now(), bytes))
    }

    /// When `bytes` may be sent that are ready at `now`.
    fn turn(&self, now: Instant, bytes: u64) -> Instant {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.per_second.max(1));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = free.map_or(now, |free| free.max(now));
        *free = Some(turn + takes);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_until_those_before_have_had_their_time() {
        let (pace, now) = (Pace::new(1_000), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(pace.turn(now, 500), now);
        assert_eq!(pace.turn(now, 500), now + second / 2);
        assert_eq!(pace.turn(now + second / 4, 1), now + second);
        assert_eq!(
            pace.turn(now + second * 5, 1),
            now + second * 5,
            "time that was not used is gone"
        );
    }
}
