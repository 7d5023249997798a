//! A file that never changes, whole or in part: entity tag, checksum, ranges.

use axum::body::{Body, Bytes};
use axum::http::response::Builder;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use colophon_model::Sha256;
use data_encoding::BASE64;

use super::{ApiError, etag};

/// Bytes that are named by a digest, as they are sent.
pub(super) struct Representation {
    /// Media type.
    pub(super) media: &'static str,
    /// Strong entity tag, in quotes.
    pub(super) tag: String,
    /// Checksum of the bytes.
    pub(super) sha256: Sha256,
    /// The bytes.
    pub(super) bytes: Bytes,
}

impl Representation {
    /// RFC 9110 §13 and §14: one range is served, several are answered with the whole; `If-Range`
    /// compares strong tags. The checksum of the whole goes along (RFC 9530 §3).
    pub(super) fn respond(self, headers: &HeaderMap) -> Result<Response, ApiError> {
        let base = self.described();
        if etag::is_known(headers, &self.tag) {
            return finish(base.status(StatusCode::NOT_MODIFIED), Bytes::new());
        }
        let total = self.bytes.len();
        match self.range(headers).map_or(Range::Whole, |text| Range::parse(text, total)) {
            Range::Whole => finish(base, self.bytes),
            Range::Part(from, to) => {
                let range = format!("bytes {from}-{}/{total}", to - 1);
                let part = base.status(StatusCode::PARTIAL_CONTENT);
                finish(part.header(header::CONTENT_RANGE, range), self.bytes.slice(from..to))
            }
            Range::Outside => {
                let none = base.status(StatusCode::RANGE_NOT_SATISFIABLE);
                let range = format!("bytes */{total}");
                finish(none.header(header::CONTENT_RANGE, range), Bytes::new())
            }
        }
    }

    fn described(&self) -> Builder {
        Response::builder()
            .header(header::CONTENT_TYPE, self.media)
            .header(header::ETAG, &self.tag)
            .header("repr-digest", format!("sha-256=:{}:", BASE64.encode(self.sha256.as_bytes())))
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::CACHE_CONTROL, "private, max-age=31536000, immutable")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
    }

    /// The range that is asked for, unless `If-Range` names another version.
    fn range<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let other = |value: &HeaderValue| value.as_bytes() != self.tag.as_bytes();
        if headers.get(header::IF_RANGE).is_some_and(other) {
            return None;
        }
        headers.get(header::RANGE)?.to_str().ok()
    }
}

fn finish(builder: Builder, bytes: Bytes) -> Result<Response, ApiError> {
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
