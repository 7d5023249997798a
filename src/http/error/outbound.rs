//! Answers to what goes wrong around endpoints.

use axum::http::StatusCode;

use super::ApiError;
use crate::outbound::EndpointError;

impl From<EndpointError> for ApiError {
    fn from(error: EndpointError) -> Self {
        let text = error.to_string();
        match error {
            EndpointError::Tenant(cause) => cause.into(),
            EndpointError::Secret(cause) => cause.into(),
            EndpointError::Invalid(_) => Self::bad_request("invalid-endpoint", text),
            EndpointError::TooMany => Self::new(StatusCode::CONFLICT, "too-many-endpoints", text)
                .hint("delete one that is not used"),
            EndpointError::Unknown => Self::new(StatusCode::NOT_FOUND, "no-endpoint", text)
                .hint("`colophon endpoint list` shows which there are"),
            EndpointError::NoEvent => Self::new(StatusCode::NOT_FOUND, "no-event", text)
                .hint("`colophon endpoint events` shows which there are"),
            EndpointError::Disabled => {
                Self::new(StatusCode::CONFLICT, "endpoint-disabled", text).hint("enable it first")
            }
            EndpointError::Unexpected => Self::unexpected(text),
            EndpointError::Contended => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "contended", text).retry_after(1)
            }
        }
    }
}
