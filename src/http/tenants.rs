//! Administration: `POST /v1/tenants`, for the operator.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use colophon_model::{CodePolicy, TenantSlug};
use colophon_store::rows::RootsOrigin;
use serde::{Deserialize, Serialize};

use super::body::read_body;
use super::{ApiError, auth};
use crate::app::SharedApp;
use crate::tenants;

/// Largest request of this kind, in bytes.
const BODY_LIMIT: usize = 16 * 1024;

/// What a new tenant is told by.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its name.
    pub slug: TenantSlug,
    /// Which component sources its LangFlow exports may carry.
    #[serde(default)]
    pub components: CodePolicy,
}

/// A new tenant, told once.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreatedTenant {
    /// Its name.
    pub slug: TenantSlug,
    /// Its uid.
    pub uid: String,
    /// The secret with which its builder signs webhooks.
    pub webhook_secret: String,
    /// URL of its Git repository.
    pub git_url: String,
    /// Where its root keys live: `server` means that this server could sign anything for it.
    pub roots: RootsOrigin,
    /// The root metadata that agents pin, as text.
    pub root: String,
}

/// Creates a tenant.
pub(super) async fn create(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedTenant>), ApiError> {
    auth::check_operator(&app, &headers)?;
    let wanted: CreateTenant = parse(body).await?;
    let press = app.press.clone();
    let made =
        app.reads.run(move || tenants::create(&press, &wanted.slug, wanted.components)).await??;
    Ok((StatusCode::CREATED, Json(CreatedTenant::new(&app.public_url, made))))
}

impl CreatedTenant {
    /// What to tell of `made`.
    pub fn new(public_url: &str, made: tenants::NewTenant) -> Self {
        Self {
            git_url: format!("{public_url}/git/{}.git", made.tenant.slug),
            slug: made.tenant.slug,
            uid: made.tenant.uid.to_string(),
            webhook_secret: made.webhook_secret,
            roots: made.tenant.roots,
            root: String::from_utf8_lossy(&made.root).into_owned(),
        }
    }
}

/// The JSON of a small request. Nothing at all stands for what has only defaults.
pub(super) async fn parse<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    let bytes = read_body(body, BODY_LIMIT).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))
}
