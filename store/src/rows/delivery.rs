//! The log of deliveries.

use std::fmt;

use colophon_model::{BuildId, Digest, FlowId, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::hex_name::hex_name;
use super::json_row;

/// Names a delivery: 32 hex digits. Its time in milliseconds (48 bits, big-endian) and random bits, so
/// that keys sort by time and none can be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryKey([u8; 16]);

impl DeliveryKey {
    /// The key of a delivery at `at`.
    pub fn new(at: UnixMillis, random: [u8; 10]) -> Self {
        let mut key = [0; 16];
        key[..6].copy_from_slice(&at.get().to_be_bytes()[2..]);
        key[6..].copy_from_slice(&random);
        Self(key)
    }

    /// When the delivery was received.
    pub fn time(&self) -> UnixMillis {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0[..6]);
        UnixMillis::new(u64::from_be_bytes(millis))
    }
}

impl fmt::Debug for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeliveryKey({self})")
    }
}

/// A text that names no delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delivery is named by 32 lower-case hex digits")]
pub struct InvalidDeliveryKey;

hex_name!(DeliveryKey, InvalidDeliveryKey);

/// What came in, and what became of it. What was not proven to be the tenant's is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryRow {
    /// When it was received.
    pub at: UnixMillis,
    /// How it was proven: a scheme, `token` or `operator`.
    pub by: String,
    /// Generation of the webhook secret, if it was proven by one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<u32>,
    /// Address that it came from, as the server saw it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// What the sender calls it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// When it was signed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed: Option<UnixMillis>,
    /// The delivery that was run again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replay_of: Option<DeliveryKey>,
    /// BLAKE3 of the body. It names no blob: builds and [`DeliveryBody`] do.
    pub body: Digest,
    /// Size of the body, in bytes.
    pub size: u64,
    /// What became of it: `built`, `noop`, `replayed` or `refused`.
    pub outcome: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// The flow, as far as it came to be known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<FlowId>,
    /// The build that came of it, now or before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build: Option<BuildId>,
    /// How long it took, in microseconds; for a build until it was put together.
    pub micros: u64,
}

json_row!(DeliveryRow, Delivery, (TenantUid, DeliveryKey));

/// The body of a delivery that was refused, kept so that it can be run again. A blob of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryBody {
    /// The body.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
}

json_row!(DeliveryBody, DeliveryBody, (TenantUid, DeliveryKey));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_time_and_parse_back() {
        let early = DeliveryKey::new(UnixMillis::new(1_795_262_400_000), [0xff; 10]);
        let late = DeliveryKey::new(UnixMillis::new(1_795_262_400_001), [0; 10]);
        assert!(early < late);
        assert_eq!(late.time(), UnixMillis::new(1_795_262_400_001));
        assert_eq!(early.to_string().parse(), Ok(early));
        let upper = early.to_string().to_uppercase();
        for bad in ["", "abc", upper.as_str(), "+0000000000000000000000000000001"] {
            assert_eq!(bad.parse::<DeliveryKey>(), Err(InvalidDeliveryKey), "{bad}");
        }
    }
}
