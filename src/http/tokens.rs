//! A tenant's tokens, for the operator: `/v1/tenants/{slug}/tokens` and what is below.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use colophon_model::{Target, TenantSlug};
use serde::{Deserialize, Serialize};

use super::path::Segments;
use super::tenants::parse;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::tenants;
use crate::tokens::{self, NewToken, Scopes, TokenError, TokenKind, TokenList, TokenView, Wanted};
use crate::units::Span;

/// What a new token is told by.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for.
    pub kind: TokenKind,
    /// A word by which people recognise it.
    #[serde(default)]
    pub label: String,
    /// Days until it ends; as the configuration says when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub days: Option<u32>,
    /// What it may do, some of what its kind may; all of that when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scopes: Option<Scopes>,
    /// The only target that it may build for; every one when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub target: Option<Target>,
}

impl From<CreateToken> for Wanted {
    fn from(request: CreateToken) -> Self {
        let CreateToken { kind, label, days, scopes, target } = request;
        Self { kind, scopes, target, label, days }
    }
}

/// A new token, told once.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedToken {
    /// The token.
    pub token: String,
    /// What may be shown of it again.
    #[serde(flatten)]
    pub view: TokenView,
}

impl CreatedToken {
    /// What to tell of `made`.
    pub fn new(made: NewToken) -> Self {
        Self { token: made.token.reveal().to_owned(), view: made.view }
    }
}

/// How a token is replaced.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateToken {
    /// How long the old token is good beside the new one.
    #[schema(value_type = String)]
    pub overlap: Span,
}

impl Default for RotateToken {
    fn default() -> Self {
        Self { overlap: Span::hours(24) }
    }
}

/// How many tokens were taken back.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Revoked {
    /// The number.
    pub revoked: u64,
}

/// Creates a token.
pub(super) async fn create(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    auth::check_operator(&app, &headers)?;
    let wanted: CreateToken = parse(&app, body).await?;
    let made = act(&app, slug, move |app, slug| {
        let press = &app.press;
        let now = press.clock.now();
        tokens::create(&press.store, &app.config.tokens, slug, &wanted.into(), now)
    });
    Ok((StatusCode::CREATED, Json(CreatedToken::new(made.await?))))
}

/// Lists the tenant's tokens.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<TokenList>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let listed = act(&app, slug, |app, slug| {
        let view = app.press.store.view()?;
        let tenant = tenants::find(&view, slug)?.uid;
        tokens::list(&view, &app.usage, tenant, app.press.clock.now())
    });
    listed.await.map(Json)
}

/// Shows one token.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<TokenView>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let shown = act(&app, slug, move |app, slug| {
        let view = app.press.store.view()?;
        let tenant = tenants::find(&view, slug)?.uid;
        tokens::show(&view, &app.usage, tenant, &id, app.press.clock.now())
    });
    shown.await.map(Json)
}

/// Takes one token back.
pub(super) async fn revoke(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    auth::check_operator(&app, &headers)?;
    act(&app, slug, move |app, slug| {
        tokens::revoke(&app.press.store, slug, &id, app.press.clock.now())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes all of a tenant's tokens back.
pub(super) async fn revoke_all(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<Revoked>, ApiError> {
    auth::check_operator(&app, &headers)?;
    let revoked = act(&app, slug, |app, slug| {
        tokens::revoke_all(&app.press.store, slug, app.press.clock.now())
    });
    Ok(Json(Revoked { revoked: revoked.await? }))
}

/// Replaces a token by a new one with the same grants.
pub(super) async fn rotate(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    auth::check_operator(&app, &headers)?;
    let wanted: RotateToken = parse(&app, body).await?;
    let made = act(&app, slug, move |app, slug| {
        let (store, now) = (&app.press.store, app.press.clock.now());
        tokens::rotate(store, &app.config.tokens, slug, (&id, wanted.overlap), now)
    });
    Ok((StatusCode::CREATED, Json(CreatedToken::new(made.await?))))
}

/// Does something to the tokens of the tenant in the path.
async fn act<T: Send + 'static>(
    app: &SharedApp,
    slug: String,
    act: impl FnOnce(&App, &TenantSlug) -> Result<T, TokenError> + Send + 'static,
) -> Result<T, ApiError> {
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let owned = app.clone();
    Ok(app.reads.run(move || act(&owned, &slug)).await??)
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Tenant(cause) => return cause.into(),
            TokenError::Unknown => return Self::not_found(),
            TokenError::Days { .. } => "invalid-days",
            TokenError::Scopes(_) => "invalid-scopes",
            TokenError::Target => "invalid-target",
            TokenError::Label => "invalid-label",
            TokenError::Overlap => "invalid-overlap",
            TokenError::Replaced(_) => {
                return Self::new(StatusCode::CONFLICT, "token-replaced", error.to_string())
                    .hint("rotate the token that took its place");
            }
            TokenError::Ended => {
                return Self::new(StatusCode::CONFLICT, "token-ended", error.to_string())
                    .hint("create another one");
            }
            TokenError::TooMany => {
                return Self::new(StatusCode::CONFLICT, "too-many-tokens", error.to_string());
            }
        };
        Self::bad_request(code, error.to_string())
    }
}
