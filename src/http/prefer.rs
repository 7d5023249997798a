//! `Prefer: wait=N` (RFC 7240 §4.3): how long a sender waits for its answer.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::TenantSlug;
use colophon_store::rows::DeliveryKey;
use serde::Serialize;

use super::delivering;

/// Longest wait that is taken at its word; more is as much.
const LONGEST: u64 = 600;
/// How soon to ask again, in seconds.
const AGAIN: u64 = 1;
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What is said of a delivery that is still worked on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Accepted)]
pub(super) struct Accepted {
    outcome: &'static str,
    #[schema(value_type = String)]
    delivery: DeliveryKey,
    /// Where its stages are told as they happen.
    events: String,
}

/// How long the sender waits, if it says. A preference that is malformed is none, as the RFC asks.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    let seconds = preferences.find_map(|one| {
        let (name, value) = one.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("wait") { value.parse::<u64>().ok() } else { None }
    })?;
    Some(Duration::from_secs(seconds.min(LONGEST)))
}

/// 202: the delivery is worked on, and its resource tells what becomes of it.
pub(super) fn accepted(slug: &TenantSlug, key: DeliveryKey, wait: Duration) -> Response {
    let events = format!("/v1/builds/{key}/events");
    let body = Json(Accepted { outcome: "running", delivery: key, events });
    let mut response = (StatusCode::ACCEPTED, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(AGAIN));
    if let Ok(value) = HeaderValue::from_str(&format!("/v1/t/{slug}/deliveries/{key}")) {
        headers.insert(header::LOCATION, value);
    }
    applied(delivering::named(response, key), wait)
}

/// `response`, saying that the preference was heeded.
pub(super) fn applied(mut response: Response, wait: Duration) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs())) {
        response.headers_mut().insert(APPLIED, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_found_among_preferences_and_junk_is_none() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", value.parse().unwrap());
            wait(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(&HeaderMap::new()), None);
        assert_eq!(of("wait=10"), Some(10));
        assert_eq!(of("respond-async, Wait = \"5\"; x=y"), Some(5));
        assert_eq!(of("wait=99999"), Some(LONGEST));
        for junk in ["wait", "wait=", "wait=-1", "wait=soon", "waits=1", "return=minimal"] {
            assert_eq!(of(junk), None, "{junk}");
        }
    }
}
