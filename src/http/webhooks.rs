//! A tenant's webhook secrets for the operator: `GET` and `PUT /v1/tenants/{slug}/webhook`,
//! `POST /v1/tenants/{slug}/webhook/secrets`, `DELETE …/secrets/{generation}`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use colophon_model::TenantSlug;
use serde::{Deserialize, Serialize};

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::SharedApp;
use crate::intake::secrets::{self, NewSecret, Rotate, SecretError, WebhookView};
use crate::pipeline::Press;

/// Largest request of this kind, in bytes.
const BODY_LIMIT: usize = 16 * 1024;

/// What can be set about a tenant's deliveries.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetWebhook {
    /// Whether a delivery that nothing orders may repeat content that was replaced.
    pub repeats: bool,
}

/// Says how deliveries are checked.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<WebhookView>, ApiError> {
    auth::check_operator(&app, &headers)?;
    about(&app, &slug, secrets::show).await.map(Json)
}

/// Sets how deliveries are checked.
pub(super) async fn set(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<WebhookView>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let SetWebhook { repeats } = parse(&read_body(&app, body, BODY_LIMIT).await?)?;
    about(&app, &slug, move |press, slug| secrets::set_repeats(press, slug, repeats))
        .await
        .map(Json)
}

/// Makes a new secret.
pub(super) async fn rotate(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<NewSecret>), ApiError> {
    auth::check_operator(&app, &headers)?;
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let wanted = if body.is_empty() { Rotate::default() } else { parse(&body)? };
    let made = about(&app, &slug, move |press, slug| secrets::rotate(press, slug, wanted)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a secret at once.
pub(super) async fn revoke(
    State(app): State<SharedApp>,
    Segments((slug, generation)): Segments<(String, u32)>,
    headers: HeaderMap,
) -> Result<Json<WebhookView>, ApiError> {
    auth::check_operator(&app, &headers)?;
    about(&app, &slug, move |press, slug| secrets::revoke(press, slug, generation)).await.map(Json)
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))
}

async fn about<T: Send + 'static>(
    app: &SharedApp,
    slug: &str,
    work: impl FnOnce(&Press, &TenantSlug) -> Result<T, SecretError> + Send + 'static,
) -> Result<T, ApiError> {
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let press = app.press.clone();
    Ok(app.reads.run(move || work(&press, &slug)).await??)
}
