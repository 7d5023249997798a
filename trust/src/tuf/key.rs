//! Public keys, and who may sign what.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The keys of one role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleKeys {
    pub(crate) keyids: BTreeSet<KeyId>,
    pub(crate) threshold: NonZeroU32,
}

/// The name of a key in a root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct KeyId(pub(crate) String);

/// A public key of any kind. Ed25519 keys are used, and ECDSA keys on P-256, since that is what
/// hardware security modules have; this program signs with the former only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    keytype: String,
    keyval: Value,
    scheme: String,
}

/// TUF's word for both the type and the scheme of Ed25519 keys.
pub(crate) const ED25519: &str = "ed25519";
/// The type of keys on any curve of NIST (specification §4.2); the scheme tells which. Older
/// repositories write the scheme in its place.
pub(crate) const ECDSA: &str = "ecdsa";
/// The scheme of ECDSA keys on P-256 with SHA-256.
pub(crate) const ECDSA_P256: &str = "ecdsa-sha2-nistp256";

impl Key {
    pub(crate) fn ed25519(key: &VerifyingKey) -> Self {
        Self {
            keytype: ED25519.to_owned(),
            keyval: serde_json::json!({ "public": hex::encode(key.as_bytes()) }),
            scheme: ED25519.to_owned(),
        }
    }

    /// A key that TUF knows as `ecdsa-sha2-nistp256`, by its PEM.
    pub(crate) fn p256(pem: &str) -> Self {
        Self {
            keytype: ECDSA.to_owned(),
            keyval: serde_json::json!({ "public": pem }),
            scheme: ECDSA_P256.to_owned(),
        }
    }

    /// The key as bytes that are the same for the same key, however it is spelled; `None` for a key of
    /// another kind, or none at all.
    pub(crate) fn material(&self) -> Option<Vec<u8>> {
        Some(match self.verifier()? {
            VerifierKey::Ed25519(key) => key.as_bytes().to_vec(),
            VerifierKey::P256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        })
    }

    /// Whether `signature`, in hex, is this key's over `message`. For Ed25519, weak keys and signatures
    /// that can be changed without the secret are refused (`verify_strict`).
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else { return false };
        match self.verifier() {
            Some(VerifierKey::Ed25519(key)) => ed25519_dalek::Signature::from_slice(&signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Some(VerifierKey::P256(key)) => p256::ecdsa::Signature::from_der(&signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            None => false,
        }
    }

    fn verifier(&self) -> Option<VerifierKey> {
        let public = self.keyval.get("public")?.as_str()?;
        match (self.keytype.as_str(), self.scheme.as_str()) {
            (ED25519, ED25519) => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(public, &mut bytes).ok()?;
                VerifyingKey::from_bytes(&bytes).ok().map(VerifierKey::Ed25519)
            }
            (ECDSA | ECDSA_P256, ECDSA_P256) => {
                p256::ecdsa::VerifyingKey::from_public_key_pem(public).ok().map(VerifierKey::P256)
            }
            _ => None,
        }
    }
}

/// A key that signatures can be checked with.
enum VerifierKey {
    Ed25519(VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_kinds_are_read_and_never_used() {
        for json in [
            r#"{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"x"}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519ph","keyval":{"public":""}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}"#,
        ] {
            assert!(serde_json::from_str::<Key>(json).unwrap().material().is_none(), "{json}");
        }
    }
}
