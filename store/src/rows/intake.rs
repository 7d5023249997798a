//! What a tenant's deliveries are checked with, and what is remembered of them.

use colophon_model::{BuildId, Digest, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;

/// A tenant's webhooks. Absent: the secret of generation 1 is good, and nothing else is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookRow {
    /// Generation that the next secret gets; none is given twice.
    pub next: u32,
    /// The newest secrets, oldest first. What they are derives from the master key.
    pub secrets: Vec<WebhookSecret>,
    /// Whether a delivery that nothing orders may repeat content that was replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub repeats: bool,
}

/// One generation of a tenant's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSecret {
    /// Its number, from 1.
    pub generation: u32,
    /// When it was made.
    pub created: UnixMillis,
    /// From when on it is good no more. `None`: until it is replaced.
    pub ends: Option<UnixMillis>,
    /// Whether it was revoked, rather than replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub revoked: bool,
}

json_row!(WebhookRow, Webhook, TenantUid);

/// The name that a sender gave to a delivery (its digest is in the key), claimed by the build that came
/// of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryClaim {
    /// BLAKE3 of the body that came under the name. It names no blob.
    pub body: Digest,
    /// The build.
    pub build: BuildId,
    /// When it was claimed.
    pub at: UnixMillis,
}

json_row!(DeliveryClaim, DeliveryClaim, (TenantUid, Digest));
