//! Everything that one build changes, put together in the tenant's lane.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_compiler::{Compiled, EdgeBundle};
use colophon_gitbridge::{Appended, Change as GitChange, Signer};
use colophon_model::{
    Artifact, ArtifactPath, BuildId, BuildRecord, BuildTag, Digest, EdgeOutput, FileSet, FlowId,
    FlowManifest, Output, OutputFile, Stamp, Target, TenantBranch, TenantManifest, TenantUid,
    UnixMillis,
};
use colophon_store::rows::{
    BuildNumber, EdgeHead, FlowClaim, FlowHead, FlowOwner, RefRow, SeenPlan, TenantHead,
};
use colophon_store::{Change, PreparedBlob, View, outbox, quota};
use colophon_trust::{TargetName, TenantKeys};

use super::files::{manifest_file, manifest_path, put};
use super::{BuildError, Job, Press};
use crate::feed;
use crate::projection::commits::{self, BuildCommit};
use crate::projection::{TenantLog, record_objects};

/// The facts of a build, settled before anything is derived from them.
struct Facts<'a> {
    job: &'a Job,
    flow: &'a FlowId,
    compiled: &'a Compiled,
    head: TenantHead,
    /// Every flow's head, the one being built not among them.
    others: BTreeMap<FlowId, FlowHead>,
    previous: Option<FlowHead>,
    id: BuildId,
    number: u64,
    stamp: Stamp,
}

/// The change that makes the build, and its record.
pub(super) fn assemble(
    press: &Press,
    view: &View,
    job: &Job,
    flow: &FlowId,
    compiled: &Compiled,
    now: UnixMillis,
) -> Result<(Change, BuildRecord), BuildError> {
    let uid = job.delivery.tenant.uid;
    let facts = Facts::settle(view, job, flow, compiled, now)?;
    let edge = compiled.edge.as_ref().map(|bundle| facts.edge_output(bundle));
    let head = facts.flow_head(edge.as_ref());
    let mut change = Change::new();
    let manifest = manifest_file(&facts.tenant_manifest(&head))?;
    change.blob(uid, PreparedBlob::of_artifact(&manifest)?);
    let committed = commit(press, view, &mut change, &facts, &head, &manifest)?;
    let next_ordinal = facts.head.next_ordinal + committed.entries.len() as u32;
    let record = facts.record(press, &committed, edge.clone(), manifest.digest());
    put_blobs(view, &mut change, &facts)?;
    if let (Some(output), Some(bundle)) = (&edge, &compiled.edge) {
        feed::put_bundle(&mut change, uid, output, &bundle.zip)?;
    }
    let tuf_version = publish(press, &mut change, &facts, &head, now)?;
    let mut tenant = TenantHead {
        builds: facts.number,
        stamp: Some(facts.stamp),
        tip: Some(record.commit),
        next_ordinal,
        tuf_version,
        quota: facts.head.quota.clone(),
    };
    for target in job.plan.targets() {
        quota::charge(&mut change, uid, &mut tenant, *target, facts.stamp.time());
    }
    put_rows(&mut change, &facts, &head, &record, &tenant);
    outbox::refs_changed(&mut change, view, uid, facts.stamp.time())?;
    Ok((change, record))
}

impl<'a> Facts<'a> {
    fn settle(
        view: &View,
        job: &'a Job,
        flow: &'a FlowId,
        compiled: &'a Compiled,
        now: UnixMillis,
    ) -> Result<Self, BuildError> {
        let uid = job.delivery.tenant.uid;
        let head = view.get::<TenantHead>(&uid)?.ok_or(BuildError::TenantGone)?;
        let mut others = BTreeMap::new();
        for row in view.scan::<FlowHead>(&uid) {
            let ((_, id), head) = row?;
            others.insert(id, head);
        }
        let previous = others.remove(flow);
        let number = head.builds + 1;
        Ok(Self {
            job,
            flow,
            compiled,
            others,
            previous,
            id: BuildId::derive(uid, number, &job.key),
            number,
            stamp: Stamp::after(head.stamp, now),
            head,
        })
    }

    fn uid(&self) -> TenantUid {
        self.job.delivery.tenant.uid
    }

    fn edge_output(&self, bundle: &EdgeBundle) -> EdgeOutput {
        let tree = bundle.files.tree().digest();
        let before = self.previous.as_ref().and_then(|h| h.edge.as_ref());
        let seq = match before {
            Some(edge) if edge.output.tree == tree => edge.output.seq,
            _ => self.previous.as_ref().map_or(0, |h| h.edge_seq) + 1,
        };
        let slug = &self.job.delivery.tenant.slug;
        EdgeOutput {
            runtime: bundle.runtime,
            tree,
            zip: Digest::of(&bundle.zip),
            sha256: bundle.sha256,
            length: bundle.zip.len() as u64,
            unpacked: bundle.files.total_size(),
            files: bundle.files.len() as u64,
            render: bundle.render.to_owned(),
            seq,
            target_name: TargetName::new(slug.clone(), self.flow.clone(), bundle.runtime)
                .to_string(),
        }
    }

    fn files(&self) -> impl Iterator<Item = (&ArtifactPath, &Artifact)> {
        let edge = self.compiled.edge.iter().flat_map(|e| e.branch_files.iter());
        self.compiled.cloud.iter().chain(edge)
    }

    fn flow_head(&self, edge: Option<&EdgeOutput>) -> FlowHead {
        let plan = &self.job.plan;
        let mut files: Vec<ArtifactPath> = self.files().map(|(path, _)| path.clone()).collect();
        files.sort();
        FlowHead {
            build: self.id,
            key: self.job.key,
            plan: plan.digest(),
            body: self.job.body,
            revision: plan.revision.max(self.previous.as_ref().and_then(|h| h.revision)),
            manifest: FlowManifest {
                name: plan.name.to_string(),
                source: plan.source(),
                revision: plan.revision,
                build: self.id,
                key: self.job.key,
                files,
                edge: edge.map(commits::pointer),
            },
            edge: edge.zip(self.compiled.edge.as_ref()).map(|(output, bundle)| EdgeHead {
                output: output.clone(),
                manifest: bundle.manifest.clone(),
            }),
            edge_seq: edge
                .map(|e| e.seq)
                .max(self.previous.as_ref().map(|h| h.edge_seq))
                .unwrap_or_default(),
        }
    }

    fn tags(&self) -> Vec<BuildTag> {
        let slug = &self.job.delivery.tenant.slug;
        let tag = |target| BuildTag::new(slug.clone(), self.stamp, target);
        self.job.plan.targets().iter().copied().map(tag).collect()
    }

    fn record(
        &self,
        press: &Press,
        committed: &Appended,
        edge: Option<EdgeOutput>,
        manifest: Digest,
    ) -> BuildRecord {
        let at = (self.number, self.stamp);
        let gates = self.compiled.gates.clone();
        BuildRecord {
            tags: self.tags(),
            outputs: self.outputs(edge),
            manifest: Some(manifest),
            signatures: committed.signatures.clone(),
            ..self.job.record(press, self.id, at, (self.flow, committed.commit), gates)
        }
    }

    fn outputs(&self, edge: Option<EdgeOutput>) -> Vec<Output> {
        let cloud = output(Target::Cloud, &self.compiled.cloud, None);
        let edge = self.compiled.edge.as_ref().map(|e| output(Target::Edge, &e.branch_files, edge));
        [(!self.compiled.cloud.is_empty()).then_some(cloud), edge].into_iter().flatten().collect()
    }

    /// The manifest of the branch with this build in it.
    fn tenant_manifest(&self, head: &FlowHead) -> TenantManifest {
        let others = self.others.iter().map(|(id, h)| (id.clone(), h.manifest.clone()));
        let slug = self.job.delivery.tenant.slug.clone();
        let own = (self.flow.clone(), head.manifest.clone());
        TenantManifest::new(slug, others.chain([own]).collect())
    }

    /// Files that leave the branch with this build.
    fn orphans(&self, head: &FlowHead) -> Vec<ArtifactPath> {
        let previous = self.previous.as_ref().map(|head| &head.manifest);
        let others = || self.others.values().map(|head| &head.manifest);
        let elsewhere = |path: &_| others().any(|flow| commits::holds(flow, path));
        commits::orphans(previous, &head.manifest, elsewhere)
    }
}

fn output(target: Target, files: &FileSet, edge: Option<EdgeOutput>) -> Output {
    let file = |(path, file): (&ArtifactPath, &Artifact)| OutputFile {
        path: path.clone(),
        mode: file.mode(),
        digest: file.digest(),
        size: file.bytes().len() as u64,
    };
    Output { target, tree: files.tree().digest(), files: files.iter().map(file).collect(), edge }
}

/// The commit on the tenant's branch and its tags.
fn commit(
    press: &Press,
    view: &View,
    change: &mut Change,
    facts: &Facts<'_>,
    head: &FlowHead,
    manifest: &Artifact,
) -> Result<Appended, BuildError> {
    let (uid, slug) = (facts.uid(), &facts.job.delivery.tenant.slug);
    let orphans = facts.orphans(head);
    let path = manifest_path();
    let mut changes: Vec<GitChange<'_>> = facts.files().map(put).collect();
    changes.push(put((&path, manifest)));
    changes.extend(orphans.iter().map(|path| GitChange::Remove { path }));
    let tags = facts.tags();
    let commit = BuildCommit {
        id: facts.id,
        key: &facts.job.key,
        flow: facts.flow,
        revision: facts.job.plan.revision,
        tags: &tags,
        stamp: facts.stamp,
        manifest: manifest.digest(),
    };
    let log = TenantLog::new(view, uid);
    let (parent, signer) = (facts.head.tip, Some(&press.signer as &dyn Signer));
    let appended = commit.append(&log, parent, &changes, &commit.tags()?, signer)?;
    record_objects(change, uid, &appended);
    let branch = TenantBranch::new(slug.clone()).full_name();
    change.put::<RefRow>(&(uid, branch), &RefRow { oid: appended.commit, peeled: None });
    for (tag, object) in tags.iter().zip(&appended.tags) {
        let row = RefRow { oid: object.oid, peeled: Some(object.target) };
        change.put::<RefRow>(&(uid, tag.full_name()), &row);
    }
    Ok(appended)
}

/// Every blob of the build: what came in, what came out, and the trees that name them. What the
/// tenant has already is named again without its bytes, before it costs anything.
fn put_blobs(view: &View, change: &mut Change, facts: &Facts<'_>) -> Result<(), BuildError> {
    let uid = facts.uid();
    let bundle = facts.compiled.edge.as_ref();
    let bundled = bundle.iter().flat_map(|b| b.files.iter());
    let mut new = Vec::new();
    for (_, file) in facts.files().chain(bundled) {
        if view.has_blob(uid, &file.digest())? {
            change.keep(uid, file.digest());
        } else {
            new.push(file);
        }
    }
    for blob in PreparedBlob::of_artifacts(&new)? {
        change.blob(uid, blob);
    }
    let mut others = vec![facts.compiled.cloud.tree().encode()];
    others
        .extend(bundle.iter().flat_map(|b| [&b.files, &b.branch_files]).map(|f| f.tree().encode()));
    for bytes in others.iter().map(Vec::as_slice).chain([&facts.job.delivery.body[..]]) {
        change.blob(uid, PreparedBlob::new(bytes)?);
    }
    Ok(())
}

/// New TUF metadata when the set of bundles changed; returns the version that now stands.
fn publish(
    press: &Press,
    change: &mut Change,
    facts: &Facts<'_>,
    head: &FlowHead,
    now: UnixMillis,
) -> Result<u64, BuildError> {
    let before = facts.previous.as_ref().and_then(|h| h.edge.as_ref());
    if before == head.edge.as_ref() {
        return Ok(facts.head.tuf_version);
    }
    let heads = facts.others.values().chain([head]);
    let bundles = heads.filter_map(|h| h.edge.as_ref());
    let version = NonZeroU64::MIN.saturating_add(facts.head.tuf_version);
    let keys = TenantKeys::derive(&press.keys.trust_seed(), facts.uid());
    feed::publish(change, &keys, facts.uid(), version, &feed::targets(bundles), now)?;
    Ok(version.get())
}

/// The rows of the build. The check on the tenant's head is the one that two racing builds of a
/// tenant meet at.
fn put_rows(
    change: &mut Change,
    facts: &Facts<'_>,
    head: &FlowHead,
    record: &BuildRecord,
    tenant: &TenantHead,
) {
    let (uid, flow, plan) = (facts.uid(), facts.flow, &facts.job.plan);
    change.expect::<TenantHead>(&uid, Some(&facts.head)).put::<TenantHead>(&uid, tenant);
    let origin = (uid, plan.source(), plan.native.clone());
    let owner = FlowOwner { source: plan.source(), native: plan.native.clone() };
    let claim = FlowClaim { flow: flow.clone() };
    if facts.previous.is_none() {
        change.expect::<FlowClaim>(&origin, None).put(&origin, &claim);
        change.expect::<FlowOwner>(&(uid, flow.clone()), None).put(&(uid, flow.clone()), &owner);
    } else {
        change.expect(&origin, Some(&claim)).expect(&(uid, flow.clone()), Some(&owner));
    }
    change.put::<FlowHead>(&(uid, flow.clone()), head);
    change.put(&(uid, flow.clone(), plan.digest()), &SeenPlan);
    change.put::<BuildRecord>(&(uid, facts.id), record);
    change.put::<BuildNumber>(&(uid, facts.number), &BuildNumber { build: facts.id });
}
