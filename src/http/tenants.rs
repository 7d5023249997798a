//! Tenants, for the operator: `/v1/tenants`, `/v1/tenants/{slug}` and the steps of their lives.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use colophon_model::{CodePolicy, TenantSlug};
use colophon_store::rows::RootsOrigin;
use serde::{Deserialize, Serialize};

use super::body::read_body;
use super::paging::{self, query};
use super::path::Segments;
use super::tokens::CreatedToken;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::config::Config;
use crate::tenants::overview::{self, TenantDetails, TenantPage};
use crate::tenants::{self, Buckets, Step};
use crate::tokens::TokenKind;

/// Largest request of this kind, in bytes.
const BODY_LIMIT: usize = 16 * 1024;
/// First tokens of a tenant at most.
const MOST_TOKENS: usize = 10;

/// What a new tenant is told by.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its name.
    #[schema(value_type = String)]
    pub slug: TenantSlug,
    /// Which component sources its LangFlow exports may carry.
    #[serde(default)]
    #[schema(value_type = String)]
    pub components: CodePolicy,
    /// A first token of each of these kinds.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tokens: Vec<TokenKind>,
}

/// A new tenant, told once.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedTenant {
    /// Its name.
    #[schema(value_type = String)]
    pub slug: TenantSlug,
    /// Its uid.
    pub uid: String,
    /// The secret with which its builder signs webhooks.
    pub webhook_secret: String,
    /// URL of its Git repository.
    pub git_url: String,
    /// Its folders in buckets; left out when there is none.
    #[serde(skip_serializing_if = "Buckets::is_empty", default)]
    pub buckets: Buckets,
    /// Where its root keys live: `server` means that this server could sign anything for it.
    #[schema(value_type = String)]
    pub roots: RootsOrigin,
    /// The root metadata that agents pin, as text.
    pub root: String,
    /// Its first tokens, in the order in which they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tokens: Vec<CreatedToken>,
}

/// Creates a tenant.
pub(super) async fn create(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedTenant>), ApiError> {
    auth::check_operator(&app, &headers)?;
    let wanted: CreateTenant = parse(&app, body).await?;
    if wanted.tokens.len() > MOST_TOKENS {
        let text = format!("`tokens` must have at most {MOST_TOKENS} kinds");
        return Err(ApiError::bad_request("invalid-request", text));
    }
    let maker = app.clone();
    let work = move || {
        let tokens = (wanted.tokens.as_slice(), &maker.config.tokens);
        tenants::create_with(&maker.press, &wanted.slug, wanted.components, tokens)
    };
    let made = app.reads.run(work).await??;
    Ok((StatusCode::CREATED, Json(CreatedTenant::new(&app.config, made))))
}

impl CreatedTenant {
    /// What to tell of `made`.
    pub fn new(config: &Config, made: tenants::NewTenant) -> Self {
        Self {
            git_url: format!("{}/git/{}.git", config.public_url(), made.tenant.slug),
            buckets: Buckets::of(config, &made.tenant.slug),
            slug: made.tenant.slug,
            uid: made.tenant.uid.to_string(),
            webhook_secret: made.webhook_secret,
            roots: made.tenant.roots,
            root: String::from_utf8_lossy(&made.root).into_owned(),
            tokens: made.tokens.into_iter().map(CreatedToken::new).collect(),
        }
    }
}

/// Which page of the list is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    cursor: Option<TenantSlug>,
}

/// Lists tenants, a page at a time.
pub(super) async fn list(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<TenantPage>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let Page { limit, cursor } = query(page, |page| paging::limit(page.limit, overview::PAGE))?;
    let limit = limit.unwrap_or(100);
    let press = app.press.clone();
    let read = move || overview::list(&press.store.view()?, cursor.as_ref(), limit);
    Ok(Json(app.reads.run(read).await??))
}

/// Shows one tenant.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetails>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let reader = app.clone();
    let read = move || tenants::show(&reader.press, &slug, &reader.config);
    Ok(Json(app.reads.run(read).await??))
}

/// Refuses every credential of a tenant.
pub(super) async fn suspend(
    app: State<SharedApp>,
    slug: Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetails>, ApiError> {
    step(app, slug, headers, Step::Suspend).await
}

/// Takes a tenant's credentials again.
pub(super) async fn resume(
    app: State<SharedApp>,
    slug: Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetails>, ApiError> {
    step(app, slug, headers, Step::Resume).await
}

/// Makes a tenant read-only.
pub(super) async fn archive(
    app: State<SharedApp>,
    slug: Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetails>, ApiError> {
    step(app, slug, headers, Step::Archive).await
}

/// Lets a tenant be built for again.
pub(super) async fn restore(
    app: State<SharedApp>,
    slug: Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetails>, ApiError> {
    step(app, slug, headers, Step::Restore).await
}

/// Puts a tenant under legal hold.
pub(super) async fn hold(
    app: State<SharedApp>,
    slug: Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetails>, ApiError> {
    step(app, slug, headers, Step::Hold).await
}

/// Lifts a legal hold.
pub(super) async fn release(
    app: State<SharedApp>,
    slug: Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetails>, ApiError> {
    step(app, slug, headers, Step::Release).await
}

async fn step(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    step: Step,
) -> Result<Json<TenantDetails>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let taker = app.clone();
    let take = move || {
        tenants::step(&taker.press, &slug, step)?;
        tenants::show(&taker.press, &slug, &taker.config)
    };
    Ok(Json(app.reads.run(take).await??))
}

/// The JSON of a small request. Nothing at all stands for what has only defaults.
pub(super) async fn parse<T: serde::de::DeserializeOwned>(
    app: &App,
    body: Body,
) -> Result<T, ApiError> {
    let bytes = read_body(app, body, BODY_LIMIT).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))
}
