//! Numbers and statuses as people read them.

use serde::Serialize;

use crate::units::Size;

/// A status: a word, and how good it is. Pages show a mark beside the word, never colour alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Badge {
    /// What it says.
    pub word: String,
    /// `good`, `bad`, `warn` or `plain`.
    pub tone: &'static str,
    /// A mark that says the same as the colour.
    pub mark: &'static str,
}

impl Badge {
    /// As it should be.
    pub(super) fn good(word: impl Into<String>) -> Self {
        Self { word: word.into(), tone: "good", mark: "✓" }
    }

    /// Something is wrong.
    pub(super) fn bad(word: impl Into<String>) -> Self {
        Self { word: word.into(), tone: "bad", mark: "✕" }
    }

    /// Somebody should look.
    pub(super) fn warn(word: impl Into<String>) -> Self {
        Self { word: word.into(), tone: "warn", mark: "!" }
    }

    /// Neither good nor bad.
    pub(super) fn plain(word: impl Into<String>) -> Self {
        Self { word: word.into(), tone: "plain", mark: "·" }
    }
}

/// A number of bytes.
pub(super) fn bytes(size: u64) -> String {
    Size::bytes(size).rounded().to_string()
}

/// So many of something.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A length of time to its largest unit, in seconds.
pub(super) fn ago(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length);
    let (length, word) = unit.unwrap_or((1, "second"));
    count(usize::try_from(seconds / length).unwrap_or(usize::MAX), word)
}

/// A time of RFC 3339 without what a person does not need.
pub(super) fn time(at: colophon_model::UnixMillis) -> String {
    people(&at.rfc3339_seconds())
}

/// A time of RFC 3339 in UTC, for people.
pub(super) fn people(at: &str) -> String {
    at.replace('T', " ").replace('Z', " UTC")
}

/// The same to the second.
pub(super) fn to_the_second(at: &str) -> String {
    let whole = at.split_once('.').map_or_else(|| at.to_owned(), |(whole, _)| format!("{whole}Z"));
    people(&whole)
}

/// The beginning of a hash.
pub(super) fn short(hash: impl std::fmt::Display) -> String {
    hash.to_string().chars().take(12).collect()
}

/// Text as a part of a path (RFC 3986 §2.3: what is not unreserved is encoded).
pub(super) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_for_people() {
        assert_eq!(ago(0), "0 seconds");
        assert_eq!(ago(61), "1 minute");
        assert_eq!(ago(2 * 86_400), "2 days");
        assert_eq!(count(1, "flow"), "1 flow");
        assert_eq!(time(colophon_model::UnixMillis::new(0)), "1970-01-01 00:00:00 UTC");
        for at in ["2026-11-30T08:00:00.976Z", "2026-11-30T08:00:00Z"] {
            assert_eq!(to_the_second(at), "2026-11-30 08:00:00 UTC");
        }
        assert_eq!(segment("a b/ü\"<"), "a%20b%2F%C3%BC%22%3C");
    }
}
