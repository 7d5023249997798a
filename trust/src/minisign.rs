//! Signatures that `minisign -V` and signify's successors verify.
//!
//! Format: <https://jedisct1.github.io/minisign/>, signatures of kind `ED`: Ed25519 over the BLAKE2b-512
//! of the file, then Ed25519 over that signature and the trusted comment.

use std::fmt;

use blake2::{Blake2b512, Digest as _};
use colophon_model::Sha256;
use data_encoding::BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;

use crate::Seed;

/// The key with which a server signs zips for minisign.
pub struct MinisignKey {
    id: [u8; 8],
    secret: SigningKey,
}

/// A trusted comment: one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment(String);

impl Comment {
    /// The comment; `None` when it has a line break, which would end it.
    pub fn new(text: String) -> Option<Self> {
        (!text.contains(['\n', '\r'])).then_some(Self(text))
    }
}

impl MinisignKey {
    /// Derives the key by HKDF-SHA256 (RFC 5869): salt `colophon minisign v1`, the seed as input keying
    /// material, and as info `ed25519`. Its id is the start of the public key's SHA-256.
    pub fn derive(seed: &Seed) -> Self {
        let secret = SigningKey::from_bytes(&secret(seed));
        let mut id = [0; 8];
        id.copy_from_slice(&Sha256::of(secret.verifying_key().as_bytes()).as_bytes()[..8]);
        Self { id, secret }
    }

    /// The public key as a file.
    pub fn public(&self) -> String {
        let key = [b"Ed", self.id.as_slice(), self.secret.verifying_key().as_bytes()].concat();
        let (name, key) = (u64::from_le_bytes(self.id), BASE64.encode(&key));
        format!("untrusted comment: minisign public key {name:016X}\n{key}\n")
    }

    /// The signature of `file` as a file. The same values give the same text.
    pub fn sign(&self, file: &[u8], comment: &Comment) -> String {
        let signature = self.secret.sign(&Blake2b512::digest(file)).to_bytes();
        let global = [signature.as_slice(), comment.0.as_bytes()].concat();
        let global = BASE64.encode(&self.secret.sign(&global).to_bytes());
        let signature = [b"ED", self.id.as_slice(), &signature].concat();
        format!(
            "untrusted comment: signature of a colophon server\n{}\ntrusted comment: {}\n{global}\n",
            BASE64.encode(&signature),
            comment.0
        )
    }
}

fn secret(seed: &Seed) -> [u8; 32] {
    let mut secret = [0; 32];
    Hkdf::<sha2::Sha256>::new(Some(b"colophon minisign v1"), seed.as_bytes())
        .expand(b"ed25519", &mut secret)
        .expect("HKDF-SHA256 gives up to 8,160 bytes");
    secret
}

impl fmt::Debug for MinisignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MinisignKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another key would make every signature that was published before worthless.
    #[test]
    fn the_key_is_pinned() {
        let key = MinisignKey::derive(&Seed::new([1; 32]));
        assert_eq!(
            key.public(),
            "untrusted comment: minisign public key 3C6A2A4692467A51\n\
             RWRRekaSRipqPCGefY7CoQoOUo2kSuzJXqXhbg+yrUL07E4aFcjczZic\n"
        );
        assert_eq!(format!("{key:?}"), "MinisignKey(..)");
    }

    #[test]
    fn a_comment_is_one_line() {
        assert_eq!(Comment::new("a\nb".to_owned()), None);
        let key = MinisignKey::derive(&Seed::new([1; 32]));
        let comment = Comment::new("colophon v1".to_owned()).unwrap();
        let signature = key.sign(b"file", &comment);
        assert_eq!(signature.lines().count(), 4);
        assert_eq!(signature.lines().nth(2), Some("trusted comment: colophon v1"));
    }
}
