//! A secret in memory.

use std::fmt;

use data_encoding::BASE64;
use zeroize::Zeroizing;

/// Longest secret, in bytes.
pub(super) const LONGEST: u64 = 16 * 1024;

/// A password, token or key, on one line. Never printed, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// White space around it is dropped. `None` when nothing is left, or when it is too long or has
    /// more than one line.
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() as u64 <= LONGEST;
        (fits && !text.contains(char::is_control)).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret in clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The value of an `Authorization` header (RFC 7617).
    pub fn basic(&self, username: &str) -> String {
        let pair = Zeroizing::new(format!("{username}:{}", self.reveal()));
        format!("Basic {}", BASE64.encode(pair.as_bytes()))
    }

    /// The same for a bearer token (RFC 6750).
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.reveal())
    }

    /// `text`, which came from elsewhere, without the secret in it.
    pub fn blot(&self, text: &str) -> String {
        text.replace(self.reveal(), "…")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
