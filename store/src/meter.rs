//! What the writer did since the store was opened, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of commit times, in microseconds.
const TIMES: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];
/// Upper bounds of changes in a group.
const SIZES: [u64; 8] = [1, 2, 4, 8, 16, 64, 128, 512];

/// Counts of the writer. They begin at zero with the store's opening.
#[derive(Debug, Default)]
pub struct Meter {
    times: Counts<12>,
    sizes: Counts<8>,
}

/// Observations by upper bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Each upper bound, and how many observations lie between it and the one before.
    pub buckets: Vec<(u64, u64)>,
    /// All of them, also those above the last bound.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

impl Meter {
    pub(crate) fn group(&self, changes: usize, took: Duration) {
        self.sizes.add(&SIZES, changes as u64);
        self.times.add(&TIMES, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// How long groups took to become durable, in microseconds: their syncs, nearly all of it.
    pub fn commit_micros(&self) -> Histogram {
        self.times.read(&TIMES)
    }

    /// How many changes a group had.
    pub fn group_changes(&self) -> Histogram {
        self.sizes.read(&SIZES)
    }
}

#[derive(Debug)]
struct Counts<const N: usize> {
    buckets: [AtomicU64; N],
    count: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { buckets, count: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Counts<N> {
    fn add(&self, bounds: &[u64; N], value: u64) {
        if let Some(at) = bounds.iter().position(|bound| value <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self, bounds: &[u64; N]) -> Histogram {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let buckets = bounds.iter().copied().zip(self.buckets.iter().map(count)).collect();
        Histogram { buckets, count: count(&self.count), sum: count(&self.sum) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_every_bound_is_counted_too() {
        let meter = Meter::default();
        meter.group(1, Duration::from_micros(250));
        meter.group(3, Duration::from_mins(1));
        let times = meter.commit_micros();
        assert_eq!((times.count, times.sum), (2, 60_000_250));
        assert_eq!(times.buckets.iter().map(|(_, count)| count).sum::<u64>(), 1);
        assert_eq!(times.buckets[0], (250, 1));
        assert_eq!(meter.group_changes().buckets[2], (4, 1));
    }
}
