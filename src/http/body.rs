//! Request bodies: bounded in size and time.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;

use super::ApiError;
use crate::app::App;

/// Reads a request's body up to `limit` bytes; 413 over it, 408 when it takes too long.
pub(super) async fn read_body(app: &App, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let longest = app.config.server.body_timeout.get();
    let reading = tokio::time::timeout(longest, axum::body::to_bytes(body, limit));
    let Ok(read) = reading.await else {
        let text = format!("the body took longer than {} s", longest.as_secs());
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", text));
    };
    read.map_err(|error| {
        let over = std::error::Error::source(&error)
            .is_some_and(|e| e.downcast_ref::<http_body_util::LengthLimitError>().is_some());
        if over {
            let text = format!("the body is larger than {limit} bytes");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", text)
        } else {
            ApiError::bad_request("incomplete-body", "the body ended before its time")
        }
    })
}
