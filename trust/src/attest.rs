//! What is attested about a bundle: an in-toto statement in a DSSE envelope with two signatures,
//! Ed25519 and ECDSA P-256, so that tools which know only one of them can verify it.
//!
//! Formats: DSSE v1; in-toto Attestation Framework v1 (Statement); RFC 8032; FIPS 186-5 with
//! deterministic nonces (RFC 6979) and signatures in DER.

mod policy;

use std::fmt;

use colophon_model::Sha256;
use data_encoding::BASE64;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePublicKey as _, EncodePublicKey};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use p256::ecdsa;

pub use policy::{MAX_ENVELOPE, Policy, Refused, Statement, Unsatisfiable};

use crate::Seed;
use crate::dsse::{Envelope, KeySignature, pae};
use crate::tuf::canonical::own_canonical;
use crate::tuf::{ECDSA, ECDSA_P256, ED25519, Key};

/// The payload type of in-toto statements (in-toto Attestation Framework v1, envelope).
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The keys with which a server attests what it built.
pub struct AttestationKeys {
    ed25519: SigningKey,
    p256: ecdsa::SigningKey,
}

impl AttestationKeys {
    /// Derives the keys by HKDF-SHA256 (RFC 5869): salt `colophon attest v1`, the seed as input keying
    /// material, and as info `ed25519`, or `p256/<n>` with the first number that gives a scalar of
    /// the curve's group.
    pub fn derive(seed: &Seed) -> Self {
        let hkdf = Hkdf::<sha2::Sha256>::new(Some(b"colophon attest v1"), seed.as_bytes());
        Self { ed25519: SigningKey::from_bytes(&expand(&hkdf, "ed25519")), p256: scalar(&hkdf) }
    }

    /// The halves that everyone may know: Ed25519, then P-256.
    pub fn public(&self) -> [PublicKey; 2] {
        let p256 = ecdsa::VerifyingKey::from(&self.p256);
        [PublicKey::Ed25519(self.ed25519.verifying_key()), PublicKey::P256(p256)]
    }

    /// Signs `payload` with both keys. The same values give the same envelope.
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        let message = pae(payload_type, payload);
        let p256: ecdsa::Signature = self.p256.sign(&message);
        let signed = [
            self.ed25519.sign(&message).to_bytes().to_vec(),
            p256.normalize_s().to_der().as_bytes().to_vec(),
        ];
        let signatures = self.public().into_iter().zip(signed);
        Envelope {
            payload: BASE64.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: signatures
                .map(|(key, sig)| KeySignature { keyid: key.id(), sig: BASE64.encode(&sig) })
                .collect(),
        }
    }
}

impl Envelope {
    /// The payload, when `key` signed it under the id that it goes by.
    pub fn attested_by(&self, key: &PublicKey) -> Option<Vec<u8>> {
        let payload = BASE64.decode(self.payload.as_bytes()).ok()?;
        let message = pae(&self.payload_type, &payload);
        let id = key.id();
        let good = self.signatures.iter().any(|signed| {
            let signature = BASE64.decode(signed.sig.as_bytes());
            signed.keyid == id
                && signature.is_ok_and(|signature| key.verifies(&message, &signature))
        });
        good.then_some(payload)
    }
}

fn scalar(hkdf: &Hkdf<sha2::Sha256>) -> ecdsa::SigningKey {
    let draw = |n: u8| ecdsa::SigningKey::from_slice(&expand(hkdf, &format!("p256/{n}"))).ok();
    (0..=u8::MAX).find_map(draw).expect("each of 256 draws fails with a chance of 2^-32")
}

fn expand(hkdf: &Hkdf<sha2::Sha256>, label: &str) -> [u8; 32] {
    let mut secret = [0; 32];
    hkdf.expand(label.as_bytes(), &mut secret).expect("HKDF-SHA256 gives up to 8,160 bytes");
    secret
}

impl fmt::Debug for AttestationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttestationKeys(..)")
    }
}

fn pem(key: &impl EncodePublicKey) -> String {
    key.to_public_key_pem(LineEnding::LF).expect("a key that was read or made has an encoding")
}

/// A key to verify attestations with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKey {
    /// Ed25519 (RFC 8032).
    Ed25519(VerifyingKey),
    /// ECDSA over NIST P-256 with SHA-256.
    P256(ecdsa::VerifyingKey),
}

/// A text that is no key to verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It is something else, or a key of another kind.
    #[error("not a public key in PEM (SubjectPublicKeyInfo) of Ed25519 or P-256")]
    Other,
    /// A point of small order, for which anyone can make signatures.
    #[error("an Ed25519 key of small order, which anybody can sign for")]
    Weak,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in PEM (RFC 7468; RFC 8410 and RFC 5480).
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        if let Ok(key) = VerifyingKey::from_public_key_pem(pem) {
            return if key.is_weak() { Err(InvalidKey::Weak) } else { Ok(Self::Ed25519(key)) };
        }
        let key = ecdsa::VerifyingKey::from_public_key_pem(pem);
        key.map(Self::P256).map_err(|_| InvalidKey::Other)
    }

    /// The key as `openssl` reads it.
    pub fn to_pem(&self) -> String {
        match self {
            Self::Ed25519(key) => pem(key),
            Self::P256(key) => pem(key),
        }
    }

    /// The id under which envelopes name it: as in TUF 1.0 §4.2, the SHA-256 of the key object's
    /// canonical JSON.
    pub fn id(&self) -> String {
        let key = match self {
            Self::Ed25519(key) => Key::ed25519(key),
            Self::P256(_) => Key::p256(&self.to_pem()),
        };
        Sha256::of(&own_canonical(&key)).to_string()
    }

    /// TUF's words for it: key type and scheme.
    pub const fn scheme(&self) -> (&'static str, &'static str) {
        match self {
            Self::Ed25519(_) => (ED25519, ED25519),
            Self::P256(_) => (ECDSA, ECDSA_P256),
        }
    }

    /// Whether `signature` is this key's over `message`, in its one accepted form: an Ed25519 signature
    /// that was tampered with into another valid one is refused, and so is the twin of an ECDSA one.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature);
                signature.is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
            Self::P256(key) => ecdsa::Signature::from_der(signature).is_ok_and(|signature| {
                use ecdsa::signature::Verifier as _;
                signature.normalize_s() == signature && key.verify(message, &signature).is_ok()
            }),
        }
    }
}

#[cfg(test)]
mod tests;
