//! `GET /v1/t/{slug}/blob/{digest}`: a blob of the tenant by its address.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use colophon_model::{Digest, Sha256};
use serde::Deserialize;

use super::path::Segments;
use super::representation::Representation;
use super::{ApiError, auth, transfer};
use crate::app::{App, SharedApp};
use crate::bundles::FilesError;
use crate::tokens::Scope;

/// The query of a blob.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    /// The tree of a bundle that the blob is a file of.
    tree: Option<String>,
}

/// The bytes of a blob that a build of the tenant refers to, checked before the first one leaves.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, digest)): Segments<(String, String)>,
    Query(part): Query<Part>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    app.reads.run(move || load(&reader, &slug, &digest, part.tree.as_deref(), &headers)).await?
}

/// Agents may read files of bundles only, so they name the bundle: that is cheaper to check than to
/// keep a row for each file of each bundle.
fn load(
    app: &App,
    slug: &str,
    digest: &str,
    tree: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let scope = if tree.is_some() { Scope::Edge } else { Scope::Read };
    let tenant = auth::path_tenant(app, &view, headers, slug, scope)?.uid;
    let digest: Digest = digest.parse().map_err(|_| ApiError::not_found())?;
    if let Some(tree) = tree {
        let tree = transfer::bundle_tree(&view, tenant, tree)?.ok_or_else(ApiError::not_found)?;
        if !app.press.bundles.holds(&view, tenant, tree, &digest)? {
            return Err(ApiError::not_found());
        }
    }
    let bytes = view.read_blob(tenant, &digest)?.ok_or_else(ApiError::not_found)?;
    let (sha256, tag) = (Sha256::of(&bytes), format!("\"{digest}\""));
    let media = "application/octet-stream";
    Representation { media, tag, sha256, bytes: bytes.into() }.respond(headers)
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
