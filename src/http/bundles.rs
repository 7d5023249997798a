//! `GET /v1/t/{slug}/targets/{sha256}.{name}`: a bundle by hash, whole or in part. `HEAD` and an answer
//! without a body make no zip.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use colophon_model::{Sha256, TenantUid};
use colophon_store::View;
use colophon_store::rows::{BundleAlias, TenantRow};
use data_encoding::BASE64;

use super::edge_url::{self, Grant};
use super::path::Segments;
use super::{ApiError, auth, etag, evidence};
use crate::app::{App, SharedApp};
use crate::tokens::Scope;

/// A bundle to whoever has a token of the tenant or a signed URL for it.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, name)): Segments<(String, String)>,
    grant: Result<Query<Grant>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let beside = (app.clone(), slug.clone(), name.clone(), headers.clone());
    let beside = move || evidence::beside(&beside.0, &beside.1, &beside.2, &beside.3);
    if let Some(answer) = app.reads.run(beside).await? {
        return answer;
    }
    let reader = app.clone();
    let grant = grant.ok().map(|Query(grant)| grant);
    let asked = Asked::read(&method, &headers);
    let find =
        move || find(&reader, &slug, &name, grant.as_ref().map(|grant| (grant, &method)), &headers);
    let (uid, sha256, alias) = app.reads.run(find).await??;
    let total = usize::try_from(alias.length).map_err(|e| ApiError::internal(&e))?;
    let answer = asked.answer(&sha256, total);
    let zip = match answer.part {
        Some(_) => app.press.zips.get(&app.press, uid, (sha256, alias)).await?,
        None => Bytes::new(),
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
    let uid = tenant.map_or(auth::NOBODY, |t| t.uid);
    let key = app.press.keys.url_key();
    if edge_url::allows(&key, grant, method, uid, sha256, app.press.clock.now()) {
        Ok(uid)
    } else {
        Err(ApiError::forbidden("the download URL is not valid, or no longer")
            .hint("ask for the build again to get a fresh one"))
    }
}

/// What of a bundle a request wants, by its method and headers.
struct Asked {
    head: bool,
    headers: HeaderMap,
}

/// What an answer says before a byte of the bundle is needed.
struct Answer {
    builder: axum::http::response::Builder,
    /// The bytes that follow: the first, and the one after the last.
    part: Option<(usize, usize)>,
}

impl Asked {
    fn read(method: &Method, headers: &HeaderMap) -> Self {
        Self { head: *method == Method::HEAD, headers: headers.clone() }
    }

    /// RFC 9110 §13 and §14: one range is served, several are answered with the whole; `If-Range`
    /// compares strong tags. The checksum of the whole goes along (RFC 9530 §3).
    fn answer(&self, sha256: &Sha256, total: usize) -> Answer {
        let tag = format!("\"sha256:{sha256}\"");
        let base = Response::builder()
            .header(header::CONTENT_TYPE, "application/zip")
            .header(header::ETAG, &tag)
            .header("repr-digest", format!("sha-256=:{}:", BASE64.encode(sha256.as_bytes())))
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::CACHE_CONTROL, "private, max-age=31536000, immutable");
        if etag::is_known(&self.headers, &tag) {
            return Answer { builder: base.status(StatusCode::NOT_MODIFIED), part: None };
        }
        if self.head {
            let builder = base.header(header::CONTENT_LENGTH, total);
            return Answer { builder, part: None };
        }
        match self.range(&tag).map_or(Range::Whole, |text| Range::parse(text, total)) {
            Range::Whole => Answer { builder: base, part: Some((0, total)) },
            Range::Part(from, to) => {
                let range = format!("bytes {from}-{}/{total}", to - 1);
                let part = base.status(StatusCode::PARTIAL_CONTENT);
                let builder = part.header(header::CONTENT_RANGE, range);
                Answer { builder, part: Some((from, to)) }
            }
            Range::Outside => {
                let none = base.status(StatusCode::RANGE_NOT_SATISFIABLE);
                let builder = none.header(header::CONTENT_RANGE, format!("bytes */{total}"));
                Answer { builder, part: None }
            }
        }
    }

    /// The range that is asked for, unless `If-Range` names another version.
    fn range(&self, tag: &str) -> Option<&str> {
        let other = |value: &HeaderValue| value.as_bytes() != tag.as_bytes();
        if self.headers.get(header::IF_RANGE).is_some_and(other) {
            return None;
        }
        self.headers.get(header::RANGE)?.to_str().ok()
    }
}

impl Answer {
    fn respond(self, zip: &Bytes) -> Result<Response, ApiError> {
        let bytes = self.part.map_or_else(Bytes::new, |(from, to)| zip.slice(from..to));
        self.builder.body(Body::from(bytes)).map_err(|e| ApiError::internal(&e))
    }
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
