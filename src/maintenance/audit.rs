//! The audit log: chains checked, checkpoints signed.

use colophon_model::TenantSlug;
use colophon_model::audit::Chain;
use colophon_store::rows::AuditHead;
use colophon_store::{Progress, Report, View};
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site, tenant};
use crate::audit::{Verified, checkpoint_all, verify};

/// Checks chains from their first line to the last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditVerify {
    /// The chains of these tenants; none means every chain, the system's among them.
    pub tenants: Vec<TenantSlug>,
}

impl Job for AuditVerify {
    type Outcome = Verified;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<Verified, JobError> {
        let view = site.press.store.view()?;
        let chains = self.chains(&view)?;
        let (total, key) = (chains.len() as u64, site.press.keys.note_key().verifier());
        let mut done = Verified::default();
        for chain in chains {
            done.chains.push(verify(&view, chain, &key)?);
            let checked = done.chains.len() as u64;
            report(Progress { stage: "verifying", done: checked, total: Some(total) });
        }
        Ok(done)
    }
}

impl AuditVerify {
    fn chains(&self, view: &View) -> Result<Vec<Chain>, JobError> {
        if self.tenants.is_empty() {
            let heads = view.scan::<AuditHead>(&());
            return Ok(heads
                .map(|row| row.map(|(uid, _)| Chain::of(uid)))
                .collect::<Result<_, _>>()?);
        }
        let of = |slug| tenant(view, slug).map(|tenant| Chain::Tenant(tenant.uid));
        self.tenants.iter().map(of).collect()
    }
}

/// Signs a checkpoint of every chain that has grown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditCheckpoint {}

/// How many were signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpointed {
    /// Chains with a new checkpoint.
    pub signed: u64,
}

impl Job for AuditCheckpoint {
    type Outcome = Checkpointed;

    fn run(&self, site: Site<'_>, _: Report<'_>) -> Result<Checkpointed, JobError> {
        Ok(Checkpointed { signed: checkpoint_all(site.press)? })
    }
}
