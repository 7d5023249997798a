//! `GET /v1/edge`: how every tenant's edge repository stands, for the operator.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::{ApiError, auth, chain};
use crate::app::SharedApp;
use crate::feed::pool::PoolError;
use crate::feed::rotate::RotateError;
use crate::feed::status::EdgeStatus;
use crate::maintenance::chosen;

/// Every tenant's.
pub(super) async fn list(
    State(app): State<SharedApp>,
    headers: HeaderMap,
) -> Result<Json<Vec<EdgeStatus>>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let press = app.press.clone();
    let read = move || {
        let view = press.store.view()?;
        Ok::<_, ApiError>(EdgeStatus::read(&view, &chosen(&view, &[])?, press.clock.now())?)
    };
    app.reads.run(read).await?.map(Json)
}

/// Why a role was not given a new key.
pub(super) fn refused_key(error: &RotateError) -> ApiError {
    let (status, code) = match error {
        RotateError::Build(cause) => return ApiError::build(cause),
        RotateError::Offline(_) => (StatusCode::CONFLICT, "offline-roots"),
        RotateError::Root => (StatusCode::BAD_REQUEST, "invalid-role"),
    };
    ApiError::new(status, code, error.to_string())
}

/// Why a ceremony is not asked, or its result not taken.
pub(super) fn refused_root(error: &PoolError) -> ApiError {
    let (status, code) = match error {
        PoolError::Build(cause) => return ApiError::build(cause),
        PoolError::Random(_) => return ApiError::internal(error),
        PoolError::Unknown(_) => (StatusCode::NOT_FOUND, "not-found"),
        PoolError::OnServer(_) => (StatusCode::CONFLICT, "server-roots"),
        PoolError::Count(_) => (StatusCode::BAD_REQUEST, "invalid-count"),
        PoolError::Refused { .. } | PoolError::Ended { .. } | PoolError::Stranger { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "refused-root")
        }
    };
    ApiError::new(status, code, chain(error))
}
