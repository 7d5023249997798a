//! Making a tenant's Git objects anew.

use colophon_model::audit::{Action, Subject};
use colophon_model::{TenantSlug, UnixMillis};
use colophon_store::Report;
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site, tenant};
use crate::projection::{Rebuild, Rebuilt};

/// Whose objects to make anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitRebuild {
    /// The tenant.
    pub tenant: TenantSlug,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Job for GitRebuild {
    type Outcome = Rebuilt;

    fn act(&self) -> Option<(Action, Subject)> {
        (!self.dry_run).then(|| (Action::GitRebuild, Subject::new("repository", "")))
    }

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<Rebuilt, JobError> {
        let store = &site.press.store;
        let tenant = tenant(&store.view()?, &self.tenant)?;
        let now = site.press.clock.now().get();
        let rebuild = Rebuild {
            store,
            dir: &site.config.data,
            tenant: &tenant,
            dry_run: self.dry_run,
            tags_since: UnixMillis::new(now.saturating_sub(site.config.retention.tags.millis())),
        };
        let outcome = rebuild.run(report)?;
        site.press.objects.forget(*tenant.uid.as_bytes());
        Ok(outcome)
    }
}
