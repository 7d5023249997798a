//! Detached signatures: 64 bytes of Ed25519 (RFC 8032) over a file as it is, in a file beside it. This is what
//! `openssl pkeyutl -verify -rawin` checks.

use std::fmt;

use ed25519_dalek::{SIGNATURE_LENGTH, Signer as _, SigningKey};
use hkdf::Hkdf;

use crate::Seed;
use crate::attest::PublicKey;

/// A key that signs files.
pub struct DetachedKey(SigningKey);

impl DetachedKey {
    /// Derives the key by HKDF-SHA256 (RFC 5869): salt `colophon detached v1`, the seed as input keying
    /// material, and as info `ed25519`.
    pub fn derive(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(&secret(seed)))
    }

    /// The half that everyone may know.
    pub fn public(&self) -> PublicKey {
        PublicKey::Ed25519(self.0.verifying_key())
    }

    /// Signs a file's bytes. The same bytes give the same signature.
    pub fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.0.sign(bytes).to_bytes()
    }
}

fn secret(seed: &Seed) -> [u8; 32] {
    let mut secret = [0; 32];
    Hkdf::<sha2::Sha256>::new(Some(b"colophon detached v1"), seed.as_bytes())
        .expand(b"ed25519", &mut secret)
        .expect("HKDF-SHA256 gives up to 8,160 bytes");
    secret
}

impl fmt::Debug for DetachedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DetachedKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_verifies_and_nothing_else() {
        let key = DetachedKey::derive(&Seed::new([1; 32]));
        let signature = key.sign(b"a file");
        assert!(key.public().verifies(b"a file", &signature));
        assert!(!key.public().verifies(b"a fill", &signature));
        assert!(!key.public().verifies(b"a file", &signature[..63]));
        let other = DetachedKey::derive(&Seed::new([2; 32]));
        assert!(!other.public().verifies(b"a file", &signature));
        assert_eq!(format!("{key:?}"), "DetachedKey(..)");
    }

    /// Another key would make every export that was signed before worthless.
    #[test]
    fn the_key_is_pinned() {
        let pem = DetachedKey::derive(&Seed::new([1; 32])).public().to_pem();
        assert_eq!(
            pem.lines().nth(1),
            Some("MCowBQYDK2VwAyEA/lty5kH90r58oBfagWA+VObDcs4DUhEUSYsiDztkNBY=")
        );
    }
}
