//! A build that a gate refused: nothing changes on the branch, and what happened is kept.

use colophon_gitbridge::{Signer, annotate};
use colophon_model::{
    BuildId, BuildRecord, FailedTag, Failure, FlowId, GateResult, Stamp, UnixMillis,
};
use colophon_store::rows::{BuildNumber, FlowHead, RefRow, TenantHead};
use colophon_store::{Change, View, quota};

use super::versions::Versions;
use super::{BuildError, Job, Press, writable};
use crate::audit::builds_made;
use crate::projection::{commits, committer};

/// The change that writes down the refusal, and its only record. It is counted as a build: what costs as
/// much as one must not be free.
pub(super) fn refuse(
    press: &Press,
    view: &View,
    job: &Job,
    flow: &FlowId,
    gates: Vec<GateResult>,
    now: UnixMillis,
) -> Result<(Change, Vec<BuildRecord>), BuildError> {
    let row = writable(view, &job.delivery.tenant)?;
    let uid = row.uid;
    let before = view.get::<TenantHead>(&uid)?.ok_or(BuildError::TenantGone)?;
    let mut head = before.clone();
    head.builds += 1;
    let stamp = Stamp::after(before.stamp, now);
    head.stamp = Some(stamp);
    let tip = before.tip.ok_or(BuildError::TenantGone)?;
    let tag = FailedTag::new(job.delivery.tenant.slug.clone(), stamp);
    let id = BuildId::derive(uid, head.builds, &job.key);
    let new = commits::failed_tag(id, flow, &tag, &gates)?;
    let signer = Some(&press.signer as &dyn Signer);
    let (object, signature) = annotate(tip, &new, &committer()?, stamp.time(), signer)?;
    let mut change = Change::new();
    change.expect(&row.slug, Some(&row));
    for target in job.plan.targets() {
        quota::charge(&mut change, uid, &mut head, *target, stamp.time());
    }
    change.expect::<TenantHead>(&uid, Some(&before)).put::<TenantHead>(&uid, &head);
    let standing = view.get::<FlowHead>(&(uid, flow.clone()))?;
    let versions = Versions::of(view, uid, standing.as_ref());
    change.blob(uid, versions.pack(&job.delivery.body, || versions.body())?);
    let named = RefRow { oid: object.oid, peeled: Some(object.target) };
    change.put::<RefRow>(&(uid, tag.full_name()), &named);
    change.put(&(uid, object.oid), &object);
    let failure = Failure { tag, signature };
    let record = job.record(press, id, (head.builds, stamp), (flow, tip), gates);
    let record = BuildRecord { failure: Some(failure), ..record };
    change.put::<BuildRecord>(&(uid, id), &record);
    change.put::<BuildNumber>(&(uid, head.builds), &BuildNumber { build: id });
    if let Some(draft) = &job.delivery.origin.log {
        change.put(&(uid, draft.key), &draft.built(&record));
    }
    press.follow(&mut change, view, uid, stamp.time())?;
    builds_made(&mut change, view, std::slice::from_ref(&record), now)?;
    press.announce(&mut change, view, &row, std::slice::from_ref(&record))?;
    Ok((change, vec![record]))
}
