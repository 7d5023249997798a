//! In whose share of the server a request is worked on, as far as that can be told without reading the
//! store or the body.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Uri, header};

use super::auth;
use crate::app::App;
use crate::fair::{Party, Share};
use crate::tokens::Token;

/// A token that is known makes it the tenant's, or the operator's. Anything else is a stranger's from
/// `address`: what is only claimed takes nothing of another's share.
pub(super) fn party(app: &App, request: &Request, address: Option<IpAddr>) -> Party {
    let headers = request.headers();
    let token = auth::credential(headers).or_else(|| key(headers));
    let share = token.as_ref().and_then(|token| share(app, token));
    share.map_or_else(|| Party::stranger(address, claim(headers, request.uri())), Party::of)
}

fn share(app: &App, token: &Token) -> Option<Share> {
    if token.kind().is_none() {
        return auth::is_operators(app, token).then_some(Share::Operator);
    }
    let (press, now) = (&app.press, app.press.clock.now());
    let grant = press.recall.known_grant(&press.store, &token.digest())?;
    grant.holds(now).then(|| Share::Tenant(grant.uid()))
}

/// A token where senders have static keys.
fn key(headers: &HeaderMap) -> Option<Token> {
    headers.get("x-api-key")?.to_str().ok()?.parse().ok()
}

/// What tells the deliveries of one claimed tenant from another's, and readers with one token from those
/// with another. It only has to be the same for the same.
fn claim(headers: &HeaderMap, uri: &Uri) -> u64 {
    let mut hasher = DefaultHasher::new();
    let tenant = headers.get("x-tenant-slug").or_else(|| headers.get("x-tenant"));
    match tenant.or_else(|| headers.get(header::AUTHORIZATION)) {
        Some(claim) => claim.as_bytes().hash(&mut hasher),
        None => uri.path().strip_prefix("/v1/hooks/").hash(&mut hasher),
    }
    hasher.finish()
}
