//! Bundles that are kept in a bucket too, where agents and builders fetch them by signed URLs.

use colophon_model::{Sha256, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;

/// A bundle that lies in a bucket. The second part of the key is the checksum of its zip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRow {
    /// Which bucket of which store: what lies in another one than is in use counts as not there.
    pub place: String,
    /// When it was seen there first.
    pub since: UnixMillis,
}

json_row!(ArtifactRow, Artifact, (TenantUid, Sha256));

/// A bundle that is to be brought to the bucket: written in the transaction that publishes it, deleted in the one
/// that says that it lies there. The second part of the key is the checksum of its zip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadRow {
    /// When it was asked for.
    pub since: UnixMillis,
    /// No attempt before this.
    pub next: UnixMillis,
    /// Attempts that failed.
    pub failures: u32,
    /// Why the last one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
}

json_row!(UploadRow, Upload, (TenantUid, Sha256));

impl UploadRow {
    /// One that is asked for now.
    pub const fn new(now: UnixMillis) -> Self {
        Self { since: now, next: now, failures: 0, trouble: None }
    }
}
