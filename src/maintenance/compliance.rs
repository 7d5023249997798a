//! What tenants built, exported for their auditors.

use std::borrow::Cow;

use colophon_model::TenantSlug;
use colophon_store::Report;
use colophon_store::rows::TenantRow;
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site, tenant};
use crate::export::{Asked, ExportError, Exported, Options, Place, PlaceUrl, export};
use crate::http::chain;

/// Exports what tenants have beyond what was exported before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Where to.
    pub to: PlaceUrl,
    /// Whose; none means every tenant's.
    #[serde(default)]
    pub tenants: Vec<TenantSlug>,
    /// What is said of the place beside its URL.
    #[serde(default)]
    pub options: Options,
    /// Write nothing, and say what would be written.
    #[serde(default)]
    pub dry_run: bool,
    /// Go on at a place that has no conditional writes.
    #[serde(default)]
    pub allow_unconditional: bool,
    /// Take what is there as it is, though it is not what was left there.
    #[serde(default)]
    pub anew: bool,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportReport {
    /// Where to.
    pub to: PlaceUrl,
    /// Each tenant.
    pub tenants: Vec<Exported>,
    /// Tenants whose export failed. Asked for one tenant alone, that is an error of the job.
    pub failed: Vec<FailedExport>,
    /// Requests that the place was asked, failed ones among them.
    pub requests: u64,
    /// Bytes that were sent.
    pub sent: u64,
}

/// A tenant whose export failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedExport {
    /// Whose.
    pub tenant: TenantSlug,
    /// The stable code of the problem.
    pub code: Cow<'static, str>,
    /// Why.
    pub problem: String,
}

impl Job for Export {
    type Outcome = ExportReport;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<ExportReport, JobError> {
        let tenants = self.tenants(site)?;
        if let PlaceUrl::File(folder) = &self.to {
            super::backup::check_outside(folder, &site.config.data)?;
        }
        let config = &site.config.export;
        let place = Place::open(&self.to, config, &self.options, &site.press.secrets);
        let place = place.map_err(ExportError::from)?;
        let mut done = ExportReport {
            to: self.to.clone(),
            tenants: Vec::new(),
            failed: Vec::new(),
            requests: 0,
            sent: 0,
        };
        let alone = tenants.len() == 1;
        let mut first = None;
        for tenant in tenants {
            match self.one(site, &place, &tenant, report) {
                Ok(exported) => done.tenants.push(exported),
                Err(error) if alone => first = Some(error),
                Err(error) => done.failed.push(failed(&tenant, &error)),
            }
        }
        (done.requests, done.sent) = place.traffic();
        first.map_or(Ok(done), |error| Err(error.into()))
    }
}

fn failed(tenant: &TenantRow, error: &ExportError) -> FailedExport {
    tracing::warn!(tenant = %tenant.slug, error = %chain(error), "the export failed");
    FailedExport { tenant: tenant.slug.clone(), code: error.code().into(), problem: error.told() }
}

impl Export {
    fn one(
        &self,
        site: Site<'_>,
        place: &Place,
        tenant: &TenantRow,
        report: Report<'_>,
    ) -> Result<Exported, ExportError> {
        let Self { dry_run, allow_unconditional, anew, .. } = *self;
        let asked = Asked { dry_run, allow_unconditional, anew };
        let here = (site.press, &site.config.export, site.config.data.as_path());
        export(here, place, tenant, asked, report)
    }

    fn tenants(&self, site: Site<'_>) -> Result<Vec<TenantRow>, JobError> {
        let view = site.press.store.view()?;
        if self.tenants.is_empty() {
            let rows = view.scan::<TenantRow>(&());
            return Ok(rows.map(|row| row.map(|(_, tenant)| tenant)).collect::<Result<_, _>>()?);
        }
        self.tenants.iter().map(|slug| tenant(&view, slug)).collect()
    }
}
