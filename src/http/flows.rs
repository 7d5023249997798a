//! A tenant's flows: `GET /v1/t/{slug}/flows`, `DELETE /v1/t/{slug}/flows/{flow}` and
//! `POST …/{flow}/rollback`, for the tenant itself and for the operator.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use colophon_model::{BuildId, BuildKey, BuildRecord, FlowId, FlowSource, Oid};
use colophon_store::View;
use colophon_store::rows::{FlowHead, TenantRow};
use serde::{Deserialize, Serialize};

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::tokens::Scope;

/// Largest request of this kind, in bytes.
const BODY_LIMIT: usize = 1024;

/// The flows of a tenant that stand, by id.
#[derive(Debug, Serialize, Deserialize)]
pub struct FlowList {
    /// The flows.
    pub flows: Vec<FlowView>,
}

/// A flow that stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct FlowView {
    /// Its id.
    pub flow: FlowId,
    /// Its display name.
    pub name: String,
    /// The builder it was drawn in.
    pub source: FlowSource,
    /// The highest revision built, when any had one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// Its current build.
    pub build: BuildId,
    /// The key of that build.
    pub key: BuildKey,
    /// Version of its edge bundle, when it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edge_version: Option<String>,
}

/// What is said of a deletion.
#[derive(Debug, Serialize, Deserialize)]
pub struct Deleted {
    /// The flow.
    pub flow: FlowId,
    /// The build that deleted it.
    pub build: BuildId,
    /// Its commit.
    pub commit: Oid,
}

impl FlowList {
    /// The flows of `tenant` that `view` shows.
    pub fn read(view: &View, tenant: &TenantRow) -> Result<Self, colophon_store::Error> {
        let rows = view.scan::<FlowHead>(&tenant.uid);
        let flows = rows.map(|row| row.map(|((_, flow), head)| FlowView::new(flow, head)));
        Ok(Self { flows: flows.collect::<Result<_, _>>()? })
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

/// Lists the flows that stand.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<FlowList>, ApiError> {
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = owner(&reader, &view, &headers, &slug, Scope::Records)?;
        Ok(Json(FlowList::read(&view, &tenant)?))
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
        Ok(Json(Deleted::new(&app.press.delete(&tenant, &flow)?)))
    };
    place.run(delete).await?
}

/// What is asked for with a way back.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoBack {
    /// The build; default the newest one that is not like the current.
    pub to: Option<BuildId>,
}

/// What is said of a way back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reverted {
    /// The flow.
    pub flow: FlowId,
    /// The build that it went back to.
    pub to: BuildId,
    /// The build that did.
    pub build: BuildId,
    /// Its commit.
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
    let place = app.builds.admit()?;
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let revert = move || {
        let tenant = owner(&app, &app.press.store.view()?, &headers, &slug, Scope::Build)?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let wanted: Result<GoBack, _> =
            if body.is_empty() { Ok(GoBack::default()) } else { serde_json::from_slice(&body) };
        let GoBack { to } =
            wanted.map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))?;
        let (record, to) = app.press.revert(&tenant, &flow, to)?;
        Ok((StatusCode::CREATED, Json(Reverted::new(&record, to))))
    };
    place.run(revert).await?
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
