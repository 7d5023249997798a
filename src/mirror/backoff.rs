//! When to try again.

/// The wait after the first failure, in milliseconds; it doubles with each that follows.
const FIRST: u64 = 10_000;
/// The longest wait of our own choice: an hour.
const LONGEST: u64 = 3_600_000;
/// The longest wait that a remote can ask for: a day.
pub(super) const LONGEST_ASKED: u64 = 24 * LONGEST;

/// How long to wait after `failures` in a row, in milliseconds. `chance` is a random number; it makes
/// the wait shorter by up to half, so that many mirrors of one host do not come back together.
/// `asked` is what the remote asked for: never less.
pub(super) fn wait(failures: u32, chance: u8, asked: Option<u64>) -> u64 {
    let doublings = failures.saturating_sub(1).min(20);
    let whole = (FIRST << doublings).min(LONGEST);
    let own = whole / 2 + whole / 2 * u64::from(chance) / 255;
    own.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_differ_by_chance() {
        assert_eq!([1, 2, 3].map(|n| wait(n, 255, None)), [10_000, 20_000, 40_000]);
        assert_eq!(
            [1, 9, 10, 40, u32::MAX].map(|n| wait(n, 0, None)),
            [5_000, 1_280_000, 1_800_000, 1_800_000, 1_800_000]
        );
        assert_eq!(wait(50, 255, None), 3_600_000);
    }

    #[test]
    fn the_remote_is_waited_for_within_reason() {
        assert_eq!(wait(1, 255, Some(90_000)), 90_000);
        assert_eq!(wait(3, 255, Some(1)), 40_000);
        assert_eq!(wait(1, 0, Some(u64::MAX)), 86_400_000);
    }
}
