//! Who can read copies of a tenant's key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::envelope::KeyId;
use crate::place::KmsKey;
use crate::secrets::TransitKey;

/// Somebody or something that a copy of a key is encrypted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipient {
    /// `age1…`: whoever has that identity.
    Age(KeyId),
    /// `vault:MOUNT/NAME`: whoever the vault of `secrets.vault` lets decrypt with that key of a transit engine.
    Transit(TransitKey),
    /// `awskms:…`: whom AWS KMS lets decrypt with that key.
    Kms(KmsKey),
}

/// A text that names no recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no recipient: {0}; it must be `age1…`, `vault:MOUNT/NAME` (a key of a transit engine) or `awskms:` with an ARN or alias"
)]
pub struct InvalidRecipient(String);

/// What stands before a key of a transit engine.
const TRANSIT: &str = "vault:";
/// What stands before a key of AWS KMS.
const KMS: &str = "awskms:";

impl FromStr for Recipient {
    type Err = InvalidRecipient;
    fn from_str(text: &str) -> Result<Self, InvalidRecipient> {
        fn read<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, InvalidRecipient> {
            text.parse().map_err(|error: T::Err| InvalidRecipient(error.to_string()))
        }
        if let Some(key) = text.strip_prefix(TRANSIT) {
            return read(key).map(Self::Transit);
        }
        if let Some(key) = text.strip_prefix(KMS) {
            return read(key).map(Self::Kms);
        }
        if text.starts_with("AGE-SECRET-KEY-") {
            // Not repeated: it is what must not be in a file of settings.
            return Err(InvalidRecipient(
                "that is a secret key; `age-keygen -y` prints its recipient".to_owned(),
            ));
        }
        read(text).map(Self::Age)
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
        recipient.to_string()
    }
}

impl From<KeyId> for Recipient {
    fn from(key: KeyId) -> Self {
        Self::Age(key)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(key) => key.fmt(f),
            Self::Transit(key) => write!(f, "{TRANSIT}{key}"),
            Self::Kms(key) => write!(f, "{KMS}{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind is read as it is written, and a secret key that was put in its place is not repeated.
    #[test]
    fn recipients_are_of_three_kinds() {
        for good in [
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
            "vault:transit/colophon",
            "awskms:alias/colophon",
            "awskms:arn:aws:kms:eu-central-1:111122223333:key/1234abcd",
        ] {
            assert_eq!(good.parse::<Recipient>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "age1",
            "vault:transit",
            "vault:secret/a#b",
            "awskms:",
            "gcpkms:x",
            "transit/colophon",
        ] {
            assert!(bad.parse::<Recipient>().is_err(), "{bad}");
        }
        let secret = super::super::envelope::Identity::from_secret([1; 32]).to_text();
        let error = secret.parse::<Recipient>().unwrap_err().to_string();
        assert!(!error.contains(&secret[20..40]) && error.contains("age-keygen"), "{error}");
    }
}
