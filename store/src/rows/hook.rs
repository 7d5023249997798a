//! Addresses for senders that cannot say which tenant they are.

use std::fmt;

use colophon_model::{TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::hex_name::hex_name;
use super::{DeliveryKey, json_row};

/// Names a hook: 32 hex digits, drawn at random, so that it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HookId([u8; 16]);

impl HookId {
    /// Wraps random bytes.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// It is half a secret: whoever knows it may try signatures.
impl fmt::Debug for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookId(…)")
    }
}

/// A text that names no hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hook is named by 32 lower-case hex digits")]
pub struct InvalidHookId;

hex_name!(HookId, InvalidHookId);

/// A hook: whose deliveries come in there, and how they are proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookRow {
    /// Whose.
    pub tenant: TenantUid,
    /// The one scheme that is taken.
    pub scheme: String,
    /// What its maker called it.
    pub label: String,
    /// When it was made.
    pub created: UnixMillis,
    /// Where flows are read, when what comes in are events that only name them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pull: Option<PullFrom>,
}

json_row!(HookRow, Hook, HookId);

/// A builder's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullFrom {
    /// Its URL, up to before `/v1/flows`.
    pub url: String,
    /// Where its key is found, such as `env:NAME`; never the key.
    pub credential: String,
}

/// A flow that an event named, and that is to be read from the builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullRow {
    /// Where the event came in.
    pub hook: HookId,
    /// The flow's id at the builder.
    pub flow: String,
    /// The version's.
    pub version: String,
    /// Attempts that failed.
    pub failures: u32,
    /// No attempt before this.
    pub next: UnixMillis,
}

json_row!(PullRow, Pull, (TenantUid, DeliveryKey));
