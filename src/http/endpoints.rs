//! Endpoints of a tenant, for the tenant itself and for the operator: `GET` and `POST
//! /v1/t/{slug}/endpoints`, `GET`, `PUT` and `DELETE …/{endpoint}`, `POST …/secrets`, `DELETE
//! …/secrets/{generation}`, `POST …/test` and `POST …/replay`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_store::rows::{EndpointId, TenantRow};
use serde::de::DeserializeOwned;

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, etag, flows};
use crate::app::SharedApp;
use crate::intake::secrets::Rotate;
use crate::outbound::{
    self, EndpointError, EndpointList, EndpointView, NewEndpointSecret, Queued, Replay,
};
use crate::pipeline::Press;
use crate::tokens::Scope;

/// Largest request of this kind, in bytes.
const BODY_LIMIT: usize = 16 * 1024;

/// Lists a tenant's endpoints.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<EndpointList>, ApiError> {
    let list = |press: &Press, tenant: &TenantRow| {
        Ok(outbound::endpoints(&press.store.view()?, tenant, press.clock.now())?)
    };
    about(&app, headers, slug, Scope::Records, list).await.map(Json)
}

/// Shows one.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let show = move |press: &Press, tenant: &TenantRow| {
        Ok(outbound::show(press, &tenant.slug, name(&id)?)?)
    };
    about(&app, headers, slug, Scope::Records, show).await.map(tagged)
}

/// Makes one.
pub(super) async fn create(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let below = format!("/v1/t/{slug}/endpoints");
    let create = move |press: &Press, tenant: &TenantRow| {
        Ok(outbound::create(press, &tenant.slug, &parse(&body)?)?)
    };
    let made = about(&app, headers, slug, Scope::Build, create).await?;
    let location = format!("{below}/{}", made.endpoint.id);
    let mut response = (StatusCode::CREATED, Json(made)).into_response();
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// Sets one anew.
pub(super) async fn update(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let expected = etag::expected(&headers);
    let update = move |press: &Press, tenant: &TenantRow| {
        Ok(outbound::update(press, &tenant.slug, name(&id)?, &parse(&body)?, &expected)?)
    };
    about(&app, headers, slug, Scope::Build, update).await.map(tagged)
}

/// Takes one away.
pub(super) async fn delete(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let expected = etag::expected(&headers);
    let delete = move |press: &Press, tenant: &TenantRow| {
        Ok(outbound::delete(press, &tenant.slug, name(&id)?, &expected)?)
    };
    about(&app, headers, slug, Scope::Build, delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a new secret.
pub(super) async fn rotate(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<NewEndpointSecret>), ApiError> {
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let rotate = move |press: &Press, tenant: &TenantRow| {
        let wanted = if body.is_empty() { Rotate::default() } else { parse(&body)? };
        Ok(outbound::rotate(press, &tenant.slug, name(&id)?, wanted)?)
    };
    let made = about(&app, headers, slug, Scope::Build, rotate).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a secret at once.
pub(super) async fn revoke(
    State(app): State<SharedApp>,
    Segments((slug, id, generation)): Segments<(String, String, u32)>,
    headers: HeaderMap,
) -> Result<Json<EndpointView>, ApiError> {
    let revoke = move |press: &Press, tenant: &TenantRow| {
        Ok(outbound::revoke(press, &tenant.slug, name(&id)?, generation)?)
    };
    about(&app, headers, slug, Scope::Build, revoke).await.map(Json)
}

/// Tries one out.
pub(super) async fn test(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let test = move |press: &Press, tenant: &TenantRow| {
        Ok(outbound::test(press, &tenant.slug, name(&id)?)?)
    };
    let queued = about(&app, headers, slug, Scope::Build, test).await?;
    Ok((StatusCode::ACCEPTED, Json(queued)))
}

/// Has events sent again.
pub(super) async fn replay(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let replay = move |press: &Press, tenant: &TenantRow| {
        let what: Replay = parse(&body)?;
        Ok(outbound::replay(press, &tenant.slug, name(&id)?, &what)?)
    };
    let queued = about(&app, headers, slug, Scope::Build, replay).await?;
    Ok((StatusCode::ACCEPTED, Json(queued)))
}

fn name(id: &str) -> Result<EndpointId, EndpointError> {
    id.parse().map_err(|_| EndpointError::Unknown)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))
}

fn tagged(endpoint: EndpointView) -> Response {
    etag::tagged(&endpoint.version.to_string(), Json(endpoint))
}

/// Does `work` for whoever may: what is sent is looked at only then.
async fn about<T: Send + 'static>(
    app: &SharedApp,
    headers: HeaderMap,
    slug: String,
    scope: Scope,
    work: impl FnOnce(&Press, &TenantRow) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let worker = app.clone();
    let run = move || -> Result<T, ApiError> {
        let view = worker.press.store.view()?;
        let tenant = flows::owner(&worker, &view, &headers, &slug, scope)?;
        drop(view);
        work(&worker.press, &tenant)
    };
    app.reads.run(run).await?
}
