//! Sizes, durations and shares as people write them: `10GiB`, `24h`, `25`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use colophon_store::Pace;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes. Written with a unit: `512MiB` is 512 · 2²⁰, `512MB` is 512 · 10⁶.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write it like `512MiB`, `10GiB`, or as a number of bytes")]
pub struct InvalidSize(String);

impl Size {
    /// A number of bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A number of 2²⁰ bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// How many bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// For people: rounded, with the unit that fits.
    pub fn rounded(self) -> impl fmt::Display {
        ByteSize(self.0).display().iec()
    }
}

impl FromStr for Size {
    type Err = InvalidSize;
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let size: Result<ByteSize, _> = text.trim().parse();
        size.map(|size| Self(size.as_u64())).map_err(|_| InvalidSize(text.to_owned()))
    }
}

/// Exact: the largest unit that leaves no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |(shift, _): &&(u32, &str)| self.0 > 0 && self.0.trailing_zeros() >= *shift;
        match units.iter().find(whole) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A length of time. Written with units: `90s`, `24h`, `30d`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time; write it like `90s`, `24h` or `30d`")]
pub struct InvalidSpan(String);

impl Span {
    /// A number of seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// A number of hours.
    pub const fn hours(count: u64) -> Self {
        Self::seconds(count * 60 * 60)
    }

    /// A number of days of 24 hours.
    pub const fn days(count: u64) -> Self {
        Self::hours(count * 24)
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// In milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;
    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        humantime::parse_duration(text).map(Self).map_err(|_| InvalidSpan(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A share of the time, in percent: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Share(u32);

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share of the time is 1 to 100 percent")]
pub struct InvalidShare;

impl Share {
    /// All of the time.
    pub const ALL: Self = Self(100);
    /// A quarter of it.
    pub const QUARTER: Self = Self(25);

    /// The pace of a job that takes this share.
    pub const fn pace(self) -> Pace {
        Pace::percent(self.0)
    }
}

impl TryFrom<u32> for Share {
    type Error = InvalidShare;
    fn try_from(percent: u32) -> Result<Self, InvalidShare> {
        if (1..=100).contains(&percent) { Ok(Self(percent)) } else { Err(InvalidShare) }
    }
}

impl From<Share> for u32 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl FromStr for Share {
    type Err = InvalidShare;
    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        let number = text.trim_end_matches('%').parse::<u32>();
        number.map_err(|_| InvalidShare)?.try_into()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A number stands for bytes; a text is parsed.
impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size like `512MiB`, or a number of bytes")]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_back() {
        for (text, bytes, back) in [
            ("10GiB", 10 << 30, "10GiB"),
            ("1536 MiB", 1536 << 20, "1536MiB"),
            ("1.5GiB", 1536 << 20, "1536MiB"),
            ("1GB", 1_000_000_000, "1000000000"),
            ("0", 0, "0"),
            ("64k", 64_000, "64000"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.get(), size.to_string().as_str()), (bytes, back), "{text}");
            assert_eq!(back.parse(), Ok(size));
        }
        for text in ["", "much", "-1", "10 gigs", "1GiB2"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(Size::mib(1536).rounded().to_string(), "1.5 GiB");
    }

    #[test]
    fn spans_are_read_and_written_back() {
        for (text, span, back) in [
            ("24h", Span::days(1), "1day"),
            ("30d", Span::days(30), "30days"),
            ("1h 30m", Span::seconds(5400), "1h 30m"),
            ("0s", Span::seconds(0), "0s"),
        ] {
            assert_eq!(text.parse(), Ok(span));
            assert_eq!(span.to_string(), back);
            assert_eq!(back.parse(), Ok(span));
        }
        for text in ["", "24", "soon", "-1h", "1 fortnight"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    /// In JSON and TOML a number of bytes is as good as a text; a number without a unit is no time.
    #[test]
    fn both_forms_of_a_size_are_configuration() {
        assert_eq!(serde_json::from_str::<Size>("4096").unwrap(), Size::bytes(4096));
        assert_eq!(serde_json::from_str::<Size>("\"4KiB\"").unwrap(), Size::bytes(4096));
        assert_eq!(serde_json::to_string(&Size::mib(4)).unwrap(), "\"4MiB\"");
        assert!(serde_json::from_str::<Span>("24").is_err());
        let error = serde_json::from_str::<Size>("\"tiny\"").unwrap_err().to_string();
        assert!(error.contains("write it like `512MiB`"), "{error}");
    }
}
