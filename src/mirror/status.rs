//! How mirrors fare, as operators see it.

use colophon_model::{Oid, TenantSlug, TenantUid, UnixMillis};
use colophon_store::View;
use colophon_store::rows::{
    Effect, Halt, MirrorRow, MirrorState, OutboxRow, SlugOf, TenantHead, TenantRow,
};
use serde::{Deserialize, Serialize};

use super::manage::MirrorError;
use crate::tenants;

/// A mirror and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MirrorStatus {
    /// The tenant.
    #[schema(value_type = String)]
    pub slug: TenantSlug,
    /// The upstream repository.
    pub url: String,
    /// Who pushes.
    pub username: String,
    /// Where the password is found; never the password.
    pub credential: Option<String>,
    /// New tags in one push.
    pub tags_per_push: u32,
    /// In a word.
    pub phase: Phase,
    /// The newest commit here.
    #[schema(value_type = Option<String>)]
    pub tip: Option<Oid>,
    /// The newest commit that the remote was seen to have.
    #[schema(value_type = Option<String>)]
    pub upstream: Option<Oid>,
    /// What waits to be pushed.
    pub pending: Option<Pending>,
    /// When the remote was last seen to have all there is, RFC 3339.
    pub succeeded: Option<String>,
    /// Attempts that failed since.
    pub failures: u32,
    /// The earliest time of the next attempt, RFC 3339, when there will be one.
    pub next: Option<String>,
    /// Why the last attempt failed.
    pub trouble: Option<String>,
    /// Since when the mirror is at rest, RFC 3339, when it is.
    pub halted: Option<String>,
    /// What somebody else wrote, for a mirror in quarantine.
    pub diverged: Option<Diverged>,
}

/// Where a mirror stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MirrorPhase)]
pub enum Phase {
    /// The remote has all there is.
    Settled,
    /// A push is due or under way.
    Pending,
    /// The last attempt failed; another will follow by itself.
    Retrying,
    /// The remote refuses in a way that somebody must look at.
    Parked,
    /// Somebody else writes to the remote.
    Quarantined,
}

/// What waits to be pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = MirrorPending)]
pub struct Pending {
    /// Since when, RFC 3339.
    pub since: String,
    /// Builds and purges since then.
    pub changes: u64,
}

/// A ref that somebody else wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = MirrorDiverged)]
pub struct Diverged {
    /// Its full name.
    pub name: String,
    /// What it names here.
    #[schema(value_type = String)]
    pub ours: Oid,
    /// What it names at the remote.
    #[schema(value_type = String)]
    pub theirs: Oid,
}

/// The mirror of tenant `slug`.
pub fn status(view: &View, slug: &TenantSlug) -> Result<MirrorStatus, MirrorError> {
    let tenant = tenants::find(view, slug)?;
    read(view, &tenant)?.ok_or_else(|| MirrorError::None(slug.clone()))
}

/// Every mirror there is.
pub fn list(view: &View) -> Result<Vec<MirrorStatus>, MirrorError> {
    let mut all = Vec::new();
    for row in view.scan::<MirrorRow>(&()) {
        let (uid, _) = row?;
        if let Some(tenant) = tenant_of(view, uid)? {
            all.extend(read(view, &tenant)?);
        }
    }
    all.sort_by(|a, b| a.slug.cmp(&b.slug));
    Ok(all)
}

/// The tenant that a uid is of.
pub(super) fn tenant_of(
    view: &View,
    uid: TenantUid,
) -> Result<Option<TenantRow>, colophon_store::Error> {
    let Some(SlugOf { slug }) = view.get::<SlugOf>(&uid)? else { return Ok(None) };
    view.get::<TenantRow>(&slug)
}

fn read(view: &View, tenant: &TenantRow) -> Result<Option<MirrorStatus>, MirrorError> {
    let uid = tenant.uid;
    let Some(mirror) = view.get::<MirrorRow>(&uid)? else { return Ok(None) };
    let state = view.get::<MirrorState>(&uid)?;
    let state = state.unwrap_or(super::state::fresh(mirror.set));
    let waiting = view.get::<OutboxRow>(&(uid, Effect::Push))?;
    let phase = phase(&state, waiting.as_ref());
    let comes = matches!(phase, Phase::Pending | Phase::Retrying);
    let (since, diverged) = halted(state.halt);
    Ok(Some(MirrorStatus {
        slug: tenant.slug.clone(),
        url: mirror.url,
        username: mirror.username,
        credential: mirror.credential,
        tags_per_push: mirror.tags_per_push,
        phase,
        tip: view.get::<TenantHead>(&uid)?.and_then(|head| head.tip),
        upstream: state.tip,
        pending: waiting.map(|row| Pending { since: row.since.rfc3339(), changes: row.changes }),
        succeeded: state.succeeded.map(UnixMillis::rfc3339),
        failures: state.failures,
        next: comes.then(|| state.next.rfc3339()),
        trouble: state.trouble,
        halted: since.map(UnixMillis::rfc3339),
        diverged,
    }))
}

const fn phase(state: &MirrorState, waiting: Option<&OutboxRow>) -> Phase {
    match (&state.halt, waiting) {
        (Some(Halt::Parked { .. }), _) => Phase::Parked,
        (Some(Halt::Quarantined { .. }), _) => Phase::Quarantined,
        (None, None) => Phase::Settled,
        (None, Some(_)) if state.failures > 0 => Phase::Retrying,
        (None, Some(_)) => Phase::Pending,
    }
}

fn halted(halt: Option<Halt>) -> (Option<UnixMillis>, Option<Diverged>) {
    match halt {
        None => (None, None),
        Some(Halt::Parked { since }) => (Some(since), None),
        Some(Halt::Quarantined { since, name, ours, theirs }) => {
            (Some(since), Some(Diverged { name, ours, theirs }))
        }
    }
}
