//! Mirrors for the operator: `PUT`, `GET` and `DELETE /v1/tenants/{slug}/mirror`,
//! `POST /v1/tenants/{slug}/mirror/retry`, `GET /v1/mirrors`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use colophon_model::TenantSlug;
use serde::{Deserialize, Serialize};

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, auth, etag};
use crate::app::{App, SharedApp};
use crate::mirror::{self, MirrorError, MirrorStatus, SetMirror};

/// Largest request of this kind, in bytes.
const BODY_LIMIT: usize = 16 * 1024;

/// Every mirror, by slug.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MirrorList {
    /// The mirrors.
    pub mirrors: Vec<MirrorStatus>,
}

/// Sets a tenant's mirror.
pub(super) async fn set(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    auth::check_operator(&app, &headers)?;
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let wanted: SetMirror = serde_json::from_slice(&body)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))?;
    let plain_http = app.config.mirror.plain_http;
    let expected = etag::expected(&headers);
    let set = move |app: &App, slug: &TenantSlug| {
        let status = mirror::set_expected(&app.press, plain_http, slug, &wanted, &expected)?;
        tagged(app, slug, status)
    };
    about(&app, &slug, set).await
}

/// How a tenant's mirror fares.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    auth::check_operator(&app, &headers)?;
    let show = |app: &App, slug: &TenantSlug| {
        tagged(app, slug, mirror::status(&app.press.store.view()?, slug)?)
    };
    about(&app, &slug, show).await
}

/// Lets a mirror try again at once.
pub(super) async fn retry(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<MirrorStatus>, ApiError> {
    auth::check_operator(&app, &headers)?;
    about(&app, &slug, |app, slug| mirror::retry(&app.press, slug)).await.map(Json)
}

/// Takes a mirror away.
pub(super) async fn clear(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    auth::check_operator(&app, &headers)?;
    let expected = etag::expected(&headers);
    about(&app, &slug, move |app, slug| mirror::clear_expected(&app.press, slug, &expected))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How all mirrors fare.
pub(super) async fn list(
    State(app): State<SharedApp>,
    headers: HeaderMap,
) -> Result<Json<MirrorList>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let press = app.press.clone();
    let work = move || -> Result<_, MirrorError> { mirror::list(&press.store.view()?) };
    Ok(Json(MirrorList { mirrors: app.reads.run(work).await?? }))
}

/// A mirror with the version of what is set.
fn tagged(app: &App, slug: &TenantSlug, status: MirrorStatus) -> Result<Response, MirrorError> {
    let version = mirror::current_version(&app.press.store.view()?, slug)?;
    Ok(etag::tagged(&version, Json(status)))
}

async fn about<T: Send + 'static>(
    app: &SharedApp,
    slug: &str,
    work: impl FnOnce(&App, &TenantSlug) -> Result<T, MirrorError> + Send + 'static,
) -> Result<T, ApiError> {
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let worker = app.clone();
    Ok(app.reads.run(move || work(&worker, &slug)).await??)
}
