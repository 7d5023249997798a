//! SSH signatures (OpenSSH, PROTOCOL.sshsig) with Ed25519 and SHA-512: what `git verify-commit` and
//! `ssh-keygen -Y verify` check.

use std::fmt;

use colophon_model::SshSignature;
use data_encoding::{BASE64, BASE64_NOPAD};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha512};

use crate::Seed;

/// What is being signed, so that a signature over one kind of thing passes for no other. This is
/// Git's word for its objects.
pub const NAMESPACE: &str = "git";

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const ALGORITHM: &str = "ssh-ed25519";
const HASH: &str = "sha512";

/// A key that signs as an SSH key does.
pub struct SshKey(SigningKey);

impl SshKey {
    /// The key whose secret half (RFC 8032 §5.1.5) is `seed`.
    pub fn from_seed(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(seed.as_bytes()))
    }

    /// The half that everyone may know.
    pub fn public(&self) -> SshPublicKey {
        SshPublicKey(self.0.verifying_key())
    }

    /// Signs `message`. The same values give the same signature.
    pub fn sign(&self, message: &[u8]) -> SshSignature {
        let signature = self.0.sign(&signed(message)).to_bytes();
        armor(&[self.public().preamble(), string(&tagged(&signature))].concat())
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SshKey(..)")
    }
}

/// A key to verify SSH signatures with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SshPublicKey(VerifyingKey);

/// What a signature is to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The key made it over this message.
    Good,
    /// It names the key, and the key did not make it over this message.
    Bad,
    /// It names another key, or is of another form.
    Other,
}

impl SshPublicKey {
    /// The key as in `authorized_keys` and `.pub` files, without a comment.
    pub fn line(&self) -> String {
        format!("{ALGORITHM} {}", BASE64.encode(&self.wire()))
    }

    /// The name by which `ssh-keygen -l` and Git show it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(self.wire())))
    }

    /// What `signature` says of `message`.
    pub fn check(&self, message: &[u8], signature: &SshSignature) -> Verdict {
        let blob = BASE64.decode(signature.base64().as_bytes()).unwrap_or_default();
        let head = [MAGIC, &VERSION.to_be_bytes(), &string(&self.wire())].concat();
        if !blob.starts_with(&head) {
            return Verdict::Other;
        }
        let rest = blob.strip_prefix(self.preamble().as_slice());
        match rest.and_then(untagged) {
            Some(bytes) if self.made(&signed(message), bytes) => Verdict::Good,
            _ => Verdict::Bad,
        }
    }

    fn made(&self, message: &[u8], bytes: &[u8; SIGNATURE_LENGTH]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(bytes)).is_ok()
    }

    /// The key as SSH sends it (RFC 8709 §4).
    fn wire(&self) -> Vec<u8> {
        tagged(self.0.as_bytes())
    }

    /// All of a signature before the signature proper.
    fn preamble(&self) -> Vec<u8> {
        let fields = [&self.wire(), NAMESPACE.as_bytes(), b"", HASH.as_bytes()].map(string);
        [MAGIC, &VERSION.to_be_bytes(), &fields.concat()].concat()
    }
}

fn armor(blob: &[u8]) -> SshSignature {
    SshSignature::armor(&BASE64.encode(blob)).expect("base64 of some 180 bytes")
}

/// What the key signs in place of `message`.
fn signed(message: &[u8]) -> Vec<u8> {
    let hash = Sha512::digest(message);
    let fields = [NAMESPACE.as_bytes(), b"", HASH.as_bytes(), &hash].map(string);
    [MAGIC, &fields.concat()].concat()
}

/// The name of the algorithm and `bytes`.
fn tagged(bytes: &[u8]) -> Vec<u8> {
    [ALGORITHM.as_bytes(), bytes].map(string).concat()
}

/// The inverse of [`tagged`], in a string of its own, with nothing after it.
fn untagged(blob: &[u8]) -> Option<&[u8; SIGNATURE_LENGTH]> {
    let at = blob.len().checked_sub(SIGNATURE_LENGTH)?;
    let bytes: &[u8; SIGNATURE_LENGTH] = blob[at..].try_into().ok()?;
    (string(&tagged(bytes)) == blob).then_some(bytes)
}

/// A string of SSH (RFC 4251 §5): its length in 32 bits, then its bytes.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("keys, words and hashes are short");
    [&length.to_be_bytes()[..], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SshKey {
        SshKey::from_seed(&Seed::new([seed; 32]))
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let (key, other) = (key(1), key(2));
        let signature = key.sign(b"tree");
        assert_eq!(key.public().check(b"tree", &signature), Verdict::Good);
        assert_eq!(key.public().check(b"tree2", &signature), Verdict::Bad);
        assert_eq!(other.public().check(b"tree", &signature), Verdict::Other);
        assert_eq!(signature, key.sign(b"tree"), "deterministic");
    }

    #[test]
    fn no_byte_of_a_signature_can_change() {
        let key = key(1);
        let blob = BASE64.decode(key.sign(b"m").base64().as_bytes()).unwrap();
        for at in 0..blob.len() {
            let mut blob = blob.clone();
            blob[at] ^= 1;
            let forged = armor(&blob);
            assert_ne!(key.public().check(b"m", &forged), Verdict::Good, "byte {at}");
        }
        for blob in [&blob[..blob.len() - 1], &[&blob[..], b"x"].concat()] {
            let forged = armor(blob);
            assert_eq!(key.public().check(b"m", &forged), Verdict::Bad);
        }
    }
}
