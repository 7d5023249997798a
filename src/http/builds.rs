//! `POST /build` (`/v1/builds`) and `GET /v1/builds/{id}`.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colophon_model::{BuildId, BuildRecord};
use colophon_store::rows::TenantRow;

use super::build_view::{BuildView, TimingView};
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::pipeline::{Delivery, Outcome, Timing};
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
    let body = read_body(body, app.config.limits.body_bytes).await?;
    let press_app = app.clone();
    let built = place.run(move || deliver(&press_app, &headers, &body)).await??;
    let (tenant, outcome, timing) = built;
    let timing = TimingView::new(timing, start.elapsed());
    Ok(answer(&app, &tenant, &outcome, timing))
}

fn deliver(
    app: &App,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(TenantRow, Outcome, Timing), ApiError> {
    let tenant = auth::deliverer(app, headers, body)?;
    let delivery =
        Delivery { tenant: tenant.clone(), body: body.to_vec(), received: app.press.clock.now() };
    let (outcome, timing) = app.press.run(delivery)?;
    Ok((tenant, outcome, timing))
}

fn answer(app: &App, tenant: &TenantRow, outcome: &Outcome, timing: TimingView) -> Response {
    let record = outcome.record();
    let status = match outcome {
        Outcome::Built(_) => StatusCode::CREATED,
        Outcome::NoOp(_) => StatusCode::OK,
    };
    let view = BuildView::new(app, tenant, record).with_outcome(outcome.word(), timing);
    let mut response = (status, Json(view)).into_response();
    let location = format!("/v1/builds/{}", record.id);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Reads a request's body up to `limit` bytes; 413 over it, 408 when it takes too long.
pub(super) async fn read_body(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let reading = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, limit));
    let Ok(read) = reading.await else {
        let text = format!("the body took longer than {} s", BODY_TIME.as_secs());
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", text));
    };
    read.map_err(|error| {
        let over = std::error::Error::source(&error)
            .is_some_and(|e| e.downcast_ref::<http_body_util::LengthLimitError>().is_some());
        if over {
            let text = format!("the body is larger than {limit} bytes");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", text)
        } else {
            ApiError::bad_request("incomplete-body", "the body ended before its time")
        }
    })
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
