//! How often a login may fail. Tokens cannot be guessed; this keeps the log and the processor from those who try.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use colophon_model::UnixMillis;

/// Failures of one address within [`WINDOW`]. Over it, it waits.
const MOST: u32 = 10;
/// Milliseconds: 5 minutes.
const WINDOW: u64 = 5 * 60 * 1000;
/// Addresses that are remembered. When there are more, the one that failed first is forgotten.
const ADDRESSES: usize = 10_000;

/// Failed logins, by address.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<Option<IpAddr>, Failed>>);

#[derive(Debug, Clone, Copy)]
struct Failed {
    since: UnixMillis,
    count: u32,
}

impl Attempts {
    /// Seconds that `from` must wait at `now`, if it must.
    pub fn wait(&self, from: Option<IpAddr>, now: UnixMillis) -> Option<u64> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failed.get(&network(from)).copied()?;
        let end = failed.since.plus(WINDOW);
        let waits = failed.count >= MOST && now < end;
        waits.then(|| end.get().saturating_sub(now.get()).div_ceil(1000))
    }

    /// Counts a failure of `from` at `now`.
    pub fn failed(&self, from: Option<IpAddr>, now: UnixMillis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = network(from);
        if all.len() >= ADDRESSES && !all.contains_key(&from) {
            let oldest = all.iter().min_by_key(|(_, failed)| failed.since).map(|(from, _)| *from);
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        let failed = all.entry(from).or_insert(Failed { since: now, count: 0 });
        if now >= failed.since.plus(WINDOW) {
            *failed = Failed { since: now, count: 0 };
        }
        failed.count += 1;
    }
}

/// One customer has a whole /64 of IPv6.
fn network(from: Option<IpAddr>) -> Option<IpAddr> {
    Some(match from? {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(millis)
    }

    #[test]
    fn an_address_that_fails_too_often_waits_and_others_do_not() {
        let attempts = Attempts::default();
        let (one, other) = (Some("192.0.2.1".parse().unwrap()), Some("192.0.2.2".parse().unwrap()));
        for n in 0..u64::from(MOST) {
            assert_eq!(attempts.wait(one, at(n)), None);
            attempts.failed(one, at(n));
        }
        assert_eq!(attempts.wait(one, at(1000)), Some(299));
        assert_eq!(attempts.wait(other, at(1000)), None);
        assert_eq!(attempts.wait(one, at(WINDOW)), None, "the window is over");
        attempts.failed(one, at(WINDOW));
        assert_eq!(attempts.wait(one, at(WINDOW + 1)), None, "it begins again at one");
    }

    #[test]
    fn neighbours_in_ipv6_are_one() {
        let attempts = Attempts::default();
        for n in 0..MOST {
            attempts.failed(Some(format!("2001:db8::{n:x}").parse().unwrap()), at(0));
        }
        assert!(attempts.wait(Some("2001:db8::ffff".parse().unwrap()), at(1)).is_some());
        assert!(attempts.wait(Some("2001:db8:0:1::1".parse().unwrap()), at(1)).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        for n in 0..2 * ADDRESSES as u32 {
            attempts.failed(Some(IpAddr::V4(n.into())), at(u64::from(n)));
        }
        assert_eq!(attempts.0.lock().unwrap().len(), ADDRESSES);
    }
}
