//! Signed statements: DSSE v1 (<https://github.com/secure-systems-lab/dsse>), signed with Ed25519.
//!
//! What is signed is the type and the bytes of the payload, length before each, so that nothing has
//! to be parsed before its signature is checked.

use std::fmt;

use colophon_model::Sha256;
use data_encoding::{BASE64, BASE64URL};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};

use crate::Seed;
use crate::tuf::Key;
use crate::tuf::canonical::own_canonical;

/// What is signed for a payload: the pre-authentication encoding (DSSE v1, protocol.md,
/// "Signature Definition"). Lengths are in bytes.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The key with which a server signs statements about what it did.
pub struct StatementKey(SigningKey);

impl StatementKey {
    /// Derives the key by HKDF-SHA256 (RFC 5869): salt `colophon dsse v1`, the seed as input keying
    /// material, and as info `statement`.
    pub fn derive(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(&secret(seed)))
    }

    /// The half that everyone may know.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

fn secret(seed: &Seed) -> [u8; 32] {
    let mut secret = [0; 32];
    Hkdf::<sha2::Sha256>::new(Some(b"colophon dsse v1"), seed.as_bytes())
        .expand(b"statement", &mut secret)
        .expect("HKDF-SHA256 gives up to 8,160 bytes");
    secret
}

impl fmt::Debug for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatementKey(..)")
    }
}

/// What stands before the 32 bytes of an Ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key to verify statements with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    pub(crate) const fn of(key: VerifyingKey) -> Self {
        Self(key)
    }

    /// The key of 32 bytes (RFC 8032 §5.1.5); `None` when they are no point on the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The id under which envelopes name it: as in TUF 1.0 §4.2, the SHA-256 of the key object's
    /// canonical JSON.
    pub fn id(&self) -> String {
        Sha256::of(&own_canonical(&Key::ed25519(&self.0))).to_string()
    }

    /// A `SubjectPublicKeyInfo` in PEM (RFC 8410), as `openssl` reads it.
    pub fn to_pem(&self) -> String {
        let info = BASE64.encode(&[SPKI.as_slice(), self.as_bytes()].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{info}\n-----END PUBLIC KEY-----\n")
    }
}

/// A payload and who signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Base64.
    pub(crate) payload: String,
    pub(crate) payload_type: String,
    pub(crate) signatures: Vec<KeySignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeySignature {
    #[serde(default)]
    pub(crate) keyid: String,
    /// Base64.
    pub(crate) sig: String,
}

/// Why a statement is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It says something about another matter.
    #[error("the statement is of type `{found}`, not `{wanted}`")]
    Type {
        /// Its type.
        found: String,
        /// The type that was asked for.
        wanted: String,
    },
    /// The payload is not base64.
    #[error("the statement's payload is not base64")]
    Payload,
    /// No signature of the key fits.
    #[error("the statement is not signed by key {keyid}")]
    Unsigned {
        /// The key's id.
        keyid: String,
    },
}

impl Envelope {
    /// Signs `payload` with `key`. The same values give the same envelope.
    pub fn sign(payload_type: &str, payload: &[u8], key: &StatementKey) -> Self {
        let signature = key.0.sign(&pae(payload_type, payload));
        Self {
            payload: BASE64.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![KeySignature {
                keyid: key.public().id(),
                sig: BASE64.encode(&signature.to_bytes()),
            }],
        }
    }

    /// The payload, when it is of type `wanted` and `key` signed it. A key id is only a hint, so
    /// every signature is tried.
    pub fn verify(&self, wanted: &str, key: &PublicKey) -> Result<Vec<u8>, Untrusted> {
        if self.payload_type != wanted {
            let found = self.payload_type.clone();
            return Err(Untrusted::Type { found, wanted: wanted.to_owned() });
        }
        let payload = decode(&self.payload).ok_or(Untrusted::Payload)?;
        let message = pae(wanted, &payload);
        let signed = self.signatures.iter().any(|signature| {
            let bytes = decode(&signature.sig).and_then(|bytes| bytes.try_into().ok());
            bytes.is_some_and(|bytes: [u8; 64]| {
                key.0.verify_strict(&message, &Signature::from_bytes(&bytes)).is_ok()
            })
        });
        if signed { Ok(payload) } else { Err(Untrusted::Unsigned { keyid: key.id() }) }
    }
}

/// Either of the two alphabets that DSSE allows.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).or_else(|_| BASE64URL.decode(text.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "http://example.com/HelloWorld";

    fn key(seed: u8) -> StatementKey {
        StatementKey::derive(&Seed::new([seed; 32]))
    }

    /// The example of DSSE's protocol.md, and an empty payload.
    #[test]
    fn the_encoding_is_that_of_the_specification() {
        assert_eq!(
            pae(TYPE, b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    /// RFC 8032 §7.1, test 1: the public key of a known secret, in the form of RFC 8410.
    #[test]
    fn a_public_key_is_written_as_openssl_reads_it() {
        let mut secret = [0; 32];
        let text = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        hex::decode_to_slice(text, &mut secret).unwrap();
        let public = StatementKey(SigningKey::from_bytes(&secret)).public();
        assert_eq!(
            hex::encode(public.as_bytes()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(
            public.to_pem(),
            "-----BEGIN PUBLIC KEY-----\n\
             MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
             -----END PUBLIC KEY-----\n"
        );
        assert_eq!(PublicKey::from_bytes(public.as_bytes()), Some(public));
    }

    /// A change of label, salt or encoding would void every statement that was signed before.
    #[test]
    fn derivation_is_pinned() {
        assert_eq!(
            key(1).public().id(),
            "580b833839a5b6a52b9a690dd3ad2b17dfed8d8c01466fb665a080ea1549c93f"
        );
        assert_ne!(key(1).public(), key(2).public());
        assert_eq!(format!("{:?}", key(1)), "StatementKey(..)");
    }

    #[test]
    fn what_was_signed_comes_back_and_nothing_else() {
        let envelope = Envelope::sign(TYPE, b"hello world", &key(1));
        assert_eq!(envelope.verify(TYPE, &key(1).public()), Ok(b"hello world".to_vec()));
        let json = serde_json::to_string(&envelope).unwrap();
        assert!(json.starts_with(r#"{"payload":"aGVsbG8gd29ybGQ=","payloadType":"#), "{json}");
        assert_eq!(serde_json::from_str::<Envelope>(&json).unwrap(), envelope);

        let unsigned = Err(Untrusted::Unsigned { keyid: key(2).public().id() });
        assert_eq!(envelope.verify(TYPE, &key(2).public()), unsigned, "another key");
        assert!(matches!(
            envelope.verify("text/plain", &key(1).public()),
            Err(Untrusted::Type { .. })
        ));
        let changed = Envelope { payload: BASE64.encode(b"hello wOrld"), ..envelope.clone() };
        assert!(changed.verify(TYPE, &key(1).public()).is_err(), "other bytes");
        let retyped = Envelope { payload_type: "text/plain".to_owned(), ..envelope.clone() };
        assert!(retyped.verify("text/plain", &key(1).public()).is_err(), "the type is signed too");
        let broken = Envelope { payload: "?".to_owned(), ..envelope };
        assert_eq!(broken.verify(TYPE, &key(1).public()), Err(Untrusted::Payload));
    }

    /// The specification lets a writer use either alphabet, and name no key.
    #[test]
    fn envelopes_of_other_writers_are_read() {
        let payload = [0xfb, 0xff, 0xfe];
        let ours = Envelope::sign(TYPE, &payload, &key(1));
        let mut theirs = Envelope { payload: BASE64URL.encode(&payload), ..ours.clone() };
        assert_ne!(theirs.payload, ours.payload);
        let sig = BASE64.decode(ours.signatures[0].sig.as_bytes()).unwrap();
        theirs.signatures =
            vec![KeySignature { keyid: String::new(), sig: BASE64URL.encode(&sig) }];
        assert_eq!(theirs.verify(TYPE, &key(1).public()), Ok(payload.to_vec()));
    }
}
