//! `GET /v1/t/{slug}/edge/sync`: all that an agent would ask for next.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::Sha256;
use colophon_store::rows::TenantRow;
use colophon_trust::sync::MAX_TREES;
use serde::Deserialize;

use super::path::Segments;
use super::{ApiError, auth, chain};
use crate::app::{App, SharedApp};
use crate::syncs::{self, Held, SyncError, Wanted, With};
use crate::tokens::Scope;

/// What the agent holds; whatever it leaves out it does not have.
#[derive(Debug, Deserialize)]
pub(super) struct HeldQuery {
    root: Option<u64>,
    timestamp: Option<u64>,
    snapshot: Option<u64>,
    targets: Option<Sha256>,
    /// Beginnings of trees, with commas between them.
    #[serde(default)]
    trees: String,
    /// What it wants beside bundles, with commas between the words.
    #[serde(default)]
    with: String,
}

impl HeldQuery {
    fn held(self) -> Result<Held, ApiError> {
        let mut trees = Vec::new();
        for text in self.trees.split(',').filter(|text| !text.is_empty()) {
            if trees.len() == MAX_TREES {
                return Err(invalid(format!("at most {MAX_TREES} trees can be named")));
            }
            trees.push(text.parse().map_err(|error| invalid(chain(&error)))?);
        }
        // The same trees are the same question.
        trees.sort();
        let with = With::parse(&self.with);
        let Self { root, timestamp, snapshot, targets, .. } = self;
        Ok(Held { root, timestamp, snapshot, targets, trees, with })
    }
}

fn invalid(text: String) -> ApiError {
    ApiError::bad_request("invalid-query", text)
}

/// Whether bundles may lie in a bucket too, so that an agent need not ask where there is none: a boolean of RFC 9651 §3.3.6.
const BUCKET: HeaderName = HeaderName::from_static("colophon-bucket");

/// 204 when the agent holds the newest, else a frame. Never kept on the way: the timestamp is in it.
pub(super) async fn sync(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    query: Result<Query<HeldQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    let look = move || look(&reader, &slug, query, &headers);
    let (tenant, bare, wanted) = app.reads.run(look).await??;
    let kept = [(header::CACHE_CONTROL, "no-store")];
    let bucket = [(BUCKET, if app.press.artifacts.has_urls() { "?1" } else { "?0" })];
    let Some(wanted) = wanted else {
        let none = (StatusCode::NO_CONTENT, kept).into_response();
        // A poll is as short as can be: who has bundles has nothing to install then.
        return Ok(if bare { (bucket, none).into_response() } else { none });
    };
    let bundles = &app.press.bundles;
    let from = (&app.press.store, &bundles.deltas);
    let frame: Bytes = bundles.syncs.get(from, &tenant, &wanted).await?;
    Ok((kept, [(header::CONTENT_TYPE, "application/zstd")], bucket, frame).into_response())
}

/// Whose agent asks, whether it has no bundle, and what it is to be sent. The token first: who may not ask is not told
/// what is wrong with the question.
fn look(
    app: &App,
    slug: &str,
    query: Result<Query<HeldQuery>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<(TenantRow, bool, Option<Wanted>), ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?;
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let held = query.held()?;
    let bare = held.trees.is_empty();
    let wanted = syncs::wanted(&view, &tenant, held)?;
    Ok((tenant, bare, wanted))
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Task(cause) => cause.into(),
            SyncError::Store(cause) => cause.into(),
            SyncError::Missing => Self::not_found(),
            SyncError::Encode(_) => Self::internal(&error),
        }
    }
}
