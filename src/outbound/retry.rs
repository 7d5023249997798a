//! When to try again: the schedule that the specification of Standard Webhooks publishes
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>,
//! "Deliverability and reliability").

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The wait after each failed attempt, in milliseconds: about three days in all. After the last there is
/// none more.
const WAITS: [u64; 9] = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];
/// The longest wait that an endpoint can ask for.
pub(super) const LONGEST_ASKED: u64 = 24 * HOUR;
/// The longest wait that there is.
pub(super) const LONGEST: u64 = LONGEST_ASKED + LONGEST_ASKED / 5;
/// Failures of one event for which later ones of its flow wait: half an hour.
pub(super) const HELD: u32 = 3;
/// Failures in a row after which an endpoint rests between two attempts, whatever they are about.
const RESTS_AFTER: u32 = 5;
/// The longest such rest.
const LONGEST_REST: u64 = 5 * MINUTE;
/// Attempts that are further apart than this do not tell that an endpoint failed in between: the longest wait
/// and what chance adds to it.
pub(super) const CONNECTED: u64 = 30 * HOUR;

/// How long to wait after an event has failed `failures` times, in milliseconds. `None`: no more. `chance` is
/// a random number; it makes the wait longer by up to a fifth, so that what failed together does not come
/// back together. `asked` is what the endpoint asked for: never less.
pub(super) fn wait(failures: u32, chance: u8, asked: Option<u64>) -> Option<u64> {
    let whole = *WAITS.get(usize::try_from(failures).ok()?.checked_sub(1)?)?;
    let own = whole + whole / 5 * u64::from(chance) / 255;
    Some(own.max(asked.unwrap_or_default().min(LONGEST_ASKED)))
}

/// How long an endpoint rests after so many failures in a row, in milliseconds.
pub(super) fn rest(failures: u32) -> u64 {
    let Some(beyond) = failures.checked_sub(RESTS_AFTER) else { return 0 };
    ((5 * SECOND) << beyond.min(10)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the specification, letter by letter.
    #[test]
    fn the_published_schedule_is_kept() {
        let waits: Vec<u64> = (1..).map_while(|n| wait(n, 0, None)).collect();
        let minutes: Vec<u64> = waits.iter().skip(1).map(|w| w / 60_000).collect();
        assert_eq!(waits[0], 5_000);
        assert_eq!(minutes, [5, 30, 120, 300, 600, 840, 1200, 1440]);
        assert_eq!(wait(0, 0, None), None);
    }

    #[test]
    fn chance_and_the_endpoint_only_make_it_longer() {
        assert_eq!(wait(2, 255, None), Some(360_000));
        assert_eq!(wait(1, 0, Some(90_000)), Some(90_000));
        assert_eq!(wait(2, 0, Some(1)), Some(300_000));
        assert_eq!(wait(1, 0, Some(u64::MAX)), Some(LONGEST_ASKED));
        assert_eq!(wait(9, 255, Some(u64::MAX)), Some(LONGEST), "there is none longer");
        assert_eq!(wait(10, 0, Some(1)), None, "asking does not give it another attempt");
    }

    #[test]
    fn an_endpoint_that_fails_again_and_again_rests() {
        assert_eq!([0, 4, 5, 6, 7].map(rest), [0, 0, 5_000, 10_000, 20_000]);
        assert_eq!([12, u32::MAX].map(rest), [300_000, 300_000]);
    }
}
