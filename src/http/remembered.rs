//! Deliveries whose sender is remembered, and of those the ones that are remembered to change nothing: they are
//! answered on the thread at hand, without a look at the store.

use std::net::IpAddr;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use colophon_model::{Digest, TenantSlug, TenantUid};
use colophon_store::rows::TenantRow;

use super::delivering::{self, About, Told};
use super::sender::{self, Sender};
use crate::app::App;
use crate::intake::Proof;
use crate::pipeline::Delivery;

/// Largest body that is hashed on a thread that may not block, in bytes: a quarter of a millisecond.
const MOST: usize = 256 * 1024;

/// What is remembered of a delivery.
pub(super) enum Known {
    /// It changes nothing.
    Noop(Box<(TenantRow, Told)>),
    /// Who it is from, which was proven.
    Sent(Box<(Delivery, About)>),
    /// Nothing. Whether anybody knows is for the store to say.
    Nothing,
}

impl Known {
    /// Whose it is, which was proven.
    pub(super) fn tenant(&self) -> Option<TenantUid> {
        match self {
            Self::Noop(noop) => Some(noop.0.uid),
            Self::Sent(sent) => Some(sent.0.tenant.uid),
            Self::Nothing => None,
        }
    }
}

/// Looks at a delivery that names `slug`. It refuses nobody: a proof that does not hold is looked at again by
/// [`sender::sender`], and a tenant that is not remembered, or does not exist, costs the same work here.
pub(super) fn look(
    app: &App,
    (headers, from): (&HeaderMap, Option<IpAddr>),
    slug: &TenantSlug,
    body: &Bytes,
    start: Instant,
) -> Known {
    let by_token = headers.contains_key(header::AUTHORIZATION) || sender::holds_token(headers);
    if by_token || body.len() > MOST {
        return Known::Nothing;
    }
    let proof = Proof::read(headers, None);
    let Some(sender) = sender::remembered(app, slug, &proof, headers, body) else {
        return Known::Nothing;
    };
    let (about, received) = (sender.about(from), app.press.clock.now());
    let Sender { tenant, origin, tag, .. } = sender;
    let (recall, store, uid) = (&app.press.recall, &app.press.store, tenant.uid);
    let era = store.era();
    // A tag over the body alone names it, and need not be told apart by another hash.
    let signed = tag.and_then(|tag| recall.signed(uid, tag));
    let digest = signed.unwrap_or_else(|| Digest::of(body));
    let delivery = Delivery::named(tenant, body.clone(), digest, received).with(origin);
    let at = (start, app.config.gates.status);
    let Some(told) = delivering::remembered(&app.press, &delivery, about.clone(), at) else {
        return Known::Sent(Box::new((delivery, about)));
    };
    if let (None, Some(tag)) = (signed, tag) {
        recall.keep_signed((store, era), uid, tag, digest);
    }
    Known::Noop(Box::new((delivery.tenant, told)))
}
