//! Deleting what is kept for a time only.

use colophon_model::audit::{Action, Chain, Subject};
use colophon_model::{TenantSlug, TenantUid};
use colophon_store::rows::TenantRow;
use colophon_store::{Progress, PurgeOptions, PurgeReport, Report};
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site};
use crate::app::QUOTA_WINDOW;
use crate::units::Span;

/// What to purge.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Purge {
    /// Say what would go, and delete nothing.
    pub dry_run: bool,
    /// How long the tags of a build are kept; default as configured.
    pub older_than: Option<Span>,
    /// One tenant; default all.
    pub tenant: Option<TenantSlug>,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Tenants that were looked at.
    pub tenants: u64,
    /// What was found of all of them.
    #[serde(flatten)]
    pub found: PurgeReport,
}

impl Job for Purge {
    type Outcome = Purged;

    fn act(&self) -> Option<(Action, Subject)> {
        (!self.dry_run).then(|| (Action::StorePurge, Subject::new("store", "")))
    }

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<Purged, JobError> {
        let options = PurgeOptions {
            now: site.press.clock.now(),
            keep_millis: self.older_than.unwrap_or(site.config.retention.tags).millis(),
            quota_window_millis: QUOTA_WINDOW,
            claim_millis: site.config.retention.delivery_ids.millis(),
            delivery_millis: site.config.retention.deliveries.millis(),
            body_millis: site.config.retention.refused_bodies.millis(),
            origin_millis: site.config.retention.origins.millis(),
            event_millis: site.config.retention.events.millis(),
            dry_run: self.dry_run,
        };
        let tenants = self.tenants(site)?;
        let total = tenants.len() as u64;
        let mut purged =
            Purged { dry_run: self.dry_run, tenants: 0, found: PurgeReport::default() };
        for tenant in tenants {
            purged.found.add(&site.press.store.purge(tenant, &options)?);
            purged.tenants += 1;
            report(Progress { stage: "purging", done: purged.tenants, total: Some(total) });
        }
        if self.tenant.is_none() {
            purged.found.origins += site.press.store.forget_origins(Chain::System, &options)?;
        }
        Ok(purged)
    }
}

impl Purge {
    fn tenants(&self, site: Site<'_>) -> Result<Vec<TenantUid>, JobError> {
        let view = site.press.store.view()?;
        if let Some(slug) = &self.tenant {
            let tenant = view.get::<TenantRow>(slug)?;
            let tenant = tenant.ok_or_else(|| JobError::Unknown(slug.clone()))?;
            if tenant.held.is_some() {
                return Err(JobError::Held(slug.clone()));
            }
            return Ok(vec![tenant.uid]);
        }
        let rows = view.scan::<TenantRow>(&String::new());
        let rows: Result<Vec<_>, _> = rows.map(|row| row.map(|(_, tenant)| tenant)).collect();
        // A suspended tenant keeps what it has, until it is resumed or named; one under legal hold, until that is lifted.
        let awake = |tenant: &TenantRow| tenant.suspended.is_none() && tenant.held.is_none();
        let awake = rows?.into_iter().filter(awake);
        Ok(awake.map(|tenant| tenant.uid).collect())
    }
}
