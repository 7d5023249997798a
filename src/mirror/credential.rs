//! Credentials of mirrors: what is stored is where to find one.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

use data_encoding::BASE64;

/// Where a password or token is found: `env:NAME` in the server's environment, `file:/path` in a file
/// that is read again for each attempt, so that whoever rotates it only has to replace the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialRef {
    /// A variable of the server's environment.
    Env(String),
    /// A file on the server's machine, by absolute path.
    File(PathBuf),
}

/// A text that does not say where a credential is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the credential must be `env:NAME` or `file:/absolute/path`: where it is found, not what it is"
)]
pub struct InvalidCredential;

/// Longest credential, in bytes.
const LONGEST: u64 = 16 * 1024;

impl FromStr for CredentialRef {
    type Err = InvalidCredential;

    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match text.split_once(':') {
            Some(("env", n)) if !n.is_empty() && n.len() <= 200 && n.chars().all(name) => {
                Ok(Self::Env(n.to_owned()))
            }
            Some(("file", path)) if path.len() <= 1024 && !path.contains(char::is_control) => {
                let path = PathBuf::from(path);
                if path.is_absolute() { Ok(Self::File(path)) } else { Err(InvalidCredential) }
            }
            _ => Err(InvalidCredential),
        }
    }
}

impl fmt::Display for CredentialRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl CredentialRef {
    /// Reads it as it is now. The error says what is wrong without any of its content.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|_| format!("the server has no environment variable `{name}`"))?,
            Self::File(path) => {
                let mut text = String::new();
                File::open(path)
                    .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
                    .map_err(|e| format!("`{}` cannot be read: {}", path.display(), e.kind()))?;
                text
            }
        };
        Secret::new(&text).ok_or_else(|| format!("what `{self}` holds is no password or token"))
    }
}

/// A password or token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// White space around it is dropped. `None` when nothing is left, or when it is too long or
    /// cannot be a password.
    fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() as u64 <= LONGEST;
        (fits && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// The secret itself, for where it is used.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self, username: &str) -> String {
        format!("Basic {}", BASE64.encode(format!("{username}:{}", self.0).as_bytes()))
    }

    /// The same for a bearer token (RFC 6750).
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// `text`, which came from elsewhere, without the secret in it.
    pub(super) fn blot(&self, text: &str) -> String {
        text.replace(&self.0, "…")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip_and_secrets_are_not_taken_for_them() {
        for good in ["env:ACME_TOKEN", "file:/run/secrets/acme"] {
            assert_eq!(good.parse::<CredentialRef>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "ghp_abc123",
            "env:",
            "env:A B",
            "env:A=B",
            "file:relative",
            "file:",
            "command:cat /x",
            "file:/a\nb",
        ] {
            assert!(bad.parse::<CredentialRef>().is_err(), "{bad}");
        }
    }

    /// What was given may be the secret itself.
    #[test]
    fn a_refused_reference_is_not_repeated() {
        let error = "ghp_abc123".parse::<CredentialRef>().unwrap_err();
        assert!(!error.to_string().contains("ghp_abc123"));
    }

    /// The file is read each time, and no error or debug output shows what it holds.
    #[test]
    fn files_are_read_anew_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let from: CredentialRef = format!("file:{}", path.display()).parse().unwrap();
        assert!(from.read().unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "first\n").unwrap();
        let first = from.read().unwrap();
        assert_eq!(first.basic("x"), "Basic eDpmaXJzdA==");
        assert_eq!(first.blot("your first mistake"), "your … mistake");
        std::fs::write(&path, "second\n").unwrap();
        assert_ne!(from.read().unwrap(), first);
        assert_eq!(format!("{first:?}"), "Secret(…)");
        for bad in [" \n".to_owned(), "hunter2\nhunter3".to_owned(), "hunter2".repeat(5_000)] {
            std::fs::write(&path, bad).unwrap();
            assert!(!from.read().unwrap_err().contains("hunter"));
        }
        assert!("env:COLOPHON_NO_SUCH_VARIABLE".parse::<CredentialRef>().unwrap().read().is_err());
    }
}
