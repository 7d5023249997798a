//! `GET /v1/t/{slug}/targets/{sha256}.{name}`: a bundle by hash, whole or in part.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use colophon_model::{Sha256, TenantUid};
use colophon_store::View;
use colophon_store::rows::{BundleAlias, TenantRow};

use super::edge_url::{self, Grant};
use super::path::Segments;
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
    respond(&sha256, zip, headers)
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

/// RFC 9110 §14: one range is served, several are answered with the whole; `If-Range` compares
/// strong tags.
fn respond(sha256: &Sha256, zip: Vec<u8>, headers: &HeaderMap) -> Result<Response, ApiError> {
    let etag = format!("\"sha256:{sha256}\"");
    let same =
        |name| headers.get(name).is_some_and(|v: &HeaderValue| v.as_bytes() == etag.as_bytes());
    let base = Response::builder()
        .header(header::CONTENT_TYPE, "application/zip")
        .header(header::ETAG, &etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "private, max-age=31536000, immutable");
    if same(header::IF_NONE_MATCH) {
        return finish(base.status(StatusCode::NOT_MODIFIED), Vec::new());
    }
    let ranged = !headers.contains_key(header::IF_RANGE) || same(header::IF_RANGE);
    let asked = headers.get(header::RANGE).filter(|_| ranged).and_then(|v| v.to_str().ok());
    let total = zip.len();
    match asked.map_or(Range::Whole, |text| Range::parse(text, total)) {
        Range::Whole => finish(base, zip),
        Range::Part(from, to) => {
            let part = base
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{total}", to - 1));
            finish(part, zip[from..to].to_vec())
        }
        Range::Outside => {
            let none = base
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{total}"));
            finish(none, Vec::new())
        }
    }
}

fn finish(builder: axum::http::response::Builder, bytes: Vec<u8>) -> Result<Response, ApiError> {
    builder.body(Body::from(bytes)).map_err(|e| ApiError::internal(&e))
}

/// What a `Range` header asks of a representation.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// First byte, and the one after the last.
    Part(usize, usize),
    Outside,
}

impl Range {
    fn parse(text: &str, total: usize) -> Self {
        let Some((first, last)) = text.strip_prefix("bytes=").and_then(|r| r.split_once('-'))
        else {
            return Self::Whole;
        };
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(from), _) if from >= total => Self::Outside,
            (Ok(from), Ok(to)) if to >= from => Self::Part(from, to.saturating_add(1).min(total)),
            (Ok(from), Err(_)) if last.is_empty() => Self::Part(from, total),
            (Err(_), Ok(0)) if first.is_empty() => Self::Outside,
            (Err(_), Ok(count)) if first.is_empty() => {
                Self::Part(total.saturating_sub(count), total)
            }
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        for (text, expected) in [
            ("bytes=0-9", Range::Part(0, 10)),
            ("bytes=90-", Range::Part(90, 100)),
            ("bytes=90-500", Range::Part(90, 100)),
            ("bytes=-10", Range::Part(90, 100)),
            ("bytes=-500", Range::Part(0, 100)),
            ("bytes=100-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=9-1", Range::Whole),
            ("bytes=0-1,5-6", Range::Whole),
            ("items=0-1", Range::Whole),
            ("bytes=a-b", Range::Whole),
        ] {
            assert_eq!(Range::parse(text, 100), expected, "{text}");
        }
    }
}
