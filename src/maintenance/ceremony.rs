//! What a ceremony is asked for, and its result.

use std::num::NonZeroU32;

use colophon_model::TenantSlug;
use colophon_store::Report;
use colophon_trust::Role;
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site};
use crate::feed::pool::{CeremonyRequest, CeremonyRoots, Imported};

/// Asks for roots: first ones, or the next ones of tenants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum RequestRoots {
    /// So many first roots.
    Count(NonZeroU32),
    /// The next root of tenants whose roots are from a ceremony.
    Renew {
        /// The tenants.
        tenants: Vec<TenantSlug>,
        /// Roles that get a new key.
        rotate: Vec<Role>,
    },
}

impl Job for RequestRoots {
    type Outcome = CeremonyRequest;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<CeremonyRequest, JobError> {
        Ok(match self {
            Self::Count(count) => site.press.request_roots(count.get())?,
            Self::Renew { tenants, rotate } => site.press.request_renewals(tenants, rotate)?,
        })
    }
}

/// Takes the roots of a ceremony.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImportRoots(pub CeremonyRoots);

impl Job for ImportRoots {
    type Outcome = Imported;

    /// Ten thousand roots, and room to spare.
    const MAX_REQUEST: usize = 64 * 1024 * 1024;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<Imported, JobError> {
        let imported = site.press.import_roots(&self.0)?;
        let Imported { added, renewed, pool, .. } = imported;
        tracing::info!(added, renewed, pool, "took the roots of a ceremony");
        Ok(imported)
    }
}
