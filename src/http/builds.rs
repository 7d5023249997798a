//! `POST /build` (`/v1/builds`) and `GET /v1/builds/{id}`.

use std::net::IpAddr;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colophon_model::{BuildId, BuildRecord};
use colophon_store::rows::TenantRow;
use serde::Deserialize;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::body::read_body;
use super::build_view::{BuildView, DryRunView, TimingView};
use super::delivering::{self, About, Announce, Told};
use super::path::Segments;
use super::remembered::{self, Known};
use super::sender::Sender;
use super::{ApiError, auth, prefer, sender};
use crate::app::{App, SharedApp};
use crate::fair::{Party, Share, Standing};
use crate::pipeline::{Delivery, Finished, Outcome};
use crate::tasks::TaskError;
use crate::telemetry::request;
use crate::tokens::Scope;

/// Says that the answer is to an earlier delivery of the same name.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How a delivery is to be answered.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// `1` or `true`: say what would become of it, and write nothing.
    dry_run: Option<String>,
}

/// Takes a signed flow; 201 with a new build, 200 with the current one, 202 when the sender waits no longer.
pub(super) async fn create(
    State(app): State<SharedApp>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let (Parts { headers, extensions, .. }, body) = request.into_parts();
    let (start, from) = (Instant::now(), request::remote());
    // What can be refused without the body is refused before it is read.
    let slug = auth::tenant_header(&headers)?;
    let is_dry = is_dry(wanted)?;
    let wait = prefer::wait(&headers);
    let held = app.bodies.hold(request::party())?;
    let body = read_body(&app, body, app.config.limits.body_bytes).await?;
    let (prover, worker, sent) = (app.clone(), app.clone(), body.clone());
    if is_dry {
        let prove = move || {
            let sender = sender::sender(&prover, &headers, &sent)?;
            drop(held);
            Ok((sender.tenant.uid, sender))
        };
        return app.builds.run_proven(prove, move |sender| dry_run(&worker, sender, &body)).await;
    }
    let look = || remembered::look(&app, (&headers, from), &slug, &body, start);
    let known = request::within(request::About::current(), look);
    if let (Some(uid), Some(standing)) = (known.tenant(), extensions.get::<Standing>()) {
        standing.set(Party::of(Share::Tenant(uid)));
    }
    let known = match known {
        Known::Noop(noop) => {
            let (tenant, told) = *noop;
            let response = answer_of(&app, &tenant, told, start);
            return Ok(match wait {
                Some(wait) => prefer::applied(response, wait),
                None => response,
            });
        }
        Known::Sent(sent) => Some(sent),
        Known::Nothing => None,
    };
    let (announce, announced) = oneshot::channel();
    let announce = wait.map(|_| announce);
    let run = move |sent| deliver(&worker, sent, start, announce);
    let tasks = app.clone();
    let work = async move {
        if let Some(known) = known {
            drop(held);
            let share = Share::Tenant(known.0.tenant.uid);
            return tasks.builds.run_for(share, move || run(*known)).await?;
        }
        let prove = move || {
            let sent = proven(&prover, (&headers, from), &sent)?;
            drop(held);
            Ok((sent.0.tenant.uid, sent))
        };
        tasks.builds.run_proven(prove, run).await
    };
    let Some(wait) = wait else {
        let (tenant, told) = work.await?;
        return Ok(answer_of(&app, &tenant, told, start));
    };
    // A task of its own: what has begun goes on when the sender waits no longer.
    let mut work = tokio::spawn(request::carry(work).in_current_span());
    let late = async {
        tokio::time::sleep(wait).await;
        announced.await.ok()
    };
    // Nothing is said before it is known who asks: then the work has ended, and not been announced.
    let done = tokio::select! {
        biased;
        Some(key) = late => return Ok(prefer::accepted(&slug, key, wait)),
        done = &mut work => done,
    };
    let done = done.map_err(|_| ApiError::from(TaskError::Stopped))?;
    let (tenant, told) = done?;
    Ok(prefer::applied(answer_of(&app, &tenant, told, start), wait))
}

fn is_dry(wanted: Result<Query<Wanted>, QueryRejection>) -> Result<bool, ApiError> {
    let refused = |text: String| ApiError::bad_request("invalid-query", text);
    let Query(Wanted { dry_run }) = wanted.map_err(|e| refused(e.body_text()))?;
    match dry_run.as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(refused("`dry_run` is 1 or 0".to_owned())),
    }
}

/// Says what would become of a delivery.
fn dry_run(app: &App, sender: Sender, body: &Bytes) -> Result<Response, ApiError> {
    let Sender { tenant, origin, .. } = sender;
    let received = app.press.clock.now();
    let delivery = Delivery::new(tenant, body.clone(), received).with(origin);
    let told = app.press.dry_run(delivery)?;
    Ok(Json(DryRunView::new(told)).into_response())
}

fn deliver(
    app: &App,
    (delivery, about): (Delivery, About),
    start: Instant,
    announce: Option<Announce>,
) -> Result<(TenantRow, Told), ApiError> {
    let tenant = delivery.tenant.clone();
    let at = (start, app.config.gates.status);
    let told = delivering::run(&app.press, delivery, about, at, announce)?;
    Ok((tenant, told))
}

/// A delivery whose sender the store knows.
fn proven(
    app: &App,
    (headers, from): (&HeaderMap, Option<IpAddr>),
    body: &Bytes,
) -> Result<(Delivery, About), ApiError> {
    let sender = sender::sender(app, headers, body)?;
    let (about, received) = (sender.about(from), app.press.clock.now());
    let delivery = Delivery::new(sender.tenant, body.clone(), received).with(sender.origin);
    Ok((delivery, about))
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
    let response = delivering::named(response, told.key);
    match told.left {
        Some(left) => left.told(response),
        None => response,
    }
}

fn answer(app: &App, tenant: &TenantRow, finished: &Finished, timing: TimingView) -> Response {
    let record = finished.outcome.record();
    let status = match finished.outcome {
        Outcome::Built(_) => StatusCode::CREATED,
        Outcome::NoOp(_) | Outcome::Replayed(_) => StatusCode::OK,
    };
    let view = BuildView::new(app, tenant, record).of_delivery(finished, timing);
    let mut response = view.answer(status);
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
) -> Result<Response, ApiError> {
    let reader = app.clone();
    app.reads.run(move || load(&reader, &id, &headers)).await?
}

fn load(app: &App, id: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::token_tenant(app, &view, headers, Scope::Records)?;
    let id: BuildId = id.parse().map_err(|_| ApiError::not_found())?;
    let record = view.get::<BuildRecord>(&(tenant.uid, id))?.ok_or_else(ApiError::not_found)?;
    Ok(BuildView::new(app, &tenant, &record).answer(StatusCode::OK))
}
