//! Encrypted environments of edge flows, in the age format (<https://age-encryption.org/v1>): what the
//! server takes and cannot read, and how the operator's command makes it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::str::FromStr;

use age::armor::ArmoredReader;
use age::x25519;
use age_core::format::{FileKey, Stanza};
use colophon_trust::Environment;
use colophon_trust::limits::MAX_ENVIRONMENT;
use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Serialize};

/// A device that can decrypt: the public half of its key, `age1…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipient(String);

/// A text that is no recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the recipient of a device: `age1…`, as `edge-fetch recipient` prints it")]
pub struct InvalidRecipient;

impl FromStr for Recipient {
    type Err = InvalidRecipient;
    fn from_str(text: &str) -> Result<Self, InvalidRecipient> {
        text.parse::<x25519::Recipient>().map_err(|_| InvalidRecipient)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Recipient {
    type Error = InvalidRecipient;
    fn try_from(text: String) -> Result<Self, InvalidRecipient> {
        text.parse()
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.0
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An age file, binary or armored, that at least one device can decrypt. Whether it holds an environment,
/// only those know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ciphertext {
    bytes: Vec<u8>,
    recipients: u32,
}

/// Why bytes are not taken as an encrypted environment, or could not be made into one.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCiphertext {
    /// Too many bytes.
    #[error("the encrypted environment has {0} bytes; at most {MAX_ENVIRONMENT} are allowed")]
    TooLarge(usize),
    /// Not an age file: plaintext, perhaps.
    #[error("this is not encrypted: it is no age file")]
    NotAge,
    /// Whoever knows a passphrase could read it, and no device does.
    #[error("it is encrypted with a passphrase, and not for a device")]
    Passphrase,
    /// No device can read it.
    #[error("it is encrypted for no X25519 recipient, so no device can decrypt it")]
    NoDevice,
    /// There is nobody to encrypt for.
    #[error("there is no recipient to encrypt for")]
    NoRecipient,
    /// The file could not be made.
    #[error("it could not be encrypted")]
    Encrypt(#[source] std::io::Error),
}

impl Ciphertext {
    /// Takes an age file of version 1 with at least one X25519 recipient.
    ///
    /// # Errors
    /// When it is none, or larger than [`MAX_ENVIRONMENT`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, InvalidCiphertext> {
        if bytes.len() as u64 > MAX_ENVIRONMENT {
            return Err(InvalidCiphertext::TooLarge(bytes.len()));
        }
        let mut binary = Vec::new();
        // A broken armor is found by reading all of it.
        let read = ArmoredReader::new(bytes.as_slice()).read_to_end(&mut binary);
        read.map_err(|_| InvalidCiphertext::NotAge)?;
        let file = age::Decryptor::new_buffered(binary.as_slice())
            .map_err(|_| InvalidCiphertext::NotAge)?;
        if file.is_scrypt() {
            return Err(InvalidCiphertext::Passphrase);
        }
        let devices = Devices::default();
        match file.decrypt(std::iter::once(&devices as &dyn age::Identity)) {
            Err(age::DecryptError::NoMatchingKeys) if devices.0.get() > 0 => {
                Ok(Self { bytes, recipients: devices.0.get() })
            }
            Err(age::DecryptError::NoMatchingKeys) => Err(InvalidCiphertext::NoDevice),
            _ => Err(InvalidCiphertext::NotAge),
        }
    }

    /// Encrypts an environment for each of `recipients`.
    ///
    /// # Errors
    /// When there is no recipient, or the result is too large.
    pub fn seal(
        environment: &Environment,
        recipients: &BTreeSet<Recipient>,
    ) -> Result<Self, InvalidCiphertext> {
        let keys: Result<Vec<x25519::Recipient>, _> =
            recipients.iter().map(|recipient| recipient.0.parse()).collect();
        let keys = keys.map_err(|_| InvalidCiphertext::NoRecipient)?;
        let file = age::Encryptor::with_recipients(keys.iter().map(|key| key as _))
            .map_err(|_| InvalidCiphertext::NoRecipient)?;
        let mut bytes = Vec::new();
        let sealed = file.wrap_output(&mut bytes).and_then(|mut writer| {
            writer.write_all(&environment.to_json())?;
            writer.finish().map(drop)
        });
        sealed.map_err(InvalidCiphertext::Encrypt)?;
        Self::parse(bytes)
    }

    /// The bytes as they were given or made.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many X25519 recipients it has.
    pub const fn recipients(&self) -> u32 {
        self.recipients
    }
}

/// Counts the stanzas that a device can have been encrypted for, and opens none of them.
#[derive(Default)]
struct Devices(Cell<u32>);

impl age::Identity for Devices {
    fn unwrap_stanza(
        &self,
        Stanza { tag, args, body }: &Stanza,
    ) -> Option<Result<FileKey, age::DecryptError>> {
        let share = args.first().and_then(|arg| BASE64_NOPAD.decode(arg.as_bytes()).ok());
        let whole = share.is_some_and(|share| share.len() == 32) && body.len() == 32;
        if tag == "X25519" && args.len() == 1 && whole {
            self.0.set(self.0.get() + 1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(count: usize) -> BTreeSet<Recipient> {
        let new = || Recipient(x25519::Identity::generate().to_public().to_string());
        std::iter::repeat_with(new).take(count).collect()
    }

    fn environment() -> Environment {
        Environment::parse(br#"{"ERP_PASSWORD":"hunter2"}"#).unwrap()
    }

    #[test]
    fn what_is_sealed_is_taken_and_holds_no_plaintext() {
        let sealed = Ciphertext::seal(&environment(), &recipients(3)).unwrap();
        assert_eq!(sealed.recipients(), 3);
        let shown = String::from_utf8_lossy(sealed.as_bytes());
        assert!(!shown.contains("hunter2") && !shown.contains("ERP_PASSWORD"));
        let none = Ciphertext::seal(&environment(), &BTreeSet::new());
        assert!(matches!(none, Err(InvalidCiphertext::NoRecipient)));
    }

    /// Plaintext is refused, and so is what no device can decrypt.
    #[test]
    fn other_bytes_are_refused() {
        let parse = |bytes: &[u8]| Ciphertext::parse(bytes.to_vec()).unwrap_err();
        for plain in [
            &b""[..],
            br#"{"ERP_PASSWORD":"hunter2"}"#,
            b"age-encryption.org/v1\n",
            b"age-encryption.org/v2\n-> X25519 a\nb\n--- c\n",
            b"age-encryption.org/v1\n{\"ERP_PASSWORD\":\"hunter2\"}",
            b"-----BEGIN AGE ENCRYPTED FILE-----\neyJBIjoieCJ9\n-----END AGE ENCRYPTED FILE-----\n",
        ] {
            assert!(matches!(parse(plain), InvalidCiphertext::NotAge), "{plain:?}");
        }
        let sealed = Ciphertext::seal(&environment(), &recipients(1)).unwrap().bytes;
        assert!(matches!(parse(&sealed[..60]), InvalidCiphertext::NotAge));
        let large = vec![b'a'; MAX_ENVIRONMENT as usize + 1];
        assert!(matches!(parse(&large), InvalidCiphertext::TooLarge(_)));
        // For somebody, but no device.
        let stanza = "-> ssh-ed25519 AAAAAA AAAA\nAAAA\n";
        let other =
            format!("age-encryption.org/v1\n{stanza}--- {}\n{}", "A".repeat(43), "x".repeat(48));
        assert!(matches!(parse(other.as_bytes()), InvalidCiphertext::NoDevice));
    }

    #[test]
    fn recipients_are_checked() {
        let good = recipients(1).pop_first().unwrap().to_string();
        assert_eq!(good.parse::<Recipient>().unwrap().to_string(), good);
        let secret = "AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQS3290GQ";
        for bad in ["", "age1", "ssh-ed25519 AAAA", secret, &good[..good.len() - 1]] {
            assert_eq!(bad.parse::<Recipient>(), Err(InvalidRecipient), "{bad}");
        }
    }
}
