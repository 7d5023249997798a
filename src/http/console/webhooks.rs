//! The page of a tenant's endpoints.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use colophon_store::rows::{EndpointId, EventKey};

use super::super::ApiError;
use super::super::path::Segments;
use super::desk::{Stop, run, show as shown};
use super::form::Fields;
use crate::app::SharedApp;
use crate::console::session::Use;
use crate::console::webhooks as page;
use crate::outbound::{self, Replay};

/// A tenant's endpoints, and what was sent to them.
pub(super) async fn show(
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
        let page = page::page(&desk.view, &tenant, asked, desk.app.press.clock.now())?;
        desk.page("webhooks.html", &desk.frame("Webhooks", "webhooks", Some(&tenant)), &page)
    })
    .await
}

/// Has an event sent again.
pub(super) async fn replay(
    State(app): State<SharedApp>,
    Segments((slug, endpoint, event)): Segments<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let fields = match Fields::posted(&app, &headers, body).await {
        Ok(fields) => fields,
        Err(error) => return Stop::from(error).answer(&app),
    };
    run(
        app,
        headers,
        |app| &app.reads,
        Use::ByPerson,
        move |desk| {
            let tenant = desk.tenant(&slug)?;
            if !desk.is_operator() {
                return Err(ApiError::forbidden("an auditor looks and changes nothing").into());
            }
            fields.check(&desk.session.form_key)?;
            let endpoint: EndpointId = endpoint.parse().map_err(|_| ApiError::not_found())?;
            let event: EventKey = event.parse().map_err(|_| ApiError::not_found())?;
            let what = Replay::Event(event);
            outbound::replay(&desk.app.press, &tenant.slug, endpoint, &what)
                .map_err(ApiError::from)?;
            let to = format!("/console/t/{slug}/webhooks?replayed={event}");
            Ok(Redirect::to(&to).into_response())
        },
    )
    .await
}
