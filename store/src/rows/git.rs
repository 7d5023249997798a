//! Refs and objects of a tenant's Git repository. Objects are binary, because packs are copied out
//! of them.

use colophon_model::{Digest, GitKind, LogEntry, Oid, Ordinal, TagObject, TenantUid};
use serde::{Deserialize, Serialize};

use super::json_row;
use crate::row::{from_json, take_array, to_json};
use crate::{InvalidRow, Row, Table};

/// Where a ref points; the key holds its full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefRow {
    /// The object it names.
    pub oid: Oid,
    /// The commit behind it, for an annotated tag.
    pub peeled: Option<Oid>,
}

/// JSON like its neighbours. A list of refs is thousands of these, so the form that is written is
/// read without a parser; whatever else is JSON is read as such.
impl Row for RefRow {
    const TABLE: Table = Table::Ref;
    type Key = (TenantUid, String);

    fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
        as_written(bytes).map_or_else(|| from_json(bytes), Ok)
    }
}

fn as_written(bytes: &[u8]) -> Option<RefRow> {
    let (oid, rest) = take_oid(bytes.strip_prefix(b"{\"oid\":")?)?;
    let rest = rest.strip_prefix(b",\"peeled\":")?;
    if rest == b"null}" {
        return Some(RefRow { oid, peeled: None });
    }
    let (peeled, rest) = take_oid(rest)?;
    (rest == b"}").then_some(RefRow { oid, peeled: Some(peeled) })
}

fn take_oid(bytes: &[u8]) -> Option<(Oid, &[u8])> {
    let (hex, rest) = bytes.strip_prefix(b"\"")?.split_at_checked(2 * Oid::LEN)?;
    let oid = std::str::from_utf8(hex).ok()?.parse().ok()?;
    Some((oid, rest.strip_prefix(b"\"")?))
}

/// How often a tenant's refs changed. The store raises it with every change that writes or deletes a
/// [`RefRow`], so nobody else does; [`crate::View::ref_changes`] reads it. No row is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefChanges {
    /// The number of commits that changed a ref; some may have changed none.
    pub(crate) count: u64,
}

json_row!(RefChanges, RefChanges, TenantUid);

/// Where in the log an object is. The value is the ordinal, `u32` big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitOid {
    /// Its position.
    pub ordinal: Ordinal,
}

impl Row for GitOid {
    const TABLE: Table = Table::GitOid;
    type Key = (TenantUid, Oid);

    fn encode(&self) -> Vec<u8> {
        self.ordinal.get().to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
        let bytes = bytes.try_into().map_err(|_| InvalidRow::Binary("ordinal"))?;
        Ok(Self { ordinal: Ordinal::new(u32::from_be_bytes(bytes)) })
    }
}

/// `kind u8` (pack type), `depth u8`, oid, `size u64`, `inflated u64`, flag byte and `base u32`,
/// flag byte and blob digest, then the zlib stream. Big-endian; what a flag of 0 leaves out is not
/// there.
impl Row for LogEntry {
    const TABLE: Table = Table::GitLog;
    type Key = (TenantUid, Ordinal);

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(76 + self.deflated.len());
        bytes.extend_from_slice(&[self.kind.pack_type(), self.depth]);
        bytes.extend_from_slice(self.oid.as_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.inflated.to_be_bytes());
        push_optional(&mut bytes, self.base.map(|base| base.get().to_be_bytes()));
        push_optional(&mut bytes, self.blob.map(|blob| *blob.as_bytes()));
        bytes.extend_from_slice(&self.deflated);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
        parse_log_entry(bytes).ok_or(InvalidRow::Binary("log entry"))
    }
}

fn parse_log_entry(mut bytes: &[u8]) -> Option<LogEntry> {
    let head = take_log_head(&mut bytes)?;
    Some(LogEntry { deflated: bytes.to_vec(), ..head })
}

/// All of an entry but its stream, which stays in `rest`.
fn take_log_head(rest: &mut &[u8]) -> Option<LogEntry> {
    let [kind, depth] = take_array(rest)?;
    Some(LogEntry {
        kind: GitKind::from_pack_type(kind)?,
        depth,
        oid: Oid::from_bytes(take_array(rest)?),
        size: u64::from_be_bytes(take_array(rest)?),
        inflated: u64::from_be_bytes(take_array(rest)?),
        base: take_optional(rest)?.map(|base| Ordinal::new(u32::from_be_bytes(base))),
        blob: take_optional(rest)?.map(Digest::from_bytes),
        deflated: Vec::new(),
    })
}

/// The blob behind an entry of the log, without a copy of the entry.
pub(crate) fn blob_of_log_entry(mut bytes: &[u8]) -> Result<Option<Digest>, InvalidRow> {
    let head = take_log_head(&mut bytes).ok_or(InvalidRow::Binary("log entry"))?;
    Ok(head.blob)
}

/// The target's oid, then the object's bytes. Its own oid is in the key and, first, here as well,
/// so that a row can be read without it.
impl Row for TagObject {
    const TABLE: Table = Table::GitTag;
    type Key = (TenantUid, Oid);

    fn encode(&self) -> Vec<u8> {
        [self.oid.as_bytes().as_slice(), self.target.as_bytes(), &self.bytes].concat()
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, InvalidRow> {
        let rest = &mut bytes;
        let oids = take_array(rest).zip(take_array(rest));
        let (oid, target) = oids.ok_or(InvalidRow::Binary("tag object"))?;
        Ok(Self {
            oid: Oid::from_bytes(oid),
            target: Oid::from_bytes(target),
            bytes: rest.to_vec(),
        })
    }
}

fn push_optional<const N: usize>(bytes: &mut Vec<u8>, value: Option<[u8; N]>) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        bytes.extend_from_slice(&value);
    }
}

#[expect(clippy::option_option, reason = "malformed, absent and present are three answers")]
fn take_optional<const N: usize>(rest: &mut &[u8]) -> Option<Option<[u8; N]>> {
    match take_array(rest)? {
        [0] => Some(None),
        [1] => take_array(rest).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The short way and the parser read the same rows; what neither writes is the parser's to judge.
    #[test]
    fn refs_are_read_as_they_are_written() {
        let [a, b] = [[1; Oid::LEN], [0xfe; Oid::LEN]].map(Oid::from_bytes);
        for row in [RefRow { oid: a, peeled: None }, RefRow { oid: a, peeled: Some(b) }] {
            let bytes = row.encode();
            assert_eq!(as_written(&bytes), Some(row), "the short way is taken");
            assert_eq!(from_json::<RefRow>(&bytes).unwrap(), row);
            let spaced = String::from_utf8(bytes).unwrap().replace(':', ": ").into_bytes();
            assert_eq!(as_written(&spaced), None);
            assert_eq!(RefRow::decode(&spaced).unwrap(), row);
        }
        for bad in [&b"{}"[..], b"{\"oid\":\"01\",\"peeled\":null}", b"null"] {
            assert!(RefRow::decode(bad).is_err());
        }
    }
}
