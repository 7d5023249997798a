//! Answers to what goes wrong around deliveries.

use axum::http::StatusCode;

use super::ApiError;
use crate::intake::secrets::SecretError;

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        let text = error.to_string();
        match error {
            SecretError::Tenant(cause) => cause.into(),
            SecretError::TooMany => Self::new(StatusCode::CONFLICT, "too-many-secrets", text)
                .hint("revoke one, or wait until one ends"),
            SecretError::TooLong => Self::bad_request("invalid-overlap", text),
            SecretError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "no-secret", text)
                .hint("`colophon webhook secret list` shows which there are"),
            SecretError::Contended => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "contended", text).retry_after(1)
            }
        }
    }
}
