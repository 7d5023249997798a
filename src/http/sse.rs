//! Server-sent events (WHATWG HTML §9.2) as text.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

/// How soon a client comes again after its connection has ended.
const RETRY: Duration = Duration::from_secs(2);
/// The header in which a client that comes again says what it has seen.
const LAST: HeaderName = HeaderName::from_static("last-event-id");
/// What nginx and its like heed: send on what comes, and gather nothing.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What says nothing, so that whoever stands between knows that the stream is in use.
pub(super) const HEARTBEAT: &[u8] = b": ping\n\n";

/// Events that are to be sent in one piece.
#[derive(Debug, Default)]
pub(super) struct Events(String);

impl Events {
    /// The beginning of a stream: how soon to come again.
    pub(super) fn beginning() -> Self {
        Self(format!("retry: {}\n\n", RETRY.as_millis()))
    }

    /// Adds an event. Without an id the client's last one stays. JSON has no line breaks, so one line of data
    /// is enough.
    pub(super) fn push(
        &mut self,
        id: Option<u64>,
        event: &str,
        data: &impl Serialize,
    ) -> Result<(), serde_json::Error> {
        let data = serde_json::to_string(data)?;
        let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
        let _ = write!(self.0, "{id}event: {event}\ndata: {data}\n\n"); // to a string
        Ok(())
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Events> for Bytes {
    fn from(events: Events) -> Self {
        events.0.into()
    }
}

/// The id of the last event that the client has seen. What is none of ours is as good as nothing.
pub(super) fn last_seen(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(LAST)?.to_str().ok()?;
    if text.bytes().all(|c| c.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A stream as an answer.
pub(super) fn answer(body: Body) -> Response {
    let described = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (BUFFERING, HeaderValue::from_static("no")),
    ];
    (described, body).into_response()
}

/// There is nothing to come: a client that is told so does not come again.
pub(super) fn nothing() -> Response {
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_the_standard_reads_it() {
        let mut events = Events::beginning();
        events.push(Some(7), "build", &serde_json::json!({"name": "two\nlines\r"})).unwrap();
        events.push(None, "running", &[1]).unwrap();
        assert_eq!(
            events.0,
            "retry: 2000\n\nid: 7\nevent: build\ndata: {\"name\":\"two\\nlines\\r\"}\n\n\
             event: running\ndata: [1]\n\n"
        );
    }

    #[test]
    fn an_id_that_is_none_of_ours_is_none() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LAST, text.parse().unwrap());
            last_seen(&headers)
        };
        assert_eq!((of("3"), of("0")), (Some(3), Some(0)));
        for bad in ["", "+3", "-1", "x", "1 2", "99999999999999999999999"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
