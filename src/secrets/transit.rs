//! Encrypting with a key that never leaves Vault or OpenBao, by its transit engine.
//!
//! <https://openbao.org/api-docs/secret/transit/#encrypt-data>. This server only encrypts: whoever decrypts does so with the
//! vault's own tools.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Secrets;
use super::reference::is_word;

/// A key of a transit engine: `MOUNT/NAME`, such as `transit/colophon`. A mount may have several segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransitKey {
    mount: String,
    name: String,
}

/// A text that names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no key of a transit engine: `MOUNT/NAME`, such as `transit/colophon`")]
pub struct InvalidTransitKey(String);

/// Why nothing was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TransitError {
    /// What is wrong.
    pub text: String,
    /// Whether it may help to try again.
    pub passing: bool,
}

/// What was encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// As the engine gives it: `vault:v1:…`.
    pub ciphertext: String,
    /// Whether the context is bound to it: decrypting with another one fails. RSA keys bind none.
    pub bound: bool,
}

#[derive(Serialize)]
struct Question<'a> {
    plaintext: &'a str,
    /// What the key is derived with, where it is a derived one.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
    /// What is authenticated beside the plaintext.
    #[serde(skip_serializing_if = "Option::is_none")]
    associated_data: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<String>,
}

impl Secrets {
    /// Encrypts `plain` with a key of the vault of `secrets.vault`. `context` is sent as `associated_data` and, for keys that are
    /// derived, as `context`. An engine whose key binds nothing (RSA) is asked without.
    ///
    /// # Errors
    /// When there is no vault or no token, it does not answer, or refuses. Nothing that is secret is in the text.
    pub fn wrap(
        &self,
        key: &TransitKey,
        plain: &[u8],
        context: &[u8],
    ) -> Result<Wrapped, TransitError> {
        match self.encrypt(key, plain, Some(context)) {
            Err(Refused::Unbound) => self
                .encrypt(key, plain, None)
                .map(|ciphertext| Wrapped { ciphertext, bound: false }),
            done => done.map(|ciphertext| Wrapped { ciphertext, bound: true }),
        }
        .map_err(|refused| match refused {
            Refused::Error(error) => error,
            Refused::Unbound => TransitError::stays(format!("`{key}` encrypts nothing")),
        })
    }

    fn encrypt(
        &self,
        key: &TransitKey,
        plain: &[u8],
        context: Option<&[u8]>,
    ) -> Result<String, Refused> {
        let (vault, token) =
            self.vault().map_err(|error| TransitError::stays(error.to_string()))?;
        let plain = Zeroizing::new(BASE64.encode(plain));
        let context = context.map(|context| BASE64.encode(context));
        let question = Question {
            plaintext: &plain,
            context: context.as_deref(),
            associated_data: context.as_deref(),
        };
        let body = Zeroizing::new(serde_json::to_string(&question).unwrap_or_default());
        let path = format!("{}/encrypt/{}", key.mount, key.name);
        let (status, bytes) = vault
            .send(&path, Some(&body), &token)
            .map_err(|(text, passing)| TransitError { text, passing })?;
        let said = |what: String| TransitError::stays(vault.said(&what));
        match status {
            200 => {}
            400 if context.is_some() && binds_nothing(&bytes) => return Err(Refused::Unbound),
            403 => {
                return Err(said(format!("does not let this server encrypt with `{key}`")).into());
            }
            404 => return Err(said(format!("has no transit engine at `{}`", key.mount)).into()),
            408 | 412 | 429 | 500.. => {
                let text = vault
                    .said(&format!("answered with status {status}: it is sealed, or not ready"));
                return Err(TransitError { text, passing: true }.into());
            }
            status => {
                let why = token.blot(&refusal(&bytes));
                return Err(said(format!(
                    "does not encrypt with `{key}` (status {status}): {why}"
                ))
                .into());
            }
        }
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| said(format!("has no transit engine at `{}`", key.mount)))?;
        Ok(answer.data.ciphertext)
    }
}

enum Refused {
    /// The key is of a type that authenticates nothing beside what it encrypts.
    Unbound,
    Error(TransitError),
}

impl From<TransitError> for Refused {
    fn from(error: TransitError) -> Self {
        Self::Error(error)
    }
}

impl TransitError {
    const fn stays(text: String) -> Self {
        Self { text, passing: false }
    }
}

/// What the engine says of a key that is no AEAD: `'[0].associated_data' provided for non-AEAD cipher suite rsa-2048`.
fn binds_nothing(answer: &[u8]) -> bool {
    let said = refusal(answer);
    said.contains("associated_data") && said.contains("non-AEAD")
}

/// Its own words, in one line and not too many.
fn refusal(answer: &[u8]) -> String {
    let said: Option<Refusal> = serde_json::from_slice(answer).ok();
    let text = said.map(|said| said.errors.join("; ")).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

impl FromStr for TransitKey {
    type Err = InvalidTransitKey;
    fn from_str(text: &str) -> Result<Self, InvalidTransitKey> {
        let invalid = || InvalidTransitKey(text.chars().take(80).collect());
        let (mount, name) = text.rsplit_once('/').ok_or_else(invalid)?;
        let plain = mount.split('/').all(is_word) && is_word(name) && text.len() <= 500;
        let [mount, name] = [mount, name].map(str::to_owned);
        if plain { Ok(Self { mount, name }) } else { Err(invalid()) }
    }
}

impl fmt::Display for TransitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name goes into a URL beside a token: it must not lead to another path of the vault.
    #[test]
    fn keys_are_names_below_a_mount() {
        for good in ["transit/colophon", "team/transit/press-1"] {
            assert_eq!(good.parse::<TransitKey>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "colophon",
            "transit/",
            "/x",
            "transit/../sys",
            "a//b",
            "transit/a?b",
            "transit/a#b",
            "t/ä",
        ] {
            assert!(bad.parse::<TransitKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_that_binds_nothing_is_told_from_other_refusals() {
        let said = |text: &str| format!("{{\"errors\":[\"{text}\"]}}");
        let rsa = said("'[0].associated_data' provided for non-AEAD cipher suite rsa-2048");
        assert!(binds_nothing(rsa.as_bytes()));
        assert!(!binds_nothing(said("encryption key not found").as_bytes()));
        assert!(!binds_nothing(b"no json"));
    }
}
