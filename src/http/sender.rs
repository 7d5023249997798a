//! Who a delivery is from: a token with the right to build, or a proof with one of the tenant's
//! webhook secrets.

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, header};
use colophon_model::TenantSlug;
use colophon_store::View;
use colophon_store::rows::{TenantRow, WebhookRow};

use super::delivering::About;
use super::{ApiError, auth};
use crate::app::App;
use crate::caller::{Caller, Who};
use crate::intake::{DeliveryId, Proof, Scheme, Tag, Verified, idempotency_key, secrets};
use crate::outbound;
use crate::pipeline::Origin;
use crate::recall::KnownSender;
use crate::telemetry::request::asked_by;

/// A delivery whose credential holds.
#[derive(Debug)]
pub(super) struct Sender {
    /// Whose.
    pub(super) tenant: TenantRow,
    /// How it was proven.
    pub(super) by: By,
    /// What the sender calls the delivery, if it says.
    pub(super) id: Option<DeliveryId>,
    /// What tells the delivery from others.
    pub(super) origin: Origin,
    /// The tag over the body alone, if that is how it was proven.
    pub(super) tag: Option<Tag>,
}

/// Ids that senders choose in `Idempotency-Key` are no ids of a scheme.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Sender {
    /// What is logged of it.
    pub(super) fn about(&self, from: Option<IpAddr>) -> About {
        let (by, secret) = match self.by {
            By::Token => ("token", None),
            By::Operator => ("operator", None),
            By::Url => ("url", None),
            By::Secret { scheme, generation } => (scheme.word(), Some(generation)),
        };
        let id = self.id.as_ref().map(|id| id.as_str().to_owned());
        About { by, secret, from, id, replay_of: None }
    }
}

/// By what a delivery was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A bearer token of the tenant.
    Token,
    /// The operator's token.
    Operator,
    /// The address of a hook, which nobody can guess.
    Url,
    /// One of the tenant's webhook secrets.
    Secret {
        /// How.
        scheme: Scheme,
        /// Which.
        generation: u32,
    },
}

/// The sender of a delivery to `/build`. A wrong proof and an unknown tenant are the same 401. A token
/// decides before any proof.
pub(super) fn sender(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Sender, ApiError> {
    let named = auth::tenant_header(headers)?;
    let view = app.press.store.view()?;
    if headers.contains_key(header::AUTHORIZATION) || holds_token(headers) {
        let (caller, tenant) = auth::delivering_caller(app, &view, &as_bearer(headers), &named)?;
        let id = key_of(headers)?;
        let claim = id.as_ref().map(|id| id.claim(IDEMPOTENCY_KEY));
        let repeats = secrets::row(&view, &tenant)?.repeats;
        let origin = Origin { claim, repeats, only: caller.target(), ..Origin::default() };
        let by = if caller.who == Who::Operator { By::Operator } else { By::Token };
        return Ok(Sender { tenant, by, id, origin, tag: None });
    }
    let tenant = view.get::<TenantRow>(&named)?;
    proven(app, &view, tenant, &Proof::read(headers, None), headers, body)
}

/// The sender of an event that nothing proves but the address that it came to.
pub(super) fn by_url(tenant: TenantRow) -> Result<Sender, ApiError> {
    auth::awake(&tenant)?;
    Ok(Sender { tenant, by: By::Url, id: None, origin: Origin::default(), tag: None })
}

/// The sender, if `proof` was made by `tenant`.
pub(super) fn proven(
    app: &App,
    view: &View,
    tenant: Option<TenantRow>,
    proof: &Proof,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Sender, ApiError> {
    let now = app.press.clock.now();
    let master = &app.press.keys;
    let row = tenant.as_ref().map(|tenant| secrets::row(view, tenant)).transpose()?;
    let keys = match (&tenant, &row) {
        (Some(tenant), Some(row)) => secrets::keys(row, master, tenant.uid, now),
        _ => vec![secrets::key(master, auth::NOBODY, 1)],
    };
    let verified = proof.verify(&keys, body, now, app.config.intake.tolerance.millis());
    let (Some(tenant), Some(verified)) = (tenant, verified) else { return Err(unproven()) };
    auth::awake(&tenant)?;
    if let Some(row) = &row {
        remember(app, view, &tenant, row);
    }
    let repeats = row.is_some_and(|row| row.repeats);
    sent(tenant, verified, repeats, headers)
}

/// Remembers who the deliveries of a tenant are from, unless somebody is to be told of those that change nothing.
fn remember(app: &App, view: &View, tenant: &TenantRow, row: &WebhookRow) {
    let (press, repeats) = (&app.press, row.repeats);
    if press.recall.known_sender(&press.store, &tenant.slug).is_some() {
        return;
    }
    if !matches!(outbound::hears_of_noops(view, tenant.uid), Ok(false)) {
        return;
    }
    if let Some(key) = secrets::lasting(row, &press.keys, tenant.uid) {
        let sender = KnownSender { tenant: tenant.clone(), key, repeats };
        press.recall.keep_sender(&press.store, view, sender);
    }
}

/// The sender of a delivery that names `slug`, when the tenant's newest secret is remembered and made `proof`.
/// It waits for nobody. `None` refuses nothing, and costs the same whatever is remembered.
pub(super) fn remembered(
    app: &App,
    slug: &TenantSlug,
    proof: &Proof,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Sender> {
    let press = &app.press;
    let known = press.recall.known_sender(&press.store, slug);
    let nobody = || press.recall.nobody(|| secrets::key(&press.keys, auth::NOBODY, 1));
    let key = std::slice::from_ref(known.as_ref().map_or_else(nobody, |known| &known.key));
    let tolerance = app.config.intake.tolerance.millis();
    let verified = proof.made_by_one(key, body, press.clock.now(), tolerance);
    let (known, verified) = (known?, verified?);
    auth::awake(&known.tenant).ok()?;
    sent(known.tenant.clone(), verified, known.repeats, headers).ok()
}

/// A delivery of `tenant` that was proven.
fn sent(
    tenant: TenantRow,
    verified: Verified,
    repeats: bool,
    headers: &HeaderMap,
) -> Result<Sender, ApiError> {
    let Verified { scheme, generation, id, time, tag } = verified;
    let (kind, id) = match id {
        Some(id) => (scheme.word(), Some(id)),
        None => (IDEMPOTENCY_KEY, key_of(headers)?),
    };
    let claim = id.as_ref().map(|id| id.claim(kind));
    let origin = Origin { claim, signed: time, repeats, ..Origin::default() };
    let caller = Caller::of(Who::Webhook { key: generation.to_string() }, tenant.uid);
    asked_by(&caller, Some(&tenant.slug));
    Ok(Sender { tenant, by: By::Secret { scheme, generation }, id, origin, tag })
}

/// 401, whatever is wrong. Signatures have no scheme of their own among challenges (RFC 9110 §11.6.1 wants one with every
/// 401), and a token would do as well.
fn unproven() -> ApiError {
    let text = "the delivery is not signed by the tenant it names";
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", text).challenge(auth::BEARER)
}

fn key_of(headers: &HeaderMap) -> Result<Option<DeliveryId>, ApiError> {
    idempotency_key(headers)
        .map_err(|error| ApiError::bad_request("invalid-delivery-id", error.to_string()))
}

/// Whether `X-Api-Key` holds a token, and not a static key. No scheme of more weight is there then.
pub(super) fn holds_token(headers: &HeaderMap) -> bool {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    key.is_some_and(|key| key.starts_with("clp_")) && Scheme::of(headers) == Some(Scheme::Static)
}

/// The headers with the token where tokens are looked for.
fn as_bearer(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    if let Some(key) = headers.get("x-api-key").and_then(|value| value.to_str().ok())
        && !headers.contains_key(header::AUTHORIZATION)
        && let Ok(value) = format!("Bearer {key}").parse()
    {
        headers.insert(header::AUTHORIZATION, value);
    }
    headers
}
