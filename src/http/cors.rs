//! Pages of other origins that may read the API in a browser: none, unless `server.cors_origins` names them.
//!
//! To browsers a POST needs no permission of its own once its headers are allowed (Fetch §3.3), so a
//! preflight is answered for reads alone: nothing of a page changes anything here.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::SharedApp;

/// What a page may send with a read.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, if-none-match, last-event-id, range, if-range, traceparent",
);
/// What a page may see of an answer, besides what it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "etag, retry-after, ratelimit, ratelimit-policy, repr-digest, content-range, location",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Answers preflights and marks answers, for reads below `/v1` by the pages that are listed.
pub(super) async fn cors(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let origins = &app.config.server.cors_origins;
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| origins.iter().any(|listed| origin == listed.as_str()));
    let (asked, is_preflight) = read(request.method(), request.headers());
    if is_preflight && origin.is_some() && asked {
        return marked(preflight(), origin);
    }
    let answer = next.run(request).await;
    marked(answer, origin.filter(|_| asked))
}

/// Whether a read is asked for or about, and whether it is only asked about.
fn read(method: &Method, headers: &HeaderMap) -> (bool, bool) {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    match wanted.filter(|_| method == Method::OPTIONS) {
        Some(wanted) => (wanted == "GET" || wanted == "HEAD", true),
        None => (method == Method::GET || method == Method::HEAD, false),
    }
}

fn preflight() -> Response {
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    answer
}

fn marked(mut answer: Response, origin: Option<HeaderValue>) -> Response {
    let headers = answer.headers_mut();
    // Caches must not give one page's answer to another.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    answer
}
