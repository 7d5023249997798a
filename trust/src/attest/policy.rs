//! Whether an attestation is to be trusted.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use colophon_model::Sha256;
use serde_json::Value;

use super::{IN_TOTO, PublicKey};
use crate::dsse::{Envelope, decode, pae};
use crate::tuf::canonical::from_slice;

/// Largest envelope that is read, in bytes.
pub const MAX_ENVELOPE: usize = 1 << 20;

/// The type of statements (in-toto Attestation Framework v1, Statement).
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// Whose signatures are asked for.
#[derive(Debug, Clone)]
pub struct Policy {
    keys: Vec<PublicKey>,
    threshold: NonZeroUsize,
}

/// Why an attestation is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is larger than any that a server makes.
    #[error("the attestation has {0} bytes, and at most {MAX_ENVELOPE} are read")]
    TooLarge(usize),
    /// It is no DSSE envelope.
    #[error("not a DSSE envelope: {0}")]
    Malformed(String),
    /// It says something about another matter.
    #[error("the envelope holds `{0}`, not `{IN_TOTO}`")]
    Type(String),
    /// A signature in the name of a key that is trusted is not that key's.
    #[error("the signature of key {0} is wrong")]
    Forged(String),
    /// Fewer trusted keys signed than must.
    #[error("{found} of the trusted keys signed, and {wanted} must")]
    Threshold {
        /// How many did.
        found: usize,
        /// How many must.
        wanted: usize,
    },
    /// What is signed is not an in-toto statement.
    #[error("what is signed is not an in-toto statement: {0}")]
    Statement(String),
    /// It is about another bundle.
    #[error("the statement is not about the bundle {0}")]
    Subject(Sha256),
}

/// A policy that nothing can satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{threshold} different keys must sign, and {keys} are given")]
pub struct Unsatisfiable {
    threshold: usize,
    keys: usize,
}

impl Policy {
    /// So many of these keys must have signed. A key that is given twice counts once.
    pub fn new(keys: &[PublicKey], threshold: NonZeroUsize) -> Result<Self, Unsatisfiable> {
        let mut distinct: Vec<PublicKey> = Vec::new();
        for key in keys {
            if !distinct.contains(key) {
                distinct.push(*key);
            }
        }
        if distinct.len() < threshold.get() {
            return Err(Unsatisfiable { threshold: threshold.get(), keys: distinct.len() });
        }
        Ok(Self { keys: distinct, threshold })
    }

    /// The statement in `envelope` when enough keys signed it. Nothing of it is parsed before.
    pub fn verify(&self, envelope: &[u8]) -> Result<Statement, Refused> {
        if envelope.len() > MAX_ENVELOPE {
            return Err(Refused::TooLarge(envelope.len()));
        }
        let malformed = |error: &dyn ToString| Refused::Malformed(error.to_string());
        let json = from_slice(envelope).map_err(|e| malformed(&e))?;
        let envelope: Envelope = serde_json::from_value(json).map_err(|e| malformed(&e))?;
        if envelope.payload_type != IN_TOTO {
            return Err(Refused::Type(envelope.payload_type));
        }
        let payload = decode(&envelope.payload).ok_or_else(|| malformed(&"its payload"))?;
        let found = self.signers(&envelope, &pae(IN_TOTO, &payload))?;
        if found < self.threshold.get() {
            return Err(Refused::Threshold { found, wanted: self.threshold.get() });
        }
        Statement::parse(&payload)
    }

    /// As [`Self::verify`], and the statement must be about the bundle with this checksum.
    pub fn verify_bundle(&self, envelope: &[u8], zip: &Sha256) -> Result<Statement, Refused> {
        let statement = self.verify(envelope)?;
        if statement.is_about(zip) { Ok(statement) } else { Err(Refused::Subject(*zip)) }
    }

    /// How many keys signed `message`. A key id is a hint, so every key is tried; but whoever signs in
    /// the name of a key that is trusted must be that key.
    fn signers(&self, envelope: &Envelope, message: &[u8]) -> Result<usize, Refused> {
        let mut signers = BTreeSet::new();
        for signature in &envelope.signatures {
            let bytes = decode(&signature.sig)
                .ok_or_else(|| Refused::Malformed("a signature is not base64".to_owned()))?;
            let signer =
                self.keys.iter().find(|key| key.verifies(message, &bytes)).map(PublicKey::id);
            let named = self.keys.iter().map(PublicKey::id).find(|id| *id == signature.keyid);
            if named.is_some() && named != signer {
                return Err(Refused::Forged(signature.keyid.clone()));
            }
            signers.extend(signer);
        }
        Ok(signers.len())
    }
}

/// An in-toto statement that was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement(Value);

impl Statement {
    fn parse(payload: &[u8]) -> Result<Self, Refused> {
        let json = from_slice(payload).map_err(|e| Refused::Statement(e.to_string()))?;
        if json["_type"] != STATEMENT {
            return Err(Refused::Statement(format!("its type is {}", json["_type"])));
        }
        Ok(Self(json))
    }

    /// Whether one of its subjects has this SHA-256.
    pub fn is_about(&self, file: &Sha256) -> bool {
        let wanted = file.to_string();
        let subjects = self.0["subject"].as_array().into_iter().flatten();
        subjects.into_iter().any(|subject| subject["digest"]["sha256"] == wanted.as_str())
    }

    /// What kind of claim it makes, such as `https://slsa.dev/provenance/v1`.
    pub fn predicate_type(&self) -> &str {
        self.0["predicateType"].as_str().unwrap_or_default()
    }

    /// All of it.
    pub const fn json(&self) -> &Value {
        &self.0
    }
}
