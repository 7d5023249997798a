//! A tenant's builds, for whoever reads: `GET /v1/t/{slug}/builds` and below, a flow's history, the quota.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use colophon_model::{BuildId, BuildRecord, FlowId};
use colophon_store::View;
use colophon_store::rows::{FlowOwner, TenantRow};
use serde::Deserialize;

use super::build_view::BuildView;
use super::paging::{limit, query};
use super::path::Segments;
use super::rate_limit::RateLimit;
use super::representation::Representation;
use super::{ApiError, flows};
use crate::app::{App, SharedApp};
use crate::builds::{self, BuildFile, BuildFiles, BuildFilter, BuildLog, BuildPage, Diff};
use crate::tenants::overview::{self, Quota};
use crate::tokens::Scope;

/// Lines around a change when nobody says how many.
const CONTEXT: usize = 3;
/// Most lines around a change.
const MOST_CONTEXT: usize = 100;

/// How two builds are to be compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compared {
    /// Whether lines are compared.
    unified: Option<bool>,
    /// Lines around a change, 0 to 100; default 3.
    context: Option<usize>,
}

/// Does `work` with a tenant that the request may read with `scope`.
async fn read<T: Send + 'static>(
    app: SharedApp,
    (slug, scope, headers): (String, Scope, HeaderMap),
    work: impl FnOnce(&App, &View, &TenantRow, &HeaderMap) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = flows::owner(&reader, &view, &headers, &slug, scope)?;
        work(&reader, &view, &tenant, &headers)
    };
    app.reads.run(read).await?
}

fn record(view: &View, tenant: &TenantRow, id: &str) -> Result<BuildRecord, ApiError> {
    let id: BuildId = id.parse().map_err(|_| ApiError::not_found())?;
    builds::find(view, tenant.uid, id)?.ok_or_else(ApiError::not_found)
}

/// Lists builds, newest first.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    filter: Result<Query<BuildFilter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<BuildPage>, ApiError> {
    let work = |_: &App, view: &View, tenant: &TenantRow, _: &HeaderMap| {
        let filter = query(filter, |filter| limit(filter.limit, builds::PAGE))?;
        Ok(Json(BuildPage::read(view, tenant.uid, &filter)?))
    };
    read(app, (slug, Scope::Records, headers), work).await
}

/// The builds of one flow, newest first, also of one that was deleted.
pub(super) async fn history(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    filter: Result<Query<BuildFilter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<BuildPage>, ApiError> {
    let work = |_: &App, view: &View, tenant: &TenantRow, _: &HeaderMap| {
        let mut filter = query(filter, |filter| limit(filter.limit, builds::PAGE))?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let known = view.get::<FlowOwner>(&(tenant.uid, flow.clone()))?;
        known.ok_or_else(ApiError::not_found)?;
        filter.flow = Some(flow);
        Ok(Json(BuildPage::read(view, tenant.uid, &filter)?))
    };
    read(app, (slug, Scope::Records, headers), work).await
}

/// A build's record.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let work = move |app: &App, view: &View, tenant: &TenantRow, _: &HeaderMap| {
        let record = record(view, tenant, &id)?;
        Ok(BuildView::new(app, tenant, &record).answer(StatusCode::OK))
    };
    read(app, (slug, Scope::Records, headers), work).await
}

/// What is recorded of how a build went.
pub(super) async fn log(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<BuildLog>, ApiError> {
    let work = move |_: &App, view: &View, tenant: &TenantRow, _: &HeaderMap| {
        Ok(Json(BuildLog::new(&record(view, tenant, &id)?)))
    };
    read(app, (slug, Scope::Records, headers), work).await
}

/// The list of a build's files.
pub(super) async fn files(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<BuildFiles>, ApiError> {
    let work = move |_: &App, view: &View, tenant: &TenantRow, _: &HeaderMap| {
        Ok(Json(BuildFiles::of(&record(view, tenant, &id)?)))
    };
    read(app, (slug, Scope::Records, headers), work).await
}

/// The bytes of one file of a build.
pub(super) async fn file(
    State(app): State<SharedApp>,
    Segments((slug, id, path)): Segments<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let work = move |app: &App, view: &View, tenant: &TenantRow, headers: &HeaderMap| {
        let file = BuildFile::at(&record(view, tenant, &id)?, &path);
        let digest = file.ok_or_else(ApiError::not_found)?.digest;
        let blob = app.press.recall.blob(&app.press.store, view, tenant.uid, digest)?;
        let blob = blob.ok_or_else(ApiError::not_found)?;
        let (media, tag) = ("application/octet-stream", format!("\"{digest}\""));
        let (bytes, sha256) = (blob.bytes, blob.sha256);
        Representation { media, tag, sha256, bytes }.respond(headers)
    };
    read(app, (slug, Scope::Read, headers), work).await
}

/// What differs between two builds. Lines are as good as files: they need the same right.
pub(super) async fn diff(
    State(app): State<SharedApp>,
    Segments((slug, from, to)): Segments<(String, String, String)>,
    compared: Result<Query<Compared>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Diff>, ApiError> {
    let lines = compared.as_ref().is_ok_and(|Query(asked)| asked.unified == Some(true));
    let scope = if lines { Scope::Read } else { Scope::Records };
    let work = move |_: &App, view: &View, tenant: &TenantRow, _: &HeaderMap| {
        let asked = query(compared, context)?;
        let diff = Diff::of(&record(view, tenant, &from)?, &record(view, tenant, &to)?);
        if !lines {
            return Ok(Json(diff));
        }
        Ok(Json(diff.with_lines(view, tenant.uid, asked.context.unwrap_or(CONTEXT))?))
    };
    read(app, (slug, scope, headers), work).await
}

fn context(asked: &Compared) -> Result<(), ApiError> {
    if asked.context.is_none_or(|lines| lines <= MOST_CONTEXT) {
        return Ok(());
    }
    let text = format!("`context` must be 0 to {MOST_CONTEXT}");
    Err(ApiError::bad_request("invalid-query", text))
}

/// What is used of the quota, in the body and in the headers that builds have.
pub(super) async fn quota(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let work = |app: &App, view: &View, tenant: &TenantRow, _: &HeaderMap| {
        let quota: Quota = overview::quota(view, tenant, app.press.quota, app.press.clock.now())?;
        Ok(RateLimit::read(&app.press, tenant)?.told(Json(quota).into_response()))
    };
    read(app, (slug, Scope::Records, headers), work).await
}
