//! `GET /v1/t/{slug}/targets/{sha256}.{name}`: a bundle by hash, whole or in part.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use colophon_model::{Sha256, TenantUid};
use colophon_store::View;
use colophon_store::rows::{BundleAlias, TenantRow};

use super::edge_url::{self, Grant};
use super::path::Segments;
use super::representation::Representation;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::tokens::Scope;

/// A bundle to whoever has a token of the tenant or a signed URL for it.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, name)): Segments<(String, String)>,
    grant: Result<Query<Grant>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    let grant = grant.ok().map(|Query(grant)| grant);
    app.reads.run(move || load(&reader, &slug, &name, grant.as_ref(), &headers)).await?
}

fn load(
    app: &App,
    slug: &str,
    name: &str,
    grant: Option<&Grant>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let (sha256, target) = name.split_once('.').ok_or_else(ApiError::not_found)?;
    let sha256: Sha256 = sha256.parse().map_err(|_| ApiError::not_found())?;
    let uid = match grant {
        Some(grant) => granted(app, &view, slug, &sha256, grant)?,
        None => auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid,
    };
    let alias = view.get::<BundleAlias>(&(uid, sha256))?.filter(|a| a.name == target);
    let alias = alias.ok_or_else(ApiError::not_found)?;
    let zip = view.read_blob(uid, &alias.zip)?.ok_or_else(ApiError::not_found)?;
    let tag = format!("\"sha256:{sha256}\"");
    let bytes = zip.into();
    Representation { media: "application/zip", tag, sha256, bytes }.respond(headers)
}

/// The tenant of a signed URL. A bad signature and an unknown tenant are the same 403.
fn granted(
    app: &App,
    view: &View,
    slug: &str,
    sha256: &Sha256,
    grant: &Grant,
) -> Result<TenantUid, ApiError> {
    let tenant = match slug.parse() {
        Ok(slug) => view.get::<TenantRow>(&slug)?,
        Err(_) => None,
    };
    let uid = tenant.map_or(auth::NOBODY, |t| t.uid);
    let key = app.press.keys.url_key();
    if edge_url::allows(&key, grant, uid, sha256, app.press.clock.now()) {
        Ok(uid)
    } else {
        Err(ApiError::forbidden("the download URL is not valid, or no longer")
            .hint("ask for the build again to get a fresh one"))
    }
}
