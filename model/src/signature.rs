//! Signatures of Git objects, as they stand in the objects and in the records.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An armored SSH signature (OpenSSH, PROTOCOL.sshsig), without the last line break.
///
/// Only its shape is checked here: lines of base64 between the two marks, at most 2,048 bytes. So it
/// can stand in an object without forging a header, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SshSignature(String);

/// A text that is not an armored SSH signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an armored SSH signature")]
pub struct InvalidSignature;

/// The signatures of a commit and of its tags: facts of the build that made them, since a key may be
/// replaced and its old signatures must stand all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signatures {
    /// Of the commit.
    pub commit: SshSignature,
    /// Of the tags, in their order.
    pub tags: Vec<SshSignature>,
}

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "\n-----END SSH SIGNATURE-----";
/// An Ed25519 signature takes about 300 bytes, one of RSA-4096 about 1,600.
const MAX: usize = 2_048;

impl SshSignature {
    /// Checks the shape of `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSignature> {
        let text = text.into();
        let body = body(&text).filter(|_| text.len() <= MAX).ok_or(InvalidSignature)?;
        let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
        let is_line = |line: &str| !line.is_empty() && line.bytes().all(is_base64);
        if body.split('\n').all(is_line) { Ok(Self(text)) } else { Err(InvalidSignature) }
    }

    /// Wraps what was signed: `blob` as base64.
    pub fn armor(base64: &str) -> Result<Self, InvalidSignature> {
        let lines: Vec<&str> = base64.as_bytes().chunks(70).map(ascii).collect();
        Self::new(format!("{BEGIN}{}{END}", lines.join("\n")))
    }

    /// The text, without a line break at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The base64 between the marks, in one line.
    pub fn base64(&self) -> String {
        body(&self.0).unwrap_or_default().replace('\n', "")
    }
}

fn body(text: &str) -> Option<&str> {
    text.strip_prefix(BEGIN)?.strip_suffix(END)
}

/// What is not ASCII gives nothing, and [`SshSignature::new`] then refuses the empty line.
fn ascii(line: &[u8]) -> &str {
    std::str::from_utf8(line).unwrap_or_default()
}

impl fmt::Display for SshSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SshSignature {
    type Error = InvalidSignature;
    fn try_from(text: String) -> Result<Self, InvalidSignature> {
        Self::new(text)
    }
}

impl From<SshSignature> for String {
    fn from(signature: SshSignature) -> Self {
        signature.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armor_wraps_at_seventy_columns_and_opens_again() {
        let signature = SshSignature::armor(&"A".repeat(71)).unwrap();
        let lines: Vec<&str> = signature.as_str().lines().collect();
        assert_eq!(lines.iter().map(|l| l.len()).collect::<Vec<_>>(), [29, 70, 1, 27]);
        assert_eq!(signature.base64(), "A".repeat(71));
        assert_eq!(SshSignature::new(signature.as_str()), Ok(signature));
    }

    /// A signature stands among the headers of a commit: a line of another form would be one.
    #[test]
    fn nothing_but_base64_gets_between_the_marks() {
        for bad in ["", "a b", "a\n", "\na", "a\n\nb", "a\nparent 0", "é", "a\0", "a\r\nb"] {
            assert!(SshSignature::armor(bad).is_err(), "{bad:?}");
            assert!(SshSignature::new(format!("{BEGIN}{bad}{END}")).is_err(), "{bad:?}");
        }
        let good = SshSignature::armor("abcd").unwrap();
        assert!(SshSignature::new(format!("{good}\n")).is_err(), "one spelling only");
        assert!(SshSignature::armor(&"A".repeat(MAX)).is_err(), "bounded");
    }
}
