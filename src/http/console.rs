//! The console's routes: who may see which page. What is on them is in `src/console/`.

mod assets;
mod audit;
mod builds;
mod desk;
mod dress;
mod form;
mod login;
mod tenants;
mod webhooks;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::{get, post};

use crate::app::{App, SharedApp};

/// The routes of the console; none when it is switched off.
pub(super) fn routes(app: &App) -> Router<SharedApp> {
    if !app.config.console.enabled {
        return Router::new();
    }
    Router::new()
        .route("/console", get(tenants::home))
        .route("/console/assets/{name}", get(assets::show))
        .route("/console/login", get(login::form).post(login::login))
        .route("/console/logout", post(login::logout))
        .route("/console/tenants", get(tenants::list))
        .route("/console/health", get(tenants::health))
        .route("/console/audit", get(audit::of_system))
        .route("/console/audit/verify", post(audit::verify_system))
        .route("/console/t/{slug}", get(tenants::show))
        .route("/console/t/{slug}/timeline", get(tenants::timeline))
        .route("/console/t/{slug}/flows", get(tenants::flows))
        .route("/console/t/{slug}/agents", get(tenants::agents))
        .route("/console/t/{slug}/deliveries", get(tenants::deliveries))
        .route("/console/t/{slug}/deliveries/{id}/replay", post(tenants::replay))
        .route("/console/t/{slug}/webhooks", get(webhooks::show))
        .route("/console/t/{slug}/webhooks/{endpoint}/replay/{event}", post(webhooks::replay))
        .route("/console/t/{slug}/audit", get(audit::of_tenant))
        .route("/console/t/{slug}/audit/verify", post(audit::verify_tenant))
        .route("/console/t/{slug}/builds/{id}", get(builds::show))
        .route("/console/t/{slug}/builds/{id}/diff", get(builds::diff))
        .route("/console/t/{slug}/builds/{id}/graph", get(builds::graph))
        .route("/console/t/{slug}/builds/{id}/files/{target}/{*path}", get(builds::file))
        .route("/console/t/{slug}/builds/{id}/{document}", get(builds::document))
        .layer(map_response(dress::dress))
}
