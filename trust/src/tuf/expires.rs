//! When metadata ends.

use colophon_model::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Role};

/// When a file stops being valid: RFC 3339 in UTC with whole seconds (specification §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expires(pub(crate) UnixMillis);

impl Expires {
    pub(crate) fn check(self, role: Role, now: UnixMillis) -> Result<(), Error> {
        if self.0 > now { Ok(()) } else { Err(Error::Expired { role, expires: self.0 }) }
    }
}

impl Serialize for Expires {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339_seconds())
    }
}

impl<'de> Deserialize<'de> for Expires {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_expires(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!("`{text}` is not a time `yyyy-mm-ddThh:mm:ssZ`"))
        })
    }
}

fn parse_expires(text: &str) -> Option<Expires> {
    let civil = jiff::civil::DateTime::strptime("%Y-%m-%dT%H:%M:%SZ", text).ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let expires = UnixMillis::new(zoned.timestamp().as_millisecond().try_into().ok()?);
    // One spelling per instant: the parser above also takes one-digit months and the like.
    (expires.rfc3339_seconds() == text).then_some(Expires(expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tuf_spelling_of_a_time_is_read() {
        let good = parse_expires("2026-11-21T12:00:00Z").unwrap();
        assert_eq!(good.0.get(), 1_795_262_400_000);
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21T12:00:00",
            "2026-11-21T12:00:00+00:00",
            "2026-11-21T12:00:00.5Z",
            "2026-1-21T12:00:00Z",
            "2026-13-21T12:00:00Z",
            "1969-12-31T23:59:59Z",
            " 2026-11-21T12:00:00Z",
        ] {
            assert!(parse_expires(bad).is_none(), "{bad}");
        }
    }
}
