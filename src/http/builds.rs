//! `POST /build` (`/v1/builds`) and `GET /v1/builds/{id}`.

use std::net::IpAddr;
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colophon_model::{BuildId, BuildRecord};
use colophon_store::rows::TenantRow;

use super::body::read_body;
use super::build_view::{BuildView, TimingView};
use super::delivering::{self, Peer, Told};
use super::path::Segments;
use super::sender::Sender;
use super::{ApiError, auth, sender};
use crate::app::{App, SharedApp};
use crate::pipeline::{Delivery, Finished, Outcome};
use crate::tokens::Scope;

/// Says that the answer is to an earlier delivery of the same name.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Takes a signed flow; 201 with a new build, 200 with the current one.
pub(super) async fn create(
    State(app): State<SharedApp>,
    Peer(from): Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    // What can be refused without the body is refused before it is read.
    auth::tenant_header(&headers)?;
    let place = app.builds.admit()?;
    let body = read_body(body, app.config.limits.body_bytes).await?;
    let press_app = app.clone();
    let run = move || deliver(&press_app, (&headers, from), &body, start);
    let (tenant, told) = place.run(run).await??;
    Ok(answer_of(&app, &tenant, told, start))
}

/// The answer to a delivery that began at `start`, whatever became of it.
pub(super) fn answer_of(app: &App, tenant: &TenantRow, told: Told, start: Instant) -> Response {
    let response = match told.result {
        Ok(finished) => {
            let timing = TimingView::new(finished.timing, start.elapsed());
            answer(app, tenant, &finished, timing)
        }
        Err(refused) => refused.into_response(),
    };
    delivering::named(response, told.key)
}

fn deliver(
    app: &App,
    (headers, from): (&HeaderMap, Option<IpAddr>),
    body: &Bytes,
    start: Instant,
) -> Result<(TenantRow, Told), ApiError> {
    let sender = sender::sender(app, headers, body)?;
    let about = sender.about(from);
    let Sender { tenant, origin, .. } = sender;
    let (body, received) = (body.clone(), app.press.clock.now());
    let delivery = Delivery { tenant: tenant.clone(), body, received, origin };
    let told = delivering::run(&app.press, delivery, about, (start, app.config.gates.status))?;
    Ok((tenant, told))
}

fn answer(app: &App, tenant: &TenantRow, finished: &Finished, timing: TimingView) -> Response {
    let record = finished.outcome.record();
    let status = match finished.outcome {
        Outcome::Built(_) => StatusCode::CREATED,
        Outcome::NoOp(_) | Outcome::Replayed(_) => StatusCode::OK,
    };
    let view = BuildView::new(app, tenant, record).of_delivery(finished, timing);
    let mut response = (status, Json(view)).into_response();
    let location = format!("/v1/builds/{}", record.id);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    if matches!(finished.outcome, Outcome::Replayed(_)) {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
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
