//! How long a soak takes, and when the server is killed.

use std::fmt;
use std::time::Duration;

use crate::support::numbers::Numbers;

/// What a run is made of. The same seed gives the same choices, though not the same races.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// How long the load goes on.
    pub(super) length: Duration,
    pub(super) seed: u64,
    /// When the server is killed, from the beginning, in order.
    pub(super) kills: Vec<Duration>,
    /// Builds that a tenant may make for a target: few enough that some tenants use them up.
    pub(super) quota: u64,
    /// In this time nobody kills, so that memory and files can be seen to stay within bounds.
    pub(super) calm: std::ops::Range<Duration>,
}

impl Plan {
    /// A short run, unless the environment wants another one.
    pub(super) fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
        let seconds = number("COLOPHON_SOAK_SECONDS").unwrap_or(12);
        Self::new(seconds, number("COLOPHON_SOAK_SEED").unwrap_or(20_261_130))
    }

    fn new(seconds: u64, seed: u64) -> Self {
        let length = Duration::from_secs(seconds);
        let calm = length.mul_f64(0.4)..length.mul_f64(if seconds < 60 { 0.4 } else { 0.65 });
        let mut numbers = Numbers::from_seed(seed);
        let mut kills = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            at += gap(length, &mut numbers);
            if calm.contains(&at) {
                at = calm.end;
            }
            if at >= length {
                return Self { length, seed, kills, quota: 20 + seconds / 3, calm };
            }
            kills.push(at);
        }
    }
}

/// 15 to 30 seconds, in a short run about a third of it.
fn gap(length: Duration, numbers: &mut Numbers) -> Duration {
    let longest = Duration::from_secs(30).min(length.mul_f64(0.45));
    let thousandths = 500 + u32::try_from(numbers.below(500)).unwrap();
    longest * thousandths / 1_000
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, seed, kills, quota, .. } = self;
        let (seconds, kills) = (length.as_secs(), kills.len());
        write!(f, "{seconds} s, seed {seed}, {kills} kills, {quota} builds for a tenant and target")
    }
}
