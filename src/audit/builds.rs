//! What is written down about builds.

use colophon_model::audit::{Act, Action, Chain, Outcome, Subject};
use colophon_model::{BuildKind, BuildRecord, TenantUid, UnixMillis};
use colophon_store::{Change, Error, View, audit};

use super::{By, Window};
use crate::pipeline::{BuildError, Finished, Outcome as Made, Press};

/// Adds to the change that makes the builds of one tenant that they were made, or refused by a gate, and by
/// whom.
///
/// # Errors
/// When the tenant's chain cannot be read.
pub fn builds_made(
    change: &mut Change,
    view: &View,
    records: &[BuildRecord],
    now: UnixMillis,
) -> Result<(), Error> {
    let Some(first) = records.first() else { return Ok(()) };
    let by = By::here();
    let acts: Vec<Act> = records.iter().map(|record| act(&by, record)).collect();
    audit::append(change, view, Chain::Tenant(first.tenant), &acts, now)
}

fn act(by: &By, record: &BuildRecord) -> Act {
    let action = match record.kind {
        BuildKind::Delivery => Action::BuildMake,
        BuildKind::Rebuild { .. } => Action::BuildRebuild,
        BuildKind::Deletion => Action::FlowDelete,
        BuildKind::Rollback => Action::EdgeRollback,
        BuildKind::Reverted { .. } => Action::FlowRollback,
    };
    let act = by
        .did(action, Subject::new("build", record.id))
        .with("flow", &record.flow)
        .with("key", record.key)
        .with("commit", record.commit);
    let act = match record.revision {
        Some(revision) => act.with("revision", revision),
        None => act,
    };
    let act = match record.kind {
        BuildKind::Reverted { to } => act.with("to", to),
        _ => act,
    };
    match &record.failure {
        Some(failure) => {
            act.with("tag", &failure.tag).came_to(Outcome::Refused("gate-failed".to_owned()))
        }
        None => act,
    }
}

impl Press {
    /// Notes what came of a delivery that changed nothing: an unchanged flow, or a refusal. What a build or a
    /// gate made of it is written down with it.
    pub fn note_delivery(&self, tenant: TenantUid, result: &Result<Finished, BuildError>) {
        let chain = Chain::Tenant(tenant);
        let act = match result {
            Ok(finished) => match &finished.outcome {
                Made::Built(_) => return,
                Made::NoOp(record) | Made::Replayed(record) => {
                    let what = (Action::BuildNoop, Subject::new("build", record.id));
                    let kind = By::kind_here(chain, what.clone());
                    if kind.is_some_and(|kind| self.gathered.add_like(&kind)) {
                        return;
                    }
                    By::here().did(what.0, what.1).with("flow", &record.flow)
                }
            },
            Err(BuildError::Gate(_)) => return,
            Err(error) => {
                let flow = error.flow().map(ToString::to_string).unwrap_or_default();
                let act = By::here().did(Action::BuildMake, Subject::new("flow", flow));
                let code = error.reason().to_owned();
                let outcome =
                    if error.is_ours() { Outcome::Failed(code) } else { Outcome::Refused(code) };
                act.came_to(outcome)
            }
        };
        self.gathered.add(chain, act, Window::Second, self.clock.now());
    }
}
