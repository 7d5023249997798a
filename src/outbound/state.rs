//! What an attempt makes of an endpoint's state, and of what is to be sent. Pure.

use colophon_model::UnixMillis;
use colophon_store::rows::{EndpointState, SendRow};

use super::client::Reply;
use super::retry;
use crate::schedule;

/// Longer than this, in milliseconds, and an endpoint is slow.
const SLOW: u128 = 2_000;

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was taken.
    Delivered,
    /// Not this time.
    Failed {
        /// Why.
        why: String,
        /// When it is tried again. `None`: no more.
        next: Option<UnixMillis>,
    },
    /// The endpoint wants nothing more: 410.
    Gone,
}

impl Verdict {
    /// The word for it in the log.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed { next: Some(_), .. } => "failed",
            Self::Failed { next: None, .. } | Self::Gone => "gave-up",
        }
    }

    /// Why it was not taken.
    pub(super) fn why(&self) -> Option<String> {
        match self {
            Self::Delivered => None,
            Self::Failed { why, .. } => Some(why.clone()),
            Self::Gone => Some("the endpoint answered with status 410: it is gone".to_owned()),
        }
    }

    /// When it is tried again.
    pub(super) const fn next(&self) -> Option<UnixMillis> {
        match self {
            Self::Failed { next, .. } => *next,
            Self::Delivered | Self::Gone => None,
        }
    }
}

/// Whether what waits until `next`, in milliseconds since 1970, may be sent.
pub(super) fn is_due(next: u64, now: UnixMillis) -> bool {
    schedule::is_due(UnixMillis::new(next), now, retry::LONGEST)
}

/// Only 2xx is a success. `chance` is a random number.
pub(super) fn judge(reply: &Reply, row: &SendRow, now: UnixMillis, chance: u8) -> Verdict {
    let why = match &reply.status {
        Ok(200..=299) => return Verdict::Delivered,
        Ok(410) => return Verdict::Gone,
        Ok(status @ 300..=399) => {
            format!("the endpoint answered with status {status}; redirects are not followed")
        }
        Ok(status) => format!("the endpoint answered with status {status}"),
        Err(why) => why.clone(),
    };
    let wait = retry::wait(row.failures.saturating_add(1), chance, reply.asked);
    Verdict::Failed { why, next: wait.map(|wait| now.plus(wait)) }
}

/// The endpoint's state after an attempt that ended so.
pub(super) fn after(
    old: &EndpointState,
    verdict: &Verdict,
    reply: &Reply,
    now: UnixMillis,
) -> EndpointState {
    let is_late = reply.took.as_millis() > SLOW;
    let Some(trouble) = verdict.why() else {
        let (last, succeeded) = (Some(now), Some(now));
        return EndpointState { last, succeeded, slow: is_late, ..EndpointState::default() };
    };
    let connected = old.last.is_some_and(|last| now.get() <= last.plus(retry::CONNECTED).get());
    let before = if connected { old.failing.map(|since| (since, old.failures)) } else { None };
    let (since, failures) = before.unwrap_or((now, 0));
    let failures = failures.saturating_add(1);
    // What it asks for is about itself, not about one event.
    let asked = reply.asked.unwrap_or_default().min(retry::LONGEST_ASKED);
    EndpointState {
        failing: Some(since),
        failures,
        last: Some(now),
        succeeded: old.succeeded,
        rest: now.plus(retry::rest(failures).max(asked)).get(),
        slow: true,
        trouble: Some(trouble),
    }
}

/// Whether an endpoint has failed for so long, in milliseconds, that it is disabled.
pub(super) fn is_lost(state: &EndpointState, limit: u64) -> bool {
    let (Some(since), Some(last)) = (state.failing, state.last) else { return false };
    last.get().saturating_sub(since.get()) >= limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: UnixMillis = UnixMillis::new(1_000_000_000);
    const HOUR: u64 = 3_600_000;

    fn reply(status: Result<u16, String>, asked: Option<u64>) -> Reply {
        Reply { status, asked, excerpt: String::new(), took: Duration::from_millis(5) }
    }

    fn row(failures: u32) -> SendRow {
        SendRow { flow: None, failures, replay: false }
    }

    #[test]
    fn only_success_is_success_and_gone_is_gone() {
        let of = |status| judge(&reply(Ok(status), None), &row(0), NOW, 0);
        for good in [200, 201, 202, 204, 299] {
            assert_eq!(of(good), Verdict::Delivered, "{good}");
        }
        for bad in [100, 199, 301, 302, 304, 307, 308, 400, 401, 404, 409, 429, 500, 503] {
            assert_eq!(of(bad).next(), Some(NOW.plus(5_000)), "{bad}");
        }
        assert_eq!(of(410), Verdict::Gone);
        assert!(of(302).why().unwrap().contains("redirects are not followed"));
        let last = judge(&reply(Err("x".to_owned()), None), &row(9), NOW, 0);
        assert_eq!((last.word(), last.next()), ("gave-up", None));
    }

    #[test]
    fn what_the_endpoint_asks_for_is_kept() {
        let asked = reply(Ok(429), Some(90_000));
        let verdict = judge(&asked, &row(0), NOW, 255);
        assert_eq!(verdict.next(), Some(NOW.plus(90_000)));
        let state = after(&EndpointState::default(), &verdict, &asked, NOW);
        assert_eq!(state.rest, NOW.plus(90_000).get(), "other events wait too");
    }

    /// Days without anything to send are no days of failing.
    #[test]
    fn failing_counts_from_the_first_failure_of_a_row_of_them() {
        let bad = reply(Ok(500), None);
        let fail = |old: EndpointState, at: u64| {
            let at = NOW.plus(at * HOUR);
            after(&old, &judge(&bad, &row(0), at, 0), &bad, at)
        };
        let state = fail(fail(EndpointState::default(), 0), 24);
        assert_eq!((state.failing, state.failures), (Some(NOW), 2));
        assert!(is_lost(&state, 24 * HOUR) && !is_lost(&state, 25 * HOUR));
        let later = fail(state.clone(), 24 + 31);
        assert_eq!((later.failing, later.failures), (Some(NOW.plus(55 * HOUR)), 1));
        let good = reply(Ok(200), None);
        let mended = after(&state, &Verdict::Delivered, &good, NOW);
        assert_eq!((mended.failing, mended.rest, mended.slow), (None, 0, false));
    }
}
