//! What is remembered of places that a tenant is exported to. All of it is a cache and a memory aid: what was
//! exported is told by what lies there.

use colophon_model::{Digest, Sha256, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;

/// How a tenant's export to a place stands. The second part of the key is the digest of the place's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportPlace {
    /// Where it is.
    pub url: String,
    /// The number of the newest export that this server has seen there.
    pub sequence: u64,
    /// The number of the last build there, as far as this server has seen.
    pub builds: u64,
    /// The number of the last line of the audit log there, as far as this server has seen.
    pub lines: u64,
    /// When an export was last complete there.
    pub succeeded: Option<UnixMillis>,
    /// When the place was last seen to refuse what it must refuse.
    pub probed: Option<UnixMillis>,
    /// SHA-256 over the public keys that lie there.
    pub keys: Option<Sha256>,
    /// An export that was begun.
    pub planned: Option<PlannedExport>,
}

json_row!(ExportPlace, ExportPlace, (TenantUid, Digest));

/// Exports by the schedule that failed, since the last that did not. There is no row when none has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportState {
    /// How many, one after the other.
    pub failures: u32,
    /// When the last of them failed.
    pub failed: UnixMillis,
    /// The earliest time of another attempt.
    pub next: UnixMillis,
    /// The stable code of what was wrong.
    pub code: String,
    /// What was wrong.
    pub trouble: String,
}

json_row!(ExportState, ExportState, (TenantUid, Digest));

/// An export that was begun: it is made again with the same bytes, and so goes on where it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedExport {
    /// Its number.
    pub sequence: u64,
    /// SHA-256 of the tag manifest of the one before.
    pub previous: Option<Sha256>,
    /// The number of the last build in it.
    pub builds: u64,
    /// The number of the last line of the audit log in it.
    pub lines: u64,
}

/// A blob as it lies at a place. The last part of the key is its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportBlob {
    /// SHA-256 of the object, by which it is named.
    pub sha256: Sha256,
    /// Size of the object, in bytes.
    pub size: u64,
    /// The key that it is encrypted with; none: it is as it was stored.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
}

json_row!(ExportBlob, ExportBlob, (TenantUid, Digest, Digest));
