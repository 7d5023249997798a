//! What an attempt makes of a mirror's state. Pure.

use colophon_gitbridge::Divergence;
use colophon_model::{Oid, UnixMillis};
use colophon_store::rows::{Halt, MirrorState};

use super::backoff;
use super::fault::Consequence;

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The remote has all there is.
    Settled,
    /// A push came through, and there is more to do.
    Progress,
    /// Somebody else writes there.
    Diverged(Divergence),
    /// It failed, for the reason in the text.
    Failed(Consequence, String),
}

/// When it came, and what decides about the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) now: UnixMillis,
    /// Milliseconds between two pushes to one remote.
    pub(super) pace: u64,
    /// A random number.
    pub(super) chance: u8,
}

/// A mirror that nothing is known of.
pub(super) const fn fresh(now: UnixMillis) -> MirrorState {
    MirrorState {
        tip: None,
        succeeded: None,
        next: now,
        failures: 0,
        refused: false,
        trouble: None,
        halt: None,
    }
}

/// The state after an attempt that ended with `outcome`. `tip` is the commit of ours that the remote
/// was seen to have, as far as it was seen.
pub(super) fn after(
    old: MirrorState,
    outcome: &Outcome,
    tip: Option<Oid>,
    timing: Timing,
) -> MirrorState {
    let now = timing.now;
    let old = MirrorState { tip: tip.or(old.tip), ..old };
    match outcome {
        Outcome::Settled | Outcome::Progress => MirrorState {
            tip: old.tip,
            succeeded: if matches!(outcome, Outcome::Settled) { Some(now) } else { old.succeeded },
            next: now.plus(timing.pace),
            ..fresh(now)
        },
        Outcome::Diverged(found) => MirrorState {
            failures: old.failures.saturating_add(1),
            trouble: Some(format!("`{}` was written by somebody else", found.name)),
            halt: Some(Halt::Quarantined {
                since: now,
                name: found.name.clone(),
                ours: found.ours,
                theirs: found.theirs,
            }),
            ..old
        },
        Outcome::Failed(consequence, why) => {
            let trouble = Some(why.clone());
            failed(MirrorState { trouble, ..old }, consequence, timing)
        }
    }
}

fn failed(old: MirrorState, consequence: &Consequence, timing: Timing) -> MirrorState {
    let failures = old.failures.saturating_add(1);
    let parked =
        *consequence == Consequence::Park || *consequence == Consequence::Renew && old.refused;
    let asked = if let Consequence::Retry(asked) = consequence { *asked } else { None };
    let wait = backoff::wait(failures, timing.chance, asked).max(timing.pace);
    MirrorState {
        next: timing.now.plus(wait),
        failures,
        refused: old.refused || *consequence == Consequence::Renew,
        halt: parked.then_some(Halt::Parked { since: timing.now }),
        ..old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_000_000);
    const TIMING: Timing = Timing { now: NOW, pace: 7_000, chance: 255 };

    fn fail(old: MirrorState, consequence: Consequence) -> MirrorState {
        after(old, &Outcome::Failed(consequence, "why".to_owned()), None, TIMING)
    }

    #[test]
    fn failures_wait_longer_and_a_success_forgets_them() {
        let tip = Some(Oid::from_bytes([1; 20]));
        let first = fail(fresh(NOW), Consequence::Retry(None));
        assert_eq!((first.failures, first.next), (1, NOW.plus(10_000)));
        let second = fail(first, Consequence::Retry(Some(60_000)));
        assert_eq!((second.failures, second.next), (2, NOW.plus(60_000)));
        assert_eq!(second.trouble.as_deref(), Some("why"));
        let more = after(second, &Outcome::Progress, tip, TIMING);
        let expected = MirrorState { tip, next: NOW.plus(7_000), ..fresh(NOW) };
        assert_eq!(more, expected);
        let done = after(more, &Outcome::Settled, None, TIMING);
        assert_eq!(done, MirrorState { succeeded: Some(NOW), ..expected });
    }

    /// The credential is read again once, however many other failures come in between.
    #[test]
    fn a_credential_that_is_refused_twice_parks() {
        let once = fail(fresh(NOW), Consequence::Renew);
        assert_eq!((&once.halt, once.refused), (&None, true));
        let between = fail(once, Consequence::Retry(None));
        assert_eq!(between.halt, None);
        let twice = fail(between.clone(), Consequence::Renew);
        assert_eq!(twice.halt, Some(Halt::Parked { since: NOW }));
        let mended = after(between, &Outcome::Settled, None, TIMING);
        assert_eq!(fail(mended, Consequence::Renew).halt, None);
    }

    #[test]
    fn a_divergence_names_both_objects() {
        let (ours, theirs) = (Oid::from_bytes([1; 20]), Oid::from_bytes([2; 20]));
        let name = "refs/heads/x".to_owned();
        let found = Outcome::Diverged(Divergence { name: name.clone(), ours, theirs });
        let state = after(fresh(NOW), &found, None, TIMING);
        assert_eq!(state.halt, Some(Halt::Quarantined { since: NOW, name, ours, theirs }));
    }
}
