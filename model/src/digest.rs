//! Three hashes that never mix: the address, the checksum agents need, and Git's object id.
//!
//! There is no conversion between them, so a function that takes one cannot be handed another:
//!
//! ```compile_fail,E0308
//! # use colophon_model::{Digest, Sha256};
//! let address: Digest = Sha256::of(b"x");
//! ```
//! ```compile_fail,E0308
//! # use colophon_model::{Digest, Oid};
//! let oid: Oid = Digest::of(b"x");
//! ```
//! ```compile_fail,E0277
//! # use colophon_model::{Oid, Sha256};
//! let checksum: Sha256 = Oid::from_bytes([0; 20]).into();
//! ```
//! ```compile_fail,E0308
//! # use colophon_model::{Digest, Sha256};
//! assert!(Digest::of(b"x") == Sha256::of(b"x"));
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A text that is not the lower-case hex of a hash of the wanted length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected} lower-case hex digits")]
pub struct InvalidHash {
    text: String,
    expected: usize,
}

/// What each byte is worth as a lower-case hex digit, in the lower half; the upper one tells others.
const DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// A listing of refs parses thousands, so each digit is one look into a table.
fn from_lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let (mut bytes, mut seen) = ([0; N], 0);
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| DIGITS[usize::from(digit)]);
        seen |= high | low;
        *byte = (high << 4) | low;
    }
    (seen < 16).then_some(bytes)
}

/// Writes `bytes`, at most 32, as lower-case hex digits. Every answer and row has many of them, so no text is made
/// on the heap.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    f.write_str(std::str::from_utf8(&digits[..2 * bytes.len()]).map_err(|_| fmt::Error)?)
}

/// Defines one hash type: fixed length, `Copy`, lower-case hex in text and JSON.
macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps raw hash bytes, as read from a row or a wire format.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Wraps a slice when it has exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Parses lower-case hex of exactly the right length.
            pub fn from_hex(text: &str) -> Result<Self, InvalidHash> {
                let invalid = || InvalidHash { text: text.chars().take(80).collect(), expected: $len * 2 };
                from_lower_hex(text).map(Self).ok_or_else(invalid)
            }

            /// The raw hash bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidHash;
            fn from_str(text: &str) -> Result<Self, InvalidHash> {
                Self::from_hex(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::from_hex(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

hash_type! {
    /// BLAKE3 of raw, uncompressed bytes: the address of a blob in the store.
    Digest, 32
}

hash_type! {
    /// SHA-256 of raw bytes: the checksum that agents and stock tools verify.
    Sha256, 32
}

hash_type! {
    /// A Git object id (SHA-1 over `<kind> <size>\0<bytes>`). Computed by the Git facade only.
    Oid, 20
}

impl Digest {
    /// Hashes `bytes`. At 1 GB/s per core this is cheap beside any I/O.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Hashes `parts` as if they stood in one piece.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// Makes the [`Digest`] of what comes piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces so far, as if they stood in one.
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

impl Sha256 {
    /// Hashes `bytes` (FIPS 180-4).
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors_pin_the_algorithms() {
        // BLAKE3 test vector for the empty input; FIPS 180-4 example "abc".
        assert_eq!(
            Digest::of(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        assert_eq!(
            Sha256::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn parts_are_hashed_as_one_piece() {
        assert_eq!(Digest::of_parts(&[b"colo", b"", b"phon"]), Digest::of(b"colophon"));
        let mut digester = Digester::default();
        assert_eq!(digester.digest(), Digest::of(b""));
        for piece in [&b"colo"[..], b"", b"phon"] {
            digester.update(piece);
        }
        assert_eq!(digester.digest(), Digest::of(b"colophon"));
    }

    #[test]
    fn text_and_json_round_trip() {
        let digest = Digest::of(b"colophon");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn anything_but_exact_lower_case_hex_is_refused() {
        let good = "ab".repeat(32);
        for bad in [
            String::new(),
            good[1..].to_owned(),
            format!("{good}ab"),
            good.to_uppercase(),
            format!("0x{}", &good[2..]),
            format!(" {}", &good[1..]),
            "é".repeat(32),
        ] {
            assert!(Digest::from_hex(&bad).is_err(), "{bad}");
            assert!(serde_json::from_str::<Digest>(&format!("{bad:?}")).is_err());
        }
    }
}
