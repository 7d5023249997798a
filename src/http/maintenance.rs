//! Maintenance for the operator: `POST /v1/maintenance/…`, `GET /v1/maintenance/blobs/{digest}`,
//! `DELETE /v1/tenants/{slug}`.
//!
//! A job answers with a line of JSON for each step and a last one with what came of it. What is
//! refused at once is an ordinary problem with a status of its own.

use std::cell::Cell;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::{Digest, TenantSlug};
use colophon_store::{Explanation, Progress};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::SharedApp;
use crate::maintenance::{Erase, Job, Line, Site, perform};
use crate::tasks::{Place, TaskError};
use crate::telemetry::request;

/// Lines that may wait for a slow reader; steps beyond are left out.
const LINES_AHEAD: usize = 16;
/// How long a job waits for another to end: many of the server's own take no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A stage tells no more often than this.
const STEP_EVERY: Duration = Duration::from_millis(200);

/// Runs a job as the body's JSON says; without a body with every option at its default.
pub(super) async fn run<J: Job>(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    auth::check_operator(&app, &headers)?;
    let body = read_body(&app, body, J::MAX_REQUEST).await?;
    let options: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let job: J = serde_json::from_slice(options)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))?;
    stream(app, job).await
}

/// The tenant's name again, which confirms the erasure.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Confirmation {
    confirm: Option<String>,
    approved_by: Option<String>,
    #[serde(default)]
    leave_keys: bool,
}

/// `DELETE /v1/tenants/{slug}?confirm={slug}`: erases the tenant.
pub(super) async fn erase(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    query: Result<Query<Confirmation>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    auth::check_operator(&app, &headers)?;
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    // What cannot be read confirms nothing.
    let Confirmation { confirm, approved_by, leave_keys } =
        query.map(|Query(query)| query).unwrap_or_default();
    let confirm = confirm.unwrap_or_default();
    stream(app, Erase { slug, confirm, approved_by, leave_keys }).await
}

/// `GET /v1/maintenance/blobs/{digest}`: why a blob lives.
pub(super) async fn explain(
    State(app): State<SharedApp>,
    Segments(digest): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<Explanation>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let digest: Digest = digest.parse().map_err(|_| ApiError::not_found())?;
    let press = app.press.clone();
    let found = app.reads.run(move || press.store.explain(&digest)).await??;
    found.map(Json).ok_or_else(ApiError::not_found)
}

/// Starts the job in its place and answers with its lines. The first one decides the status.
async fn stream<J: Job>(app: SharedApp, job: J) -> Result<Response, ApiError> {
    let place = app.maintenance.admit_within(PATIENCE).await;
    let place = place.map_err(|_| ApiError::maintenance_runs())?;
    let (sender, mut receiver) = mpsc::channel(LINES_AHEAD);
    // A task of its own: a client that goes away does not end the job half way.
    tokio::spawn(request::carry(run_to_end(app, place, job, sender)));
    let first = match receiver.recv().await {
        Some(Sent::Refused(error)) => return Err(error),
        Some(first) => first,
        None => return Err(TaskError::Stopped.into()),
    };
    let lines = tokio_stream::once(first).chain(ReceiverStream::new(receiver));
    let body = Body::from_stream(lines.map(Sent::encode));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// A line on its way to the client.
enum Sent<T> {
    Step(Progress),
    Done(T),
    Refused(ApiError),
}

async fn run_to_end<J: Job>(
    app: SharedApp,
    place: Place,
    job: J,
    sender: mpsc::Sender<Sent<J::Outcome>>,
) {
    let steps = sender.clone();
    let work = move || {
        let site = Site { press: &app.press, config: &app.config };
        perform(&job, site, &told_now_and_then(|step| drop(steps.try_send(Sent::Step(step)))))
    };
    let last = match place.run(work).await {
        Ok(Ok(outcome)) => Sent::Done(outcome),
        Ok(Err(error)) => Sent::Refused(error.into()),
        Err(stopped) => Sent::Refused(stopped.into()),
    };
    let _ = sender.send(last).await;
}

/// Passes on the first step of each stage, and then no more than a few in a second.
fn told_now_and_then(tell: impl Fn(Progress)) -> impl Fn(Progress) {
    let last: Cell<Option<(&'static str, Instant)>> = Cell::new(None);
    move |step| {
        let told = last.get().filter(|(stage, _)| *stage == step.stage);
        if told.is_none_or(|(_, at)| at.elapsed() >= STEP_EVERY) {
            last.set(Some((step.stage, Instant::now())));
            tell(step);
        }
    }
}

impl<T: Serialize> Sent<T> {
    fn encode(self) -> Result<Bytes, serde_json::Error> {
        let line = match self {
            Self::Step(step) => Line::Progress(step.into()),
            Self::Done(outcome) => Line::Result(outcome),
            Self::Refused(error) => Line::Error(error.problem()),
        };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_told_and_a_flood_is_not() {
        let told = std::cell::RefCell::new(Vec::new());
        let tell = told_now_and_then(|step| told.borrow_mut().push((step.stage, step.done)));
        for stage in ["reading", "writing"] {
            for done in 0..10_000 {
                tell(Progress { stage, done, total: None });
            }
        }
        let told = told.borrow();
        assert_eq!(told.iter().filter(|(_, done)| *done == 0).count(), 2);
        assert!(told.len() < 100, "{}", told.len());
    }
}
