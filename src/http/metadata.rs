//! Manifests and TUF metadata.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colophon_model::{ArtifactPath, EdgeRuntime, FlowId, Sha256, TenantManifest, TenantSlug};
use colophon_store::rows::{EdgeHead, FlowHead, TufFile};
use serde::Serialize;

use super::path::Segments;
use super::{ApiError, auth, edge_url, etag};
use crate::app::{App, SharedApp};
use crate::feed;
use crate::tokens::Scope;

/// `GET /v1/t/{slug}/tuf/{file}`: a metadata file exactly as it was signed.
pub(super) async fn tuf(
    State(app): State<SharedApp>,
    Segments((slug, file)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    app.reads.run(move || tuf_file(&reader, &slug, file, &headers)).await?
}

fn tuf_file(
    app: &App,
    slug: &str,
    file: String,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let uid = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid;
    // Only timestamp.json ever changes; every other name carries its version.
    let caching =
        if file == "timestamp.json" { "no-cache" } else { "private, max-age=31536000, immutable" };
    let TufFile { digest } = view.get::<TufFile>(&(uid, file))?.ok_or_else(ApiError::not_found)?;
    let bytes = view.read_blob(uid, &digest)?.ok_or_else(ApiError::not_found)?;
    let described = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, caching)];
    Ok((described, bytes).into_response())
}

/// `GET /v1/t/{slug}/manifest.json`: every flow's current outputs.
pub(super) async fn tenant_manifest(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantManifest>, ApiError> {
    let reader = app.clone();
    app.reads.run(move || load_tenant_manifest(&reader, &slug, &headers)).await?.map(Json)
}

fn load_tenant_manifest(
    app: &App,
    slug: &str,
    headers: &HeaderMap,
) -> Result<TenantManifest, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Records)?;
    let mut flows = BTreeMap::new();
    for row in view.scan::<FlowHead>(&tenant.uid) {
        let ((_, flow), head) = row?;
        flows.insert(flow, head.manifest);
    }
    Ok(TenantManifest::new(tenant.slug, flows))
}

/// `GET /v1/t/{slug}/edge/{flow}/manifest.json`: what an agent that does not speak TUF needs.
pub(super) async fn edge_manifest(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    app.reads.run(move || load_edge_manifest(&reader, &slug, &flow, &headers)).await?
}

fn load_edge_manifest(
    app: &App,
    slug: &str,
    flow: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?;
    let flow: FlowId = flow.parse().map_err(|_| ApiError::not_found())?;
    let head = view.get::<FlowHead>(&(tenant.uid, flow))?.ok_or_else(ApiError::not_found)?;
    let EdgeHead { output, manifest } = head.edge.ok_or_else(ApiError::not_found)?;
    // Weak: every answer has another url, which says the same.
    let tag = format!("W/\"{}-{}\"", output.sha256, output.seq);
    let described = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if etag::is_known(headers, tag.trim_start_matches("W/")) {
        return Ok((StatusCode::NOT_MODIFIED, described).into_response());
    }
    let (url, expires) = edge_url::sign(app, &tenant, &output);
    let view = EdgeManifestView {
        schema: 1,
        slug: manifest.slug,
        flow: manifest.flow,
        version: feed::version(output.seq),
        runtime: manifest.runtime,
        requirements: manifest.requirements,
        cpu_arch: manifest.cpu_arch,
        os: manifest.os,
        entrypoints: manifest.entrypoints,
        env: manifest.env,
        seq: output.seq,
        tree: format!("blake3:{}", output.tree),
        unpacked: output.unpacked,
        files: output.files,
        attestation: output.attestation.map(|sum| format!("sha256:{sum}")),
        sha256: output.sha256,
        length: output.length,
        url,
        url_expires: expires.rfc3339_seconds(),
    };
    Ok((described, Json(view)).into_response())
}

/// A flow's published manifest, in the shape that the builder's own agents know.
#[derive(Debug, Serialize)]
pub(super) struct EdgeManifestView {
    schema: u32,
    slug: TenantSlug,
    flow: FlowId,
    version: String,
    runtime: EdgeRuntime,
    requirements: Vec<String>,
    cpu_arch: Vec<String>,
    os: Vec<String>,
    entrypoints: BTreeMap<String, ArtifactPath>,
    env: BTreeMap<String, String>,
    seq: u64,
    tree: String,
    unpacked: u64,
    files: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation: Option<String>,
    sha256: Sha256,
    length: u64,
    url: String,
    url_expires: String,
}
