//! Where a tenant's branch stands, for agents that only want to know whether it moved.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_gitbridge::ObjectLog as _;
use colophon_model::{Oid, TenantBranch};
use serde::Serialize;

use super::etag::is_known;
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::projection::TenantLog;
use crate::tokens::Scope;

/// A branch and its tip.
#[derive(Debug, Serialize)]
struct Branch {
    /// The full name of the ref.
    r#ref: String,
    /// The commit it names.
    oid: Oid,
}

/// `GET` and `HEAD /branches/tenant/{slug}`: the tip, also as the `ETag`. With `If-None-Match` and an
/// unmoved branch: 304.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    app.reads.run(move || tip(&reader, &slug, &headers)).await?
}

fn tip(app: &App, slug: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let tenant = match auth::token_tenant(app, &view, headers, Scope::Git) {
        Err(error) if error.is_unauthorized() => {
            auth::token_tenant(app, &view, headers, Scope::Edge)?
        }
        other => other?,
    };
    if tenant.slug.as_str() != slug {
        return Err(ApiError::not_found());
    }
    let name = TenantBranch::new(tenant.slug).full_name();
    let found = TenantLog::new(&view, tenant.uid).find_ref(&name);
    let found = found.map_err(|e| ApiError::internal(&*e))?.ok_or_else(ApiError::not_found)?;
    let tag = format!("\"{}\"", found.oid);
    let described = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, described).into_response());
    }
    Ok((described, Json(Branch { r#ref: name, oid: found.oid })).into_response())
}
