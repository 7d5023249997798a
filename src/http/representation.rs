//! A file that never changes, whole or in part: entity tag, checksum, ranges.

use axum::body::{Body, Bytes};
use axum::http::response::Builder;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use colophon_model::Sha256;
use data_encoding::BASE64;

use super::{ApiError, etag};

/// What is known of bytes before one of them is needed.
pub(super) struct Described {
    /// Media type.
    pub(super) media: &'static str,
    /// Strong entity tag, in quotes.
    pub(super) tag: String,
    /// Checksum of all bytes.
    pub(super) sha256: Sha256,
    /// How many there are.
    pub(super) total: usize,
}

/// What a request wants, by its method and headers.
pub(super) struct Asked<'a> {
    head: bool,
    headers: &'a HeaderMap,
}

/// An answer but for its bytes.
pub(super) struct Answer {
    builder: Builder,
    /// The bytes that follow: the first, and the one after the last.
    part: Option<(usize, usize)>,
}

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
    /// The answer to a request with `headers`, as [`Described::answer`] has it.
    pub(super) fn respond(self, headers: &HeaderMap) -> Result<Response, ApiError> {
        let Self { media, tag, sha256, bytes } = self;
        let described = Described { media, tag, sha256, total: bytes.len() };
        described.answer(&Asked::read(&Method::GET, headers)).respond(&bytes)
    }
}

impl<'a> Asked<'a> {
    pub(super) fn read(method: &Method, headers: &'a HeaderMap) -> Self {
        Self { head: *method == Method::HEAD, headers }
    }

    /// The range that is asked for, unless `If-Range` names another version.
    fn range(&self, tag: &str) -> Option<&'a str> {
        let other = |value: &HeaderValue| value.as_bytes() != tag.as_bytes();
        if self.headers.get(header::IF_RANGE).is_some_and(other) {
            return None;
        }
        self.headers.get(header::RANGE)?.to_str().ok()
    }
}

impl Described {
    /// RFC 9110 §13 and §14: one range is served, several are answered with the whole; `If-Range`
    /// compares strong tags. The checksum of the whole goes along (RFC 9530 §3).
    pub(super) fn answer(&self, asked: &Asked<'_>) -> Answer {
        let (base, total) = (self.headers(), self.total);
        if etag::is_known(asked.headers, &self.tag) {
            return Answer { builder: base.status(StatusCode::NOT_MODIFIED), part: None };
        }
        if asked.head {
            return Answer { builder: base.header(header::CONTENT_LENGTH, total), part: None };
        }
        match asked.range(&self.tag).map_or(Range::Whole, |text| Range::parse(text, total)) {
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

    fn headers(&self) -> Builder {
        Response::builder()
            .header(header::CONTENT_TYPE, self.media)
            .header(header::ETAG, &self.tag)
            .header("repr-digest", format!("sha-256=:{}:", BASE64.encode(self.sha256.as_bytes())))
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::CACHE_CONTROL, "private, max-age=31536000, immutable")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
    }
}

impl Answer {
    /// Whether any byte is sent.
    pub(super) const fn needs_bytes(&self) -> bool {
        self.part.is_some()
    }

    /// The answer with its part of `bytes`, which are all or, when none is needed, may be none.
    pub(super) fn respond(self, bytes: &Bytes) -> Result<Response, ApiError> {
        let part = self.part.map_or_else(Bytes::new, |(from, to)| bytes.slice(from..to));
        self.builder.body(Body::from(part)).map_err(|e| ApiError::internal(&e))
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
