//! What a page's script hears of a tenant's builds: the events of the API, by the session's cookie.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};

use super::super::ApiError;
use super::super::event_stream::{Admitted, open};
use super::super::events::{Asked, Builds};
use super::super::path::Segments;
use super::desk::{Desk, Stop};
use crate::app::SharedApp;
use crate::console::session::Use;

/// A tenant's builds, as they are made, for as long as the session lasts. It keeps no session alive.
pub(super) async fn builds(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let source = Builds::new(asked, &headers);
    let admission = move |app: &SharedApp| enter(app, &headers, &slug);
    let told = open(app, Box::new(admission), source).await;
    told.unwrap_or_else(ApiError::into_response)
}

fn enter(app: &SharedApp, headers: &HeaderMap, slug: &str) -> Result<Admitted, ApiError> {
    let desk = Desk::open(app.clone(), headers, Use::ByScript);
    let told = desk.and_then(|desk| {
        let tenant = desk.tenant(slug)?;
        let counted = (!desk.is_operator()).then_some(tenant.uid);
        Ok(Admitted { tenant, counted, view: desk.view })
    });
    told.map_err(|stop| match stop {
        // A script wants to know that it has to log in, not the page where that is done.
        Stop::Login => ApiError::unauthorized(),
        Stop::Refused(error) => error,
    })
}
