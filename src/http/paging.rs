//! Queries of lists. All of them have the same form: `limit`, `cursor`, filters; and `next` in the answer, which
//! is the `cursor` of the next page.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;

use super::ApiError;

/// What is asked for, when it is understood and `check` finds nothing wrong with it.
pub(super) fn query<T>(
    asked: Result<Query<T>, QueryRejection>,
    check: impl FnOnce(&T) -> Result<(), ApiError>,
) -> Result<T, ApiError> {
    let Query(asked) = asked.map_err(|e| ApiError::bad_request("invalid-query", e.body_text()))?;
    check(&asked)?;
    Ok(asked)
}

/// Refuses a page of more than `most`, or of nothing.
pub(super) fn limit(limit: Option<usize>, most: usize) -> Result<(), ApiError> {
    if limit.is_none_or(|limit| (1..=most).contains(&limit)) {
        return Ok(());
    }
    Err(ApiError::bad_request("invalid-query", format!("`limit` must be 1 to {most}")))
}
