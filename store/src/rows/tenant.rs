//! Who may do what, and the head that serialises a tenant's builds.

use std::collections::BTreeMap;

use colophon_model::{
    CodePolicy, Digest, Oid, Sha256, SshSignature, Stamp, Target, TenantSlug, TenantUid, UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::{EdgeRepo, json_row};

/// A tenant, by slug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRow {
    /// What its rows hang on.
    pub uid: TenantUid,
    /// Its name, as in the key.
    pub slug: TenantSlug,
    /// When it was created.
    pub created: UnixMillis,
    /// Which component sources its flows may carry.
    pub policy: CodePolicy,
    /// Where its TUF root keys were made.
    pub roots: RootsOrigin,
    /// Since when its credentials are refused; none while they are taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspended: Option<UnixMillis>,
    /// Since when it is only read; none while it may be built for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archived: Option<UnixMillis>,
    /// Since when it is under legal hold; none while it may be erased.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held: Option<UnixMillis>,
}

/// Where a tenant's TUF root keys were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootsOrigin {
    /// On the server itself.
    Server,
    /// In a ceremony, away from the server.
    Offline,
}

json_row!(TenantRow, Tenant, TenantSlug);

/// A tenant's slug, by uid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlugOf {
    /// Its name.
    pub slug: TenantSlug,
}

json_row!(SlugOf, Slug, TenantUid);

/// A file that the tenant's branch began with, by path. Tenants of format 1 have none: what was
/// planted for them is found in their Git log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// The file, a blob of the tenant.
    pub digest: Digest,
}

json_row!(Planted, Planted, (TenantUid, String));

/// The commit that a tenant's branch began with. What else it is made of is in `tenant-1` and
/// `planted-1`. Tenants of format 1 have none, and theirs is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstCommit {
    /// Its id.
    pub commit: Oid,
    /// Its signature, if it is signed.
    pub signature: Option<SshSignature>,
}

json_row!(FirstCommit, FirstCommit, TenantUid);

/// What a token grants. The key is the token's SHA-256; the token itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRow {
    /// A name for it that may be logged.
    pub id: String,
    /// The tenant it is limited to.
    pub tenant: TenantUid,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// What its maker called it.
    pub label: String,
    /// When it was made.
    pub created: UnixMillis,
    /// When it ends.
    pub expires: UnixMillis,
    /// What it is for, as the word in its prefix. None in tokens of before it was kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// The only target that it may build for; none: every one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<Target>,
    /// The id of the token that took its place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub successor: Option<String>,
}

json_row!(TokenRow, Token, Sha256);

/// When a token was used last, to an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenUsed {
    /// The time.
    pub at: UnixMillis,
}

json_row!(TokenUsed, TokenUsed, (TenantUid, Sha256));

/// The one row that every build of a tenant expects and replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantHead {
    /// How many builds there are; the last one's number.
    pub builds: u64,
    /// The stamp of the last build.
    pub stamp: Option<Stamp>,
    /// The commit at the tip of the tenant's branch.
    pub tip: Option<Oid>,
    /// Where the next object of the Git log goes.
    pub next_ordinal: u32,
    /// Version of the newest TUF snapshot.
    pub tuf_version: u64,
    /// Builds counted so far, by target.
    pub quota: BTreeMap<Target, u64>,
    /// What of the edge repository was signed when. None in a head that was last written before this was
    /// kept: then every file but the root has `tuf_version`, and is due to be signed anew.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edge: Option<EdgeRepo>,
}

json_row!(TenantHead, TenantHead, TenantUid);

/// When the build with a number (from 0, per target) was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaStamp {
    /// The time.
    pub at: UnixMillis,
}

json_row!(QuotaStamp, QuotaStamp, (TenantUid, Target, u64));
