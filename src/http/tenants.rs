//! Administration: `POST /v1/tenants` and `POST /v1/tenants/{slug}/tokens`, for the operator.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use colophon_model::{CodePolicy, TenantSlug};
use colophon_store::rows::RootsOrigin;
use serde::{Deserialize, Serialize};

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::tenants;
use crate::tokens::{self, NewToken, TokenKind};

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
    let wanted: CreateTenant = parse(&app, body).await?;
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

/// What a new token is told by.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for.
    pub kind: TokenKind,
    /// A word by which people recognise it.
    #[serde(default)]
    pub label: String,
    /// Days until it ends, 1 to 366.
    pub days: u32,
}

/// A new token, told once.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreatedToken {
    /// The token.
    pub token: String,
    /// When it ends.
    pub expires: String,
}

/// Creates a token of a tenant.
pub(super) async fn create_token(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    auth::check_operator(&app, &headers)?;
    let wanted: CreateToken = parse(&app, body).await?;
    if !(1..=366).contains(&wanted.days) {
        return Err(ApiError::bad_request("invalid-days", "`days` must be 1 to 366"));
    }
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let press = app.press.clone();
    let made = app
        .reads
        .run(move || {
            let now = press.clock.now();
            tokens::create_token(&press.store, &slug, wanted.kind, &wanted.label, wanted.days, now)
        })
        .await??;
    Ok((StatusCode::CREATED, Json(CreatedToken::new(&made))))
}

impl CreatedToken {
    /// What to tell of `made`.
    pub fn new(made: &NewToken) -> Self {
        Self { token: made.token.reveal().to_owned(), expires: made.expires.rfc3339_seconds() }
    }
}

async fn parse<T: serde::de::DeserializeOwned>(app: &App, body: Body) -> Result<T, ApiError> {
    let bytes = read_body(app, body, BODY_LIMIT).await?;
    serde_json::from_slice(&bytes)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))
}
