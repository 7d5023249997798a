//! Who a build belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A tenant's name: `[a-z][a-z0-9]*(-[a-z0-9]+)*`, at most 40 bytes, no reserved word.
///
/// Safe as part of a Git ref, a path, a URL and a log field, on every platform an agent runs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantSlug(String);

/// Why a text is not a tenant slug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlug {
    /// Empty, too long, or a character or position outside the grammar.
    #[error(
        "`{0}` is not a tenant slug: use lower-case letters, digits and single hyphens, \
         begin with a letter, at most 40 characters"
    )]
    Grammar(String),
    /// A word that Git, Windows, Python or colophon itself gives another meaning.
    #[error("`{0}` is a reserved word and cannot name a tenant")]
    Reserved(String),
}

/// Longest slug, in bytes.
const MAX_SLUG: usize = 40;

/// Words with a meaning of their own: to colophon and Git, to Windows (device names), to Python
/// (keywords and soft keywords, since a slug becomes a package name).
const RESERVED: &[&str] = &[
    "main", "master", "core", "head", "archive", "all", "admin", "colophon", "con", "prn", "aux",
    "nul", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt0",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Python 3.14 keywords and soft keywords in lower case.
pub(crate) const PYTHON_KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "case", "class", "continue", "def", "del",
    "elif", "else", "except", "false", "finally", "for", "from", "global", "if", "import", "in",
    "is", "lambda", "match", "none", "nonlocal", "not", "or", "pass", "raise", "return", "true",
    "try", "type", "while", "with", "yield",
];

impl TenantSlug {
    /// Checks `text` against the grammar and the reserved words.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSlug> {
        let text = text.into();
        if !follows_grammar(&text) {
            return Err(InvalidSlug::Grammar(text.chars().take(80).collect()));
        }
        if RESERVED.contains(&text.as_str()) || PYTHON_KEYWORDS.contains(&text.as_str()) {
            return Err(InvalidSlug::Reserved(text));
        }
        Ok(Self(text))
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug as a Python package name: `-` becomes `_`. Two slugs never share one, since a slug
    /// holds no `_`.
    pub fn python_package(&self) -> String {
        self.0.replace('-', "_")
    }
}

fn follows_grammar(text: &str) -> bool {
    text.len() <= MAX_SLUG
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

impl fmt::Display for TenantSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TenantSlug {
    type Err = InvalidSlug;
    fn from_str(text: &str) -> Result<Self, InvalidSlug> {
        Self::new(text)
    }
}

impl TryFrom<String> for TenantSlug {
    type Error = InvalidSlug;
    fn try_from(text: String) -> Result<Self, InvalidSlug> {
        Self::new(text)
    }
}

impl From<TenantSlug> for String {
    fn from(slug: TenantSlug) -> Self {
        slug.0
    }
}

/// The random 128 bits drawn when a tenant is created. Rows and keys hang on it; the slug is a
/// name, and is not used again after the tenant is erased.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantUid([u8; 16]);

impl TenantUid {
    /// Wraps 16 random bytes, or the bytes of a row.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, the prefix of every row of the tenant.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TenantUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::digest::write_hex(f, &self.0)
    }
}

impl fmt::Debug for TenantUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantUid({self})")
    }
}

impl Serialize for TenantUid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is not the 32 hex digits of a tenant's uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant's uid is 32 hex digits")]
pub struct InvalidUid;

impl FromStr for TenantUid {
    type Err = InvalidUid;
    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidUid)?;
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for TenantUid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_slugs_pass_and_name_a_package() {
        for (slug, package) in [("a", "a"), ("acme-inc", "acme_inc"), ("a1-2-b", "a1_2_b")] {
            assert_eq!(TenantSlug::new(slug).unwrap().python_package(), package);
        }
        assert!(TenantSlug::new("a".repeat(40)).is_ok());
    }

    #[test]
    fn bad_slugs_are_refused() {
        for bad in [
            "", "-a", "a-", "a--b", "1a", "A", "a_b", "a.b", "a/b", "../a", "a b", "a\n", "é",
            "main", "con", "nul", "class", "async", "lpt1", "a\0",
        ] {
            assert!(TenantSlug::new(bad).is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<TenantSlug>(&json).is_err(), "{bad:?}");
        }
        assert!(TenantSlug::new("a".repeat(41)).is_err());
    }

    proptest! {
        /// Whatever passes is safe in a ref, a path and a shell word.
        #[test]
        fn accepted_slugs_hold_safe_characters_only(text in "\\PC{0,50}|[a-z0-9-]{0,45}") {
            if let Ok(slug) = TenantSlug::new(text.clone()) {
                prop_assert!(slug.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
                prop_assert_eq!(slug.as_str(), text);
            }
        }
    }
}
