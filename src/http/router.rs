//! Every route.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::observe::observe;
use super::{
    ApiError, agents, audit, blobs, branches, builds, bundles, console, deliveries, edge,
    environments, evidence, flows, git, health, hooks, maintenance, metadata, mirrors, operator,
    schema, sync, tenants, tokens, transfer, webhooks,
};
use crate::app::SharedApp;
use crate::maintenance::{
    Archive, AuditCheckpoint, AuditVerify, Backup, Fsck, Gc, GitBundle, GitExport, GitRebuild,
    ImportRoots, Purge, Recompile, RequestRoots, Resign, Rollback, Rotate,
};

/// The service. Bodies are bounded by the handlers that read them.
pub fn router(app: SharedApp) -> Router {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/build", post(builds::create))
        .route("/v1/builds", post(builds::create))
        .route("/v1/hooks/{id}", post(hooks::take))
        .route("/v1/builds/{id}", get(builds::show))
        .route("/v1/schema/flow.json", get(schema::flow))
        .route("/v1/operator/proof/{nonce}", get(operator::proof))
        .route("/v1/keys/operator", get(operator::key))
        .route("/v1/keys/git", get(operator::git_key))
        .route("/v1/keys/attestation", get(evidence::keys))
        .route("/v1/keys/attestation/{name}", get(evidence::key))
        .route("/v1/keys/audit", get(audit::key))
        .route("/v1/audit", get(audit::of_system))
        .route("/v1/audit/lines", get(audit::lines_of_system))
        .route("/v1/audit/checkpoint", get(audit::checkpoint_of_system))
        .route("/v1/t/{slug}/audit", get(audit::of_tenant))
        .route("/v1/t/{slug}/audit/lines", get(audit::lines_of_tenant))
        .route("/v1/t/{slug}/audit/checkpoint", get(audit::checkpoint_of_tenant))
        .route("/v1/maintenance/audit/verify", post(maintenance::run::<AuditVerify>))
        .route("/v1/maintenance/audit/checkpoint", post(maintenance::run::<AuditCheckpoint>))
        .route("/v1/maintenance/gc", post(maintenance::run::<Gc>))
        .route("/v1/maintenance/fsck", post(maintenance::run::<Fsck>))
        .route("/v1/maintenance/purge", post(maintenance::run::<Purge>))
        .route("/v1/maintenance/backup", post(maintenance::run::<Backup>))
        .route("/v1/maintenance/rebuild", post(maintenance::run::<Recompile>))
        .route("/v1/maintenance/edge/resign", post(maintenance::run::<Resign>))
        .route("/v1/maintenance/edge/rotate", post(maintenance::run::<Rotate>))
        .route("/v1/maintenance/edge/rollback", post(maintenance::run::<Rollback>))
        .route("/v1/maintenance/edge/archive", post(maintenance::run::<Archive>))
        .route("/v1/maintenance/keys/request", post(maintenance::run::<RequestRoots>))
        .route("/v1/maintenance/keys/import", post(maintenance::run::<ImportRoots>))
        .route("/v1/maintenance/git/rebuild", post(maintenance::run::<GitRebuild>))
        .route("/v1/maintenance/git/export", post(maintenance::run::<GitExport>))
        .route("/v1/maintenance/git/bundle", post(maintenance::run::<GitBundle>))
        .route("/v1/maintenance/blobs/{digest}", get(maintenance::explain))
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{slug}", get(tenants::show).delete(maintenance::erase))
        .route("/v1/tenants/{slug}/suspend", post(tenants::suspend))
        .route("/v1/tenants/{slug}/resume", post(tenants::resume))
        .route("/v1/tenants/{slug}/archive", post(tenants::archive))
        .route("/v1/tenants/{slug}/restore", post(tenants::restore))
        .route(
            "/v1/tenants/{slug}/tokens",
            get(tokens::list).post(tokens::create).delete(tokens::revoke_all),
        )
        .route("/v1/tenants/{slug}/tokens/{id}", get(tokens::show).delete(tokens::revoke))
        .route("/v1/tenants/{slug}/tokens/{id}/rotate", post(tokens::rotate))
        .route(
            "/v1/tenants/{slug}/mirror",
            get(mirrors::show).put(mirrors::set).delete(mirrors::clear),
        )
        .route("/v1/tenants/{slug}/mirror/retry", post(mirrors::retry))
        .route("/v1/tenants/{slug}/hooks", get(hooks::list).post(hooks::create))
        .route("/v1/tenants/{slug}/hooks/{id}", delete(hooks::delete))
        .route("/v1/tenants/{slug}/webhook", get(webhooks::show).put(webhooks::set))
        .route("/v1/tenants/{slug}/webhook/secrets", post(webhooks::rotate))
        .route("/v1/tenants/{slug}/webhook/secrets/{generation}", delete(webhooks::revoke))
        .route("/v1/edge", get(edge::list))
        .route("/v1/mirrors", get(mirrors::list))
        .route("/v1/t/{slug}/flows", get(flows::list))
        .route("/v1/t/{slug}/flows/{flow}", delete(flows::delete))
        .route("/v1/t/{slug}/flows/{flow}/rollback", post(flows::revert))
        .route("/v1/t/{slug}/deliveries", get(deliveries::list))
        .route("/v1/t/{slug}/deliveries/{id}", get(deliveries::one))
        .route("/v1/t/{slug}/deliveries/{id}/replay", post(deliveries::run_again))
        .route("/v1/t/{slug}/blob/{digest}", get(blobs::show))
        .route("/v1/t/{slug}/tree/{tree}", get(transfer::tree))
        .route("/v1/t/{slug}/pack/{tree}", get(transfer::pack))
        .route("/v1/t/{slug}/delta/{pair}", get(transfer::delta))
        .route("/v1/t/{slug}/manifest.json", get(metadata::tenant_manifest))
        .route("/v1/t/{slug}/edge/{flow}/manifest.json", get(metadata::edge_manifest))
        .route("/v1/t/{slug}/edge/report", post(agents::report))
        .route("/v1/t/{slug}/edge/sync", get(sync::sync))
        .route("/v1/t/{slug}/edge/agents", get(agents::list))
        .route(
            "/v1/t/{slug}/edge/{flow}/env",
            get(environments::show).put(environments::set).delete(environments::remove),
        )
        .route("/v1/t/{slug}/edge/{flow}/{document}", get(evidence::of_flow))
        .route("/v1/t/{slug}/bundles/{sha256}/{document}", get(evidence::of_bundle))
        .route("/v1/t/{slug}/tuf/{file}", get(metadata::tuf))
        .route("/v1/t/{slug}/targets/{name}", get(bundles::show))
        .route("/branches/tenant/{slug}", get(branches::show))
        .route("/git/{repo}/info/refs", get(git::advertise))
        .route("/git/{repo}/git-upload-pack", post(git::upload_pack))
        .route("/git/{repo}/git-receive-pack", post(git::refuse_push))
        .merge(console::routes(&app))
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

async fn wrong_method(method: Method) -> ApiError {
    let text = format!("{method} is not possible here");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", text)
}

/// A panic is a defect of the server; the client is told no more than that.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal(&Panicked).into_response()
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;
