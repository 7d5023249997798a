//! `GET /v1/schema/flow.json`: what a Builder flow may be.

use std::sync::LazyLock;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_compiler::FLOW_SCHEMA;
use colophon_model::Digest;

use super::etag::is_known;

static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{}\"", Digest::of(FLOW_SCHEMA.as_bytes())));

/// The JSON Schema of FlowSchema 1.0. It says nothing of any tenant, so it asks for no credential.
pub(super) async fn flow(headers: HeaderMap) -> Response {
    let described = [(header::ETAG, TAG.as_str()), (header::CACHE_CONTROL, "public, max-age=3600")];
    if is_known(&headers, &TAG) {
        return (StatusCode::NOT_MODIFIED, described).into_response();
    }
    (described, [(header::CONTENT_TYPE, "application/schema+json")], FLOW_SCHEMA).into_response()
}
