//! Every route.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;

use super::cors::cors;
use super::observe::observe;
use super::routes::routes;
use super::{
    ApiError, agents, audit, blobs, branches, build_reads, builds, bundles, console, deliveries,
    edge, endpoint_log, endpoints, environments, events, evidence, exports, flows, git, health,
    hooks, maintenance, metadata, mirrors, openapi, operator, schema, sync, tenants, tokens,
    transfer, webhooks,
};
use crate::app::SharedApp;
use crate::maintenance::{
    Archive, AuditCheckpoint, AuditVerify, Backup, Drill, Export, ExportIdentity, Fsck, Gc,
    GitBundle, GitExport, GitRebuild, Import, ImportRoots, Purge, Recompile, RequestRoots, Resign,
    Rollback, Rotate, RotateExportKey,
};

routes! {
    /// Every route of the API: its method, in lower case, and its path. `get` answers HEAD too.
    ROUTES:
    get "/healthz" => health::live;
    get "/readyz" => health::ready;
    post "/build" => builds::create;
    post "/v1/builds" => builds::create;
    post "/v1/hooks/{id}" => hooks::take;
    get "/v1/builds/{id}" => builds::show;
    get "/v1/builds/{id}/events" => events::of_one;
    get "/v1/openapi.json" => openapi::json;
    get "/v1/docs" => openapi::docs;
    get "/v1/schema/flow.json" => schema::flow;
    get "/v1/operator/proof/{nonce}" => operator::proof;
    get "/v1/keys/operator" => operator::key;
    get "/v1/keys/git" => operator::git_key;
    get "/v1/keys/attestation" => evidence::keys;
    get "/v1/keys/attestation/{name}" => evidence::key;
    get "/v1/keys/audit" => audit::key;
    get "/v1/audit" => audit::of_system;
    get "/v1/audit/lines" => audit::lines_of_system;
    get "/v1/audit/checkpoint" => audit::checkpoint_of_system;
    get "/v1/t/{slug}/audit" => audit::of_tenant;
    get "/v1/t/{slug}/audit/lines" => audit::lines_of_tenant;
    get "/v1/t/{slug}/audit/checkpoint" => audit::checkpoint_of_tenant;
    post "/v1/maintenance/audit/verify" => maintenance::run::<AuditVerify>;
    post "/v1/maintenance/audit/checkpoint" => maintenance::run::<AuditCheckpoint>;
    post "/v1/maintenance/gc" => maintenance::run::<Gc>;
    post "/v1/maintenance/fsck" => maintenance::run::<Fsck>;
    post "/v1/maintenance/purge" => maintenance::run::<Purge>;
    post "/v1/maintenance/backup" => maintenance::run::<Backup>;
    post "/v1/maintenance/export" => maintenance::run::<Export>;
    post "/v1/maintenance/export/drill" => maintenance::run::<Drill>;
    post "/v1/maintenance/import" => maintenance::run::<Import>;
    post "/v1/maintenance/export/identity" => maintenance::run::<ExportIdentity>;
    post "/v1/maintenance/export/rotate-key" => maintenance::run::<RotateExportKey>;
    post "/v1/maintenance/rebuild" => maintenance::run::<Recompile>;
    post "/v1/maintenance/edge/resign" => maintenance::run::<Resign>;
    post "/v1/maintenance/edge/rotate" => maintenance::run::<Rotate>;
    post "/v1/maintenance/edge/rollback" => maintenance::run::<Rollback>;
    post "/v1/maintenance/edge/archive" => maintenance::run::<Archive>;
    post "/v1/maintenance/keys/request" => maintenance::run::<RequestRoots>;
    post "/v1/maintenance/keys/import" => maintenance::run::<ImportRoots>;
    post "/v1/maintenance/git/rebuild" => maintenance::run::<GitRebuild>;
    post "/v1/maintenance/git/export" => maintenance::run::<GitExport>;
    post "/v1/maintenance/git/bundle" => maintenance::run::<GitBundle>;
    get "/v1/maintenance/blobs/{digest}" => maintenance::explain;
    get "/v1/tenants" => tenants::list;
    post "/v1/tenants" => tenants::create;
    get "/v1/tenants/{slug}" => tenants::show;
    delete "/v1/tenants/{slug}" => maintenance::erase;
    post "/v1/tenants/{slug}/suspend" => tenants::suspend;
    post "/v1/tenants/{slug}/resume" => tenants::resume;
    post "/v1/tenants/{slug}/archive" => tenants::archive;
    post "/v1/tenants/{slug}/restore" => tenants::restore;
    post "/v1/tenants/{slug}/hold" => tenants::hold;
    post "/v1/tenants/{slug}/release" => tenants::release;
    get "/v1/tenants/{slug}/tokens" => tokens::list;
    post "/v1/tenants/{slug}/tokens" => tokens::create;
    delete "/v1/tenants/{slug}/tokens" => tokens::revoke_all;
    get "/v1/tenants/{slug}/tokens/{id}" => tokens::show;
    delete "/v1/tenants/{slug}/tokens/{id}" => tokens::revoke;
    post "/v1/tenants/{slug}/tokens/{id}/rotate" => tokens::rotate;
    get "/v1/tenants/{slug}/mirror" => mirrors::show;
    put "/v1/tenants/{slug}/mirror" => mirrors::set;
    delete "/v1/tenants/{slug}/mirror" => mirrors::clear;
    post "/v1/tenants/{slug}/mirror/retry" => mirrors::retry;
    get "/v1/tenants/{slug}/hooks" => hooks::list;
    post "/v1/tenants/{slug}/hooks" => hooks::create;
    delete "/v1/tenants/{slug}/hooks/{id}" => hooks::delete;
    get "/v1/tenants/{slug}/webhook" => webhooks::show;
    put "/v1/tenants/{slug}/webhook" => webhooks::set;
    post "/v1/tenants/{slug}/webhook/secrets" => webhooks::rotate;
    delete "/v1/tenants/{slug}/webhook/secrets/{generation}" => webhooks::revoke;
    get "/v1/edge" => edge::list;
    get "/v1/mirrors" => mirrors::list;
    get "/v1/exports" => exports::list;
    get "/v1/tenants/{slug}/exports" => exports::show;
    get "/v1/t/{slug}/quota" => build_reads::quota;
    get "/v1/t/{slug}/builds" => build_reads::list;
    get "/v1/t/{slug}/builds/events" => events::of_all;
    get "/v1/t/{slug}/builds/{id}" => build_reads::show;
    get "/v1/t/{slug}/builds/{id}/events" => events::of_one_below;
    get "/v1/t/{slug}/builds/{id}/log" => build_reads::log;
    get "/v1/t/{slug}/builds/{id}/files" => build_reads::files;
    get "/v1/t/{slug}/builds/{id}/files/{*path}" => build_reads::file;
    get "/v1/t/{slug}/builds/{id}/diff/{to}" => build_reads::diff;
    get "/v1/t/{slug}/flows" => flows::list;
    get "/v1/t/{slug}/flows/{flow}" => flows::show;
    delete "/v1/t/{slug}/flows/{flow}" => flows::delete;
    get "/v1/t/{slug}/flows/{flow}/history" => build_reads::history;
    post "/v1/t/{slug}/flows/{flow}/rollback" => flows::revert;
    get "/v1/t/{slug}/deliveries" => deliveries::list;
    get "/v1/t/{slug}/deliveries/{id}" => deliveries::one;
    post "/v1/t/{slug}/deliveries/{id}/replay" => deliveries::run_again;
    get "/v1/t/{slug}/endpoints" => endpoints::list;
    post "/v1/t/{slug}/endpoints" => endpoints::create;
    get "/v1/t/{slug}/endpoints/{endpoint}" => endpoints::show;
    put "/v1/t/{slug}/endpoints/{endpoint}" => endpoints::update;
    delete "/v1/t/{slug}/endpoints/{endpoint}" => endpoints::delete;
    post "/v1/t/{slug}/endpoints/{endpoint}/secrets" => endpoints::rotate;
    delete "/v1/t/{slug}/endpoints/{endpoint}/secrets/{generation}" => endpoints::revoke;
    post "/v1/t/{slug}/endpoints/{endpoint}/test" => endpoints::test;
    post "/v1/t/{slug}/endpoints/{endpoint}/replay" => endpoints::replay;
    get "/v1/t/{slug}/endpoints/{endpoint}/attempts" => endpoint_log::attempts;
    get "/v1/t/{slug}/events" => endpoint_log::events;
    get "/v1/t/{slug}/events/{event}" => endpoint_log::event;
    get "/v1/t/{slug}/blob/{digest}" => blobs::show;
    get "/v1/t/{slug}/tree/{tree}" => transfer::tree;
    get "/v1/t/{slug}/pack/{tree}" => transfer::pack;
    get "/v1/t/{slug}/delta/{pair}" => transfer::delta;
    get "/v1/t/{slug}/manifest.json" => metadata::tenant_manifest;
    get "/v1/t/{slug}/edge/{flow}/manifest.json" => metadata::edge_manifest;
    post "/v1/t/{slug}/edge/report" => agents::report;
    get "/v1/t/{slug}/edge/sync" => sync::sync;
    get "/v1/t/{slug}/edge/agents" => agents::list;
    get "/v1/t/{slug}/edge/{flow}/env" => environments::show;
    put "/v1/t/{slug}/edge/{flow}/env" => environments::set;
    delete "/v1/t/{slug}/edge/{flow}/env" => environments::remove;
    get "/v1/t/{slug}/edge/{flow}/{document}" => evidence::of_flow;
    get "/v1/t/{slug}/bundles/{sha256}/{document}" => evidence::of_bundle;
    get "/v1/t/{slug}/tuf/{file}" => metadata::tuf;
    get "/v1/t/{slug}/targets/{name}" => bundles::show;
    get "/branches/tenant/{slug}" => branches::show;
    get "/git/{repo}/info/refs" => git::advertise;
    post "/git/{repo}/git-upload-pack" => git::upload_pack;
    post "/git/{repo}/git-receive-pack" => git::refuse_push;
}

/// The service. Bodies are bounded by the handlers that read them.
pub fn router(app: SharedApp) -> Router {
    let router = routed()
        .merge(console::routes(&app))
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked));
    // Each layer costs each request a little.
    let router = if app.config.server.cors_origins.is_empty() {
        router
    } else {
        router.layer(axum::middleware::from_fn_with_state(app.clone(), cors))
    };
    router.layer(axum::middleware::from_fn_with_state(app.clone(), observe)).with_state(app)
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
