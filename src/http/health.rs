//! `GET /healthz`: is the process serving, and may it write.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::app::SharedApp;

/// The answer.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
}

/// 200 while the process serves and writes; 503 once the store has stopped after a failed write,
/// so that whatever watches the process restarts it.
pub(super) async fn show(State(app): State<SharedApp>) -> (StatusCode, Json<Health>) {
    let (status, word) = match app.press.store.health() {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store has stopped; restart the server"),
    };
    (status, Json(Health { status: word, version: env!("CARGO_PKG_VERSION") }))
}
