//! A tenant's webhook secrets: several are good at a time, so that a builder can be given a new one
//! without a delivery being refused.
//!
//! Every secret derives from the master key by its generation; the store holds generations and times.

use crate::audit::By;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_model::{TenantSlug, TenantUid, UnixMillis};
use colophon_store::audit;
use colophon_store::rows::{SlugOf, TenantRow, WebhookRow, WebhookSecret};
use colophon_store::{Change, CommitError, View};
use serde::{Deserialize, Serialize};

use super::{Key, MAX_KEYS};
use crate::keys::MasterKey;
use crate::pipeline::{ATTEMPTS, Press};
use crate::tenants::{self, TenantError};
use crate::units::Span;

/// Most secrets that are told of. Older ones that are good no more are forgotten.
const TOLD: usize = 16;
/// Longest time for which a replaced secret stays good.
pub const LONGEST_OVERLAP: Span = Span::days(90);

/// Why secrets were not changed.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such tenant, or the store refused.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// So many are good that a new one would be one too many.
    #[error("{MAX_KEYS} secrets are good already")]
    TooMany,
    /// The replaced secrets would stay good for too long.
    #[error("replaced secrets stay good for at most {LONGEST_OVERLAP}")]
    TooLong,
    /// The tenant has no such secret, or it is good no more.
    #[error("no secret of generation {0} is good")]
    Unknown(u32),
    /// Others changed the same at the same time.
    #[error("the secrets were changed by others at the same time")]
    Contended,
}

impl From<colophon_store::Error> for SecretError {
    fn from(error: colophon_store::Error) -> Self {
        Self::Tenant(error.into())
    }
}

/// How a tenant's deliveries are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookView {
    /// The tenant.
    #[schema(value_type = String)]
    pub slug: TenantSlug,
    /// Whether deliveries that nothing orders may repeat content that was replaced.
    pub repeats: bool,
    /// Its secrets, newest first.
    pub secrets: Vec<SecretView>,
}

/// What is told of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretView {
    /// Its number.
    pub generation: u32,
    /// Whether it is good.
    pub state: SecretState,
    /// When it was made.
    pub created: String,
    /// When it ends or ended; null while nothing replaces it.
    pub ends: Option<String>,
}

/// Whether a secret is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretState {
    /// It is, until it is replaced.
    Active,
    /// It is, until a time.
    Retiring,
    /// It was replaced.
    Retired,
    /// Somebody revoked it.
    Revoked,
}

/// A new secret, told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewSecret {
    /// Its number.
    pub generation: u32,
    /// The secret, for builders that sign.
    pub secret: String,
    /// The key, for builders that cannot.
    pub static_key: String,
    /// When the secrets before it end.
    pub others_end: String,
}

/// What is asked for with a new secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = RotateSecret)]
pub struct Rotate {
    /// How long the secrets that it replaces stay good.
    #[schema(value_type = String)]
    pub overlap: Span,
}

impl Default for Rotate {
    fn default() -> Self {
        Self { overlap: Span::days(1) }
    }
}

/// The keys in `row` that are good for deliveries of `tenant` at `now`, newest first, at most
/// [`MAX_KEYS`].
pub fn keys(row: &WebhookRow, master: &MasterKey, tenant: TenantUid, now: UnixMillis) -> Vec<Key> {
    let good = row.secrets.iter().rev().filter(|secret| is_good(secret, now)).take(MAX_KEYS);
    good.map(|secret| key(master, tenant, secret.generation)).collect()
}

/// The newest key in `row`, when it is good until somebody changes that.
pub(crate) fn lasting(row: &WebhookRow, master: &MasterKey, tenant: TenantUid) -> Option<Key> {
    let newest = row.secrets.last().filter(|secret| secret.ends.is_none())?;
    Some(key(master, tenant, newest.generation))
}

/// The key of one generation, whether it is good or not.
pub fn key(master: &MasterKey, tenant: TenantUid, generation: u32) -> Key {
    Key {
        generation,
        secret: master.webhook_secret(tenant, generation),
        static_key: master.webhook_static_key(tenant, generation),
    }
}

/// The tenant's row, or what holds without one.
pub(crate) fn row(view: &View, tenant: &TenantRow) -> Result<WebhookRow, colophon_store::Error> {
    let first =
        WebhookSecret { generation: 1, created: tenant.created, ends: None, revoked: false };
    let none = WebhookRow { next: 2, secrets: vec![first], repeats: false };
    Ok(view.get::<WebhookRow>(&tenant.uid)?.unwrap_or(none))
}

/// Whether a secret is good at `now`.
pub(crate) fn is_good(secret: &WebhookSecret, now: UnixMillis) -> bool {
    secret.ends.is_none_or(|ends| now < ends)
}

/// Says how deliveries of tenant `slug` are checked.
pub fn show(press: &Press, slug: &TenantSlug) -> Result<WebhookView, SecretError> {
    let view = press.store.view()?;
    let tenant = tenants::find(&view, slug)?;
    Ok(told(slug, &row(&view, &tenant)?, press.clock.now()))
}

/// Makes a new secret; those that are good end after the overlap, if not before.
pub fn rotate(press: &Press, slug: &TenantSlug, wanted: Rotate) -> Result<NewSecret, SecretError> {
    if wanted.overlap > LONGEST_OVERLAP {
        return Err(SecretError::TooLong);
    }
    let now = press.clock.now();
    let ends = now.plus(wanted.overlap.millis());
    let (tenant, row) = change(press, slug, |row| {
        let generation = renew((&mut row.next, &mut row.secrets), now, ends)?;
        Ok((Action::SecretRotate, Subject::new("secret", generation)))
    })?;
    let made = key(&press.keys, tenant.uid, row.next - 1);
    let Key { generation, secret, static_key } = made;
    Ok(NewSecret { generation, secret, static_key, others_end: ends.rfc3339_seconds() })
}

/// Ends a secret at once.
pub fn revoke(
    press: &Press,
    slug: &TenantSlug,
    generation: u32,
) -> Result<WebhookView, SecretError> {
    let now = press.clock.now();
    let (_, row) = change(press, slug, |row| {
        end(&mut row.secrets, generation, now)?;
        Ok((Action::SecretRevoke, Subject::new("secret", generation)))
    })?;
    Ok(told(slug, &row, now))
}

/// Sets whether deliveries that nothing orders may repeat content that was replaced.
pub fn set_repeats(
    press: &Press,
    slug: &TenantSlug,
    repeats: bool,
) -> Result<WebhookView, SecretError> {
    let (_, row) = change(press, slug, |row| {
        row.repeats = repeats;
        Ok((Action::TenantChange, Subject::new("tenant", slug)))
    })?;
    Ok(told(slug, &row, press.clock.now()))
}

/// Adds a generation to `secrets`, of which `next` is the number; those that are good end at `end`, if not
/// before. Returns its number.
pub(crate) fn renew(
    (next, secrets): (&mut u32, &mut Vec<WebhookSecret>),
    now: UnixMillis,
    end: UnixMillis,
) -> Result<u32, SecretError> {
    for secret in secrets.iter_mut().filter(|secret| is_good(secret, now)) {
        secret.ends = Some(secret.ends.map_or(end, |ends| ends.min(end)));
    }
    if secrets.iter().filter(|secret| is_good(secret, now)).count() >= MAX_KEYS {
        return Err(SecretError::TooMany);
    }
    let generation = *next;
    secrets.push(WebhookSecret { generation, created: now, ends: None, revoked: false });
    *next += 1;
    forget(secrets, now);
    Ok(generation)
}

/// Ends a generation at once.
pub(crate) fn end(
    secrets: &mut [WebhookSecret],
    generation: u32,
    now: UnixMillis,
) -> Result<(), SecretError> {
    let meant = |s: &&mut WebhookSecret| s.generation == generation && is_good(s, now);
    let secret = secrets.iter_mut().find(meant).ok_or(SecretError::Unknown(generation))?;
    secret.ends = Some(now);
    secret.revoked = true;
    Ok(())
}

/// Drops the oldest secrets that are good no more.
fn forget(secrets: &mut Vec<WebhookSecret>, now: UnixMillis) {
    let mut excess = secrets.len().saturating_sub(TOLD);
    secrets.retain(|secret| {
        let goes = excess > 0 && !is_good(secret, now);
        excess -= usize::from(goes);
        !goes
    });
}

fn change(
    press: &Press,
    slug: &TenantSlug,
    with: impl Fn(&mut WebhookRow) -> Result<(Action, Subject), SecretError>,
) -> Result<(TenantRow, WebhookRow), SecretError> {
    for _ in 0..ATTEMPTS {
        let view = press.store.view()?;
        let tenant = tenants::find(&view, slug)?;
        let before = view.get::<WebhookRow>(&tenant.uid)?;
        let mut after = row(&view, &tenant)?;
        let (action, subject) = with(&mut after)?;
        let mut change = Change::new();
        // The tenant may be erased meanwhile, and then has no row.
        change.expect(&tenant.uid, Some(&SlugOf { slug: slug.clone() }));
        change.expect(&tenant.uid, before.as_ref()).put(&tenant.uid, &after);
        let acts = [By::here().did(action, subject)];
        let (chain, now) = (Chain::Tenant(tenant.uid), press.clock.now());
        match audit::commit(&press.store, chain, &change, &acts, now) {
            Ok(()) => return Ok((tenant, after)),
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(TenantError::from(error).into()),
        }
    }
    Err(SecretError::Contended)
}

fn told(slug: &TenantSlug, row: &WebhookRow, now: UnixMillis) -> WebhookView {
    let secrets = SecretView::all(&row.secrets, now);
    WebhookView { slug: slug.clone(), repeats: row.repeats, secrets }
}

impl SecretView {
    /// What is told of `secrets`, newest first.
    pub(crate) fn all(secrets: &[WebhookSecret], now: UnixMillis) -> Vec<Self> {
        let view = |secret: &WebhookSecret| Self {
            generation: secret.generation,
            state: match secret.ends {
                None => SecretState::Active,
                Some(_) if secret.revoked => SecretState::Revoked,
                Some(ends) if now < ends => SecretState::Retiring,
                Some(_) => SecretState::Retired,
            },
            created: secret.created.rfc3339_seconds(),
            ends: secret.ends.map(UnixMillis::rfc3339_seconds),
        };
        secrets.iter().rev().map(view).collect()
    }
}
