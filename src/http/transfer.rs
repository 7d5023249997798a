//! What agents fetch of a bundle besides its zip: `GET /v1/t/{slug}/tree/{tree}`, `…/pack/{tree}`,
//! `…/delta/{from}..{to}`.
//!
//! A tree is the tenant's when a row says that it is one of its bundles. Every other digest, known or
//! not, is the same 404 after the same work.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use colophon_model::{Digest, TenantUid};
use colophon_store::View;

use super::path::Segments;
use super::representation::Representation;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::deltas::{DeltaError, Pair};
use crate::recall::Blob;
use crate::tokens::Scope;

/// The list of a bundle's files.
pub(super) async fn tree(
    State(app): State<SharedApp>,
    Segments((slug, tree)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some((tree, blob)) = recall_tree(&app, &slug, &tree, &headers) {
        return answer_tree(tree, blob, &headers);
    }
    let reader = app.clone();
    app.reads.run(move || load_tree(&reader, &slug, &tree, &headers)).await?
}

fn recall_tree(app: &App, slug: &str, tree: &str, headers: &HeaderMap) -> Option<(Digest, Blob)> {
    let (recall, store) = (&app.press.recall, &app.press.store);
    let tenant = auth::remembered_tenant(app, headers, slug, Scope::Edge)?;
    let tree = tree.parse().ok().filter(|tree| recall.knows_tree(store, tenant, *tree))?;
    Some((tree, recall.known_blob(store, tenant, tree)?))
}

fn load_tree(app: &App, slug: &str, tree: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid;
    let digest = bundle_tree(app, &view, tenant, tree)?.ok_or_else(ApiError::not_found)?;
    let blob = app.press.recall.blob(&app.press.store, &view, tenant, digest)?;
    answer_tree(digest, blob.ok_or_else(ApiError::not_found)?, headers)
}

fn answer_tree(
    digest: Digest,
    Blob { bytes, sha256 }: Blob,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (media, tag) = ("text/plain; charset=us-ascii", format!("\"{digest}\""));
    Representation { media, tag, sha256, bytes }.respond(headers)
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
    let pair = if let Some(pair) = recall(&app, &slug, from.as_deref(), &to, &headers) {
        pair
    } else {
        let (reader, asked) = (app.clone(), headers.clone());
        let find = move || find(&reader, &slug, from.as_deref(), &to, &asked);
        app.reads.run(find).await??
    };
    let frame = app.press.bundles.deltas.get(&app.press.store, &pair).await?;
    let tag = format!("\"sha256:{}\"", frame.sha256);
    let (media, sha256) = ("application/zstd", frame.sha256);
    Representation { media, tag, sha256, bytes: frame.bytes }.respond(&headers)
}

/// The pair that is asked for, when it is remembered that the tenant has both.
fn recall(
    app: &App,
    slug: &str,
    from: Option<&str>,
    to: &str,
    headers: &HeaderMap,
) -> Option<Pair> {
    let tenant = auth::remembered_tenant(app, headers, slug, Scope::Edge)?;
    let known = |text: &str| {
        let tree = text.parse().ok()?;
        app.press.recall.knows_tree(&app.press.store, tenant, tree).then_some(tree)
    };
    let from = match from {
        Some(from) => Some(known(from)?),
        None => None,
    };
    Some(Pair { tenant, from, to: known(to)? })
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
    let base = from.map(|from| bundle_tree(app, &view, tenant, from)).transpose()?;
    let to = bundle_tree(app, &view, tenant, to)?;
    let from = base.map(|base| base.ok_or_else(ApiError::not_found)).transpose()?;
    Ok(Pair { tenant, from, to: to.ok_or_else(ApiError::not_found)? })
}

/// The digest that `text` is, when it names a bundle's tree of the tenant.
pub(super) fn bundle_tree(
    app: &App,
    view: &View,
    tenant: TenantUid,
    text: &str,
) -> Result<Option<Digest>, ApiError> {
    let Ok(digest) = text.parse::<Digest>() else { return Ok(None) };
    let has = app.press.recall.has_tree(&app.press.store, view, tenant, digest)?;
    Ok(has.then_some(digest))
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
