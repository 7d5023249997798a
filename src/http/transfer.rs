//! What agents fetch of a bundle besides its zip: `GET /v1/t/{slug}/tree/{tree}`, `…/pack/{tree}`,
//! `…/delta/{from}..{to}`.
//!
//! A tree is the tenant's when a row says that it is one of its bundles. Every other digest, known or
//! not, is the same 404 after the same work.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use colophon_model::{Digest, Sha256, TenantUid};
use colophon_store::View;
use colophon_store::rows::BundleTree;

use super::path::Segments;
use super::representation::Representation;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::deltas::{DeltaError, Pair};
use crate::tokens::Scope;

/// The list of a bundle's files.
pub(super) async fn tree(
    State(app): State<SharedApp>,
    Segments((slug, tree)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    app.reads.run(move || load_tree(&reader, &slug, &tree, &headers)).await?
}

fn load_tree(app: &App, slug: &str, tree: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid;
    let digest = bundle_tree(&view, tenant, tree)?.ok_or_else(ApiError::not_found)?;
    let text = view.read_blob(tenant, &digest)?.ok_or_else(ApiError::not_found)?;
    let (sha256, tag) = (Sha256::of(&text), format!("\"{digest}\""));
    let media = "text/plain; charset=us-ascii";
    Representation { media, tag, sha256, bytes: text.into() }.respond(headers)
}

/// A bundle told from nothing.
pub(super) async fn pack(
    State(app): State<SharedApp>,
    Segments((slug, tree)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    send(app, slug, None, tree, headers).await
}

/// A bundle told from another one.
pub(super) async fn delta(
    State(app): State<SharedApp>,
    Segments((slug, pair)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (from, to) = pair.split_once("..").unwrap_or((&pair, ""));
    send(app, slug, Some(from.to_owned()), to.to_owned(), headers).await
}

async fn send(
    app: SharedApp,
    slug: String,
    from: Option<String>,
    to: String,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (reader, asked) = (app.clone(), headers.clone());
    let find = move || find(&reader, &slug, from.as_deref(), &to, &asked);
    let pair = app.reads.run(find).await??;
    let frame = app.press.bundles.deltas.get(&app.press.store, &pair).await?;
    let tag = format!("\"sha256:{}\"", frame.sha256);
    let (media, sha256) = ("application/zstd", frame.sha256);
    Representation { media, tag, sha256, bytes: frame.bytes }.respond(&headers)
}

/// The pair that is asked for, when the tenant has both. Both are looked up in any case.
fn find(
    app: &App,
    slug: &str,
    from: Option<&str>,
    to: &str,
    headers: &HeaderMap,
) -> Result<Pair, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid;
    let base = from.map(|from| bundle_tree(&view, tenant, from)).transpose()?;
    let to = bundle_tree(&view, tenant, to)?;
    let from = base.map(|base| base.ok_or_else(ApiError::not_found)).transpose()?;
    Ok(Pair { tenant, from, to: to.ok_or_else(ApiError::not_found)? })
}

/// The digest that `text` is, when it names a bundle's tree of the tenant.
pub(super) fn bundle_tree(
    view: &View,
    tenant: TenantUid,
    text: &str,
) -> Result<Option<Digest>, ApiError> {
    let Ok(digest) = text.parse::<Digest>() else { return Ok(None) };
    Ok(view.get::<BundleTree>(&(tenant, digest))?.map(|BundleTree| digest))
}

impl From<DeltaError> for ApiError {
    fn from(error: DeltaError) -> Self {
        match error {
            DeltaError::Task(cause) => cause.into(),
            DeltaError::Store(cause) => cause.into(),
            DeltaError::Files(cause) => cause.into(),
            DeltaError::Encode(_) => Self::internal(&error),
        }
    }
}
