//! How much of the time maintenance takes for itself, so that builds keep theirs.

use std::time::{Duration, Instant};

/// A share of the time, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(u32);

impl Pace {
    /// All of the time.
    pub const FULL: Self = Self(100);

    /// `percent` of the time, from 1 to 100; what lies outside is taken for the nearest.
    pub const fn percent(percent: u32) -> Self {
        match percent {
            0 => Self(1),
            1..=100 => Self(percent),
            _ => Self::FULL,
        }
    }

    /// Runs a step, then rests in proportion to how long it took.
    pub(crate) fn step<T>(self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        let rest = self.rest_after(start.elapsed());
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        done
    }

    fn rest_after(self, work: Duration) -> Duration {
        work * (100 - self.0) / self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_make_up_the_rest_of_the_time() {
        let second = Duration::from_secs(1);
        assert_eq!(Pace::FULL.rest_after(second), Duration::ZERO);
        assert_eq!(Pace::percent(25).rest_after(second), Duration::from_secs(3));
        assert_eq!(Pace::percent(0), Pace::percent(1));
        assert_eq!(Pace::percent(200), Pace::FULL);
    }
}
