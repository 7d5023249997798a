//! Points in time as facts: values in, no clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC, without leap seconds. Bounded to the years 1970 to 9999
/// by its constructor, so formatting cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct UnixMillis(u64);

/// 9999-12-31T23:59:59.999Z.
const MAX_MILLIS: u64 = 253_402_300_799_999;

impl UnixMillis {
    /// Clamps to the last millisecond of the year 9999.
    pub const fn new(millis: u64) -> Self {
        Self(if millis > MAX_MILLIS { MAX_MILLIS } else { millis })
    }

    /// The count of milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This instant plus `millis`.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self::new(self.0.saturating_add(millis))
    }

    /// RFC 3339 with millisecond precision, such as `2026-11-21T12:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        self.zoned().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// RFC 3339 with second precision, the form that TUF metadata requires.
    pub fn rfc3339_seconds(self) -> String {
        self.zoned().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn zoned(self) -> jiff::Zoned {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
    }
}

impl From<u64> for UnixMillis {
    fn from(millis: u64) -> Self {
        Self::new(millis)
    }
}

impl From<UnixMillis> for u64 {
    fn from(time: UnixMillis) -> Self {
        time.0
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// The time in a tag name, `yyyyMMddHHmmssSSS` in UTC. Strictly increasing per tenant: a build in
/// the same millisecond as the one before it takes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(UnixMillis);

impl Stamp {
    /// The stamp of a build at `now` in a tenant whose last stamp was `last`.
    pub fn after(last: Option<Self>, now: UnixMillis) -> Self {
        match last {
            Some(last) if last.0 >= now => Self(last.0.plus(1)),
            _ => Self(now),
        }
    }

    /// The instant behind the stamp.
    pub const fn time(self) -> UnixMillis {
        self.0
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.zoned().strftime("%Y%m%d%H%M%S%3f"))
    }
}

impl FromStr for Stamp {
    type Err = crate::InvalidRef;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || crate::InvalidRef(text.chars().take(80).collect());
        if text.len() != 17 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let (date, millis) = text.split_at(14);
        let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", date).map_err(|_| invalid())?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| invalid())?;
        let seconds = u64::try_from(zoned.timestamp().as_millisecond()).map_err(|_| invalid())?;
        let stamp = Self(UnixMillis::new(seconds + millis.parse::<u64>().map_err(|_| invalid())?));
        if stamp.to_string() == text { Ok(stamp) } else { Err(invalid()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formats_are_pinned() {
        let time = UnixMillis::new(1_795_262_400_007);
        assert_eq!(time.rfc3339(), "2026-11-21T12:00:00.007Z");
        assert_eq!(time.rfc3339_seconds(), "2026-11-21T12:00:00Z");
        assert_eq!(Stamp::after(None, time).to_string(), "20261121120000007");
    }

    #[test]
    fn stamps_only_ever_rise() {
        let now = UnixMillis::new(1_000);
        let first = Stamp::after(None, now);
        let second = Stamp::after(Some(first), now);
        let third = Stamp::after(Some(second), UnixMillis::new(5));
        assert!(first < second && second < third, "also when the clock steps back");
    }

    #[test]
    fn bad_stamps_are_refused() {
        for bad in
            ["", "2026112112000000", "20261321120000007", "2026112112000000x", "20260230000000000"]
        {
            assert!(bad.parse::<Stamp>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn stamps_round_trip(millis in 0..=MAX_MILLIS) {
            let stamp = Stamp::after(None, UnixMillis::new(millis));
            prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
        }
    }
}
