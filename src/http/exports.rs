//! How exports for auditors fare, for the operator: `GET /v1/exports`, `GET /v1/tenants/{slug}/exports`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use colophon_model::TenantSlug;
use serde::{Deserialize, Serialize};

use super::path::Segments;
use super::{ApiError, auth};
use crate::app::SharedApp;
use crate::exporter::{self, ExportStatus};
use crate::tenants::TenantError;

/// Exports, by tenant and place.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExportList {
    /// The exports.
    pub exports: Vec<ExportStatus>,
}

/// How those of every tenant fare.
pub(super) async fn list(
    State(app): State<SharedApp>,
    headers: HeaderMap,
) -> Result<Json<ExportList>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let worker = app.clone();
    let work = move || {
        let now = worker.press.clock.now();
        exporter::list(&worker.press.store.view()?, &worker.config.export, now)
    };
    Ok(Json(ExportList { exports: app.reads.run(work).await?? }))
}

/// How those of one tenant fare.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<ExportList>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let worker = app.clone();
    let work = move || -> Result<_, TenantError> {
        let (view, now) = (worker.press.store.view()?, worker.press.clock.now());
        exporter::status(&view, &worker.config.export, &slug, now)
    };
    Ok(Json(ExportList { exports: app.reads.run(work).await?? }))
}
