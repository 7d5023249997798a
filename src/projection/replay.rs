//! A tenant's history made again from facts: records, planted files and signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use colophon_gitbridge::{Appended, Change, ObjectLog as _, Signer, annotate, first_files};
use colophon_model::{
    Artifact, ArtifactPath, BuildKind, BuildRecord, Digest, Failure, FileMode, FlowId,
    FlowManifest, Oid, Signatures, SshSignature, Stamp, TagObject, TenantManifest, UnixMillis,
};
use colophon_store::View;
use colophon_store::rows::{BuildNumber, FirstCommit, Planted, TenantRow};

use super::commits::{self, BuildCommit};
use super::draft::Draft;
use super::{RebuildError, TenantLog, committer};
use crate::pipeline::{manifest_file, manifest_path, put};

/// Which tags are made again.
pub(super) enum Tags {
    /// Those that stand: what was purged stays away.
    Standing(BTreeSet<String>),
    /// The refs are lost: those of builds since then.
    Since(UnixMillis),
}

impl Tags {
    fn wants(&self, full_name: &str, stamp: Stamp) -> bool {
        match self {
            Self::Standing(names) => names.contains(full_name),
            Self::Since(time) => stamp.time() >= *time,
        }
    }
}

/// How far a history has been made again.
pub(super) struct Replay<'a> {
    tenant: &'a TenantRow,
    wanted: Tags,
    /// What every flow has on the branch.
    flows: BTreeMap<FlowId, FlowManifest>,
    /// The log so far.
    pub(super) draft: Draft,
    /// The last commit.
    pub(super) tip: Option<Oid>,
    /// Builds so far.
    pub(super) builds: u64,
    /// Tags so far, by full name.
    pub(super) tags: BTreeMap<String, TagObject>,
}

/// Gives back the signature that an object was made with.
#[derive(Debug)]
struct Made<'a>(&'a SshSignature);

impl Signer for Made<'_> {
    fn sign(&self, _: &[u8]) -> SshSignature {
        self.0.clone()
    }
}

type Files = Vec<(ArtifactPath, Artifact)>;

impl<'a> Replay<'a> {
    /// Makes the first commit.
    pub(super) fn begin(
        view: &View,
        tenant: &'a TenantRow,
        wanted: Tags,
        dir: &Path,
    ) -> Result<Self, RebuildError> {
        let (flows, tags) = (BTreeMap::new(), BTreeMap::new());
        let draft = Draft::new(dir)?;
        let mut replay = Self { tenant, wanted, flows, draft, tip: None, builds: 0, tags };
        let row = view.get::<FirstCommit>(&tenant.uid)?;
        let signature = row.as_ref().and_then(|row| row.signature.as_ref()).map(Made);
        let files = first_planted(view, tenant)?;
        let changes: Vec<_> = files.iter().map(|(path, file)| put((path, file))).collect();
        let signer = signature.as_ref().map(|made| made as &dyn Signer);
        let (slug, time) = (&tenant.slug, tenant.created);
        let made = commits::first(&replay.draft, slug, time, &changes, signer)?;
        if let Some(row) = row.filter(|row| row.commit != made.commit) {
            let build = "the first commit".to_owned();
            return Err(RebuildError::Differs { build, stored: row.commit, made: made.commit });
        }
        replay.add(&made)?;
        Ok(replay)
    }

    /// Makes the commit of the next build, or of the next builds when they are a rebuild.
    pub(super) fn build(&mut self, view: &View) -> Result<(), RebuildError> {
        let record = self.record(view, self.builds + 1)?;
        if let Some(failure) = &record.failure {
            return self.failed(&record, failure);
        }
        let mut records = vec![record.clone()];
        if let BuildKind::Rebuild { of, .. } = record.kind {
            let numbers = self.builds + 2..=self.builds + u64::from(of);
            records.extend(
                numbers.map(|number| self.record(view, number)).collect::<Result<Vec<_>, _>>()?,
            );
        }
        let gone = self.advance(&records);
        let manifest = self.manifest(view, &record)?;
        let commit = BuildCommit::of(&record, manifest.digest());
        let path = manifest_path();
        let mut files = BTreeMap::new();
        for record in &records {
            files.extend(self.files(view, record)?);
        }
        let mut changes: Vec<_> = files.iter().map(|(path, file)| put((path, file))).collect();
        changes.push(put((&path, &manifest)));
        changes.extend(gone.iter().map(|path| Change::Remove { path }));
        let signatures = record.signatures.as_ref();
        let made = signatures.map(|signed| Made(&signed.commit));
        let signer = made.as_ref().map(|made| made as &dyn Signer);
        let made = commit.append(&self.draft, self.tip, &changes, &[], signer)?;
        if made.commit != record.commit {
            let build = format!("build {} ({})", record.number, record.id);
            return Err(RebuildError::Differs { build, stored: record.commit, made: made.commit });
        }
        self.annotate(&record, &commit, signatures)?;
        self.builds += records.len() as u64;
        self.add(&made)
    }

    /// Takes the flows to where they are after the builds; returns the files that nothing holds then.
    fn advance(&mut self, records: &[BuildRecord]) -> BTreeSet<ArtifactPath> {
        let mut before = Vec::new();
        for record in records {
            let previous = match record.kind {
                BuildKind::Deletion => self.flows.remove(&record.flow),
                BuildKind::Delivery
                | BuildKind::Rebuild { .. }
                | BuildKind::Rollback
                | BuildKind::Reverted { .. } => {
                    self.flows.insert(record.flow.clone(), commits::flow_manifest(record))
                }
            };
            before.push((&record.flow, previous));
        }
        let held = |path: &_| self.flows.values().any(|flow| commits::holds(flow, path));
        let gone = before.iter().flat_map(|(flow, previous)| {
            commits::orphans(previous.as_ref(), self.flows.get(*flow), held)
        });
        gone.collect()
    }

    /// A build that a gate refused left its tag alone.
    fn failed(&mut self, record: &BuildRecord, failure: &Failure) -> Result<(), RebuildError> {
        let tag = &failure.tag;
        self.builds += 1;
        if !self.wanted.wants(&tag.full_name(), tag.stamp()) {
            return Ok(());
        }
        let made = failure.signature.as_ref().map(Made);
        let signer = made.as_ref().map(|made| made as &dyn Signer);
        let new = commits::failed_tag(record.id, &record.flow, tag, &record.gates)?;
        let time = record.stamp.time();
        let (object, _) = annotate(record.commit, &new, &committer()?, time, signer)?;
        self.tags.insert(tag.full_name(), object);
        Ok(())
    }

    fn add(&mut self, made: &Appended) -> Result<(), RebuildError> {
        self.draft.add(made)?;
        self.tip = Some(made.commit);
        Ok(())
    }

    fn record(&self, view: &View, number: u64) -> Result<BuildRecord, RebuildError> {
        let uid = self.tenant.uid;
        let lost = || RebuildError::Lost(format!("the record of build {number}"));
        let row = view.get::<BuildNumber>(&(uid, number))?.ok_or_else(lost)?;
        view.get::<BuildRecord>(&(uid, row.build))?.ok_or_else(lost)
    }

    /// The branch's manifest: as it was stored, or for a record of format 1 as it follows from the
    /// records so far.
    fn manifest(&self, view: &View, record: &BuildRecord) -> Result<Artifact, RebuildError> {
        if let Some(digest) = &record.manifest {
            let bytes = self.blob(view, digest, "manifest.json", record.number)?;
            return Ok(Artifact::new(FileMode::Regular, bytes));
        }
        let slug = self.tenant.slug.clone();
        Ok(manifest_file(&TenantManifest::new(slug, self.flows.clone()))?)
    }

    fn files(&self, view: &View, record: &BuildRecord) -> Result<Files, RebuildError> {
        let files = record.outputs.iter().flat_map(|output| &output.files);
        let read = |file: &colophon_model::OutputFile| {
            let bytes = self.blob(view, &file.digest, file.path.as_str(), record.number)?;
            Ok((file.path.clone(), Artifact::new(file.mode, bytes)))
        };
        files.map(read).collect()
    }

    fn blob(
        &self,
        view: &View,
        digest: &Digest,
        name: &str,
        number: u64,
    ) -> Result<Vec<u8>, RebuildError> {
        let bytes = view.read_blob(self.tenant.uid, digest)?;
        bytes.ok_or_else(|| RebuildError::Lost(format!("`{name}` of build {number}")))
    }

    fn annotate(
        &mut self,
        record: &BuildRecord,
        commit: &BuildCommit<'_>,
        signatures: Option<&Signatures>,
    ) -> Result<(), RebuildError> {
        let author = committer()?;
        for (index, (name, tag)) in record.tags.iter().zip(commit.tags()?).enumerate() {
            if !self.wanted.wants(&name.full_name(), name.stamp()) {
                continue;
            }
            let made = signatures.and_then(|signed| signed.tags.get(index)).map(Made);
            let signer = made.as_ref().map(|made| made as &dyn Signer);
            let time = record.stamp.time();
            let (object, _) = annotate(record.commit, &tag, &author, time, signer)?;
            self.tags.insert(name.full_name(), object);
        }
        Ok(())
    }

    /// Objects so far.
    pub(super) fn objects(&self) -> Result<u32, RebuildError> {
        self.draft.len().map_err(|e| RebuildError::Git(colophon_gitbridge::Error::Read(e)))
    }
}

/// What the branch began with. For a tenant of format 1 only its Git log says.
fn first_planted(view: &View, tenant: &TenantRow) -> Result<Files, RebuildError> {
    let mut files = Vec::new();
    for row in view.scan::<Planted>(&tenant.uid) {
        let ((_, path), Planted { digest }) = row?;
        let lost = || RebuildError::Lost(format!("the planted file `{path}`"));
        let bytes = view.read_blob(tenant.uid, &digest)?.ok_or_else(lost)?;
        let place = path.parse().map_err(|_| lost())?;
        files.push((place, Artifact::new(FileMode::Regular, bytes)));
    }
    if !files.is_empty() {
        return Ok(files);
    }
    let found = first_files(&TenantLog::new(view, tenant.uid))?;
    let found = found.ok_or_else(|| RebuildError::Lost("what the branch began with".to_owned()))?;
    Ok(found.into_iter().map(|file| (file.path, Artifact::new(file.mode, file.bytes))).collect())
}
