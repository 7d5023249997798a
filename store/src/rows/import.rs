//! A tenant that is being made from an export.

use colophon_model::{Sha256, TenantSlug, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;

/// An import that is not finished. Rows of the tenant are there or not, and nobody sees them: it has neither a
/// name nor a head before the last transaction, which takes this away. Collection leaves alone what has neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRow {
    /// The name that it will have.
    pub slug: TenantSlug,
    /// Where it comes from.
    pub url: String,
    /// SHA-256 of the newest bag's tag manifest: of which state of the export it is made.
    pub tagmanifest: Sha256,
    /// When it began.
    pub begun: UnixMillis,
}

json_row!(ImportRow, Import, TenantUid);

/// A public key of the server that a tenant was exported by, before it was imported into this one: what was signed there
/// verifies with it. The path is the one that it has in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerKey {
    /// The file: PEM, or lines of allowed signers.
    pub text: String,
}

json_row!(FormerKey, FormerKey, (TenantUid, String));
