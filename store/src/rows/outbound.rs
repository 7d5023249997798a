//! Webhooks that the server sends: where to, what, and what became of it.

use colophon_model::{BuildId, FlowId, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::hex_name::hex_name;
use super::intake::WebhookSecret;
use super::json_row;

/// Names an endpoint: 32 hex digits, drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointId([u8; 16]);

impl EndpointId {
    /// Wraps random bytes.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// A text that names no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is named by 32 lower-case hex digits")]
pub struct InvalidEndpointId;

hex_name!(EndpointId, InvalidEndpointId);

/// Names an event, or an attempt to deliver one: 32 hex digits. Its time in milliseconds (48 bits,
/// big-endian), its place among those of one moment (16 bits), and random bits, so that keys sort in the
/// order of what happened and none can be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventKey([u8; 16]);

impl EventKey {
    /// The key of the `place`th of what happened at `at`.
    pub fn new(at: UnixMillis, place: u16, random: [u8; 8]) -> Self {
        let mut key = [0; 16];
        key[..6].copy_from_slice(&at.get().to_be_bytes()[2..]);
        key[6..8].copy_from_slice(&place.to_be_bytes());
        key[8..].copy_from_slice(&random);
        Self(key)
    }

    /// When it happened.
    pub fn time(&self) -> UnixMillis {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0[..6]);
        UnixMillis::new(u64::from_be_bytes(millis))
    }
}

/// A text that names no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is named by 32 lower-case hex digits")]
pub struct InvalidEventKey;

hex_name!(EventKey, InvalidEventKey);

/// Where a tenant's events are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRow {
    /// The URL.
    pub url: String,
    /// Types of events that are sent there.
    pub events: Vec<String>,
    /// The only flow whose events are sent there. `None`: those of every flow.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<FlowId>,
    /// What its maker called it.
    pub label: String,
    /// When it was made.
    pub created: UnixMillis,
    /// How often it was changed.
    pub version: u64,
    /// Since when and why nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled: Option<Disabled>,
    /// Generation that the next secret gets; none is given twice.
    pub next: u32,
    /// The newest secrets, oldest first. What they are derives from the master key.
    pub secrets: Vec<WebhookSecret>,
}

json_row!(EndpointRow, Endpoint, (TenantUid, EndpointId));

/// Why nothing is sent to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disabled {
    /// Since when.
    pub since: UnixMillis,
    /// `asked`: somebody wanted it; `gone`: the endpoint answered 410; `failing`: it failed for too long.
    pub why: String,
}

/// How an endpoint fares. Absent until the first attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointState {
    /// Since when every attempt failed.
    pub failing: Option<UnixMillis>,
    /// How many did.
    pub failures: u32,
    /// When the last attempt ended.
    pub last: Option<UnixMillis>,
    /// When the last one that was taken ended.
    pub succeeded: Option<UnixMillis>,
    /// Nothing is sent before this, in milliseconds since 1970.
    pub rest: u64,
    /// Whether it keeps those waiting who send to it.
    pub slow: bool,
    /// Why the last attempt failed.
    pub trouble: Option<String>,
}

json_row!(EndpointState, EndpointState, (TenantUid, EndpointId));

/// Something that happened, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRow {
    /// Its type, such as `build.succeeded`.
    pub kind: String,
    /// When it happened.
    pub at: UnixMillis,
    /// The flow that it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<FlowId>,
    /// The build that it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build: Option<BuildId>,
    /// What is sent, the same with every attempt.
    pub body: String,
    /// `traceparent` (W3C Trace Context) of what made it happen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<String>,
}

json_row!(EventRow, Event, (TenantUid, EventKey));

/// An event that is to be sent to an endpoint: no sooner than the third part of the key says, in milliseconds
/// since 1970. What is due first comes first, and of that what happened first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendRow {
    /// The flow that the event is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<FlowId>,
    /// Attempts that failed.
    pub failures: u32,
    /// Whether somebody asked for it again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub replay: bool,
}

/// Names what is to be sent: tenant and endpoint, time and event.
pub type SendKey = ((TenantUid, EndpointId), (u64, EventKey));

json_row!(SendRow, Send, SendKey);

/// An event of a flow that an endpoint has not taken yet: later ones of the flow wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRow {
    /// The event.
    pub event: EventKey,
    /// When it is sent again, in milliseconds since 1970.
    pub until: u64,
}

json_row!(HoldRow, Hold, (TenantUid, EndpointId, FlowId));

/// An attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptRow {
    /// Where to.
    pub endpoint: EndpointId,
    /// What.
    pub event: EventKey,
    /// Its number among those of this event and endpoint, from 1.
    pub number: u32,
    /// What came of it: `delivered`, `failed` or `gave-up`.
    pub outcome: String,
    /// Status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The beginning of the answer.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub excerpt: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// When the next one is made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<UnixMillis>,
    /// Whether somebody asked for the event again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub replay: bool,
}

json_row!(AttemptRow, Attempt, (TenantUid, EventKey));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row as _;

    #[test]
    fn events_sort_by_time_then_place_and_parse_back() {
        let (early, late) =
            (UnixMillis::new(1_795_262_400_000), UnixMillis::new(1_795_262_400_001));
        let first = EventKey::new(early, 0, [0xff; 8]);
        let second = EventKey::new(early, 1, [0; 8]);
        let third = EventKey::new(late, 0, [0; 8]);
        assert!(first < second && second < third);
        assert_eq!((second.time(), third.time()), (early, late));
        assert_eq!(third.to_string().parse(), Ok(third));
        for bad in ["", "abc", "+0000000000000000000000000000001"] {
            assert_eq!(bad.parse::<EventKey>(), Err(InvalidEventKey), "{bad}");
        }
    }

    /// The worker takes rows in the order of their keys.
    #[test]
    fn what_is_due_first_is_first_in_the_queue() {
        let to = (TenantUid::from_bytes([1; 16]), EndpointId::from_random([2; 16]));
        let event = |n| EventKey::new(UnixMillis::new(n), 0, [0; 8]);
        let rows = [(5, event(9)), (6, event(1)), (6, event(2)), (70_000, event(0))];
        let keys: Vec<_> = rows.iter().map(|row| SendRow::encode_key(&(to, *row))).collect();
        assert!(keys.is_sorted());
    }
}
