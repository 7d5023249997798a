//! What an operator does to a tenant's repository as a whole: new keys, the archived mark.

use crate::audit;
use colophon_model::FlowId;
use colophon_model::audit::{Action, Subject};
use colophon_store::rows::{EdgeRepo, FlowHead, RootsOrigin, TenantRow};
use colophon_store::{Change, View};
use colophon_trust::{Generations, Role};

use super::repo::Repo;
use crate::pipeline::{BuildError, Press};

/// Why a key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The server cannot sign the root that would grant the role to a new key.
    #[error(
        "the root keys of tenant `{0}` were made in a ceremony: `colophon keys request --renew {0} \
         --rotate <role>` asks it for a root with a new key, and `colophon keys import` puts it to use"
    )]
    Offline(colophon_model::TenantSlug),
    /// Root keys are not replaced.
    #[error("the keys of root are not replaced; the roles are targets, snapshot and timestamp")]
    Root,
    /// The repository could not be signed.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Press {
    /// Gives `role` a new key: a new root says so, and everything is signed anew. A new key for targets
    /// also sets each flow's floor to its current bundle, so that agents do not go back to one that
    /// whoever had the old key may have made. Blocks until that is durable.
    pub fn rotate(&self, tenant: &TenantRow, role: Role) -> Result<EdgeRepo, RotateError> {
        if tenant.roots == RootsOrigin::Offline {
            return Err(RotateError::Offline(tenant.slug.clone()));
        }
        if role == Role::Root {
            return Err(RotateError::Root);
        }
        Ok(self.in_lane(tenant.uid, |view, head| {
            let mut change = Change::new();
            let mut repo = Repo::of(&self.keys, tenant, head, self.clock.now());
            repo.set_generations(next(repo.generations(), role));
            repo.renew_root(view, &mut change)?;
            sign_with_new_keys(&mut repo, view, &mut change, role == Role::Targets)?;
            repo.put_head(&mut change, head);
            let what = (Action::EdgeRotate, Subject::new("role", role));
            audit::done(&mut change, view, tenant.uid, what, self.clock.now())?;
            Ok::<_, BuildError>((Some(change), repo.state))
        })?)
    }

    /// Archives the tenant, or takes that back: agents are told by signed metadata to remove its flows,
    /// or get them again. Nothing is signed when it is so already. Blocks until that is durable.
    pub fn set_archived(&self, tenant: &TenantRow, archived: bool) -> Result<EdgeRepo, BuildError> {
        self.in_lane(tenant.uid, |view, head| {
            let mut change = Change::new();
            let mut repo = Repo::of(&self.keys, tenant, head, self.clock.now());
            if repo.state.archived == archived {
                return Ok((None, repo.state));
            }
            repo.state.archived = archived;
            let flows = flows(view, &repo)?;
            repo.sign_all(view, &mut change, flows.iter().map(|(_, head)| head))?;
            repo.put_head(&mut change, head);
            let action = if archived { Action::EdgeArchive } else { Action::EdgeRestore };
            let what = (action, Subject::new("tenant", &tenant.slug));
            audit::done(&mut change, view, tenant.uid, what, self.clock.now())?;
            Ok((Some(change), repo.state))
        })
    }
}

/// The generations after a new key of `role`. With a new key of snapshot comes one of timestamp: stock
/// clients forget a stored timestamp only when its own key changed, and one that a thief raised would
/// keep them from every honest one.
pub const fn next(mut generations: Generations, role: Role) -> Generations {
    match role {
        Role::Targets => generations.targets += 1,
        Role::Snapshot => {
            generations.snapshot += 1;
            generations.timestamp += 1;
        }
        Role::Timestamp => generations.timestamp += 1,
        Role::Root => {}
    }
    generations
}

/// Signs everything with keys that have changed; with `floor`, also sets the flows' floors.
pub(super) fn sign_with_new_keys(
    repo: &mut Repo<'_>,
    view: &View,
    change: &mut Change,
    floor: bool,
) -> Result<(), BuildError> {
    let mut flows = flows(view, repo)?;
    if floor {
        for (flow, head) in &mut flows {
            head.min_seq = head.edge.as_ref().map(|edge| edge.output.seq).or(head.min_seq);
            change.put::<FlowHead>(&(repo.uid(), flow.clone()), head);
        }
    }
    Ok(repo.sign_all(view, change, flows.iter().map(|(_, head)| head))?)
}

/// The tenant's flows.
pub(super) fn flows(
    view: &View,
    repo: &Repo<'_>,
) -> Result<Vec<(FlowId, FlowHead)>, colophon_store::Error> {
    let rows = view.scan::<FlowHead>(&repo.uid());
    rows.map(|row| row.map(|((_, flow), head)| (flow, head))).collect()
}
