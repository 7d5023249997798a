//! The tenants' edge repositories: signed anew, given new keys, archived and restored.

use colophon_model::{FlowId, TenantSlug};
use colophon_store::rows::TenantRow;
use colophon_store::{Progress, Report, View};
use colophon_trust::Role;
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site, tenant};
use crate::feed::resign::Resigned;
use crate::feed::status::{EdgeStatus, root_ends};
use crate::http::chain;
use crate::pipeline::BuildError;

/// Signs anew whatever would end soon.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resign {
    /// These tenants; none means all.
    pub tenants: Vec<TenantSlug>,
}

/// What was signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResignReport {
    /// Tenants that were looked at.
    pub tenants: u64,
    /// Roots that were renewed.
    pub roots: u64,
    /// Targets files signed, each with its snapshot and timestamp.
    pub targets: u64,
    /// Snapshots signed.
    pub snapshots: u64,
    /// Timestamps signed.
    pub timestamps: u64,
    /// Tenants whose root only a ceremony can renew, with less than half of its life left.
    pub ending: Vec<EndingRoot>,
    /// Tenants that could not be signed for.
    pub failed: Vec<FailedTenant>,
}

/// A root that only a ceremony can renew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingRoot {
    /// Whose.
    pub tenant: TenantSlug,
    /// When it ends, RFC 3339.
    pub expires: String,
}

/// A tenant that could not be signed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTenant {
    /// Which.
    pub tenant: TenantSlug,
    /// Why not.
    pub reason: String,
}

impl Job for Resign {
    type Outcome = ResignReport;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<ResignReport, JobError> {
        let tenants = chosen(&site.press.store.view()?, &self.tenants)?;
        let total = tenants.len() as u64;
        let mut done = ResignReport::default();
        for tenant in &tenants {
            match site.press.resign(tenant) {
                Ok(signed) => done.add(tenant, &signed),
                Err(BuildError::TenantGone) => {} // it was erased meanwhile
                Err(error) => done.fail(tenant, &error),
            }
            done.tenants += 1;
            report(Progress { stage: "signing", done: done.tenants, total: Some(total) });
        }
        if self.tenants.is_empty() {
            site.press.ending_roots.set(done.ending.len() as u64);
        }
        Ok(done)
    }
}

impl ResignReport {
    fn add(&mut self, tenant: &TenantRow, signed: &Resigned) {
        let count = |role| u64::from(signed.roles.contains(&role));
        self.roots += u64::from(signed.root);
        self.targets += count(Role::Targets);
        self.snapshots += count(Role::Snapshot);
        self.timestamps += count(Role::Timestamp);
        if let Some(expires) = signed.ending {
            tracing::warn!(tenant.slug = %tenant.slug, "{}", root_ends(&tenant.slug, expires));
            let expires = expires.rfc3339_seconds();
            self.ending.push(EndingRoot { tenant: tenant.slug.clone(), expires });
        }
    }

    fn fail(&mut self, tenant: &TenantRow, error: &BuildError) {
        let reason = chain(error);
        tracing::error!(tenant.slug = %tenant.slug, error = %reason, "the edge repository was not signed");
        self.failed.push(FailedTenant { tenant: tenant.slug.clone(), reason });
    }
}

/// Gives a role of a tenant a new key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// The tenant.
    pub tenant: TenantSlug,
    /// The role: targets, snapshot or timestamp.
    pub role: Role,
}

impl Job for Rotate {
    type Outcome = EdgeStatus;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<EdgeStatus, JobError> {
        let tenant = tenant(&site.press.store.view()?, &self.tenant)?;
        site.press.rotate(&tenant, self.role)?;
        tracing::info!(tenant.slug = %tenant.slug, role = %self.role, "a new key signs");
        status(site, &tenant)
    }
}

/// Archives a tenant, or takes that back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// The tenant.
    pub tenant: TenantSlug,
    /// Whether agents are to remove its flows.
    pub archived: bool,
}

impl Job for Archive {
    type Outcome = EdgeStatus;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<EdgeStatus, JobError> {
        let tenant = tenant(&site.press.store.view()?, &self.tenant)?;
        site.press.set_archived(&tenant, self.archived)?;
        tracing::info!(tenant.slug = %tenant.slug, archived = self.archived, "edge repository");
        status(site, &tenant)
    }
}

fn status(site: Site<'_>, tenant: &TenantRow) -> Result<EdgeStatus, JobError> {
    let view = site.press.store.view()?;
    let tenants = std::slice::from_ref(tenant);
    let mut all = EdgeStatus::read(&view, tenants, site.press.clock.now())?;
    all.pop().ok_or_else(|| JobError::Build(BuildError::TenantGone))
}

/// The tenants with these names; all when none is named.
pub fn chosen(view: &View, slugs: &[TenantSlug]) -> Result<Vec<TenantRow>, JobError> {
    if slugs.is_empty() {
        let rows = view.scan::<TenantRow>(&String::new());
        return Ok(rows.map(|row| row.map(|(_, tenant)| tenant)).collect::<Result<_, _>>()?);
    }
    slugs.iter().map(|slug| tenant(view, slug)).collect()
}

/// Gives agents an older bundle of a flow under a new number.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The tenant.
    pub tenant: TenantSlug,
    /// The flow.
    pub flow: FlowId,
    /// The number of the bundle to go back to; the one before when left out.
    #[serde(default)]
    pub to: Option<u64>,
}

/// What agents get now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The flow.
    pub flow: FlowId,
    /// The bundle whose files they are.
    pub to: u64,
    /// The number that the files have now.
    pub seq: u64,
    /// The build that says so.
    pub build: String,
    /// Its commit on the tenant's branch.
    pub commit: String,
}

impl Job for Rollback {
    type Outcome = RolledBack;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<RolledBack, JobError> {
        let tenant = tenant(&site.press.store.view()?, &self.tenant)?;
        let (record, to) = site.press.roll_back(&tenant, &self.flow, self.to)?;
        let edge = record.outputs.iter().find_map(|output| output.edge.as_ref());
        let seq = edge.map_or(to, |edge| edge.seq);
        tracing::info!(tenant.slug = %tenant.slug, flow.id = %self.flow, to, seq, "rolled back");
        let (build, commit) = (record.id.to_string(), record.commit.to_string());
        Ok(RolledBack { flow: record.flow, to, seq, build, commit })
    }
}
