//! `If-None-Match`: whether the client already has what it asks for.

use axum::http::{HeaderMap, header};

/// Whether `tag`, a strong entity tag in quotes, is among those of the request (RFC 9110 §13.1.2).
/// Weak tags compare as strong ones.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let mut known = lists.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
