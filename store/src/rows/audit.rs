//! The audit log: a chain of lines for each tenant, and one for the system, whose uid is zeros.

use colophon_model::audit::{ChainHead, Origin};
use colophon_model::{TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;
use crate::{InvalidRow, Row, Table};

/// A line, byte for byte as its successor's hash has it. The key's number is the line's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine(pub String);

/// The text alone: what is hashed must not pass through a parser.
impl Row for AuditLine {
    const TABLE: Table = Table::AuditLine;
    type Key = (TenantUid, u64);

    fn encode(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
        let text = String::from_utf8(bytes.to_vec());
        text.map(Self).map_err(|_| InvalidRow::Binary("line"))
    }
}

/// The end of a chain. Whoever appends expects it and replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditHead(pub ChainHead);

json_row!(AuditHead, AuditHead, TenantUid);

/// Where the act of a line came from. It may be deleted: the chain holds a commitment only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditOrigin {
    /// When the line was written.
    pub at: UnixMillis,
    /// What the line commits to.
    pub origin: Origin,
}

json_row!(AuditOrigin, AuditOrigin, (TenantUid, u64));

/// A signed note over the first lines of a chain; the key says how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditCheckpoint {
    /// When it was signed.
    pub at: UnixMillis,
    /// The note.
    pub note: String,
}

json_row!(AuditCheckpoint, AuditCheckpoint, (TenantUid, u64));
