//! `GET /v1/t/{slug}/targets/{sha256}.{name}`: a bundle by hash, and what stands beside it, whole or in part. `HEAD` and an answer
//! without a body make no zip.

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use colophon_model::{Sha256, TenantUid};
use colophon_store::View;
use colophon_store::rows::{BundleAlias, TenantRow};

use super::edge_url::{self, Grant};
use super::environments::Named;
use super::evidence::Beside;
use super::path::Segments;
use super::representation::{Asked, Described};
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::caller::{Caller, Who};
use crate::telemetry::request::asked_by;
use crate::tokens::Scope;

/// A bundle to whoever has a token of the tenant or a signed URL for it.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, name)): Segments<(String, String)>,
    grant: Result<Query<Grant>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    if let Some(beside) = Beside::named(&name) {
        return app.reads.run(move || beside.answer(&reader, &slug, &headers)).await?;
    }
    if let Some(environment) = Named::read(&name) {
        return app.reads.run(move || environment.answer(&reader, &slug, &headers)).await?;
    }
    let grant = grant.ok().map(|Query(grant)| grant);
    let (asked, sent) = (headers.clone(), method.clone());
    let find =
        move || find(&reader, &slug, &name, grant.as_ref().map(|grant| (grant, &sent)), &asked);
    let (uid, sha256, alias) = app.reads.run(find).await??;
    let total = usize::try_from(alias.length).map_err(|e| ApiError::internal(&e))?;
    let tag = format!("\"sha256:{sha256}\"");
    let answer = Described { media: "application/zip", tag, sha256, total }
        .answer(&Asked::read(&method, &headers));
    let zip = if answer.needs_bytes() {
        app.press.bundles.zips.get(&app.press, uid, (sha256, alias)).await?
    } else {
        Bytes::new()
    };
    answer.respond(&zip)
}

/// The bundle that is asked for, when it may be.
fn find(
    app: &App,
    slug: &str,
    name: &str,
    grant: Option<(&Grant, &Method)>,
    headers: &HeaderMap,
) -> Result<(TenantUid, Sha256, BundleAlias), ApiError> {
    let view = app.press.store.view()?;
    let (sha256, target) = name.split_once('.').ok_or_else(ApiError::not_found)?;
    let sha256: Sha256 = sha256.parse().map_err(|_| ApiError::not_found())?;
    let uid = match grant {
        Some(grant) => granted(app, &view, slug, &sha256, grant)?,
        None => auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid,
    };
    let alias = view.get::<BundleAlias>(&(uid, sha256))?.filter(|a| a.name == target);
    Ok((uid, sha256, alias.ok_or_else(ApiError::not_found)?))
}

/// The tenant of a signed URL. A bad signature and an unknown tenant are the same 403.
fn granted(
    app: &App,
    view: &View,
    slug: &str,
    sha256: &Sha256,
    (grant, method): (&Grant, &Method),
) -> Result<TenantUid, ApiError> {
    let tenant = match slug.parse() {
        Ok(slug) => view.get::<TenantRow>(&slug)?,
        Err(_) => None,
    };
    let uid = tenant.as_ref().map_or(auth::NOBODY, |t| t.uid);
    let key = app.press.keys.url_key();
    if edge_url::allows(&key, grant, method, uid, sha256, app.press.clock.now()) {
        tenant.as_ref().map_or(Ok(()), auth::awake)?;
        asked_by(&Caller::of(Who::SignedUrl, uid), tenant.as_ref().map(|t| &t.slug));
        Ok(uid)
    } else {
        Err(ApiError::forbidden("the download URL is not valid, or no longer")
            .hint("ask for the build again to get a fresh one"))
    }
}
