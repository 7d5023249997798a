//! `GET /v1/t/{slug}/blob/{digest}`: a blob of the tenant by its address.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use colophon_model::Digest;
use serde::Deserialize;

use super::path::Segments;
use super::representation::Representation;
use super::{ApiError, auth, transfer};
use crate::app::{App, SharedApp};
use crate::bundles::FilesError;
use crate::recall::Blob;
use crate::tokens::Scope;

/// The query of a blob.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    /// The tree of a bundle that the blob is a file of.
    tree: Option<String>,
}

/// What is asked for.
struct Asked {
    slug: String,
    digest: String,
    tree: Option<String>,
    headers: HeaderMap,
}

/// The bytes of a blob that a build of the tenant refers to, checked before the first one leaves.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, digest)): Segments<(String, String)>,
    Query(Part { tree }): Query<Part>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked { slug, digest, tree, headers };
    if let Some((digest, blob)) = asked.recall(&app) {
        return asked.answer(digest, blob);
    }
    let reader = app.clone();
    app.reads.run(move || asked.load(&reader)).await?
}

impl Asked {
    /// Agents may read files of bundles only, so they name the bundle: that is cheaper to check than to
    /// keep a row for each file of each bundle.
    const fn scope(&self) -> Scope {
        if self.tree.is_some() { Scope::Edge } else { Scope::Read }
    }

    /// The blob, when it is remembered that the tenant may read it. Whatever is not goes the long way,
    /// also what is another tenant's.
    fn recall(&self, app: &App) -> Option<(Digest, Blob)> {
        let (recall, store) = (&app.press.recall, &app.press.store);
        let tenant = auth::remembered_tenant(app, &self.headers, &self.slug, self.scope())?;
        let digest: Digest = self.digest.parse().ok()?;
        if let Some(tree) = &self.tree {
            let tree = tree.parse().ok()?;
            let holds = recall.knows_tree(store, tenant, tree)
                && app.press.bundles.known_to_hold(tenant, tree, &digest);
            holds.then_some(())?;
        }
        Some((digest, recall.known_blob(store, tenant, digest)?))
    }

    fn load(&self, app: &App) -> Result<Response, ApiError> {
        let (store, view) = (&app.press.store, app.press.store.view()?);
        let tenant = auth::path_tenant(app, &view, &self.headers, &self.slug, self.scope())?.uid;
        let digest: Digest = self.digest.parse().map_err(|_| ApiError::not_found())?;
        if let Some(tree) = &self.tree {
            let tree = transfer::bundle_tree(app, &view, tenant, tree)?;
            let tree = tree.ok_or_else(ApiError::not_found)?;
            if !app.press.bundles.holds(&view, tenant, tree, &digest)? {
                return Err(ApiError::not_found());
            }
        }
        let blob = app.press.recall.blob(store, &view, tenant, digest)?;
        self.answer(digest, blob.ok_or_else(ApiError::not_found)?)
    }

    fn answer(&self, digest: Digest, Blob { bytes, sha256 }: Blob) -> Result<Response, ApiError> {
        let (media, tag) = ("application/octet-stream", format!("\"{digest}\""));
        Representation { media, tag, sha256, bytes }.respond(&self.headers)
    }
}

impl From<FilesError> for ApiError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Store(cause) => cause.into(),
            FilesError::Missing(_) => Self::not_found(),
            FilesError::Tree(_) => Self::internal(&error),
        }
    }
}
