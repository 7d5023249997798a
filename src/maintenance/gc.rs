//! Garbage collection.

use colophon_model::audit::{Action, Subject};
use colophon_store::{GcOptions, GcReport, Report};
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site};
use crate::units::{Share, Size, Span};

/// What to collect and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gc {
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// How long a blob that nothing names waits before it is deleted; default as configured.
    pub grace: Option<Span>,
    /// Most bytes that are moved out of mostly dead segments; default no bound.
    pub budget: Option<Size>,
    /// Share of the time that it takes.
    pub share: Share,
}

impl Default for Gc {
    fn default() -> Self {
        Self { dry_run: false, grace: None, budget: None, share: Share::ALL }
    }
}

impl Job for Gc {
    type Outcome = GcReport;

    fn act(&self) -> Option<(Action, Subject)> {
        (!self.dry_run).then(|| (Action::StoreCollect, Subject::new("store", "")))
    }

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<GcReport, JobError> {
        let options = GcOptions {
            grace_millis: self.grace.unwrap_or(site.config.maintenance.gc_grace).millis(),
            dry_run: self.dry_run,
            budget_bytes: self.budget.map_or(u64::MAX, Size::get),
            pace: self.share.pace(),
            ..GcOptions::at(site.press.clock.now())
        };
        Ok(site.press.store.gc(&options, report)?)
    }
}
