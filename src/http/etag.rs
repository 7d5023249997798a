//! `If-None-Match`: whether the client already has what it asks for. `If-Match`: which version it wants changed.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::expected::Expected;

/// Whether `tag`, a strong entity tag in quotes, is among those of the request (RFC 9110 §13.1.2).
/// Weak tags compare as strong ones.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let mut known = lists.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// What `If-Match` asks for (RFC 9110 §13.1.1), by the versions within its strong tags. A weak tag is never
/// the version of anything.
pub(super) fn expected(headers: &HeaderMap) -> Expected {
    if !headers.contains_key(header::IF_MATCH) {
        return Expected::Anything;
    }
    let lists = headers.get_all(header::IF_MATCH).iter().filter_map(|v| v.to_str().ok());
    let tags: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    if tags.contains(&"*") {
        return Expected::Something;
    }
    let version = |tag: &&str| Some(tag.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    Expected::OneOf(tags.iter().filter_map(version).collect())
}

/// An answer with the version that its body has.
pub(super) fn tagged(version: &str, body: impl IntoResponse) -> Response {
    ([(header::ETAG, format!("\"{version}\""))], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Expected {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        expected(&headers)
    }

    /// A condition that cannot be read must not pass for none.
    #[test]
    fn conditions_follow_rfc_9110() {
        assert_eq!(of(&[]), Expected::Anything);
        assert_eq!(of(&["*"]), Expected::Something);
        assert_eq!(
            of(&["\"a\", \"b\"", "\"c\""]),
            Expected::OneOf(vec!["a".into(), "b".into(), "c".into()])
        );
        for none in ["W/\"a\"", "a", "", "\"a"] {
            assert_eq!(of(&[none]), Expected::OneOf(Vec::new()), "{none}");
            assert!(!of(&[none]).is_met(Some("a")));
        }
    }
}
