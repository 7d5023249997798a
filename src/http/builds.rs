//! `POST /build` (`/v1/builds`) and `GET /v1/builds/{id}`.

use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colophon_model::{BuildId, BuildRecord};
use colophon_store::rows::TenantRow;

use super::body::read_body;
use super::build_view::{BuildView, TimingView};
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::pipeline::{Delivery, Finished, Outcome};
use crate::tokens::Scope;

/// Takes a signed flow; 201 with a new build, 200 with the current one.
pub(super) async fn create(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    // What can be refused without the body is refused before it is read.
    auth::tenant_header(&headers)?;
    let place = app.builds.admit()?;
    let body = read_body(&app, body, app.config.limits.body_bytes).await?;
    let press_app = app.clone();
    let (tenant, finished) = place.run(move || deliver(&press_app, &headers, &body)).await??;
    let timing = TimingView::new(finished.timing, start.elapsed());
    Ok(answer(&app, &tenant, &finished, timing))
}

fn deliver(
    app: &App,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(TenantRow, Finished), ApiError> {
    let tenant = auth::deliverer(app, headers, body)?;
    let delivery =
        Delivery { tenant: tenant.clone(), body: body.clone(), received: app.press.clock.now() };
    let finished = app.press.run(delivery);
    let finished = finished.map_err(|e| ApiError::from(e).gate_status(app.config.gates.status))?;
    Ok((tenant, finished))
}

fn answer(app: &App, tenant: &TenantRow, finished: &Finished, timing: TimingView) -> Response {
    let record = finished.outcome.record();
    let status = match finished.outcome {
        Outcome::Built(_) => StatusCode::CREATED,
        Outcome::NoOp(_) => StatusCode::OK,
    };
    let view = BuildView::new(app, tenant, record).of_delivery(finished, timing);
    let mut response = (status, Json(view)).into_response();
    let location = format!("/v1/builds/{}", record.id);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// A build's record.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<BuildView>, ApiError> {
    let reader = app.clone();
    app.reads.run(move || load(&reader, &id, &headers)).await?.map(Json)
}

fn load(app: &App, id: &str, headers: &HeaderMap) -> Result<BuildView, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::token_tenant(app, &view, headers, Scope::Read)?;
    let id: BuildId = id.parse().map_err(|_| ApiError::not_found())?;
    let record = view.get::<BuildRecord>(&(tenant.uid, id))?.ok_or_else(ApiError::not_found)?;
    Ok(BuildView::new(app, &tenant, &record))
}
