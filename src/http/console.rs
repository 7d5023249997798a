//! The console's routes: who may see which page. What is on them is in `src/console/`.

mod assets;
mod audit;
mod builds;
mod desk;
mod dress;
mod events;
mod form;
mod login;
mod tenants;
mod webhooks;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::{get, post};

use super::routes::routes;
use crate::app::{App, SharedApp};

routes! {
    /// Every route of the console: its method, in lower case, and its path. `get` answers HEAD too.
    CONSOLE_ROUTES:
    get "/console" => tenants::home;
    get "/console/assets/{name}" => assets::show;
    get "/console/login" => login::form;
    post "/console/login" => login::login;
    post "/console/logout" => login::logout;
    get "/console/tenants" => tenants::list;
    get "/console/health" => tenants::health;
    get "/console/audit" => audit::of_system;
    post "/console/audit/verify" => audit::verify_system;
    get "/console/t/{slug}" => tenants::show;
    get "/console/t/{slug}/timeline" => tenants::timeline;
    get "/console/t/{slug}/events" => events::builds;
    get "/console/t/{slug}/flows" => tenants::flows;
    get "/console/t/{slug}/agents" => tenants::agents;
    get "/console/t/{slug}/deliveries" => tenants::deliveries;
    post "/console/t/{slug}/deliveries/{id}/replay" => tenants::replay;
    get "/console/t/{slug}/webhooks" => webhooks::show;
    post "/console/t/{slug}/webhooks/{endpoint}/replay/{event}" => webhooks::replay;
    get "/console/t/{slug}/audit" => audit::of_tenant;
    post "/console/t/{slug}/audit/verify" => audit::verify_tenant;
    get "/console/t/{slug}/builds/{id}" => builds::show;
    get "/console/t/{slug}/builds/{id}/diff" => builds::diff;
    get "/console/t/{slug}/builds/{id}/graph" => builds::graph;
    get "/console/t/{slug}/builds/{id}/files/{target}/{*path}" => builds::file;
    get "/console/t/{slug}/builds/{id}/{document}" => builds::document;
}

/// The routes of the console; none when it is switched off.
pub(super) fn routes(app: &App) -> Router<SharedApp> {
    if app.config.console.enabled {
        routed().layer(map_response(dress::dress))
    } else {
        Router::new()
    }
}
