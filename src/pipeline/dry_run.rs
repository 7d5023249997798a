//! What a delivery would lead to: every step but the commit. Nothing is written. It is refused by the quota as a
//! delivery would be, and compiled as often in a window as builds may be made.

use std::collections::BTreeMap;

use colophon_compiler::Problem;
use colophon_model::{
    ArtifactPath, BuildKey, BuildRecord, Digest, FileMode, FlowId, GateResult, TenantUid,
};
use colophon_store::View;
use colophon_store::rows::FlowHead;
use serde::Serialize;

use super::order::{self, Decision};
use super::{BuildError, Delivery, Gated, Job, Press, Timing, naming};

/// What would become of a delivery.
#[derive(Debug)]
pub struct DryRun {
    /// `built`, `noop`, `replayed`, or `refused` by a gate.
    pub outcome: &'static str,
    /// The flow.
    pub flow: FlowId,
    /// Identity of its outputs.
    pub key: BuildKey,
    /// Files that would be other ones on the branch, by path. The branch's manifest is not among them.
    pub files: Vec<FileChange>,
    /// What the gates say.
    pub gates: Vec<GateResult>,
    /// What the compiler noticed but does not refuse.
    pub warnings: Vec<Problem>,
}

/// A file of the flow that would be another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileChange {
    /// Its path on the branch.
    #[schema(value_type = String)]
    pub path: ArtifactPath,
    /// How it would change.
    pub change: Kind,
}

/// How a file would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FileChangeKind)]
pub enum Kind {
    /// It is not there yet.
    Added,
    /// Its bytes or its mode are others.
    Changed,
    /// The flow has it no more.
    Removed,
}

/// Files by path, as far as they can differ.
type Files = BTreeMap<ArtifactPath, (FileMode, Digest)>;

impl Press {
    /// Takes a delivery through every step but the commit.
    ///
    /// # Errors
    /// As a delivery, but for what a gate refuses; and when the tenant had as many dry runs as it may make builds.
    pub fn dry_run(&self, delivery: Delivery) -> Result<DryRun, BuildError> {
        let body = delivery.digest();
        let mut job = self.receive(delivery, body)?;
        let warnings = std::mem::take(&mut job.plan.warnings);
        let view = self.store.view()?;
        let uid = job.delivery.tenant.uid;
        let flow = naming::flow_id(&view, uid, &job.plan)?;
        let key = job.key;
        let nothing = |outcome| DryRun {
            outcome,
            flow: flow.clone(),
            key,
            files: Vec::new(),
            gates: Vec::new(),
            warnings: Vec::new(),
        };
        match order::decide(&view, &job, &flow, self.quota, self.clock.now())? {
            Decision::NoOp(_) => return Ok(DryRun { warnings, ..nothing("noop") }),
            Decision::Replayed(_) => return Ok(DryRun { warnings, ..nothing("replayed") }),
            Decision::Build => {}
        }
        self.charge_dry_run(&job)?;
        let before = standing(&view, uid, &flow)?;
        drop(view);
        match self.render(&job, &flow, &mut Timing::default())? {
            Gated::Refused(gates) => Ok(DryRun { gates, warnings, ..nothing("refused") }),
            Gated::Passed(compiled) => {
                let branch = compiled.edge.iter().flat_map(|edge| edge.branch_files.iter());
                let files = compiled.cloud.iter().chain(branch);
                let after = files.map(|(path, file)| (path.clone(), (file.mode(), file.digest())));
                let (files, gates) = (changes(&before, &after.collect()), compiled.gates);
                Ok(DryRun { files, gates, warnings, ..nothing("built") })
            }
        }
    }
}

impl Press {
    /// Compiling and gates cost what they cost a build.
    fn charge_dry_run(&self, job: &Job) -> Result<(), BuildError> {
        let (rule, now) = (self.quota, self.clock.now());
        self.dry_runs.charge(job.delivery.tenant.uid, rule, now).map_err(|again| {
            let wait = again.get().saturating_sub(now.get()).div_ceil(1000);
            BuildError::DryRuns { limit: rule.limit.get(), retry_after: wait }
        })
    }
}

/// The files that the flow has on the branch.
fn standing(view: &View, uid: TenantUid, flow: &FlowId) -> Result<Files, BuildError> {
    let Some(head) = view.get::<FlowHead>(&(uid, flow.clone()))? else { return Ok(Files::new()) };
    let record = view.get::<BuildRecord>(&(uid, head.build))?;
    let outputs = record.map(|record| record.outputs).unwrap_or_default();
    let files = outputs.into_iter().flat_map(|output| output.files);
    Ok(files.map(|file| (file.path, (file.mode, file.digest))).collect())
}

fn changes(before: &Files, after: &Files) -> Vec<FileChange> {
    let new = after.iter().filter_map(|(path, file)| {
        let change = match before.get(path) {
            None => Kind::Added,
            Some(old) if old == file => return None,
            Some(_) => Kind::Changed,
        };
        Some(FileChange { path: path.clone(), change })
    });
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let gone = gone.map(|path| FileChange { path: path.clone(), change: Kind::Removed });
    let mut all: Vec<FileChange> = new.chain(gone).collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}
