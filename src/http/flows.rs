//! A tenant's flows: `GET /v1/t/{slug}/flows`, `GET` and `DELETE /v1/t/{slug}/flows/{flow}` and
//! `POST …/{flow}/rollback`, for the tenant itself and for the operator.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use colophon_model::{BuildId, BuildKey, BuildRecord, FlowId, FlowSource, Oid};
use colophon_store::View;
use colophon_store::rows::{FlowHead, TenantRow};
use serde::{Deserialize, Serialize};

use super::body::read_body;
use super::paging::{limit, query};
use super::path::Segments;
use super::{ApiError, auth, etag};
use crate::app::{App, SharedApp};
use crate::telemetry::request;
use crate::tokens::Scope;

/// Largest request of this kind, in bytes.
const BODY_LIMIT: usize = 1024;
/// Flows in a page at most.
const PAGE: usize = 1_000;

/// The flows of a tenant that stand, by id.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowList {
    /// The flows.
    pub flows: Vec<FlowView>,
    /// `cursor` of the next page; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub next: Option<FlowId>,
}

/// A flow that stands.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowView {
    /// Its id.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// Its display name.
    pub name: String,
    /// The builder it was drawn in.
    #[schema(value_type = String)]
    pub source: FlowSource,
    /// The highest revision built, when any had one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// Its current build.
    #[schema(value_type = String)]
    pub build: BuildId,
    /// The key of that build.
    #[schema(value_type = String)]
    pub key: BuildKey,
    /// Version of its edge bundle, when it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edge_version: Option<String>,
}

/// What is said of a deletion.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deleted {
    /// The flow.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// The build that deleted it.
    #[schema(value_type = String)]
    pub build: BuildId,
    /// Its commit.
    #[schema(value_type = String)]
    pub commit: Oid,
}

impl FlowList {
    /// The flows of `tenant` that `view` shows.
    pub fn read(view: &View, tenant: &TenantRow) -> Result<Self, colophon_store::Error> {
        let rows = view.scan::<FlowHead>(&tenant.uid);
        let flows = rows.map(|row| row.map(|((_, flow), head)| FlowView::new(flow, head)));
        Ok(Self { flows: flows.collect::<Result<_, _>>()?, next: None })
    }

    /// A page of them.
    pub fn page(
        view: &View,
        tenant: &TenantRow,
        page: &Page,
    ) -> Result<Self, colophon_store::Error> {
        let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let mut rows = view.scan::<FlowHead>(&tenant.uid);
        if let Some(cursor) = &page.cursor {
            rows = rows.starting_at(&(tenant.uid, cursor.clone()));
        }
        let mut flows: Vec<FlowView> = Vec::new();
        for row in rows {
            let ((_, flow), head) = row?;
            if Some(&flow) == page.cursor.as_ref() {
                continue;
            }
            if flows.len() == limit {
                let next = flows.last().map(|last| last.flow.clone());
                return Ok(Self { flows, next });
            }
            flows.push(FlowView::new(flow, head));
        }
        Ok(Self { flows, next: None })
    }
}

impl FlowView {
    fn new(flow: FlowId, head: FlowHead) -> Self {
        let FlowHead { build, key, revision, manifest, .. } = head;
        let edge_version = manifest.edge.map(|edge| edge.version);
        let (name, source) = (manifest.name, manifest.source);
        Self { flow, name, source, revision, build, key, edge_version }
    }
}

impl Deleted {
    /// What `record`, of a deletion, says.
    pub fn new(record: &BuildRecord) -> Self {
        Self { flow: record.flow.clone(), build: record.id, commit: record.commit }
    }
}

/// Which page of the list is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    /// At most so many, 1 to 1,000, which is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Those after this one: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<FlowId>,
}

/// Shows one flow that stands.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = owner(&reader, &view, &headers, &slug, Scope::Records)?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let head = view.get::<FlowHead>(&(tenant.uid, flow.clone()))?;
        let flow = FlowView::new(flow, head.ok_or_else(ApiError::not_found)?);
        Ok(etag::tagged(&flow.build.to_string(), Json(flow)))
    };
    app.reads.run(read).await?
}

/// Lists the flows that stand.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<FlowList>, ApiError> {
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = owner(&reader, &view, &headers, &slug, Scope::Records)?;
        Ok(Json(FlowList::page(&view, &tenant, &query(page, |page| limit(page.limit, PAGE))?)?))
    };
    app.reads.run(read).await?
}

/// Deletes a flow.
pub(super) async fn delete(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Deleted>, ApiError> {
    let place = app.builds.admit()?;
    let delete = move || {
        let tenant = owner(&app, &app.press.store.view()?, &headers, &slug, Scope::Build)?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let record = app.press.delete_expected(&tenant, &flow, &etag::expected(&headers))?;
        Ok(Json(Deleted::new(&record)))
    };
    place.run(delete).await?
}

/// What is asked for with a way back.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GoBack {
    /// The build; default the newest one that is not like the current.
    #[schema(value_type = Option<String>)]
    pub to: Option<BuildId>,
}

/// What is said of a way back.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reverted {
    /// The flow.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// The build that it went back to.
    #[schema(value_type = String)]
    pub to: BuildId,
    /// The build that did.
    #[schema(value_type = String)]
    pub build: BuildId,
    /// Its commit.
    #[schema(value_type = String)]
    pub commit: Oid,
}

impl Reverted {
    /// What `record`, of a way back to `to`, says.
    pub fn new(record: &BuildRecord, to: BuildId) -> Self {
        Self { flow: record.flow.clone(), to, build: record.id, commit: record.commit }
    }
}

/// Goes back to an earlier build of a flow.
pub(super) async fn revert(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Reverted>), ApiError> {
    let held = app.bodies.hold(request::party())?;
    let body = read_body(&app, body, BODY_LIMIT).await?;
    drop(held);
    let worker = app.clone();
    let revert = move || {
        let app = &worker;
        let tenant = owner(app, &app.press.store.view()?, &headers, &slug, Scope::Build)?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let wanted: Result<GoBack, _> =
            if body.is_empty() { Ok(GoBack::default()) } else { serde_json::from_slice(&body) };
        let GoBack { to } =
            wanted.map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))?;
        let expected = etag::expected(&headers);
        let (record, to) = app.press.revert_expected(&tenant, &flow, to, &expected)?;
        Ok((StatusCode::CREATED, Json(Reverted::new(&record, to))))
    };
    app.builds.run(revert).await?
}

/// The tenant in the path: by its own token, or by the operator's.
pub(super) fn owner(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    slug: &str,
    scope: Scope,
) -> Result<TenantRow, ApiError> {
    auth::owner_caller(app, view, headers, slug, scope).map(|(_, tenant)| tenant)
}
