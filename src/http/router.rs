//! Every route.

use axum::Router;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use super::{blobs, builds, bundles, git, health, metadata, tenants};
use crate::app::SharedApp;

/// The service. Bodies are bounded by the handlers that read them.
pub fn router(app: SharedApp) -> Router {
    Router::new()
        .route("/healthz", get(health::show))
        .route("/build", post(builds::create))
        .route("/v1/builds", post(builds::create))
        .route("/v1/builds/{id}", get(builds::show))
        .route("/v1/tenants", post(tenants::create))
        .route("/v1/tenants/{slug}/tokens", post(tenants::create_token))
        .route("/v1/t/{slug}/blob/{digest}", get(blobs::show))
        .route("/v1/t/{slug}/manifest.json", get(metadata::tenant_manifest))
        .route("/v1/t/{slug}/edge/{flow}/manifest.json", get(metadata::edge_manifest))
        .route("/v1/t/{slug}/tuf/{file}", get(metadata::tuf))
        .route("/v1/t/{slug}/targets/{name}", get(bundles::show))
        .route("/git/{repo}/info/refs", get(git::advertise))
        .route("/git/{repo}/git-upload-pack", post(git::upload_pack))
        .route("/git/{repo}/git-receive-pack", post(git::refuse_push))
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http())
        .with_state(app)
}
