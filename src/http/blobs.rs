//! `GET /v1/t/{slug}/blob/{digest}`: a blob of the tenant by its address.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use colophon_model::Digest;

use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::tokens::Scope;

/// The bytes of a blob that a build of the tenant refers to, checked before the first one leaves.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, digest)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    app.reads.run(move || load(&reader, &slug, &digest, &headers)).await?
}

fn load(app: &App, slug: &str, digest: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Read)?;
    let digest: Digest = digest.parse().map_err(|_| ApiError::not_found())?;
    let bytes = view.read_blob(tenant.uid, &digest)?.ok_or_else(ApiError::not_found)?;
    let described = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ETAG, format!("\"{digest}\"")),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((described, bytes).into_response())
}
