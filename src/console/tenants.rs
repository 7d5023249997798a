//! The page of all tenants.

use colophon_model::TenantSlug;
use colophon_store::View;
use colophon_store::rows::{AgentRow, MirrorRow, TenantRow};
use serde::Serialize;

use super::words::{Badge, people, time};
use crate::app::App;
use crate::mirror::{self, MirrorError, Phase};
use crate::tenants::Standing;
use crate::tenants::overview::{self, TenantDetails};

/// Tenants of one page.
const PAGE: usize = 50;

/// The page.
#[derive(Debug, Serialize)]
pub struct TenantsPage {
    tenants: Vec<Line>,
    /// Address of the next page.
    next_href: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    slug: String,
    href: String,
    state: Badge,
    builds: u64,
    built: Option<String>,
    built_at: Option<String>,
    flows: u64,
    quota: Vec<Quota>,
    agents: u64,
    behind: usize,
    mirror: Option<Badge>,
}

/// What is used of a target's quota.
#[derive(Debug, Serialize)]
pub(super) struct Quota {
    target: &'static str,
    used: u64,
    limit: u64,
    state: Badge,
}

/// The tenants that come after `after`.
///
/// # Errors
/// When the store cannot be read.
pub fn page(
    app: &App,
    view: &View,
    after: Option<&TenantSlug>,
) -> Result<TenantsPage, MirrorError> {
    let found = overview::list(view, after, PAGE)?;
    let mut tenants = Vec::with_capacity(found.tenants.len());
    for summary in found.tenants {
        if let Some(tenant) = view.get::<TenantRow>(&summary.slug)? {
            tenants.push(line(app, view, &tenant)?);
        }
    }
    let next_href = found.next.map(|slug| format!("/console/tenants?after={slug}"));
    Ok(TenantsPage { tenants, next_href })
}

fn line(app: &App, view: &View, tenant: &TenantRow) -> Result<Line, MirrorError> {
    let about = details(app, view, tenant)?;
    let devices = crate::agents::list(view, tenant, app.press.clock.now())?.agents;
    Ok(Line {
        slug: tenant.slug.to_string(),
        href: format!("/console/t/{}", tenant.slug),
        state: state(tenant),
        builds: about.summary.builds,
        built_at: about.summary.built.as_deref().map(people),
        built: about.summary.built.clone(),
        flows: about.flows,
        quota: quota(&about),
        agents: view.scan::<AgentRow>(&tenant.uid).count() as u64,
        behind: devices.iter().filter(|device| device.outdated).count(),
        mirror: mirror_of(view, tenant)?,
    })
}

/// All about a tenant, now.
pub(super) fn details(
    app: &App,
    view: &View,
    tenant: &TenantRow,
) -> Result<TenantDetails, colophon_store::Error> {
    let (rule, now) = (app.press.quota, app.press.clock.now());
    overview::details(view, tenant, &app.config, rule, now)
}

/// How the tenant stands.
pub(super) fn state(tenant: &TenantRow) -> Badge {
    let standing = Standing::of(tenant);
    match standing {
        Standing::Active => Badge::good(standing.word()),
        Standing::Suspended => Badge::bad(standing.word()),
        Standing::Archived => Badge::plain(standing.word()),
    }
}

/// What is used of each target's quota.
pub(super) fn quota(about: &TenantDetails) -> Vec<Quota> {
    let one = |used: &overview::QuotaUse| Quota {
        target: used.target.as_str(),
        used: used.used,
        limit: used.limit,
        state: match used.used {
            all if all >= used.limit => Badge::bad("used up"),
            most if most * 10 >= used.limit * 9 => Badge::warn("nearly used up"),
            _ => Badge::good("free"),
        },
    };
    about.quota.iter().map(one).collect()
}

/// How the tenant's mirror fares, if it has one.
pub(super) fn mirror_of(view: &View, tenant: &TenantRow) -> Result<Option<Badge>, MirrorError> {
    if view.get::<MirrorRow>(&tenant.uid)?.is_none() {
        return Ok(None);
    }
    mirror::status(view, &tenant.slug).map(|status| Some(phase(status.phase)))
}

/// A mirror's phase.
pub(super) fn phase(phase: Phase) -> Badge {
    match phase {
        Phase::Settled => Badge::good("settled"),
        Phase::Pending => Badge::plain("pending"),
        Phase::Retrying => Badge::warn("retrying"),
        Phase::Parked => Badge::bad("parked"),
        Phase::Quarantined => Badge::bad("quarantined"),
    }
}

/// A time as the store's overview tells it, for people.
pub(super) fn when(at: Option<colophon_model::UnixMillis>) -> Option<String> {
    at.map(time)
}
