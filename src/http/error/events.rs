//! Answers to those who would read a stream and cannot.

use axum::http::StatusCode;

use super::ApiError;
use crate::progress::Full;

impl From<Full> for ApiError {
    fn from(full: Full) -> Self {
        match full {
            Full::Own => {
                let text = "as many streams of events as one tenant may have are open";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-streams", text)
                    .hint("close one, or read `GET /v1/t/{slug}/builds` from time to time")
                    .retry_after(15)
            }
            Full::All => {
                let text = "as many streams of events as the server may have are open";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).retry_after(15)
            }
        }
    }
}

impl ApiError {
    /// 503 for a stream that would begin while the server ends.
    pub(in crate::http) fn stopping() -> Self {
        let text = "the server is about to stop";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", text).retry_after(5)
    }
}
