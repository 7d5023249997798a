//! How typed rows become keys and values.

use colophon_model::{
    BuildId, Digest, FlowId, FlowSource, NativeFlowId, Oid, Ordinal, Sha256, Target, TenantSlug,
    TenantUid,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Table};

/// A type that is stored in one table.
///
/// `encode` is the only encoding of a value: what was decoded encodes to the same bytes again, since
/// [`crate::Change::expect`] compares bytes.
pub trait Row: Sized {
    /// Where rows of this type live.
    const TABLE: Table;
    /// What names a row.
    type Key: KeyPart;

    /// The value's bytes.
    fn encode(&self) -> Vec<u8>;

    /// Parses a value's bytes.
    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow>;

    /// The key's bytes.
    fn encode_key(key: &Self::Key) -> Vec<u8> {
        key_bytes(key)
    }

    /// Parses a key's bytes.
    fn decode_key(mut bytes: &[u8]) -> Result<Self::Key, InvalidRow> {
        let key = Self::Key::take(&mut bytes).filter(|_| bytes.is_empty());
        key.ok_or(InvalidRow::Key)
    }
}

/// Why bytes are not the row they should be.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRow {
    /// The key is not of the table's form.
    #[error("the key does not parse")]
    Key,
    /// The value is not the JSON that the table holds.
    #[error("the value does not parse")]
    Json(#[source] serde_json::Error),
    /// The value is not the binary form that the table holds.
    #[error("the value is not a {0}")]
    Binary(&'static str),
}

impl InvalidRow {
    /// This problem in a row of `table`.
    pub(crate) const fn of(self, table: Table) -> Error {
        Error::Row { table, source: self }
    }
}

/// Encodes a row as compact JSON: fields in declaration order, maps sorted.
pub(crate) fn to_json(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows have text keys and finite numbers only")
}

/// The inverse of [`to_json`].
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidRow> {
    serde_json::from_slice(bytes).map_err(InvalidRow::Json)
}

/// Makes a unit type a row of a table: the key says it all, and the value is empty.
macro_rules! mark_row {
    ($row:ident, $table:ident, $key:ty) => {
        impl crate::Row for $row {
            const TABLE: crate::Table = crate::Table::$table;
            type Key = $key;

            fn encode(&self) -> Vec<u8> {
                Vec::new()
            }

            fn decode(bytes: &[u8]) -> Result<Self, crate::InvalidRow> {
                if bytes.is_empty() { Ok(Self) } else { Err(crate::InvalidRow::Binary("mark")) }
            }
        }
    };
}
pub(crate) use mark_row;

/// A part of a key. Byte order of encoded keys is the order of the values, and parts written one
/// after the other parse back without ambiguity.
pub trait KeyPart: Sized {
    /// Appends the part to a key.
    fn push(&self, key: &mut Vec<u8>);

    /// Takes the part from the front of a key.
    fn take(rest: &mut &[u8]) -> Option<Self>;
}

/// The bytes of a whole key or of a prefix.
pub(crate) fn key_bytes(part: &impl KeyPart) -> Vec<u8> {
    let mut key = Vec::new();
    part.push(&mut key);
    key
}

/// Takes `N` bytes from the front.
pub(crate) fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// Fixed-size parts: their bytes.
macro_rules! fixed_part {
    ($($part:ident)*) => {$(
        impl KeyPart for $part {
            fn push(&self, key: &mut Vec<u8>) {
                key.extend_from_slice(self.as_bytes());
            }

            fn take(rest: &mut &[u8]) -> Option<Self> {
                take_array(rest).map(Self::from_bytes)
            }
        }
    )*};
}

fixed_part! { TenantUid Digest Sha256 Oid BuildId }

/// Checked texts, which hold no NUL: their bytes and a NUL, so that a shorter text sorts first and
/// is never the prefix of a longer one.
macro_rules! text_part {
    ($($part:ident)*) => {$(
        impl KeyPart for $part {
            fn push(&self, key: &mut Vec<u8>) {
                key.extend_from_slice(self.as_str().as_bytes());
                key.push(0);
            }

            fn take(rest: &mut &[u8]) -> Option<Self> {
                let end = rest.iter().position(|byte| *byte == 0)?;
                let text = std::str::from_utf8(&rest[..end]).ok()?;
                *rest = &rest[end + 1..];
                Self::new(text).ok()
            }
        }
    )*};
}

text_part! { TenantSlug FlowId NativeFlowId }

/// Free text: its bytes up to the end of the key, so it can only come last. As the end of a prefix
/// it matches every longer text.
impl KeyPart for String {
    fn push(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(std::mem::take(rest)).ok()?;
        Some(text.to_owned())
    }
}

/// Nothing: as a prefix, the whole table.
impl KeyPart for () {
    fn push(&self, _key: &mut Vec<u8>) {}

    fn take(_rest: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

/// Big-endian, so that byte order is number order.
impl KeyPart for u64 {
    fn push(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.to_be_bytes());
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        take_array(rest).map(Self::from_be_bytes)
    }
}

/// A big-endian `u32`.
impl KeyPart for Ordinal {
    fn push(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.get().to_be_bytes());
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        take_array(rest).map(|bytes| Self::new(u32::from_be_bytes(bytes)))
    }
}

/// Closed sets: one byte per value, never given another meaning.
macro_rules! byte_part {
    ($part:ident { $($value:ident = $byte:literal)* }) => {
        impl KeyPart for $part {
            fn push(&self, key: &mut Vec<u8>) {
                key.push(match self { $(Self::$value => $byte,)* });
            }

            fn take(rest: &mut &[u8]) -> Option<Self> {
                match take_array::<1>(rest)? {
                    $([$byte] => Some(Self::$value),)*
                    _ => None,
                }
            }
        }
    };
}

byte_part! { Target { Cloud = 1 Edge = 2 } }
byte_part! { FlowSource { Builder = 1 Langflow = 2 Activepieces = 3 } }

impl<A: KeyPart, B: KeyPart> KeyPart for (A, B) {
    fn push(&self, key: &mut Vec<u8>) {
        self.0.push(key);
        self.1.push(key);
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        Some((A::take(rest)?, B::take(rest)?))
    }
}

impl<A: KeyPart, B: KeyPart, C: KeyPart> KeyPart for (A, B, C) {
    fn push(&self, key: &mut Vec<u8>) {
        self.0.push(key);
        self.1.push(key);
        self.2.push(key);
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        Some((A::take(rest)?, B::take(rest)?, C::take(rest)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scans answer in the order of values, so byte order must be value order.
        #[test]
        fn keys_sort_like_their_values(
            a in ("[a-z][a-z0-9_]{0,9}", any::<u64>()), b in ("[a-z][a-z0-9_]{0,9}", any::<u64>()),
        ) {
            let key = |(text, number): &(String, u64)| {
                FlowId::new(text.clone()).ok().map(|flow| key_bytes(&(flow, *number)))
            };
            if let (Some(left), Some(right)) = (key(&a), key(&b)) {
                prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            }
        }

        /// No junk key panics or is read as a key that would be written differently.
        #[test]
        fn keys_parse_to_what_was_written_or_not_at_all(
            junk in proptest::collection::vec(0_u8..4, 0..60),
        ) {
            type Key = (Target, NativeFlowId, u64);
            let mut rest = junk.as_slice();
            if let Some(key) = Key::take(&mut rest) {
                let mut again = key_bytes(&key);
                again.extend_from_slice(rest);
                prop_assert_eq!(again, junk);
            }
        }
    }
}
