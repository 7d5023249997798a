//! Pages about the server and its tenants.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use colophon_store::rows::DeliveryKey;

use super::super::ApiError;
use super::super::deliveries::{self as log, Actor};
use super::super::path::Segments;
use super::desk::{Stop, run, show as shown};
use super::form::Fields;
use crate::app::SharedApp;
use crate::console::session::Use;
use crate::console::{self, deliveries as page};
use crate::telemetry::request;

/// The way to the first page: all tenants, or the viewer's own.
pub(super) async fn home(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    shown(app, headers, |desk| {
        let own = desk.own().map(|slug| format!("/console/t/{slug}"));
        Ok(Redirect::to(own.as_deref().unwrap_or("/console/tenants")).into_response())
    })
    .await
}

/// All tenants.
pub(super) async fn list(State(app): State<SharedApp>, headers: HeaderMap, uri: Uri) -> Response {
    shown(app, headers, move |desk| {
        desk.operator()?;
        let after = Fields::of_query(&uri)?.value("after")?;
        let page = console::tenants::page(&desk.app, &desk.view, after.as_ref())?;
        desk.page("tenants.html", &desk.frame("Tenants", "tenants", None), &page)
    })
    .await
}

/// The store's health.
pub(super) async fn health(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    shown(app, headers, |desk| {
        desk.operator()?;
        let page = console::health::page(&desk.app, &desk.view)?;
        desk.page("health.html", &desk.frame("Health", "health", None), &page)
    })
    .await
}

/// One tenant and its builds.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    shown(app, headers, move |desk| {
        let tenant = desk.tenant(&slug)?;
        let before = Fields::of_query(&uri)?.value("before")?;
        let asked = (before, desk.is_operator());
        let page = console::tenant::page(&desk.app, &desk.view, &tenant, asked)?;
        let mut frame = desk.frame(&format!("Builds of {slug}"), "builds", Some(&tenant));
        frame.crumbs.clear();
        desk.page("tenant.html", &frame, &page)
    })
    .await
}

/// The newest builds alone, for the page's script; 204 when it has seen as many as there are.
pub(super) async fn timeline(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let told = run(
        app,
        headers,
        |app| &app.reads,
        Use::ByScript,
        move |desk| {
            let tenant = desk.tenant(&slug)?;
            let seen: Option<u64> = Fields::of_query(&uri)?.value("seen")?;
            if seen == Some(console::tenant::builds(&desk.view, &tenant)?) {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            let timeline = console::tenant::timeline(&desk.view, &tenant, None)?;
            let page = console::tenant::TimelinePage { timeline };
            desk.page("timeline.html", &desk.frame("Builds", "builds", Some(&tenant)), &page)
        },
    );
    let told = told.await;
    // A script wants to know that it has to log in, not the page where that is done.
    if told.status() == StatusCode::SEE_OTHER {
        ApiError::unauthorized().into_response()
    } else {
        told
    }
}

/// A tenant's flows.
pub(super) async fn flows(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    shown(app, headers, move |desk| {
        let tenant = desk.tenant(&slug)?;
        let fields = Fields::of_query(&uri)?;
        let from = Some(fields.text("from")).filter(|from| !from.is_empty());
        let page = console::flows::page(&desk.view, &tenant, from)?;
        desk.page("flows.html", &desk.frame("Flows", "flows", Some(&tenant)), &page)
    })
    .await
}

/// A tenant's agents.
pub(super) async fn agents(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Response {
    shown(app, headers, move |desk| {
        let tenant = desk.tenant(&slug)?;
        let page = console::agents::page(&desk.view, &tenant, desk.app.press.clock.now())?;
        desk.page("agents.html", &desk.frame("Agents", "agents", Some(&tenant)), &page)
    })
    .await
}

/// A tenant's deliveries.
pub(super) async fn deliveries(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    shown(app, headers, move |desk| {
        let tenant = desk.tenant(&slug)?;
        let fields = Fields::of_query(&uri)?;
        let (before, replayed) = (fields.value("before")?, fields.value("replayed")?);
        let asked = page::Asked { before, replayed, replays: desk.is_operator() };
        let page = page::page(&desk.app, &tenant, asked)?;
        desk.page("deliveries.html", &desk.frame("Deliveries", "deliveries", Some(&tenant)), &page)
    })
    .await
}

/// Runs a delivery again.
pub(super) async fn replay(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let fields = match Fields::posted(&app, &headers, body).await {
        Ok(fields) => fields,
        Err(error) => return Stop::from(error).answer(&app),
    };
    let from = request::remote();
    run(
        app,
        headers,
        |app| &app.builds,
        Use::ByPerson,
        move |desk| {
            let tenant = desk.tenant(&slug)?;
            if !desk.is_operator() {
                return Err(ApiError::forbidden("an auditor looks and changes nothing").into());
            }
            fields.check(&desk.session.form_key)?;
            let key: DeliveryKey = id.parse().map_err(|_| ApiError::not_found())?;
            let status = desk.app.config.gates.status;
            let told = log::replay(&desk.app.press, status, &tenant, key, Actor::operator(from))?;
            let told = told.ok_or_else(ApiError::not_found)?;
            let to = format!("/console/t/{slug}/deliveries?replayed={}", told.delivery);
            Ok(Redirect::to(&to).into_response())
        },
    )
    .await
}
