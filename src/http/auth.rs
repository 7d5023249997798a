//! Who is asking. The tenant comes from the credential; a header or path that names another is
//! refused.

use axum::http::{HeaderMap, header};
use colophon_model::{TenantSlug, TenantUid};
use colophon_store::View;
use colophon_store::rows::{SlugOf, TenantRow};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::ApiError;
use crate::app::App;
use crate::caller::{Caller, Who};
use crate::tenants::WEBHOOK_GENERATION;
use crate::tokens::{Scope, Token, authorise};

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

/// Who delivers, and for which tenant: a bearer token with scope `build`, or a signature with the
/// named tenant's secret. A wrong signature and an unknown tenant are the same 401.
pub(super) fn delivery_caller(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Caller, TenantRow), ApiError> {
    let named = tenant_header(headers)?;
    let view = app.press.store.view()?;
    if headers.contains_key(header::AUTHORIZATION) {
        let (caller, tenant) = token_caller(app, &view, headers, Scope::Build)?;
        return if tenant.slug == named {
            Ok((caller, tenant))
        } else {
            Err(ApiError::forbidden("the token belongs to another tenant than the header names"))
        };
    }
    let tenant = view.get::<TenantRow>(&named)?;
    // An unknown tenant costs the same work, with a secret that nobody holds.
    let uid = tenant.as_ref().map_or(NOBODY, |t| t.uid);
    let secret = app.press.keys.webhook_secret(uid, WEBHOOK_GENERATION);
    let signed = signature(headers).is_some_and(|s| hmac(&secret, body).verify_slice(&s).is_ok());
    let tenant = tenant.filter(|_| signed).ok_or_else(|| {
        ApiError::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the delivery is not signed by the tenant it names",
        )
    })?;
    awake(&tenant)?;
    let who = Who::Webhook { key: WEBHOOK_GENERATION.to_string() };
    Ok((Caller::of(who, tenant.uid), tenant))
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
    token_caller(app, view, headers, scope).map(|(_, tenant)| tenant)
}

/// Whose token the request carries, and its tenant; the token must have `scope`.
pub(super) fn token_caller(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<(Caller, TenantRow), ApiError> {
    let token = credential(headers).ok_or_else(ApiError::unauthorized)?;
    let kind = token.kind().ok_or_else(ApiError::unauthorized)?;
    let (digest, now) = (token.digest(), app.press.clock.now());
    let row = authorise(view, digest, scope, now)?.ok_or_else(ApiError::unauthorized)?;
    let slug = view.get::<SlugOf>(&row.tenant)?.ok_or_else(ApiError::unauthorized)?;
    let tenant = view.get::<TenantRow>(&slug.slug)?.ok_or_else(ApiError::unauthorized)?;
    awake(&tenant)?;
    app.usage.note(digest, tenant.uid, now);
    let who = Who::Token { id: row.id, kind, target: row.target };
    Ok((Caller::of(who, tenant.uid), tenant))
}

/// Refuses a credential of a suspended tenant, once it is known to be a good one.
pub(super) fn awake(tenant: &TenantRow) -> Result<(), ApiError> {
    if tenant.suspended.is_some() { Err(ApiError::suspended()) } else { Ok(()) }
}

/// The tenant whose slug stands in the path, see [`path_caller`].
pub(super) fn path_tenant(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    slug: &str,
    scope: Scope,
) -> Result<TenantRow, ApiError> {
    path_caller(app, view, headers, slug, scope).map(|(_, tenant)| tenant)
}

/// Who asks about the tenant whose slug stands in the path, and that tenant, if the request's token
/// is that tenant's and has `scope`. An unknown slug and another tenant's are the same 404.
pub(super) fn path_caller(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    slug: &str,
    scope: Scope,
) -> Result<(Caller, TenantRow), ApiError> {
    let (caller, tenant) = token_caller(app, view, headers, scope)?;
    if tenant.slug.as_str() == slug { Ok((caller, tenant)) } else { Err(ApiError::not_found()) }
}

/// Who asks about the tenant whose slug stands in the path, and that tenant: by the tenant's own
/// token with `scope`, or by the operator's. A token that is limited to a target changes nothing but
/// by deliveries, which say what they are for.
pub(super) fn owner_caller(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    slug: &str,
    scope: Scope,
) -> Result<(Caller, TenantRow), ApiError> {
    if check_operator(app, headers).is_err() {
        let (caller, tenant) = path_caller(app, view, headers, slug, scope)?;
        if scope == Scope::Build && caller.target().is_some() {
            return Err(ApiError::forbidden("a token that is limited to a target only delivers"));
        }
        return Ok((caller, tenant));
    }
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let tenant = view.get::<TenantRow>(&slug)?.ok_or_else(ApiError::not_found)?;
    Ok((Caller::of(Who::Operator, tenant.uid), tenant))
}

/// Whether the request carries the operator's token; then the operator asks.
pub(super) fn check_operator(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let token = credential(headers).ok_or_else(ApiError::unauthorized)?;
    let expected = app.press.keys.operator_token().digest();
    let same: bool = token.digest().as_bytes().ct_eq(expected.as_bytes()).into();
    if same { Ok(Caller::OPERATOR) } else { Err(ApiError::unauthorized()) }
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
    use std::sync::Arc;

    use colophon_model::CodePolicy;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::tenants;
    use crate::tokens::{TokenKind, create_token};

    fn bearer(token: &Token) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {}", token.reveal());
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    /// What is written down about a request must name whoever made it.
    #[test]
    fn whoever_asks_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().join("data"), ..Config::default() };
        let app = App::open(config, Arc::new(SystemClock)).unwrap();
        let (store, now) = (&app.press.store, app.press.clock.now());
        let slug: TenantSlug = "acme".parse().unwrap();
        let made = tenants::create(&app.press, &slug, CodePolicy::None).unwrap();
        let uid = made.tenant.uid;
        let api = create_token(store, &slug, TokenKind::Api, "", 1, now).unwrap().token;
        let id = api.digest().to_string()[..12].to_owned();
        let by_token = Caller::of(Who::Token { id, kind: TokenKind::Api, target: None }, uid);
        let view = store.view().unwrap();
        let mut headers = bearer(&api);
        assert_eq!(token_caller(&app, &view, &headers, Scope::Read).unwrap().0, by_token);
        assert_eq!(path_caller(&app, &view, &headers, "acme", Scope::Read).unwrap().0, by_token);
        assert_eq!(owner_caller(&app, &view, &headers, "acme", Scope::Read).unwrap().0, by_token);
        headers.insert("x-tenant-slug", "acme".parse().unwrap());
        assert_eq!(delivery_caller(&app, &headers, b"x").unwrap().0, by_token);
        let signature = webhook_signature(&made.webhook_secret, b"x").parse().unwrap();
        headers.remove(header::AUTHORIZATION);
        headers.insert("x-ap-signature", signature);
        let by_key = Who::Webhook { key: "1".to_owned() };
        assert_eq!(delivery_caller(&app, &headers, b"x").unwrap().0, Caller::of(by_key, uid));
        let operator = bearer(&app.press.keys.operator_token());
        assert_eq!(check_operator(&app, &operator).unwrap(), Caller::OPERATOR);
        let (caller, _) = owner_caller(&app, &view, &operator, "acme", Scope::Read).unwrap();
        assert_eq!(caller, Caller::of(Who::Operator, uid));
        assert!(token_caller(&app, &view, &operator, Scope::Read).is_err(), "of no tenant");
    }

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
