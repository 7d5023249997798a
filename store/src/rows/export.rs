//! What is remembered of places that a tenant is exported to. All of it is a cache and a memory aid: what was
//! exported is told by what lies there.

use std::collections::BTreeSet;

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
    #[serde(default)]
    pub builds: u64,
    /// The number of the last line of the audit log there, as far as this server has seen.
    #[serde(default)]
    pub lines: u64,
    /// When an export was last complete there.
    pub succeeded: Option<UnixMillis>,
    /// When the place was last seen to refuse what it must refuse.
    pub probed: Option<UnixMillis>,
    /// Whether its locks were tried then too.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub locks: bool,
    /// SHA-256 over what lies there beside the bags: the public keys, and how to check.
    pub keys: Option<Sha256>,
    /// An export that was begun.
    pub planned: Option<PlannedExport>,
    /// How many of the exports that this server made there are sealed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub sealed: u64,
    /// The `HEAD.json` that this server left there, as long as it knows of no other.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head: Option<KnownHead>,
    /// URL of the store, when it was named with the place and not configured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// The region, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
}

/// An object that can be written over without being read before, if it is still the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownHead {
    /// What is in it.
    pub text: String,
    /// Its `ETag`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tag: Option<String>,
    /// Its version, where there are versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
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

/// When a tenant's export at a place was last restored for trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportDrill {
    /// The last time, whatever came of it.
    pub tried: UnixMillis,
    /// The last time that it was good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub good: Option<UnixMillis>,
}

json_row!(ExportDrill, ExportDrill, (TenantUid, Digest));

/// An export that was begun: it is made again with the same bytes, and so goes on where it was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whether it is sealed.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub sealed: bool,
    /// The key that it is sealed with; left out by versions of before keys could be replaced: it is the tenant's first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
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

/// The keys that a tenant's exports are sealed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportKey {
    /// The public half of the one in use, an age recipient: what names it.
    pub id: String,
    /// Its secret half, encrypted with a key that the server derives from its master key; base64.
    pub sealed: String,
    /// When it was made.
    pub made: UnixMillis,
    /// Copies of all of the keys that lie elsewhere.
    pub copies: Vec<KeyCopy>,
    /// Keys of before, the oldest first: they open what they sealed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub former: Vec<FormerExportKey>,
    /// Places where copies lie that should not, and could not be deleted yet.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub leftovers: Vec<KeyLeftover>,
}

json_row!(ExportKey, ExportKey, TenantUid);

/// A key that nothing new is sealed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerExportKey {
    /// Its public half.
    pub id: String,
    /// Its secret half, as that of the one in use.
    pub sealed: String,
    /// When it was made.
    pub made: UnixMillis,
    /// When another took its place.
    pub retired: UnixMillis,
}

/// A copy of a key, encrypted for operators, that lies at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyCopy {
    /// The place.
    pub url: String,
    /// URL of its store when the copy was put there, so that it is found again after another one was configured; not told by
    /// older servers, nor of a folder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// The region, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    /// What it is named there.
    pub name: String,
    /// Whom it is encrypted for, as `export.recipients` names them.
    pub recipients: BTreeSet<String>,
}

/// Copies of keys at a place that could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLeftover {
    /// The place.
    pub url: String,
    /// URL of its store, as of the copies.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// The region, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    /// What they are named there.
    pub names: BTreeSet<String>,
    /// What is there still, and why.
    pub left: Vec<String>,
    /// Since when they should be gone.
    pub since: UnixMillis,
    /// When it was tried last.
    pub tried: UnixMillis,
}

/// An erasure that destroyed keys of sealed exports, and whose signed record is not at every place yet. It outlives the tenant and
/// does not name it: whose it was is said by the record that it began, at the places. The key is a digest of the tenant's pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShredRecord {
    /// The tenant's pseudonym, as in the system's audit log.
    pub tenant: String,
    /// When the erasure began.
    pub began: UnixMillis,
    /// When it was done; none: it was not known to be done when this was written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<UnixMillis>,
    /// What became of copies of the keys.
    pub keys: Vec<ShredFate>,
    /// Places where the record is still to be written.
    pub places: Vec<ShredPlace>,
}

/// What became of copies of keys at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShredFate {
    /// The place.
    pub place: String,
    /// How many objects, versions and delete marks were deleted there.
    pub deleted: u64,
    /// What is there still, and why.
    pub left: Vec<String>,
}

/// A place that was exported to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShredPlace {
    /// Where it is.
    pub url: String,
    /// URL of the store, when it was named with the place and not configured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// The region, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
}

json_row!(ShredRecord, ShredRecord, Digest);
