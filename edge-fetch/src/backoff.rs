//! When to ask again.

use std::time::Duration;

/// A number from 0 up to 1.
pub type Chance<'a> = &'a mut dyn FnMut() -> f64;

/// Waits between polls: the interval with some jitter while all is well, and after failures ever
/// longer ones without a common beat ("decorrelated jitter"), so that a fleet does not come back
/// all at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    interval: Duration,
    jitter: f64,
    last: Duration,
}

impl Backoff {
    const BASE: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_mins(5);
    /// No server holds an agent off for longer.
    const WAIT: Duration = Duration::from_hours(1);

    /// `jitter` is the share of the interval that a wait may be off by, from 0 to 1.
    pub const fn new(interval: Duration, jitter: f64) -> Self {
        Self { interval, jitter, last: Self::BASE }
    }

    /// The wait before the first poll: anything up to the interval.
    pub fn first(&self, chance: Chance<'_>) -> Duration {
        self.interval.mul_f64(chance())
    }

    /// The wait after a poll that went well.
    pub fn success(&mut self, chance: Chance<'_>) -> Duration {
        self.last = Self::BASE;
        self.interval.mul_f64(1.0 + self.jitter * (2.0 * chance() - 1.0))
    }

    /// The wait after one that failed; never shorter than the server asked for.
    pub fn failure(&mut self, asked: Option<Duration>, chance: Chance<'_>) -> Duration {
        let most = (self.last * 3).min(Self::CAP);
        let spread = most.saturating_sub(Self::BASE).mul_f64(chance());
        self.last = Self::BASE + spread;
        self.last.max(asked.unwrap_or_default().min(Self::WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_up_to_a_bound_and_success_resets() {
        let mut backoff = Backoff::new(Duration::from_mins(1), 0.2);
        let waits: Vec<u64> =
            (0..8).map(|_| backoff.failure(None, &mut || 1.0).as_secs()).collect();
        assert_eq!(waits, [3, 9, 27, 81, 243, 300, 300, 300]);
        assert_eq!(backoff.success(&mut || 0.0), Duration::from_secs(48));
        assert_eq!(backoff.success(&mut || 1.0), Duration::from_secs(72));
        assert_eq!(backoff.failure(None, &mut || 0.0), Duration::from_secs(1));
        assert_eq!(backoff.first(&mut || 0.5), Duration::from_secs(30));
    }

    #[test]
    fn the_server_is_obeyed_within_bounds() {
        let mut backoff = Backoff::new(Duration::from_mins(1), 0.2);
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(backoff.failure(asked(90), &mut || 0.0), Duration::from_secs(90));
        assert_eq!(backoff.failure(asked(1_000_000), &mut || 0.0), Backoff::WAIT);
    }
}
