//! Deleting what is kept for a time only.

use colophon_model::TenantSlug;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_store::rows::TenantRow;
use colophon_store::{Error, Progress, PurgeOptions, PurgeReport, Report};
use serde::{Deserialize, Serialize};

use super::{FailedTenant, Job, JobError, Site};
use crate::app::QUOTA_WINDOW;
use crate::http::chain;
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
    /// Tenants of which not all could be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedTenant>,
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
        let (found, failed) = (PurgeReport::default(), Vec::new());
        let mut purged = Purged { dry_run: self.dry_run, tenants: 0, found, failed };
        for tenant in tenants {
            match site.press.store.purge(tenant.uid, &options) {
                Ok(found) => purged.found.add(&found),
                // With the store itself nothing goes on, and who names a tenant wants to know.
                Err(error @ Error::Commit(_)) => return Err(error.into()),
                Err(error) if self.tenant.is_some() => return Err(error.into()),
                Err(error) => purged.fail(tenant.slug, &error),
            }
            purged.tenants += 1;
            report(Progress { stage: "purging", done: purged.tenants, total: Some(total) });
        }
        if self.tenant.is_none() {
            purged.found.origins += site.press.store.forget_origins(Chain::System, &options)?;
        }
        Ok(purged)
    }
}

impl Purged {
    fn fail(&mut self, tenant: TenantSlug, error: &Error) {
        let reason = chain(error);
        tracing::error!(tenant.slug = %tenant, error = %reason, "a tenant was not purged");
        self.failed.push(FailedTenant { tenant, reason });
    }
}

impl Purge {
    fn tenants(&self, site: Site<'_>) -> Result<Vec<TenantRow>, JobError> {
        let view = site.press.store.view()?;
        if let Some(slug) = &self.tenant {
            let tenant = view.get::<TenantRow>(slug)?;
            let tenant = tenant.ok_or_else(|| JobError::Unknown(slug.clone()))?;
            if tenant.held.is_some() {
                return Err(JobError::Held(slug.clone()));
            }
            return Ok(vec![tenant]);
        }
        let rows = view.scan::<TenantRow>(&String::new());
        let rows: Result<Vec<_>, _> = rows.map(|row| row.map(|(_, tenant)| tenant)).collect();
        // A suspended tenant keeps what it has, until it is resumed or named; one under legal hold, until that is lifted.
        let awake = |tenant: &TenantRow| tenant.suspended.is_none() && tenant.held.is_none();
        Ok(rows?.into_iter().filter(awake).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use colophon_model::{CodePolicy, Digest, Sha256, TenantUid};
    use colophon_store::rows::BundleAlias;
    use colophon_store::{Change, InvalidRow, Row, Table};

    use super::*;
    use crate::app::{Owner, open_press};
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::tenants;

    /// The name of a delivery as damage leaves it.
    struct Bad;

    impl Row for Bad {
        const TABLE: Table = Table::DeliveryClaim;
        type Key = TenantUid;

        fn encode(&self) -> Vec<u8> {
            b"?".to_vec()
        }

        fn decode(_: &[u8]) -> Result<Self, InvalidRow> {
            Ok(Self)
        }
    }

    /// What is kept of one tenant for good must not let everybody's pile up.
    #[test]
    fn a_tenant_that_cannot_be_read_keeps_no_other_from_being_purged() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().join("data"), ..Config::default() };
        let press = open_press(&config, Arc::new(SystemClock), Owner::Command).unwrap();
        let site = Site { press: &press, config: &config };
        let [bad, good] = ["acme", "globex"].map(|slug| {
            tenants::create(&press, &slug.parse().unwrap(), CodePolicy::None).unwrap().tenant
        });
        let expired = BundleAlias {
            tree: Digest::of(b"x"),
            render: "x".to_owned(),
            length: 1,
            name: "x.zip".to_owned(),
            documents: BTreeMap::new(),
        };
        let mut change = Change::new();
        change.put(&bad.uid, &Bad).put(&(good.uid, Sha256::of(b"x")), &expired);
        press.store.commit(change).unwrap();
        let purged = Purge::default().run(site, &|_| {}).unwrap();
        assert_eq!((purged.tenants, purged.found.bundles), (2, 1));
        let failed: Vec<_> = purged.failed.iter().map(|failed| &failed.tenant).collect();
        assert_eq!(failed, [&bad.slug]);
        let named = Purge { tenant: Some(bad.slug), ..Purge::default() }.run(site, &|_| {});
        assert!(matches!(named, Err(JobError::Store(Error::Row { .. }))), "{named:?}");
    }
}
