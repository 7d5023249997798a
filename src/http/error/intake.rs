//! Answers to what goes wrong around deliveries.

use axum::http::StatusCode;

use super::ApiError;
use crate::intake::hooks::HookError;
use crate::intake::secrets::SecretError;
use crate::pipeline::BuildError;

impl ApiError {
    /// A delivery that is late, or whose id is taken. An id in work is 409, since the same request may be
    /// answered in a moment; one that other content has is 422, since the same request never will.
    pub(super) fn delivery(error: &BuildError) -> Self {
        let text = error.to_string();
        match error {
            BuildError::InFlight => {
                Self::new(StatusCode::CONFLICT, "delivery-in-flight", text).retry_after(1)
            }
            BuildError::IdReused => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "delivery-id-reused", text)
                    .hint("give each delivery an id of its own, and send it again as it was")
            }
            _ => Self::new(StatusCode::CONFLICT, "stale-delivery", text)
                .hint("sign it again to put it last; to go back, roll the flow back"),
        }
    }
}

impl ApiError {
    /// 503 for an event when many wait to be worked off.
    pub(crate) fn many_pulls() -> Self {
        let text = "too many flows of this tenant wait to be read from their builder";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).retry_after(30)
    }
}

impl From<HookError> for ApiError {
    fn from(error: HookError) -> Self {
        let text = error.to_string();
        match error {
            HookError::Tenant(cause) => cause.into(),
            HookError::Invalid(_) => Self::bad_request("invalid-hook", text),
            HookError::TooMany => Self::new(StatusCode::CONFLICT, "too-many-hooks", text)
                .hint("delete one that is not used"),
            HookError::Unknown => Self::new(StatusCode::NOT_FOUND, "no-hook", text)
                .hint("`colophon hook list` shows which there are"),
        }
    }
}

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
