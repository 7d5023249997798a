//! `POST /v1/t/{slug}/edge/report` from agents, and `GET /v1/t/{slug}/edge/agents` about them.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use colophon_store::{CommitError, Error as StoreError};

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, auth};
use crate::agents::{self, AgentList, Report, ReportError};
use crate::app::{App, SharedApp};
use crate::tokens::Scope;

/// Largest report, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// Takes a report.
pub(super) async fn report(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    // Nobody's body is read before it is known whose it is: there may be many.
    if auth::remembered_tenant(&app, &headers, &slug, Scope::Edge).is_none() {
        let (reader, asked, named) = (app.clone(), headers.clone(), slug.clone());
        let allowed = move || {
            auth::path_tenant(&reader, &reader.press.store.view()?, &asked, &named, Scope::Edge)
        };
        app.reads.run(allowed).await??;
    }
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let press = app.clone();
    app.reads.run(move || take(&press, &slug, &headers, &body)).await??;
    Ok(StatusCode::NO_CONTENT)
}

fn take(app: &App, slug: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    let press = &app.press;
    let tenant = auth::path_tenant(app, &press.store.view()?, headers, slug, Scope::Edge)?;
    let report: Report = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request("invalid-report", e.to_string()))?;
    agents::record(&press.store, &tenant, report, press.clock.now()).map_err(|error| match error {
        ReportError::Invalid(_) => ApiError::bad_request("invalid-report", error.to_string()),
        ReportError::TooMany => {
            ApiError::new(StatusCode::CONFLICT, "too-many-devices", error.to_string())
        }
        ReportError::Store(error) => error.into(),
        ReportError::Commit(CommitError::Conflict(_)) => ApiError::not_found(), // erased meanwhile
        ReportError::Commit(error) => StoreError::from(error).into(),
    })
}

/// Lists the tenant's agents, for its read tokens and the operator.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<AgentList>, ApiError> {
    let press = app.clone();
    app.reads.run(move || listed(&press, &slug, &headers)).await?.map(Json)
}

fn listed(app: &App, slug: &str, headers: &HeaderMap) -> Result<AgentList, ApiError> {
    let view = app.press.store.view()?;
    let (_, tenant) = auth::owner_caller(app, &view, headers, slug, Scope::Records)?;
    Ok(agents::list(&view, &tenant, app.press.clock.now())?)
}
