//! What a tenant's endpoints were told: `GET /v1/t/{slug}/endpoints/{endpoint}/attempts`,
//! `GET /v1/t/{slug}/events` and `GET …/events/{event}`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use colophon_store::rows::{EndpointId, EndpointRow};

use super::paging::{limit, query};
use super::path::Segments;
use super::{ApiError, flows};
use crate::app::SharedApp;
use crate::outbound::{
    self, AttemptFilter, AttemptList, EndpointError, EventFilter, EventList, EventView, MOST,
};
use crate::tokens::Scope;

/// Lists attempts at an endpoint. Those at one that was deleted are among those of an event.
pub(super) async fn attempts(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    filter: Result<Query<AttemptFilter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<AttemptList>, ApiError> {
    let filter = query(filter, |filter| limit(filter.limit, MOST))?;
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = flows::owner(&reader, &view, &headers, &slug, Scope::Records)?;
        let id: EndpointId = id.parse().map_err(|_| ApiError::from(EndpointError::Unknown))?;
        if view.get::<EndpointRow>(&(tenant.uid, id))?.is_none() {
            return Err(EndpointError::Unknown.into());
        }
        Ok(Json(outbound::attempts(&view, &tenant, Some(id), &filter)?))
    };
    app.reads.run(read).await?
}

/// Lists events.
pub(super) async fn events(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    filter: Result<Query<EventFilter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<EventList>, ApiError> {
    let filter = query(filter, |filter| limit(filter.limit, MOST))?;
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = flows::owner(&reader, &view, &headers, &slug, Scope::Records)?;
        Ok(Json(outbound::events(&view, &tenant, &filter)?))
    };
    app.reads.run(read).await?
}

/// Shows one event.
pub(super) async fn event(
    State(app): State<SharedApp>,
    Segments((slug, key)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<EventView>, ApiError> {
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = flows::owner(&reader, &view, &headers, &slug, Scope::Records)?;
        let key = key.parse().map_err(|_| ApiError::from(EndpointError::NoEvent))?;
        let found = outbound::event(&view, &tenant, key)?;
        found.map(Json).ok_or_else(|| EndpointError::NoEvent.into())
    };
    app.reads.run(read).await?
}
