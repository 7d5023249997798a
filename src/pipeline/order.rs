//! Whether a delivery is a no-op, comes too late, is one too many, or is a build to make.

use colophon_model::{BuildKey, BuildRecord, Digest, FlowId, Stamp, TenantUid, UnixMillis};
use colophon_store::View;
use colophon_store::quota::{self, Rule, Verdict};
use colophon_store::rows::{DeliveryClaim, FlowGone, FlowHead, SeenPlan, TenantHead};

use super::{BuildError, Delivery, Job};

/// What to do with a delivery.
pub(super) enum Decision {
    /// The flow's head has the same key.
    NoOp(Box<BuildRecord>),
    /// A delivery of the same name has led to this build.
    Replayed(Box<BuildRecord>),
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
    let decision = decide_order(view, job, flow)?;
    if matches!(decision, Decision::Build) {
        check_quota(view, job, rule, now)?;
    }
    Ok(decision)
}

/// The same, whatever is left of the quota.
pub(super) fn decide_order(view: &View, job: &Job, flow: &FlowId) -> Result<Decision, BuildError> {
    let uid = job.delivery.tenant.uid;
    if let Some(record) = claimed(view, &job.delivery, job.body)? {
        return Ok(Decision::Replayed(record));
    }
    let head = view.get::<FlowHead>(&(uid, flow.clone()))?;
    if let Some(record) = of_head(view, uid, head.as_ref(), &job.key)? {
        return Ok(Decision::NoOp(record));
    }
    check_order(view, job, flow, head)?;
    Ok(Decision::Build)
}

/// The build that a delivery of the same name has led to. The name must not have come with other content.
pub(super) fn claimed(
    view: &View,
    delivery: &Delivery,
    body: Digest,
) -> Result<Option<Box<BuildRecord>>, BuildError> {
    let uid = delivery.tenant.uid;
    let Some(claim) = delivery.origin.claim else { return Ok(None) };
    let Some(row) = view.get::<DeliveryClaim>(&(uid, claim))? else { return Ok(None) };
    if row.body != body {
        return Err(BuildError::IdReused);
    }
    Ok(view.get::<BuildRecord>(&(uid, row.build))?.map(Box::new))
}

/// The flow's current build, if it has this key.
pub(super) fn current(
    view: &View,
    uid: TenantUid,
    flow: &FlowId,
    key: &BuildKey,
) -> Result<Option<Box<BuildRecord>>, BuildError> {
    let head = view.get::<FlowHead>(&(uid, flow.clone()))?;
    of_head(view, uid, head.as_ref(), key)
}

/// The build of a flow's head, if it has this key.
fn of_head(
    view: &View,
    uid: TenantUid,
    head: Option<&FlowHead>,
    key: &BuildKey,
) -> Result<Option<Box<BuildRecord>>, BuildError> {
    let Some(head) = head.filter(|h| h.key == *key) else { return Ok(None) };
    Ok(view.get::<BuildRecord>(&(uid, head.build))?.map(Box::new))
}

/// A delivery must not take a flow back: its revision must be above every one built. Without a
/// revision it must be signed after the latest delivery that was built. Without a time too, content that was
/// current once and is no longer is taken for a replay, unless the tenant allows it. Content means the plan,
/// so that moving a node does not make an old flow new.
fn check_order(
    view: &View,
    job: &Job,
    flow: &FlowId,
    head: Option<FlowHead>,
) -> Result<(), BuildError> {
    let Some(head) = head else {
        return check_return(view, job, flow);
    };
    if job.digest == head.plan {
        return Ok(()); // the same flow, compiled anew: the templates or the compiler have changed
    }
    let flow = flow.clone();
    let repeats = job.delivery.origin.repeats;
    match order(view, job, &flow, (head.revision, head.ordered), repeats)? {
        Order::After => Ok(()),
        Order::Revision { sent, current } => Err(BuildError::Stale { flow, sent, current }),
        Order::Signed { sent, last } => Err(BuildError::StaleDelivery { flow, sent, last }),
        Order::Seen => Err(BuildError::SeenBefore { flow }),
    }
}

/// A flow that was deleted comes back by a delivery that comes after that by the same rules: a replay
/// must not bring it back.
fn check_return(view: &View, job: &Job, flow: &FlowId) -> Result<(), BuildError> {
    let uid = job.delivery.tenant.uid;
    let Some(gone) = view.get::<FlowGone>(&(uid, flow.clone()))? else { return Ok(()) };
    match order(view, job, flow, (gone.revision, gone.ordered), false)? {
        Order::After => Ok(()),
        _ => Err(BuildError::Deleted { flow: flow.clone() }),
    }
}

/// Where a delivery stands among those before it.
enum Order {
    /// It comes after them.
    After,
    /// Its revision is not above the current one.
    Revision { sent: u64, current: u64 },
    /// It was not signed after the last one.
    Signed { sent: UnixMillis, last: UnixMillis },
    /// Nothing orders it, and its content was built before.
    Seen,
}

fn order(
    view: &View,
    job: &Job,
    flow: &FlowId,
    (revision, ordered): (Option<u64>, Option<UnixMillis>),
    repeats: bool,
) -> Result<Order, BuildError> {
    if let Some(sent) = job.plan.revision {
        return Ok(match revision {
            Some(current) if sent <= current => Order::Revision { sent, current },
            _ => Order::After,
        });
    }
    if let Some(sent) = job.delivery.origin.signed {
        return Ok(match ordered {
            Some(last) if sent <= last => Order::Signed { sent, last },
            _ => Order::After,
        });
    }
    let seen = (job.delivery.tenant.uid, flow.clone(), job.digest);
    let is_seen = !repeats && view.get::<SeenPlan>(&seen)?.is_some();
    Ok(if is_seen { Order::Seen } else { Order::After })
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
