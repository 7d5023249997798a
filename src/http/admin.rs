//! What the admin listener answers: `/metrics`, and `/healthz` and `/readyz` as the public one does.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{ApiError, health};
use crate::app::SharedApp;
use crate::metrics;

/// The admin listener's routes. None asks for a credential: the address is what protects it.
pub fn admin_router(app: SharedApp) -> Router {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(scrape))
        .fallback(async || ApiError::not_found())
        .with_state(app)
}

async fn scrape(State(app): State<SharedApp>) -> Result<Response, ApiError> {
    let looked = app.clone();
    // Never turned away: it is how the operator sees what is wrong.
    let look = app.reads.resume(move || metrics::look(&looked)).await??;
    let text = metrics::text(&app, &app.press.metrics, &look);
    let text = text.map_err(|e| ApiError::internal(&e))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
