//! Everything that one build changes, or one rebuild of many flows, put together in the tenant's
//! lane.

use std::collections::{BTreeMap, BTreeSet};

use colophon_compiler::{Compiled, Compiler, EdgeBundle, Plan};
use colophon_gitbridge::Appended;
use colophon_model::{
    Artifact, ArtifactPath, BuildId, BuildKind, BuildRecord, BuildTag, Digest, EdgeOutput, FileSet,
    FlowId, FlowManifest, Output, OutputFile, Target, TenantUid, UnixMillis,
};
use colophon_store::rows::{
    BuildNumber, BundleAlias, BundleTree, DeliveryClaim, EdgeHead, FlowClaim, FlowGone, FlowHead,
    FlowOwner, SeenPlan, TenantRow,
};
use colophon_store::{Change, View, quota};
use colophon_trust::TargetName;

use super::branch::{Branch, Files};
use super::files::manifest_file;
use super::versions::{NewFile, Versions};
use super::{BuildError, Job, Press};
use crate::audit::builds_made;
use crate::evidence::{Evidence, Made};
use crate::fair;
use crate::feed;
use crate::projection::commits::{self, BuildCommit};

/// A flow as it was compiled.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    /// Where it came from.
    pub(super) job: &'a Job,
    /// Its id.
    pub(super) flow: &'a FlowId,
    /// What came out.
    pub(super) compiled: &'a Compiled,
    /// The earlier build that it came out of, when nothing was compiled now.
    pub(super) like: Option<&'a BuildRecord>,
}

/// What leads to the entries being built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// One flow was delivered, at its tenant's expense.
    Delivery,
    /// Flows that stand were compiled again. Free.
    Rebuild,
    /// Somebody went back to this build. Free.
    Revert(BuildId),
}

/// An entry and the facts of its build, settled before anything is derived from them.
struct Member<'a> {
    entry: Entry<'a>,
    kind: BuildKind,
    id: BuildId,
    number: u64,
    previous: Option<FlowHead>,
    gone: Option<FlowGone>,
    edge: Option<EdgeOutput>,
    /// What is written about the bundle.
    evidence: Evidence,
}

/// The change that makes the builds of `entries` in one commit, and their records.
pub(super) fn assemble(
    press: &Press,
    view: &View,
    tenant: &TenantRow,
    (cause, entries): (Cause, &[Entry<'_>]),
    now: UnixMillis,
) -> Result<(Change, Vec<BuildRecord>), BuildError> {
    let mut branch = Branch::settle(view, tenant, now)?;
    let mut members = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let kind = match cause {
            Cause::Delivery => BuildKind::Delivery,
            Cause::Revert(to) => BuildKind::Reverted { to },
            Cause::Rebuild => BuildKind::Rebuild { index: index as u32, of: entries.len() as u32 },
        };
        let nth = (kind, index as u64 + 1);
        members.push(Member::settle(press, view, &mut branch, *entry, nth)?);
        fair::breathe();
    }
    let mut change = Change::new();
    let records = commit(press, view, &mut change, &branch, &members)?;
    fair::breathe();
    put_blobs(view, &mut change, &members)?;
    fair::breathe();
    let signed = if members.iter().any(|member| member.moves_edge(&branch)) {
        branch.publish(press, view, &mut change, now)?
    } else {
        None
    };
    fair::breathe();
    put_rows(&mut change, &branch, &members, &records);
    for edge in members.iter().filter_map(|member| member.edge.as_ref()) {
        press.artifacts.request(&mut change, view, (tenant.uid, edge.sha256), now)?;
    }
    let appended = &records.appended;
    let mut after = branch.after(members.len() as u64, appended, signed);
    if cause == Cause::Delivery {
        for target in entries.iter().flat_map(|entry| entry.job.plan.targets()) {
            quota::charge(&mut change, tenant.uid, &mut after, *target, branch.stamp.time());
        }
    }
    branch.put_head(&mut change, &after);
    fair::breathe();
    press.follow(&mut change, view, tenant.uid, branch.stamp.time())?;
    builds_made(&mut change, view, &records.records, now)?;
    press.announce(&mut change, view, tenant, &records.records)?;
    Ok((change, records.records))
}

impl<'a> Member<'a> {
    /// Settles the build that is the `nth` of its commit, and puts the flow's new head on `branch`.
    fn settle(
        press: &Press,
        view: &View,
        branch: &mut Branch<'_>,
        entry: Entry<'a>,
        (kind, nth): (BuildKind, u64),
    ) -> Result<Self, BuildError> {
        let (uid, number) = (branch.uid(), branch.before.builds + nth);
        let previous = branch.flows.remove(entry.flow);
        let gone = match previous {
            Some(_) => None,
            None => view.get::<FlowGone>(&(uid, entry.flow.clone()))?,
        };
        let id = BuildId::derive(uid, number, &entry.job.key);
        let (edge, evidence) = (None, Evidence::default());
        let mut member = Self { entry, kind, id, number, previous, gone, edge, evidence };
        if let Some(bundle) = &entry.compiled.edge {
            let mut output = member.edge_output(branch.tenant, bundle);
            member.evidence = member.evidence(press, view, branch, (bundle, &output))?;
            output.attestation = member.evidence.attestation;
            member.edge = Some(output);
        }
        branch.flows.insert(entry.flow.clone(), member.head());
        Ok(member)
    }

    /// The template set and the compiler's version that the outputs were made with.
    fn made_with(&self, press: &Press) -> (Digest, String) {
        match self.entry.like {
            Some(earlier) => (earlier.templates, earlier.compiler.clone()),
            None => (press.compiler.templates(), Compiler::VERSION.to_owned()),
        }
    }

    fn plan(&self) -> &'a Plan {
        &self.entry.job.plan
    }

    fn edge_seq_before(&self) -> u64 {
        let gone = self.gone.as_ref().map(|gone| gone.edge_seq);
        self.previous.as_ref().map(|head| head.edge_seq).or(gone).unwrap_or_default()
    }

    fn env_seq_before(&self) -> u64 {
        let gone = self.gone.as_ref().map(|gone| gone.env_seq);
        self.previous.as_ref().map(|head| head.env_seq).or(gone).unwrap_or_default()
    }

    fn revision_before(&self) -> Option<u64> {
        let gone = self.gone.as_ref().and_then(|gone| gone.revision);
        self.previous.as_ref().and_then(|head| head.revision).or(gone)
    }

    /// The latest delivery, this one among them, or now when somebody goes back. Flows that are compiled again
    /// stay where they are.
    fn ordered(&self) -> Option<UnixMillis> {
        let gone = self.gone.as_ref().and_then(|gone| gone.ordered);
        let before = self.previous.as_ref().and_then(|head| head.ordered).or(gone);
        let moves = !matches!(self.kind, BuildKind::Rebuild { .. });
        before.max(moves.then(|| self.entry.job.delivery.made()))
    }

    fn edge_output(&self, tenant: &TenantRow, bundle: &EdgeBundle) -> EdgeOutput {
        let tree = bundle.files.tree().digest();
        let before = self.previous.as_ref().and_then(|h| h.edge.as_ref());
        let seq = match before {
            Some(edge) if edge.output.tree == tree => edge.output.seq,
            _ => self.edge_seq_before() + 1,
        };
        let (slug, flow) = (tenant.slug.clone(), self.entry.flow.clone());
        EdgeOutput {
            runtime: bundle.runtime,
            tree,
            zip: None,
            sha256: bundle.sha256,
            length: bundle.zip.len() as u64,
            unpacked: bundle.files.total_size(),
            files: bundle.files.len() as u64,
            render: bundle.render.name().to_owned(),
            seq,
            target_name: TargetName::new(slug, flow, bundle.runtime).to_string(),
            attestation: None,
        }
    }

    /// What was written about the bundle when it was made, or what is to be now. A bundle that stays
    /// as it was keeps what it has: otherwise every build would change the signed metadata.
    fn evidence(
        &self,
        press: &Press,
        view: &View,
        branch: &Branch<'_>,
        (bundle, output): (&EdgeBundle, &EdgeOutput),
    ) -> Result<Evidence, BuildError> {
        let before = self.previous.as_ref().and_then(|head| head.edge.as_ref());
        let same =
            |edge: &&EdgeHead| (edge.output.sha256, edge.output.seq) == (output.sha256, output.seq);
        if let Some(edge) = before.filter(same)
            && let Some(alias) = view.get::<BundleAlias>(&(branch.uid(), output.sha256))?
            && let Some(kept) = Evidence::kept(alias, edge.output.attestation)
        {
            return Ok(kept);
        }
        let delivery = &self.entry.job.delivery;
        Ok(press.attester.attest(&Made {
            tenant: &branch.tenant.slug,
            flow: self.entry.flow,
            source: self.plan().source(),
            revision: self.plan().revision,
            body: &delivery.body,
            templates: self.made_with(press).0,
            build: self.id,
            received: delivery.received,
            finished: branch.stamp.time(),
            output,
            manifest: &bundle.manifest,
            files: &bundle.files,
            zip: &bundle.zip,
        }))
    }

    fn files(&self) -> impl Iterator<Item = (&'a ArtifactPath, &'a Artifact)> + use<'a> {
        let compiled = self.entry.compiled;
        let edge = compiled.edge.iter().flat_map(|e| e.branch_files.iter());
        compiled.cloud.iter().chain(edge)
    }

    fn head(&self) -> FlowHead {
        let (plan, edge) = (self.plan(), self.edge.as_ref());
        let mut files: Vec<ArtifactPath> = self.files().map(|(path, _)| path.clone()).collect();
        files.sort();
        FlowHead {
            build: self.id,
            key: self.entry.job.key,
            plan: self.entry.job.digest,
            body: self.entry.job.body,
            revision: plan.revision.max(self.revision_before()),
            manifest: FlowManifest {
                name: plan.name.to_string(),
                source: plan.source(),
                revision: plan.revision,
                build: self.id,
                key: self.entry.job.key,
                files,
                edge: edge.map(commits::pointer),
            },
            edge: edge.zip(self.entry.compiled.edge.as_ref()).map(|(output, bundle)| EdgeHead {
                output: output.clone(),
                manifest: bundle.manifest.clone(),
            }),
            edge_seq: edge.map_or(0, |edge| edge.seq).max(self.edge_seq_before()),
            min_seq: self.previous.as_ref().and_then(|head| head.min_seq),
            env: self.previous.as_ref().and_then(|head| head.env.clone()),
            env_seq: self.env_seq_before(),
            ordered: self.ordered(),
        }
    }

    /// Whether the flow's bundle is another one than before.
    fn moves_edge(&self, branch: &Branch<'_>) -> bool {
        let before = self.previous.as_ref().and_then(|head| head.edge.as_ref());
        branch.flows.get(self.entry.flow).and_then(|head| head.edge.as_ref()) != before
    }

    fn record(
        &self,
        press: &Press,
        branch: &Branch<'_>,
        tags: &[BuildTag],
        committed: &Appended,
        manifest: Digest,
    ) -> BuildRecord {
        let at = (self.number, branch.stamp);
        let gates = self.entry.compiled.gates.clone();
        let made = (self.entry.flow, committed.commit);
        let (templates, compiler) = self.made_with(press);
        BuildRecord {
            templates,
            compiler,
            tags: tags.to_vec(),
            outputs: self.outputs(),
            manifest: Some(manifest),
            signatures: committed.signatures.clone(),
            kind: self.kind,
            ..self.entry.job.record(press, self.id, at, made, gates)
        }
    }

    fn outputs(&self) -> Vec<Output> {
        let Compiled { cloud, edge, .. } = self.entry.compiled;
        let cloud = (!cloud.is_empty()).then(|| output(Target::Cloud, cloud, None));
        let edge = edge.as_ref().map(|e| output(Target::Edge, &e.branch_files, self.edge.clone()));
        [cloud, edge].into_iter().flatten().collect()
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

/// The records of a commit's builds, and the commit.
struct Records {
    appended: Appended,
    records: Vec<BuildRecord>,
}

/// The commit on the tenant's branch and its tags, and the records that say so.
fn commit(
    press: &Press,
    view: &View,
    change: &mut Change,
    branch: &Branch<'_>,
    members: &[Member<'_>],
) -> Result<Records, BuildError> {
    let first = members.first().ok_or(BuildError::Contended)?;
    let manifest = manifest_file(&branch.manifest())?;
    branch.put_manifest(view, change, &manifest)?;
    fair::breathe();
    let targets: BTreeSet<Target> =
        members.iter().flat_map(|m| m.plan().targets()).copied().collect();
    let tags = branch.tags(&targets);
    let said = BuildCommit {
        id: first.id,
        key: &first.entry.job.key,
        flow: first.entry.flow,
        revision: first.plan().revision,
        tags: &tags,
        stamp: branch.stamp,
        manifest: manifest.digest(),
        kind: first.kind,
    };
    let files: Files<'_> = members.iter().flat_map(Member::files).collect();
    let orphans = |m: &Member<'_>| branch.orphans(m.entry.flow, m.previous.as_ref());
    let orphans: BTreeSet<ArtifactPath> = members.iter().flat_map(orphans).collect();
    let orphans: Vec<ArtifactPath> = orphans.into_iter().collect();
    let appended = branch.commit(press, view, change, &said, (&files, &orphans), &manifest)?;
    let record = |m: &Member<'_>| m.record(press, branch, &tags, &appended, manifest.digest());
    let records = members.iter().map(record).collect();
    Ok(Records { appended, records })
}

/// Every blob of the builds: what came in, what came out, and the trees that name them. What the
/// tenant has already is named again without its bytes, before it costs anything; what is new is
/// compared with the version before.
fn put_blobs(view: &View, change: &mut Change, members: &[Member<'_>]) -> Result<(), BuildError> {
    let Some(uid) = members.first().map(|m| m.entry.job.delivery.tenant.uid) else {
        return Ok(());
    };
    let versions: Vec<Versions<'_>> =
        members.iter().map(|m| Versions::of(view, uid, m.previous.as_ref())).collect();
    let mut files = BTreeMap::new();
    for (member, versions) in members.iter().zip(&versions) {
        let bundled = member.entry.compiled.edge.iter().flat_map(|bundle| bundle.files.iter());
        let bundled = bundled.map(|file| (true, file));
        for (is_bundled, (path, file)) in bundled.chain(member.files().map(|file| (false, file))) {
            files.insert(file.digest(), NewFile { path, file, is_bundled, versions });
        }
    }
    let mut new = Vec::new();
    for (digest, file) in files {
        if view.has_blob(uid, &digest)? {
            change.keep(uid, digest);
        } else {
            new.push(file);
        }
    }
    for blob in NewFile::pack_all(&new)? {
        change.blob(uid, blob);
    }
    fair::breathe();
    let mut both = members.iter().zip(&versions);
    both.try_for_each(|(member, versions)| put_rest(change, uid, member, versions))
}

/// The trees, the flow as received, and the name of the bundle.
fn put_rest(
    change: &mut Change,
    uid: TenantUid,
    member: &Member<'_>,
    versions: &Versions<'_>,
) -> Result<(), BuildError> {
    let Entry { job, compiled, .. } = member.entry;
    let cloud = compiled.cloud.tree().encode();
    change.blob(uid, versions.pack(&cloud, || versions.list(Target::Cloud))?);
    if let Some(bundle) = &compiled.edge {
        let (files, branch) = (bundle.files.tree().encode(), bundle.branch_files.tree().encode());
        change.blob(uid, versions.pack(&files, || versions.bundle_list())?);
        change.blob(uid, versions.pack(&branch, || versions.list(Target::Edge))?);
    }
    if let Some(output) = &member.edge {
        change.put(&(uid, output.tree), &BundleTree);
    }
    if member.kind.is_delivery() {
        change.blob(uid, versions.pack(&job.delivery.body, || versions.body())?);
    } else {
        change.keep(uid, job.body); // it was read from the store
    }
    if let Some(output) = &member.edge {
        feed::put_bundle(change, uid, output, &member.evidence);
        let before = versions.documents();
        for (kind, bytes) in member.evidence.new_documents() {
            change.blob(uid, versions.pack(bytes, || before.get(&kind).copied())?);
        }
    }
    Ok(())
}

/// The rows of the builds.
fn put_rows(change: &mut Change, branch: &Branch<'_>, members: &[Member<'_>], records: &Records) {
    let uid = branch.uid();
    for (member, record) in members.iter().zip(&records.records) {
        let flow = member.entry.flow;
        claim(change, uid, member);
        claim_id(change, uid, member);
        if let Some(head) = branch.flows.get(flow) {
            change.put::<FlowHead>(&(uid, flow.clone()), head);
        }
        change.put(&(uid, flow.clone(), member.entry.job.digest), &SeenPlan);
        change.put::<BuildRecord>(&(uid, member.id), record);
        if let Some(draft) = &member.entry.job.delivery.origin.log {
            change.put(&(uid, draft.key), &draft.built(record));
        }
        change.put::<BuildNumber>(&(uid, member.number), &BuildNumber { build: member.id });
    }
}

/// The delivery's name is claimed by its build, so that of two builds under one name one meets a conflict.
fn claim_id(change: &mut Change, uid: TenantUid, member: &Member<'_>) {
    let delivery = &member.entry.job.delivery;
    let Some(claim) = delivery.origin.claim else { return };
    let row =
        DeliveryClaim { body: member.entry.job.body, build: member.id, at: delivery.received };
    change.expect::<DeliveryClaim>(&(uid, claim), None).put(&(uid, claim), &row);
}

/// The flow's id is claimed by its first build, and stays so when the flow is deleted.
fn claim(change: &mut Change, uid: TenantUid, member: &Member<'_>) {
    let (flow, plan) = (member.entry.flow, member.plan());
    let origin = (uid, plan.source(), plan.native.clone());
    let owner = FlowOwner { source: plan.source(), native: plan.native.clone() };
    let claim = FlowClaim { flow: flow.clone() };
    if let Some(gone) = &member.gone {
        change.expect(&(uid, flow.clone()), Some(gone));
        change.delete::<FlowGone>(&(uid, flow.clone()));
    }
    if member.previous.is_none() && member.gone.is_none() {
        change.expect::<FlowClaim>(&origin, None).put(&origin, &claim);
        change.expect::<FlowOwner>(&(uid, flow.clone()), None).put(&(uid, flow.clone()), &owner);
    } else {
        change.expect(&origin, Some(&claim)).expect(&(uid, flow.clone()), Some(&owner));
    }
}
