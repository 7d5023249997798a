//! Who is asking. The tenant comes from the credential; a header or path that names another is
//! refused.

use axum::http::{HeaderMap, header};
use colophon_model::{TenantSlug, TenantUid};
use colophon_store::View;
use colophon_store::rows::{SlugOf, TenantRow};
use data_encoding::BASE64;
use subtle::ConstantTimeEq as _;

use super::ApiError;
use crate::app::App;
use crate::tokens::{Scope, Token, authorise};

/// Stands in for an unknown tenant, so that the same work is done.
pub(super) const NOBODY: TenantUid = TenantUid::from_bytes([0; 16]);

/// The tenant that a delivery to `/build` names: `X-Tenant-Slug`, or `X-Tenant`.
pub(super) fn tenant_header(headers: &HeaderMap) -> Result<TenantSlug, ApiError> {
    let value = headers.get("x-tenant-slug").or_else(|| headers.get("x-tenant"));
    let value = value.ok_or_else(|| {
        ApiError::bad_request("missing-tenant", "the header `X-Tenant-Slug` is missing")
    })?;
    let text = value.to_str().unwrap_or_default();
    text.parse().map_err(|e: colophon_model::InvalidSlug| {
        ApiError::bad_request("invalid-tenant", e.to_string())
    })
}

/// The tenant of the request's token, which must have `scope`.
pub(super) fn token_tenant(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<TenantRow, ApiError> {
    let token = credential(headers).ok_or_else(ApiError::unauthorized)?;
    let uid = authorise(view, token.digest(), scope, app.press.clock.now())?;
    let uid = uid.ok_or_else(ApiError::unauthorized)?;
    let slug = view.get::<SlugOf>(&uid)?.ok_or_else(ApiError::unauthorized)?;
    view.get::<TenantRow>(&slug.slug)?.ok_or_else(ApiError::unauthorized)
}

/// The tenant whose slug stands in the path, if the request's token is that tenant's and has
/// `scope`. An unknown slug and another tenant's are the same 404.
pub(super) fn path_tenant(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    slug: &str,
    scope: Scope,
) -> Result<TenantRow, ApiError> {
    let tenant = token_tenant(app, view, headers, scope)?;
    if tenant.slug.as_str() == slug { Ok(tenant) } else { Err(ApiError::not_found()) }
}

/// Whether the request carries the operator's token.
pub(super) fn check_operator(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let token = credential(headers).ok_or_else(ApiError::unauthorized)?;
    let expected = app.press.keys.operator_token().digest();
    let same: bool = token.digest().as_bytes().ct_eq(expected.as_bytes()).into();
    if same { Ok(()) } else { Err(ApiError::unauthorized()) }
}

/// A bearer token (RFC 6750 §2.1), or the password of Basic credentials (RFC 7617), which is what
/// Git sends.
fn credential(headers: &HeaderMap) -> Option<Token> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return rest.trim().parse().ok();
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(rest.trim().as_bytes()).ok()?).ok()?;
    decoded.split_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::TokenKind;

    #[test]
    fn git_sends_the_token_as_a_password() {
        let token = Token::from_random(TokenKind::Git, &[3; 32]);
        for value in [
            format!("Bearer {}", token.reveal()),
            format!("basic {}", BASE64.encode(format!("x:{}", token.reveal()).as_bytes())),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(credential(&headers), Some(token.clone()));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Basic !!".parse().unwrap());
        assert_eq!(credential(&headers), None);
    }
}
