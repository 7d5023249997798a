//! A flow's encrypted environment: set, shown, removed. No build comes of it: the flow's files and its
//! bundle stay as they are, and only the list of targets is signed anew.

use colophon_model::audit::{Action, Subject};
use colophon_model::{FlowId, Sha256};
use colophon_store::rows::{EnvHead, FlowHead, TenantHead, TenantRow};
use colophon_store::{Change, PreparedBlob, View};
use serde::{Deserialize, Serialize};

use super::repo::Repo;
use super::rotate::flows;
use crate::audit;
use crate::ciphertext::Ciphertext;
use crate::expected::Expected;
use crate::pipeline::{BuildError, Press, writable};

/// Why an environment was not set or removed.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// The flow or the tenant is not there, or the store failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Nothing of the flow runs at the edge.
    #[error("flow `{0}` has no edge part, so nothing of it could use an environment")]
    NoEdgePart(FlowId),
}

/// A flow's encrypted environment, by what the server knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvStatus {
    /// The flow.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// Rises with every change.
    pub seq: u64,
    /// SHA-256 of the ciphertext.
    #[schema(value_type = String)]
    pub sha256: Sha256,
    /// Size of the ciphertext, in bytes.
    pub length: u64,
    /// How many devices can decrypt it.
    pub recipients: u32,
    /// When it was set.
    pub set: String,
}

/// What became of one that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvSet {
    /// False when the same ciphertext was there already.
    pub changed: bool,
    /// What is there now.
    #[serde(flatten)]
    pub status: EnvStatus,
}

/// What became of one that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvRemoved {
    /// The flow.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// False when there was none.
    pub removed: bool,
}

impl EnvStatus {
    /// The environment of `flow`; none when it was never set, or was removed.
    pub fn read(
        view: &View,
        tenant: &TenantRow,
        flow: &FlowId,
    ) -> Result<Option<Self>, BuildError> {
        let head = standing(view, tenant, flow)?;
        Ok(head.env.map(|env| Self::of(flow, head.env_seq, &env)))
    }

    fn of(flow: &FlowId, seq: u64, env: &EnvHead) -> Self {
        Self {
            flow: flow.clone(),
            seq,
            sha256: env.sha256,
            length: env.length,
            recipients: env.recipients,
            set: env.set.rfc3339_seconds(),
        }
    }
}

impl Press {
    /// Gives agents another environment of the flow; the one before is not served any more. The same
    /// ciphertext again changes nothing. Blocks until it is durable.
    pub fn set_environment(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
        ciphertext: &Ciphertext,
    ) -> Result<EnvSet, EnvError> {
        self.set_environment_expected(tenant, flow, ciphertext, &Expected::Anything)
    }

    /// The same, if the environment that is there is an expected one.
    ///
    /// # Errors
    /// [`BuildError::Unexpected`] when it is not.
    pub fn set_environment_expected(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
        ciphertext: &Ciphertext,
        expected: &Expected,
    ) -> Result<EnvSet, EnvError> {
        let blob = PreparedBlob::new(ciphertext.as_bytes()).map_err(BuildError::from)?;
        let sha256 = Sha256::of(ciphertext.as_bytes());
        self.in_lane(tenant.uid, |view, head| {
            let row = writable(view, tenant)?;
            let before = standing(view, tenant, flow)?;
            if before.edge.is_none() {
                return Err(EnvError::NoEdgePart(flow.clone()));
            }
            check(flow, &before, expected)?;
            let same = before.env.as_ref().filter(|env| env.sha256 == sha256);
            if let Some(env) = same {
                let status = EnvStatus::of(flow, before.env_seq, env);
                // Whoever brings the bytes again mends a store that lost them.
                let lost = self.store.is_damaged(&blob.digest());
                let mend = lost.then(|| keep(tenant, flow, &before, blob.clone()));
                return Ok((mend, EnvSet { changed: false, status }));
            }
            let env = EnvHead {
                digest: blob.digest(),
                sha256,
                length: ciphertext.as_bytes().len() as u64,
                recipients: ciphertext.recipients(),
                set: self.clock.now(),
            };
            let env_seq = before.env_seq + 1;
            let status = EnvStatus::of(flow, env_seq, &env);
            let after = FlowHead { env: Some(env), env_seq, ..before.clone() };
            let mut change = keep(tenant, flow, &before, blob.clone());
            change.expect(&row.slug, Some(&row));
            self.list(view, &mut change, (tenant, head), (flow, &after))?;
            let what = (Action::EnvironmentSet, Subject::new("flow", flow));
            audit::done(&mut change, view, tenant.uid, what, self.clock.now())
                .map_err(BuildError::from)?;
            Ok((Some(change), EnvSet { changed: true, status }))
        })
    }

    /// Takes the flow's environment away from agents; the flow's bundle stays. Blocks until it is
    /// durable.
    pub fn remove_environment(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
    ) -> Result<EnvRemoved, EnvError> {
        self.remove_environment_expected(tenant, flow, &Expected::Anything)
    }

    /// The same, if the environment that is there is an expected one.
    ///
    /// # Errors
    /// [`BuildError::Unexpected`] when it is not.
    pub fn remove_environment_expected(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
        expected: &Expected,
    ) -> Result<EnvRemoved, EnvError> {
        self.in_lane(tenant.uid, |view, head| {
            let row = writable(view, tenant)?;
            let before = standing(view, tenant, flow)?;
            check(flow, &before, expected)?;
            let removed = before.env.is_some();
            let done = EnvRemoved { flow: flow.clone(), removed };
            if !removed {
                return Ok((None, done));
            }
            let mut change = Change::new();
            change.expect(&(tenant.uid, flow.clone()), Some(&before));
            change.expect(&row.slug, Some(&row));
            let after = FlowHead { env: None, ..before };
            self.list(view, &mut change, (tenant, head), (flow, &after))?;
            let what = (Action::EnvironmentRemove, Subject::new("flow", flow));
            audit::done(&mut change, view, tenant.uid, what, self.clock.now())
                .map_err(BuildError::from)?;
            Ok((Some(change), done))
        })
    }

    /// Puts the flow's new head and signs what agents are told, unless the tenant is archived: then they
    /// are told when it is restored.
    fn list(
        &self,
        view: &View,
        change: &mut Change,
        (tenant, head): (&TenantRow, &TenantHead),
        (flow, after): (&FlowId, &FlowHead),
    ) -> Result<(), BuildError> {
        change.put::<FlowHead>(&(tenant.uid, flow.clone()), after);
        let mut repo = Repo::of(&self.keys, tenant, head, self.clock.now());
        if !repo.state.archived {
            let others = flows(view, &repo)?;
            let others = others.iter().filter(|(id, _)| id != flow).map(|(_, head)| head);
            repo.sign_all(view, change, others.chain(std::iter::once(after)))?;
        }
        repo.put_head(change, head);
        Ok(())
    }
}

/// The environment's version, for who wants to change this one and no other.
pub fn version(seq: u64) -> String {
    seq.to_string()
}

/// Refuses when the environment of the flow is none of those expected.
fn check(flow: &FlowId, head: &FlowHead, expected: &Expected) -> Result<(), BuildError> {
    let version = head.env.as_ref().map(|_| version(head.env_seq));
    if expected.is_met(version.as_deref()) {
        return Ok(());
    }
    Err(BuildError::Unexpected { flow: flow.clone() })
}

/// The flow as it stands.
fn standing(view: &View, tenant: &TenantRow, flow: &FlowId) -> Result<FlowHead, BuildError> {
    let head = view.get::<FlowHead>(&(tenant.uid, flow.clone()))?;
    head.ok_or_else(|| BuildError::NoFlow { flow: flow.clone() })
}

/// A change that keeps the ciphertext, if the flow still is as it was.
fn keep(tenant: &TenantRow, flow: &FlowId, before: &FlowHead, blob: PreparedBlob) -> Change {
    let mut change = Change::new();
    change.expect(&(tenant.uid, flow.clone()), Some(before));
    change.blob(tenant.uid, blob);
    change
}
