//! Deliveries in every scheme, sent again by the same name until there is an answer.

use colophon::clock::{Clock as _, SystemClock};

use super::world::{Tenant, World};
use crate::support::Answer;
use crate::support::numbers::Numbers;
use crate::support::sign::{Headers, github, plain, stamped, standard};

/// Headers of a reader.
pub(super) type Bearer = Headers;

/// How a delivery is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Standard,
    Hook,
    Stamped,
    Plain,
    Github,
    Static,
    Token,
}

pub(super) const SCHEMES: [Scheme; 7] = [
    Scheme::Standard,
    Scheme::Hook,
    Scheme::Stamped,
    Scheme::Plain,
    Scheme::Github,
    Scheme::Static,
    Scheme::Token,
];

impl Scheme {
    /// Whether the time is signed, which then orders the delivery.
    pub(super) fn is_timed(self) -> bool {
        matches!(self, Self::Standard | Self::Hook | Self::Stamped)
    }

    /// Whether the scheme has an id of its own. The others may have an `Idempotency-Key`.
    fn has_id(self) -> bool {
        matches!(self, Self::Standard | Self::Hook | Self::Github)
    }
}

/// How a delivery is named.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    pub(super) scheme: Scheme,
    /// `None`: nothing but its content tells it from others.
    pub(super) id: Option<String>,
}

/// An answer, and what is known of the way to it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) answer: Answer,
    /// Attempts before it of which nothing is known.
    pub(super) lost: u32,
    /// When the last attempt was signed, in milliseconds as far as the scheme counts.
    pub(super) signed: u64,
}

/// Milliseconds of the clock that the server goes by too.
pub(super) fn now() -> u64 {
    SystemClock.now().get()
}

impl Delivered {
    /// A new delivery in any scheme.
    pub(super) fn any(world: &World, numbers: &mut Numbers) -> Self {
        let scheme = *numbers.pick(&SCHEMES).unwrap();
        let is_named = scheme.has_id() || numbers.below(3) > 0;
        Self { scheme, id: is_named.then(|| world.fresh_id()) }
    }

    /// One that has an id.
    pub(super) fn named(world: &World, numbers: &mut Numbers) -> Self {
        Self { scheme: *numbers.pick(&SCHEMES).unwrap(), id: Some(world.fresh_id()) }
    }

    /// Path and headers, signed at `now` with what the tenant holds.
    fn headers(&self, tenant: &Tenant, now: u64, body: &[u8]) -> (String, Headers) {
        let held = tenant.held.read().unwrap().clone();
        let id = self.id.as_deref().unwrap_or("none");
        let mut headers = match self.scheme {
            Scheme::Standard | Scheme::Hook => standard(&held.secret, id, now / 1000, body),
            Scheme::Stamped => stamped(&held.secret, now, body),
            Scheme::Plain => plain(&held.secret, body),
            Scheme::Github => github(&held.secret, id, body),
            Scheme::Static => vec![("x-api-key", held.static_key)],
            Scheme::Token => vec![("authorization", format!("Bearer {}", held.token("api").text))],
        };
        if let (Some(id), false) = (&self.id, self.scheme.has_id()) {
            headers.push(("idempotency-key", id.clone()));
        }
        if self.scheme == Scheme::Hook {
            return (format!("/v1/hooks/{}", tenant.hook), headers);
        }
        headers.push(("x-tenant-slug", tenant.slug.clone()));
        ("/build".to_owned(), headers)
    }

    fn signed(&self, now: u64) -> u64 {
        match self.scheme {
            Scheme::Standard | Scheme::Hook => now / 1000 * 1000,
            _ => now,
        }
    }

    /// One attempt, with `more` headers.
    pub(super) fn attempt(
        &self,
        world: &World,
        tenant: &Tenant,
        (more, query): (&Headers, &str),
        body: &[u8],
    ) -> Option<Answer> {
        let (path, mut headers) = self.headers(tenant, now(), body);
        headers.extend(more.iter().cloned());
        world.site.ask(("POST", &format!("{path}{query}")), &headers, body)
    }

    /// Attempts until there is an answer: the same id each time, signed anew as senders do.
    pub(super) fn send(&self, world: &World, tenant: &Tenant, body: &[u8]) -> Option<Told> {
        let (mut lost, mut signed) = (0, 0);
        let answer = world.site.insist(&mut lost, || {
            let now = now();
            signed = self.signed(now);
            let (path, headers) = self.headers(tenant, now, body);
            world.site.ask(("POST", &path), &headers, body)
        })?;
        Some(Told { answer, lost, signed })
    }
}
