//! Users that tools run as under a server that is root: each tool has one of its own while it runs.
//!
//! Linux counts the processes that `RLIMIT_NPROC` bounds by user. Tools of one user would share the count, and one
//! that fills it would keep those of other tenants from starting.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A range of user numbers that no account has, such as `60578-61183`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRange {
    first: u32,
    last: u32,
}

/// A text that is no such range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a range of users; write it like `60578-61183`: not root's 0, not `nobody`'s 65534, and not 65535"
)]
pub struct InvalidUsers(String);

/// `nobody`, on every Linux.
pub(super) const NOBODY: u32 = 65_534;
/// The number that stands for none in 16 bits.
const NONE_16: u32 = 65_535;

impl UserRange {
    /// Numbers that neither distributions nor systemd give to anybody
    /// (<https://systemd.io/UIDS-GIDS>), and that containers with 65,536 users have too.
    pub const DEFAULT: Self = Self { first: 60_578, last: 61_183 };

    /// How many there are.
    pub const fn len(self) -> usize {
        (self.last - self.first) as usize + 1
    }

    /// Never: a range has one number at least.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// The highest one: where it exists, the others do too, since users are mapped from 0 on.
    pub(super) const fn last(self) -> u32 {
        self.last
    }
}

impl FromStr for UserRange {
    type Err = InvalidUsers;
    fn from_str(text: &str) -> Result<Self, InvalidUsers> {
        let read = || {
            let (first, last) = text.trim().split_once('-')?;
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            let apart = |taken: u32| last < taken || first > taken;
            let good = first > 0 && first <= last && last < u32::MAX;
            (good && apart(NOBODY) && apart(NONE_16)).then_some(Self { first, last })
        };
        read().ok_or_else(|| InvalidUsers(text.to_owned()))
    }
}

impl fmt::Display for UserRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Serialize for UserRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UserRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Users that tools of this process run as now, and the one that was given out last.
static TAKEN: Mutex<(BTreeSet<u32>, Option<u32>)> = Mutex::new((BTreeSet::new(), None));

/// A user that one tool has for itself; free for others when dropped, so keep it until the tool has ended.
#[derive(Debug)]
pub(super) struct User(u32);

impl User {
    /// One that no other tool of this server has. They go round, from a place that differs between servers,
    /// so that two on one machine with the same range rarely meet.
    pub(super) fn take(range: UserRange) -> Result<Self, String> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let count = range.len() as u64;
        let start = match taken.1 {
            Some(last) => u64::from(last.saturating_sub(range.first)) + 1,
            None => u64::from(std::process::id()).wrapping_mul(37),
        };
        let number = |step| range.first + ((start + step) % count) as u32;
        let free = (0..count).map(number).find(|user| !taken.0.contains(user));
        let user =
            free.ok_or_else(|| format!("every user of `gates.users` ({range}) has a tool"))?;
        taken.0.insert(user);
        taken.1 = Some(user);
        Ok(Self(user))
    }

    /// Its number, which is its group's too.
    pub(super) const fn number(&self) -> u32 {
        self.0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of root's or of somebody else would give a tool that one's files.
    #[test]
    fn a_range_holds_nobody_who_is_there() {
        for text in ["60578-61183", "1-1", "65536-131071", " 100 - 200 "] {
            assert!(text.parse::<UserRange>().is_ok(), "{text}");
        }
        for text in ["0-10", "5-4", "65000-66000", "65535-65536", "7", "", "1-4294967295", "-1-5"] {
            assert!(text.parse::<UserRange>().is_err(), "{text}");
        }
        assert_eq!(UserRange::DEFAULT.to_string().parse(), Ok(UserRange::DEFAULT));
    }

    /// Two tools with one user would share its processes; one that is free again is given out again.
    #[test]
    fn no_two_tools_have_the_same_user() {
        let range: UserRange = "900001-900003".parse().unwrap();
        let held: Vec<User> = (0..3).map(|_| User::take(range).unwrap()).collect();
        let numbers: BTreeSet<u32> = held.iter().map(User::number).collect();
        assert_eq!(numbers, (900_001..=900_003).collect());
        assert!(User::take(range).unwrap_err().contains("900001-900003"));
        drop(held);
        assert!(User::take(range).is_ok());
    }
}
