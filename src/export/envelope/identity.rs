//! The key of a tenant's export: an identity as age has them.

use std::fmt;
use std::str::FromStr;

use bech32::{Bech32, Hrp};
use serde::{Deserialize, Serialize};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::keys::random_bytes;

/// What names a key: its public half, an age recipient (`age1…`). `age-keygen -y` prints it of an identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// A secret key: who has it reads everything that is sealed with it.
#[derive(Clone)]
pub struct Identity(Zeroizing<[u8; 32]>);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// Not a secret key. The text is not repeated.
    #[error("line {0} is no age identity: it would begin with `AGE-SECRET-KEY-1`")]
    Line(usize),
    /// Nothing in it.
    #[error("there is no age identity in it: a line that begins with `AGE-SECRET-KEY-1`")]
    Nothing,
    /// Not a public key.
    #[error("`{0}` is no age recipient: `age1…`, as `age-keygen` prints it")]
    Recipient(String),
}

const PUBLIC: Hrp = Hrp::parse_unchecked("age");
const SECRET: Hrp = Hrp::parse_unchecked("age-secret-key-");

impl Identity {
    /// Draws a new one.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self::from_secret(random_bytes()?))
    }

    /// That of these bytes.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// Its bytes, for whoever keeps them.
    pub fn secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// Every identity of a file as `age-keygen` writes it: a line each; empty lines and comments (`#`) are skipped.
    ///
    /// # Errors
    /// When a line is none, or there is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidIdentity> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let found: Result<Vec<Self>, _> =
            lines.map(|(at, line)| Self::parse(line).ok_or(InvalidIdentity::Line(at))).collect();
        match found? {
            found if found.is_empty() => Err(InvalidIdentity::Nothing),
            found => Ok(found),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (hrp, bytes) = bech32::decode(line).ok()?;
        let bytes = Zeroizing::new(bytes);
        let secret = bytes.as_slice().try_into().ok()?;
        (hrp == SECRET).then(|| Self::from_secret(secret))
    }

    /// The line that `age -i` reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(bech32::encode_upper::<Bech32>(SECRET, &*self.0).unwrap_or_default())
    }

    /// What names it.
    pub fn id(&self) -> KeyId {
        KeyId(bech32::encode::<Bech32>(PUBLIC, self.public().as_bytes()).unwrap_or_default())
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey::from(&StaticSecret::from(*self.0))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id())
    }
}

impl FromStr for KeyId {
    type Err = InvalidIdentity;
    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let invalid = || InvalidIdentity::Recipient(text.chars().take(80).collect());
        text.parse::<age::x25519::Recipient>().map_err(|_| invalid())?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidIdentity;
    fn try_from(text: String) -> Result<Self, InvalidIdentity> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
