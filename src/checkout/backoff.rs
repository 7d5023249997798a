//! When to look again.

use std::time::Duration;

/// The wait after the first failure; it doubles with each that follows.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait of our own choice: a server that comes back is noticed soon.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait that a server can ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// The wait after a look that went well: the interval, off by up to a tenth, so that many runners do not
/// come at once. `chance` is a random number.
pub(super) fn usual(interval: Duration, chance: u8) -> Duration {
    interval.mul_f64(0.9 + 0.2 * f64::from(chance) / 255.0)
}

/// The wait after `failures` in a row; `chance` makes it shorter by up to half. Never shorter than the
/// interval, nor than what the server asks for.
pub(super) fn after(
    failures: u32,
    interval: Duration,
    chance: u8,
    asked: Option<Duration>,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = (FIRST * (1 << doublings)).min(LONGEST);
    let own = whole.mul_f64(0.5 + 0.5 * f64::from(chance) / 255.0);
    own.max(interval).max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Duration = Duration::from_millis(500);

    /// A fleet of runners spreads, a dead server is left alone, and one that is back is seen within 30 s.
    #[test]
    fn waits_double_up_to_half_a_minute() {
        let waits = [1, 2, 3, 7, 100].map(|n| after(n, HALF, 255, None).as_millis());
        assert_eq!(waits, [500, 1_000, 2_000, 30_000, 30_000]);
        assert_eq!(after(7, HALF, 0, None), Duration::from_secs(15));
        assert_eq!(after(1, Duration::from_mins(1), 0, None), Duration::from_mins(1));
        assert_eq!([0, 255].map(|c| usual(HALF, c).as_millis()), [450, 550]);
    }

    #[test]
    fn the_server_is_obeyed_within_reason() {
        let asked = |s| Some(Duration::from_secs(s));
        assert_eq!(after(1, HALF, 0, asked(60)), Duration::from_mins(1));
        assert_eq!(after(1, HALF, 0, asked(86_400)), LONGEST_ASKED);
    }
}
