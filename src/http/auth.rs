//! Who is asking. The tenant comes from the credential; a header or path that names another is
//! refused.

use axum::http::{HeaderMap, header};
use colophon_model::{TenantSlug, TenantUid};
use colophon_store::View;
use colophon_store::rows::TenantRow;
use data_encoding::BASE64;
use subtle::ConstantTimeEq as _;

use super::ApiError;
use crate::app::App;
use crate::caller::{Caller, Who};
use crate::telemetry::request::asked_by;
use crate::tokens::{Grant, Scope, Token};

/// What a 401 asks for (RFC 6750 §3).
pub(super) const BEARER: &str = "Bearer realm=\"colophon\"";
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
    token_caller(app, view, headers, scope).map(|(_, tenant)| tenant)
}

/// The tenant that [`path_tenant`] would find, when what the token grants is remembered. It may be asked on
/// any thread. `None` refuses nothing: whoever gets it goes on to look.
pub(super) fn remembered_tenant(
    app: &App,
    headers: &HeaderMap,
    slug: &str,
    scope: Scope,
) -> Option<TenantUid> {
    let token = credential(headers)?;
    let grant = app.press.recall.known_grant(&app.press.store, &token.digest())?;
    let (_, tenant) = admit(app, &token, &grant, scope).ok()?;
    (tenant.slug.as_str() == slug).then_some(tenant.uid)
}

/// Whose token the request carries, and its tenant; the token must have `scope`.
pub(super) fn token_caller(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<(Caller, TenantRow), ApiError> {
    let (press, token) = (&app.press, credential(headers).ok_or_else(ApiError::unauthorized)?);
    let grant = press.recall.grant(&press.store, view, token.digest())?;
    let grant = grant.ok_or_else(ApiError::unauthorized)?;
    let (caller, tenant) = admit(app, &token, &grant, scope)?;
    Ok((caller, tenant.clone()))
}

/// Lets in whoever holds a token that grants so much, and remembers that it was used.
fn admit<'a>(
    app: &App,
    token: &Token,
    grant: &'a Grant,
    scope: Scope,
) -> Result<(Caller, &'a TenantRow), ApiError> {
    let (kind, now) = (token.kind().ok_or_else(ApiError::unauthorized)?, app.press.clock.now());
    let tenant = grant.allows(scope, now).ok_or_else(ApiError::unauthorized)?;
    awake(tenant)?;
    app.usage.note(token.digest(), tenant.uid, now);
    let caller = grant.caller(kind);
    asked_by(&caller, Some(&tenant.slug));
    Ok((caller, tenant))
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
    if !is_operator(app, headers)? {
        let (caller, tenant) = path_caller(app, view, headers, slug, scope)?;
        if scope == Scope::Build && caller.target().is_some() {
            return Err(ApiError::forbidden("a token that is limited to a target only delivers"));
        }
        return Ok((caller, tenant));
    }
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let tenant = view.get::<TenantRow>(&slug)?.ok_or_else(ApiError::not_found)?;
    let caller = Caller::of(Who::Operator, tenant.uid);
    asked_by(&caller, Some(&tenant.slug));
    Ok((caller, tenant))
}

/// Who delivers for the tenant that is `named` beside the credential, and that tenant: by the tenant's own token, or by
/// the operator's. Another tenant's token is told so: whoever holds it knows that tenant.
pub(super) fn delivering_caller(
    app: &App,
    view: &View,
    headers: &HeaderMap,
    named: &TenantSlug,
) -> Result<(Caller, TenantRow), ApiError> {
    if is_operator(app, headers)? {
        let (caller, tenant) = owner_caller(app, view, headers, named.as_str(), Scope::Build)?;
        awake(&tenant)?;
        return Ok((caller, tenant));
    }
    let (caller, tenant) = token_caller(app, view, headers, Scope::Build)?;
    if tenant.slug == *named {
        return Ok((caller, tenant));
    }
    Err(ApiError::forbidden("the token belongs to another tenant than the header names"))
}

/// Whether the request carries the operator's token; then the operator asks.
pub(super) fn check_operator(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    if !is_operator(app, headers)? {
        return Err(ApiError::unauthorized());
    }
    asked_by(&Caller::OPERATOR, None);
    Ok(Caller::OPERATOR)
}

/// Whether the token of the request, which must have one, is the operator's.
fn is_operator(app: &App, headers: &HeaderMap) -> Result<bool, ApiError> {
    let token = credential(headers).ok_or_else(ApiError::unauthorized)?;
    Ok(is_operators(app, &token))
}

/// Whether this is the operator's token.
pub(super) fn is_operators(app: &App, token: &Token) -> bool {
    let expected = app.press.keys.operator_token().digest();
    token.digest().as_bytes().ct_eq(expected.as_bytes()).into()
}

/// A bearer token (RFC 6750 §2.1), or the password of Basic credentials (RFC 7617), which is what
/// Git sends.
pub(super) fn credential(headers: &HeaderMap) -> Option<Token> {
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
    use crate::http::sender::sender;
    use crate::intake::legacy_signature;
    use crate::telemetry::request::{About, within};
    use crate::tenants;
    use crate::tokens::{TokenKind, create_token};

    fn bearer(token: &Token) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {}", token.reveal());
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    /// Who a delivery of `x` is from.
    fn delivers(app: &App, headers: &HeaderMap) -> Option<Caller> {
        let about = About::new(&tracing::Span::none(), headers, None);
        within(Some(about.clone()), || sender(app, headers, b"x")).unwrap();
        about.caller().cloned()
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
        assert_eq!(delivers(&app, &headers), Some(by_token));
        let signature = legacy_signature(&made.webhook_secret, b"x").parse().unwrap();
        headers.remove(header::AUTHORIZATION);
        headers.insert("x-ap-signature", signature);
        let by_key = Who::Webhook { key: "1".to_owned() };
        assert_eq!(delivers(&app, &headers), Some(Caller::of(by_key, uid)));
        let operator = bearer(&app.press.keys.operator_token());
        assert_eq!(check_operator(&app, &operator).unwrap(), Caller::OPERATOR);
        let (caller, _) = owner_caller(&app, &view, &operator, "acme", Scope::Read).unwrap();
        assert_eq!(caller, Caller::of(Who::Operator, uid));
        assert!(token_caller(&app, &view, &operator, Scope::Read).is_err(), "of no tenant");
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
