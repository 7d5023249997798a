//! Who is asking. The tenant comes from the credential; a header or path that names another is
//! refused.

use axum::http::{HeaderMap, header};
use colophon_model::{TenantSlug, TenantUid};
use colophon_store::View;
use colophon_store::rows::TenantRow;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::ApiError;
use crate::app::App;
use crate::tenants::WEBHOOK_GENERATION;
use crate::tokens::{Scope, Token};

/// The builder's signature over a webhook's raw body, as it goes into `X-Ap-Signature`.
pub fn webhook_signature(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret, body).finalize().into_bytes()))
}

/// Stands in for an unknown tenant, so that the same work is done.
pub(super) const NOBODY: TenantUid = TenantUid::from_bytes([0; 16]);

fn hmac(secret: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac
}

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

/// The tenant a delivery is from: a bearer token with scope `build`, or a signature with the named
/// tenant's secret. A wrong signature and an unknown tenant are the same 401.
pub(super) fn deliverer(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<TenantRow, ApiError> {
    let named = tenant_header(headers)?;
    let view = app.press.store.view()?;
    if headers.contains_key(header::AUTHORIZATION) {
        let tenant = token_tenant(app, &view, headers, Scope::Build)?;
        return if tenant.slug == named {
            Ok(tenant)
        } else {
            Err(ApiError::forbidden("the token belongs to another tenant than the header names"))
        };
    }
    let tenant = view.get::<TenantRow>(&named)?;
    // An unknown tenant costs the same work, with a secret that nobody holds.
    let uid = tenant.as_ref().map_or(NOBODY, |t| t.uid);
    let secret = app.press.keys.webhook_secret(uid, WEBHOOK_GENERATION);
    let signed = signature(headers).is_some_and(|s| hmac(&secret, body).verify_slice(&s).is_ok());
    tenant.filter(|_| signed).ok_or_else(|| {
        ApiError::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the delivery is not signed by the tenant it names",
        )
    })
}

/// `X-Ap-Signature`: hex, alone or after `sha256=`.
fn signature(headers: &HeaderMap) -> Option<Vec<u8>> {
    let text = headers.get("x-ap-signature")?.to_str().ok()?;
    hex::decode(text.strip_prefix("sha256=").unwrap_or(text)).ok()
}

/// The tenant of the request's token, which must have `scope`.
pub(super) fn token_tenant(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<TenantRow, ApiError> {
    let (press, token) = (&app.press, credential(headers).ok_or_else(ApiError::unauthorized)?);
    let grant = press.recall.grant(&press.store, view, token.digest())?;
    let tenant = grant.as_ref().and_then(|grant| grant.allows(scope, press.clock.now()));
    tenant.cloned().ok_or_else(ApiError::unauthorized)
}

/// The tenant that [`path_tenant`] would find, when what the token grants is remembered. It may be asked on
/// any thread. `None` refuses nothing: whoever gets it goes on to look.
pub(super) fn remembered_tenant(
    app: &App,
    headers: &HeaderMap,
    slug: &str,
    scope: Scope,
) -> Option<TenantUid> {
    let (press, token) = (&app.press, credential(headers)?);
    let grant = press.recall.known_grant(&press.store, &token.digest())?;
    let tenant = grant.allows(scope, press.clock.now())?;
    (tenant.slug.as_str() == slug).then_some(tenant.uid)
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

    /// RFC 4231, test case 2.
    #[test]
    fn the_signature_is_hmac_sha_256() {
        assert_eq!(
            webhook_signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

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
