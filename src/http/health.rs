//! `GET /healthz`: is the process as it should be; `GET /readyz`: does it take builds.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use colophon_store::CommitError;
use serde::Serialize;

use crate::app::{App, SharedApp};

/// The answer.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<Missing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A gate that is required and cannot run.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MissingGate)]
struct Missing {
    gate: String,
    reason: String,
}

/// 200 while the process serves; 503 once the store has stopped after a failed write, so that
/// whatever watches the process restarts it. A full disk is told, but no restart helps.
pub(super) async fn live(State(app): State<SharedApp>) -> (StatusCode, Json<Health>) {
    let (room, status) = look(&app);
    let code = if matches!(room, Room::Stopped) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (code, status)
}

/// 200 while builds are taken; 503 while the disk is full, the store has stopped, or a gate that is
/// required cannot run. What is there can be read all the same.
pub(super) async fn ready(State(app): State<SharedApp>) -> (StatusCode, Json<Health>) {
    let (room, Json(mut health)) = look(&app);
    // Nobody sends builds to a server that is not ready, so this is where it looks again.
    if app.press.gates.is_worth_a_try() {
        let warm = app.clone();
        std::thread::spawn(move || warm.press.gates.warm_up());
    }
    if let ending @ 1.. = app.press.ending_roots.get() {
        health.warnings.push(format!(
            "{ending} tenants have roots that only a ceremony can renew, with less than half of their \
             life left: `colophon edge status`"
        ));
    }
    if let Some(since) = app.press.gathered.behind_since() {
        health.warnings.push(format!(
            "the audit log lacks {} acts since {}: they are kept, tried again, and lost if the server ends now",
            app.press.gathered.count(),
            since.rfc3339()
        ));
    }
    if app.stopping.load(Ordering::Relaxed) {
        health.status = "the server is about to end";
        return (StatusCode::SERVICE_UNAVAILABLE, Json(health));
    }
    let mut code =
        if matches!(room, Room::There) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if let (Room::There, Err((gate, reason))) = (room, app.press.gates.ready()) {
        code = StatusCode::SERVICE_UNAVAILABLE;
        (health.status, health.gate) = ("a gate is missing", Some(Missing { gate, reason }));
    }
    (code, Json(health))
}

enum Room {
    There,
    Full,
    Stopped,
}

fn look(app: &App) -> (Room, Json<Health>) {
    let (room, status) = match app.press.store.room() {
        Ok(()) => (Room::There, "ok"),
        Err(CommitError::Full { .. }) => (Room::Full, "full"),
        Err(_) => (Room::Stopped, "the store has stopped; restart the server"),
    };
    (
        room,
        Json(Health {
            status,
            version: env!("CARGO_PKG_VERSION"),
            gate: None,
            warnings: Vec::new(),
        }),
    )
}
