//! The keys of a tenant's sealed exports: handing them out, to an auditor or for a restore, and replacing the one in use.

use colophon_model::TenantSlug;
use colophon_model::audit::{Act, Action, Chain, Subject};
use colophon_store::Report;
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site, tenant};
use crate::audit::By;
use crate::export;
use crate::export::envelope::KeyId;

/// Asks for the keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportIdentity {
    /// Whose.
    pub tenant: TenantSlug,
    /// That key alone; none: all of them, which open everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

/// The keys of a tenant's sealed exports. Who has the one in use reads what is to come too.
#[derive(Clone, Serialize, Deserialize)]
pub struct Revealed {
    /// Whose.
    pub tenant: TenantSlug,
    /// What names the newest of them: an age recipient.
    pub key: String,
    /// What names each, the oldest first.
    #[serde(default)]
    pub keys: Vec<String>,
    /// A file that `age -i` reads, with all of them.
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
        let found = export::identity_file(press, &tenant, self.key.as_ref())?;
        let file = found.ok_or_else(|| self.nothing())?;
        // Written down before it is out.
        let act = |key| By::here().did(Action::KeyReveal, Subject::new("key", key));
        let acts: Vec<Act> = file.keys.iter().map(act).collect();
        let done = press.write_down(Chain::Tenant(tenant.uid), &acts);
        done.map_err(colophon_store::Error::from)?;
        let keys: Vec<String> = file.keys.iter().map(ToString::to_string).collect();
        Ok(Revealed {
            tenant: tenant.slug,
            key: keys.last().cloned().unwrap_or_default(),
            keys,
            identity: file.text.to_string(),
        })
    }
}

impl ExportIdentity {
    fn nothing(&self) -> JobError {
        match &self.key {
            Some(key) => JobError::OtherKey(self.tenant.clone(), key.to_string()),
            None => JobError::NoKey(self.tenant.clone()),
        }
    }
}

/// Asks for a new key, for what is exported from now on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateExportKey {
    /// Whose.
    pub tenant: TenantSlug,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportKeyRotated {
    /// Whose.
    pub tenant: TenantSlug,
    /// What names the new key: an age recipient.
    pub key: String,
    /// The key that was in use until now. It is kept for what it sealed, until the tenant is erased.
    pub former: String,
}

impl Job for RotateExportKey {
    type Outcome = ExportKeyRotated;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<ExportKeyRotated, JobError> {
        let tenant = tenant(&site.press.store.view()?, &self.tenant)?;
        let done = export::rotate(site.press, &tenant)?;
        let done = done.ok_or_else(|| JobError::NoKey(self.tenant.clone()))?;
        Ok(ExportKeyRotated {
            tenant: tenant.slug,
            key: done.key.to_string(),
            former: done.former.to_string(),
        })
    }
}
