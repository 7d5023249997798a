//! Signing anew what would end: in the tenant's lane, long before agents would refuse it.

use crate::audit;
use crate::fair;
use colophon_model::audit::{Action, Subject};
use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{RootsOrigin, TenantHead, TenantRow};
use colophon_store::{Change, CommitError, View};
use colophon_trust::Role;

use super::repo::Repo;
use super::rotate::flows;
use crate::pipeline::{ATTEMPTS, BuildError, Press};

/// A timestamp is signed anew when it is older, in milliseconds: 24 hours.
const TIMESTAMP_AGE: u64 = 24 * 60 * 60 * 1000;

/// What was signed of one tenant, and what cannot be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resigned {
    /// The files that were signed anew, the root among them. Empty: nothing was due.
    pub roles: &'static [Role],
    /// Whether there is a new root.
    pub root: bool,
    /// When the root ends, if less than half of its life is left and only a ceremony can renew it.
    pub ending: Option<UnixMillis>,
}

impl Press {
    /// Signs anew what is due of the tenant's edge repository. Blocks until that is durable.
    pub fn resign(&self, tenant: &TenantRow) -> Result<Resigned, BuildError> {
        self.in_lane(tenant.uid, |view, head| {
            let (now, mut change) = (self.clock.now(), Change::new());
            let mut repo = Repo::of(&self.keys, tenant, head, now);
            let signed = sign_due(&mut repo, tenant.roots, view, &mut change, now)?;
            if !signed.root && signed.roles.is_empty() {
                return Ok((None, signed));
            }
            repo.put_head(&mut change, head);
            let what = (Action::EdgeResign, Subject::new("tenant", &tenant.slug));
            audit::done(&mut change, view, tenant.uid, what, now)?;
            Ok::<_, BuildError>((Some(change), signed))
        })
    }

    /// Lets `prepare` make a change on the newest state of the tenant, and commits it; again when the
    /// tenant was changed in between. Without a change it answers from what is durable.
    pub(crate) fn in_lane<T, E: From<BuildError>>(
        &self,
        uid: TenantUid,
        prepare: impl Fn(&View, &TenantHead) -> Result<(Option<Change>, T), E>,
    ) -> Result<T, E> {
        for _ in 0..ATTEMPTS {
            let lane = self.lane(uid);
            let view = lane.view().map_err(BuildError::from)?;
            let head = view.get::<TenantHead>(&uid).map_err(BuildError::from)?;
            let head = head.ok_or(BuildError::TenantGone)?;
            let (change, prepared) = prepare(&view, &head)?;
            let Some(change) = change else {
                lane.settled().map_err(BuildError::from)?;
                return Ok(prepared);
            };
            match fair::aside(|| lane.submit(change).wait()) {
                Ok(()) => {
                    self.progress.changed(uid);
                    return Ok(prepared);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(BuildError::from(error).into()),
            }
        }
        Err(BuildError::Contended.into())
    }
}

fn sign_due(
    repo: &mut Repo<'_>,
    origin: RootsOrigin,
    view: &View,
    change: &mut Change,
    now: UnixMillis,
) -> Result<Resigned, BuildError> {
    let mut signed = Resigned::default();
    let root = repo.state.root;
    if root.is_half_over(now) {
        match origin {
            RootsOrigin::Server => {
                repo.renew_root(view, change)?;
                signed.root = true;
            }
            RootsOrigin::Offline => signed.ending = Some(root.expires),
        }
    }
    let state = repo.state;
    if state.targets.is_half_over(now) {
        repo.sign_all(view, change, flows(view, repo)?.iter().map(|(_, head)| head))?;
        signed.roles = &[Role::Targets, Role::Snapshot, Role::Timestamp];
    } else if state.snapshot.is_half_over(now) {
        repo.sign_snapshot(view, change)?;
        signed.roles = &[Role::Snapshot, Role::Timestamp];
    } else if state.timestamp.signed.plus(TIMESTAMP_AGE) <= now {
        repo.sign_timestamp(view, change)?;
        signed.roles = &[Role::Timestamp];
    }
    Ok(signed)
}
