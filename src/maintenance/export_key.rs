//! Handing out the key of a tenant's sealed exports, to an auditor or for a restore.

use colophon_model::TenantSlug;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_store::Report;
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site, tenant};
use crate::audit::By;
use crate::export;

/// Asks for the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportIdentity {
    /// Whose.
    pub tenant: TenantSlug,
}

/// The key of a tenant's sealed exports. Who has it reads them all, those to come too.
#[derive(Clone, Serialize, Deserialize)]
pub struct Revealed {
    /// Whose.
    pub tenant: TenantSlug,
    /// What names it: an age recipient.
    pub key: String,
    /// A file that `age -i` reads.
    pub identity: String,
}

impl std::fmt::Debug for Revealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Revealed({})", self.key)
    }
}

impl Job for ExportIdentity {
    type Outcome = Revealed;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<Revealed, JobError> {
        let press = site.press;
        let tenant = tenant(&press.store.view()?, &self.tenant)?;
        let none = || JobError::NoKey(self.tenant.clone());
        let (key, identity) = export::identity_file(press, &tenant)?.ok_or_else(none)?;
        // Written down before it is out.
        let act = By::here().did(Action::KeyReveal, Subject::new("key", &key));
        let done = press.write_down(Chain::Tenant(tenant.uid), &[act]);
        done.map_err(colophon_store::Error::from)?;
        Ok(Revealed { tenant: tenant.slug, key: key.to_string(), identity: identity.to_string() })
    }
}
