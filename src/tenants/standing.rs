//! Whether a tenant may be used: active, suspended or archived.

use crate::audit;
use colophon_model::audit::{Action, Subject};
use colophon_model::{TenantSlug, UnixMillis};
use colophon_store::rows::TenantRow;
use colophon_store::{Change, CommitError};
use serde::{Deserialize, Serialize};

use super::{TenantError, find};
use crate::pipeline::{ATTEMPTS, Press};

/// What a tenant may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Everything.
    Active,
    /// Nothing: its credentials are refused. It keeps all that it has.
    Suspended,
    /// Reading.
    Archived,
}

impl Standing {
    /// How `tenant` stands. One that is suspended and archived is suspended; when that is taken back,
    /// it is archived.
    pub const fn of(tenant: &TenantRow) -> Self {
        match (tenant.suspended, tenant.archived) {
            (Some(_), _) => Self::Suspended,
            (None, Some(_)) => Self::Archived,
            (None, None) => Self::Active,
        }
    }

    /// The word in answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
        }
    }
}

/// A step between two standings. Each is taken back by another, and none loses anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Refuse every credential of the tenant.
    Suspend,
    /// Take them again.
    Resume,
    /// Let nothing be built or changed any more.
    Archive,
    /// Let it be built for again.
    Restore,
    /// Keep it from being erased: a legal hold.
    Hold,
    /// Lift that.
    Release,
}

impl Step {
    /// The word in paths and commands.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Archive => "archive",
            Self::Restore => "restore",
            Self::Hold => "hold",
            Self::Release => "release",
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::Suspend => Action::TenantSuspend,
            Self::Resume => Action::TenantResume,
            Self::Archive => Action::TenantArchive,
            Self::Restore => Action::TenantRestore,
            Self::Hold => Action::TenantHold,
            Self::Release => Action::TenantRelease,
        }
    }

    /// The tenant after the step. What was so before keeps its time.
    fn after(self, before: &TenantRow, now: UnixMillis) -> TenantRow {
        let mut after = before.clone();
        match self {
            Self::Suspend => after.suspended = before.suspended.or(Some(now)),
            Self::Resume => after.suspended = None,
            Self::Archive => after.archived = before.archived.or(Some(now)),
            Self::Restore => after.archived = None,
            Self::Hold => after.held = before.held.or(Some(now)),
            Self::Release => after.held = None,
        }
        after
    }
}

/// Takes a step, in the tenant's lane: builds that were let in before are durable, and those after it
/// are refused. A step that was taken before changes nothing. Returns the tenant as it is then.
pub fn step(press: &Press, slug: &TenantSlug, step: Step) -> Result<TenantRow, TenantError> {
    for _ in 0..ATTEMPTS {
        let tenant = find(&press.store.view()?, slug)?;
        let lane = press.lane(tenant.uid);
        let view = lane.settled()?;
        let before = find(&view, slug)?;
        let after = step.after(&before, press.clock.now());
        if after == before {
            return Ok(before);
        }
        let mut change = Change::new();
        change.use_reserve().expect(slug, Some(&before)).put(slug, &after);
        let what = (step.action(), Subject::new("tenant", slug));
        audit::done(&mut change, &view, tenant.uid, what, press.clock.now())?;
        match lane.submit(change).wait() {
            Ok(()) => {
                tracing::info!(tenant.slug = %slug, standing = Standing::of(&after).word(), "tenant");
                return Ok(after);
            }
            Err(CommitError::Conflict(_)) => {} // another step, or an erasure
            Err(error) => return Err(error.into()),
        }
    }
    Err(TenantError::Contended)
}

#[cfg(test)]
mod tests {
    use colophon_model::{CodePolicy, TenantUid};
    use colophon_store::rows::RootsOrigin;

    use super::*;

    /// The two are apart, so that taking one back does not take back the other.
    #[test]
    fn an_archived_tenant_is_still_archived_when_it_was_suspended_meanwhile() {
        let new = TenantRow {
            uid: TenantUid::from_bytes([1; 16]),
            slug: "acme".parse().unwrap(),
            created: UnixMillis::new(1),
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        };
        let at = UnixMillis::new;
        let archived = Step::Archive.after(&new, at(2));
        let both = Step::Suspend.after(&archived, at(3));
        assert_eq!(Standing::of(&both), Standing::Suspended);
        assert_eq!(Step::Resume.after(&both, at(4)), archived);
        assert_eq!(Step::Restore.after(&archived, at(5)), new);
        assert_eq!(Step::Archive.after(&archived, at(6)), archived, "since when stays");
        let held = Step::Hold.after(&archived, at(7));
        assert_eq!((held.held, Standing::of(&held)), (Some(at(7)), Standing::Archived));
        assert_eq!(Step::Restore.after(&held, at(8)).held, held.held, "apart from the others");
        assert_eq!(Step::Release.after(&held, at(9)), archived);
    }
}
