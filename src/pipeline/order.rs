//! Whether a delivery is a no-op, comes too late, is one too many, or is a build to make.

use colophon_model::{BuildKey, BuildRecord, FlowId, Stamp, TenantUid, UnixMillis};
use colophon_store::View;
use colophon_store::quota::{self, Rule, Verdict};
use colophon_store::rows::{FlowGone, FlowHead, SeenPlan, TenantHead};

use super::{BuildError, Job};

/// What to do with a delivery.
pub(super) enum Decision {
    /// The flow's head has the same key.
    NoOp(Box<BuildRecord>),
    /// Make the build.
    Build,
}

/// Decides on the facts that `view` shows. Refusals are errors.
pub(super) fn decide(
    view: &View,
    job: &Job,
    flow: &FlowId,
    rule: Rule,
    now: UnixMillis,
) -> Result<Decision, BuildError> {
    let uid = job.delivery.tenant.uid;
    if let Some(record) = current(view, uid, flow, &job.key)? {
        return Ok(Decision::NoOp(record));
    }
    check_order(view, job, flow)?;
    check_quota(view, job, rule, now)?;
    Ok(Decision::Build)
}

/// The flow's current build, if it has this key.
pub(super) fn current(
    view: &View,
    uid: TenantUid,
    flow: &FlowId,
    key: &BuildKey,
) -> Result<Option<Box<BuildRecord>>, BuildError> {
    let head = view.get::<FlowHead>(&(uid, flow.clone()))?;
    let Some(head) = head.filter(|h| h.key == *key) else { return Ok(None) };
    Ok(view.get::<BuildRecord>(&(uid, head.build))?.map(Box::new))
}

/// A delivery must not take a flow back: its revision must be above every one built. Without a
/// revision, content that was current once and is no longer is taken for a replay. Content means
/// the plan, so that moving a node does not make an old flow new.
fn check_order(view: &View, job: &Job, flow: &FlowId) -> Result<(), BuildError> {
    let uid = job.delivery.tenant.uid;
    let Some(head) = view.get::<FlowHead>(&(uid, flow.clone()))? else {
        return check_return(view, job, flow);
    };
    let plan = job.plan.digest();
    if plan == head.plan {
        return Ok(()); // the same flow, compiled anew: the templates or the compiler have changed
    }
    match (job.plan.revision, head.revision) {
        (Some(sent), Some(current)) if sent <= current => {
            Err(BuildError::Stale { flow: flow.clone(), sent, current })
        }
        (Some(_), _) => Ok(()),
        (None, _) => match view.get::<SeenPlan>(&(uid, flow.clone(), plan))? {
            Some(_) => Err(BuildError::SeenBefore { flow: flow.clone() }),
            None => Ok(()),
        },
    }
}

/// A flow that was deleted comes back by a higher revision or, without one, by content that was
/// never built: a replay must not bring it back.
fn check_return(view: &View, job: &Job, flow: &FlowId) -> Result<(), BuildError> {
    let uid = job.delivery.tenant.uid;
    let Some(gone) = view.get::<FlowGone>(&(uid, flow.clone()))? else { return Ok(()) };
    let replayed = match (job.plan.revision, gone.revision) {
        (Some(sent), Some(last)) => sent <= last,
        (Some(_), None) => false,
        (None, _) => {
            let seen = (uid, flow.clone(), job.plan.digest());
            view.get::<SeenPlan>(&seen)?.is_some()
        }
    };
    if replayed { Err(BuildError::Deleted { flow: flow.clone() }) } else { Ok(()) }
}

/// Checked and charged at the build's stamp, which never steps back.
fn check_quota(view: &View, job: &Job, rule: Rule, now: UnixMillis) -> Result<(), BuildError> {
    let uid = job.delivery.tenant.uid;
    let head = view.get::<TenantHead>(&uid)?.ok_or(BuildError::TenantGone)?;
    let at = Stamp::after(head.stamp, now).time();
    for target in job.plan.targets() {
        match quota::check(view, uid, &head, *target, rule, at)? {
            Verdict::Allowed => {}
            Verdict::Exceeded { retry_at } => {
                let wait = retry_at.get().saturating_sub(now.get());
                return Err(BuildError::Quota {
                    target: *target,
                    limit: rule.limit.get(),
                    retry_after: wait.div_ceil(1000),
                });
            }
        }
    }
    Ok(())
}
