//! What an operator is told about tenants.

use colophon_model::{CodePolicy, Oid, Target, TenantSlug, UnixMillis};
use colophon_store::quota::Rule;
use colophon_store::rows::{AgentRow, FlowHead, QuotaStamp, RootsOrigin, TenantHead, TenantRow};
use colophon_store::{Error, View};
use serde::{Deserialize, Serialize};

use super::{Buckets, Standing};
use crate::config::Config;
use crate::feed::repo;
use crate::tokens;

/// Tenants in a page of the list at most.
pub const PAGE: usize = 1000;

/// A page of the list of tenants.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TenantPage {
    /// By slug.
    pub tenants: Vec<TenantSummary>,
    /// Where the next page begins; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A tenant in a list.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TenantSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub slug: TenantSlug,
    /// Its uid.
    pub uid: String,
    /// What it may be used for.
    pub state: Standing,
    /// When it was created.
    pub created: String,
    /// How many builds there are.
    pub builds: u64,
    /// When the last one was made; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub built: Option<String>,
}

/// All that is told of one tenant. Its webhook secret is not.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TenantDetails {
    /// As in a list.
    #[serde(flatten)]
    pub summary: TenantSummary,
    /// Since when it is suspended; left out when it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspended: Option<String>,
    /// Since when it is archived; left out when it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archived: Option<String>,
    /// Since when it is under legal hold, and so is not erased; left out when it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held: Option<String>,
    /// Whether agents are told to remove its flows.
    pub edge_archived: bool,
    /// Which code its flows may carry.
    #[schema(value_type = String)]
    pub components: CodePolicy,
    /// Where its TUF root keys were made.
    #[schema(value_type = String)]
    pub roots: RootsOrigin,
    /// URL of its Git repository.
    pub git_url: String,
    /// Its folders in buckets; left out when there is none.
    #[serde(skip_serializing_if = "Buckets::is_empty", default)]
    pub buckets: Buckets,
    /// The commit at its branch's tip.
    #[schema(value_type = Option<String>)]
    pub commit: Option<Oid>,
    /// Flows that stand.
    pub flows: u64,
    /// Agents that reported.
    pub agents: u64,
    /// Tokens that are good.
    pub tokens: u64,
    /// By target.
    pub quota: Vec<QuotaUse>,
}

/// A tenant's quota and what is used of it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Quota {
    /// Length of the window, which ends now, in seconds.
    pub window: u64,
    /// By target.
    pub quota: Vec<QuotaUse>,
}

/// What a tenant has used of its builds.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuotaUse {
    /// For which target.
    #[schema(value_type = String)]
    pub target: Target,
    /// Builds in the window that ends now.
    pub used: u64,
    /// Builds that are allowed in a window.
    pub limit: u64,
}

impl TenantSummary {
    fn of(view: &View, tenant: &TenantRow) -> Result<Self, Error> {
        let head = view.get::<TenantHead>(&tenant.uid)?.unwrap_or_default();
        Ok(Self {
            slug: tenant.slug.clone(),
            uid: tenant.uid.to_string(),
            state: Standing::of(tenant),
            created: tenant.created.rfc3339_seconds(),
            builds: head.builds,
            built: head.stamp.map(|stamp| stamp.time().rfc3339_seconds()),
        })
    }
}

/// At most `limit` tenants, and no more than [`PAGE`], that come after `after`, by slug.
pub fn list(view: &View, after: Option<&TenantSlug>, limit: usize) -> Result<TenantPage, Error> {
    let limit = limit.clamp(1, PAGE);
    let mut rows = view.scan::<TenantRow>(&String::new());
    if let Some(after) = after {
        rows = rows.starting_at(after);
    }
    let mut tenants: Vec<TenantSummary> = Vec::new();
    for row in rows {
        let (slug, tenant) = row?;
        if Some(&slug) == after {
            continue;
        }
        if tenants.len() == limit {
            let next = tenants.last().map(|last| last.slug.to_string());
            return Ok(TenantPage { tenants, next });
        }
        tenants.push(TenantSummary::of(view, &tenant)?);
    }
    Ok(TenantPage { tenants, next: None })
}

/// All about `tenant` at `now`.
pub fn details(
    view: &View,
    tenant: &TenantRow,
    config: &Config,
    rule: Rule,
    now: UnixMillis,
) -> Result<TenantDetails, Error> {
    let uid = tenant.uid;
    let head = view.get::<TenantHead>(&uid)?.unwrap_or_default();
    Ok(TenantDetails {
        summary: TenantSummary::of(view, tenant)?,
        suspended: tenant.suspended.map(UnixMillis::rfc3339_seconds),
        archived: tenant.archived.map(UnixMillis::rfc3339_seconds),
        held: tenant.held.map(UnixMillis::rfc3339_seconds),
        edge_archived: repo::state(tenant, &head).archived,
        components: tenant.policy,
        roots: tenant.roots,
        git_url: format!("{}/git/{}.git", config.public_url(), tenant.slug),
        buckets: Buckets::of(config, &tenant.slug),
        commit: head.tip,
        flows: view.scan::<FlowHead>(&uid).count() as u64,
        agents: view.scan::<AgentRow>(&uid).count() as u64,
        tokens: tokens::good(view, uid, now)?,
        quota: quota(view, tenant, rule, now)?.quota,
    })
}

/// What `tenant` has used of its quota at `now`.
pub fn quota(view: &View, tenant: &TenantRow, rule: Rule, now: UnixMillis) -> Result<Quota, Error> {
    let used = |target| {
        let (used, limit) = (in_window(view, tenant, target, rule, now)?, rule.limit.get());
        Ok(QuotaUse { target, used, limit })
    };
    let quota = Target::ALL.into_iter().map(used).collect::<Result<_, Error>>()?;
    Ok(Quota { window: rule.window_millis / 1000, quota })
}

/// Builds for `target` that were counted in the window that ends at `now`.
fn in_window(
    view: &View,
    tenant: &TenantRow,
    target: Target,
    rule: Rule,
    now: UnixMillis,
) -> Result<u64, Error> {
    let mut used = 0;
    for row in view.scan::<QuotaStamp>(&(tenant.uid, target)).descending() {
        if row?.1.at.plus(rule.window_millis) <= now {
            break;
        }
        used += 1;
    }
    Ok(used)
}
