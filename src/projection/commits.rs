//! The commits of a tenant as functions of facts, so that a rebuild makes the ones that a build made.
//!
//! Whoever changes a word here, or the committer, changes commits that clients have: keep what old
//! records were made with, and choose by something in the record.

use colophon_gitbridge::{
    Appended, Change, Error, Message, NewCommit, NewTag, ObjectLog, Signer, TagName,
};
use colophon_model::{
    ArtifactPath, BuildId, BuildKey, BuildKind, BuildRecord, BuildTag, Digest, EdgeOutput,
    EdgePointer, FailedTag, FlowId, FlowManifest, GateResult, GateStatus, Oid, Stamp, TenantSlug,
    UnixMillis,
};

use super::committer;
use crate::feed;

/// Makes the first commit of a tenant's branch: `changes` put the planted files.
pub fn first(
    log: &dyn ObjectLog,
    slug: &TenantSlug,
    time: UnixMillis,
    changes: &[Change<'_>],
    signer: Option<&dyn Signer>,
) -> Result<Appended, Error> {
    let message = Message::new(format!("chore(tenant): bootstrap {slug}"), Vec::new())?;
    let author = committer()?;
    let commit = NewCommit {
        parent: None,
        changes,
        message: &message,
        author: &author,
        time,
        tags: &[],
        signer,
    };
    colophon_gitbridge::append(log, &commit)
}

/// What is said of a build in its commit and its tags. All of it is in the build's record.
#[derive(Debug, Clone, Copy)]
pub struct BuildCommit<'a> {
    /// The build.
    pub id: BuildId,
    /// Identity of its outputs.
    pub key: &'a BuildKey,
    /// Its flow.
    pub flow: &'a FlowId,
    /// The flow's revision, when it has one.
    pub revision: Option<u64>,
    /// Its tags, one per target.
    pub tags: &'a [BuildTag],
    /// When it was made.
    pub stamp: Stamp,
    /// The branch's manifest with the build in it.
    pub manifest: Digest,
    /// What led to it. For a rebuild, `id`, `key`, `flow` and `revision` are those of one of its
    /// builds, and not said.
    pub kind: BuildKind,
}

impl<'a> BuildCommit<'a> {
    /// What `record` says, whose manifest is `manifest`.
    pub fn of(record: &'a BuildRecord, manifest: Digest) -> Self {
        let BuildRecord { id, key, flow, revision, tags, stamp, kind, .. } = record;
        let (revision, kind) = (*revision, *kind);
        Self { id: *id, key, flow, revision, tags, stamp: *stamp, manifest, kind }
    }

    /// Makes the commit on `parent`, and those of its tags that are asked for.
    pub fn append(
        &self,
        log: &dyn ObjectLog,
        parent: Option<Oid>,
        changes: &[Change<'_>],
        tags: &[NewTag],
        signer: Option<&dyn Signer>,
    ) -> Result<Appended, Error> {
        let (message, author) = (self.message()?, committer()?);
        let commit = NewCommit {
            parent,
            changes,
            message: &message,
            author: &author,
            time: self.stamp.time(),
            tags,
            signer,
        };
        colophon_gitbridge::append(log, &commit)
    }

    /// The tags, in their order.
    pub fn tags(&self) -> Result<Vec<NewTag>, Error> {
        let tag = |tag: &BuildTag| {
            let subject = match self.kind {
                BuildKind::Rebuild { of, .. } => format!("rebuild of {}", flows(of)),
                BuildKind::Delivery
                | BuildKind::Deletion
                | BuildKind::Rollback
                | BuildKind::Reverted { .. } => {
                    format!("build {}", self.id)
                }
            };
            let message = Message::new(subject, Vec::new())?;
            Ok(NewTag { name: TagName::new(tag.to_string())?, message })
        };
        self.tags.iter().map(tag).collect()
    }

    fn message(&self) -> Result<Message, Error> {
        let (subject, mut trailers) = match self.kind {
            BuildKind::Delivery => (format!("feat(flow): build {}", self.flow), self.about_flow()),
            BuildKind::Deletion => {
                (format!("chore(flow): delete {}", self.flow), self.about_flow())
            }
            BuildKind::Rollback => {
                (format!("revert(flow): edge bundle of {}", self.flow), self.about_flow())
            }
            BuildKind::Reverted { to } => {
                let mut about = self.about_flow();
                about.push(("Reverted-To", to.to_string()));
                (format!("revert(flow): an earlier build of {}", self.flow), about)
            }
            BuildKind::Rebuild { of, .. } => {
                (format!("chore(flow): rebuild {}", flows(of)), vec![("Flows", of.to_string())])
            }
        };
        if !self.tags.is_empty() {
            let targets: Vec<&str> = self.tags.iter().map(|tag| tag.target().as_str()).collect();
            trailers.push(("Target", targets.join(",")));
        }
        trailers.push(("Manifest", self.manifest.to_string()));
        Message::new(subject, trailers)
    }

    fn about_flow(&self) -> Vec<(&'static str, String)> {
        let mut trailers = vec![
            ("Build-Id", self.id.to_string()),
            ("Build-Key", self.key.to_string()),
            ("Flow", self.flow.to_string()),
        ];
        trailers.extend(self.revision.map(|revision| ("Revision", revision.to_string())));
        trailers
    }
}

/// The tag of a build that a gate refused. All of it is in the build's record.
pub fn failed_tag(
    id: BuildId,
    flow: &FlowId,
    tag: &FailedTag,
    gates: &[GateResult],
) -> Result<NewTag, Error> {
    let refusal = gates.iter().find(|gate| gate.status == GateStatus::Failed);
    let gate = refusal.map_or("none", |gate| &gate.name);
    let trailers = vec![("Flow", flow.to_string()), ("Gate", gate.to_owned())];
    let message = Message::new(format!("build {id} failed"), trailers)?;
    Ok(NewTag { name: TagName::new(tag.to_string())?, message })
}

fn flows(count: u32) -> String {
    if count == 1 { "1 flow".to_owned() } else { format!("{count} flows") }
}

/// Files that a flow's last build put on the branch and that nothing holds any more. `current` is
/// the flow now, if it is still there; `held` says whether any flow holds a file.
pub fn orphans(
    previous: Option<&FlowManifest>,
    current: Option<&FlowManifest>,
    held: impl Fn(&ArtifactPath) -> bool,
) -> Vec<ArtifactPath> {
    let Some(previous) = previous else { return Vec::new() };
    let kept = |path: &&ArtifactPath| current.is_some_and(|flow| holds(flow, path)) || held(path);
    let gone = previous.files.iter().filter(|path| !kept(path));
    gone.cloned().collect()
}

/// Whether a flow has a file on the branch.
pub fn holds(flow: &FlowManifest, path: &ArtifactPath) -> bool {
    flow.files.binary_search(path).is_ok()
}

/// What the branch's manifest says of the flow after this build.
pub fn flow_manifest(record: &BuildRecord) -> FlowManifest {
    let files = record.outputs.iter().flat_map(|output| &output.files);
    let mut files: Vec<ArtifactPath> = files.map(|file| file.path.clone()).collect();
    files.sort();
    FlowManifest {
        name: record.name.clone(),
        source: record.source,
        revision: record.revision,
        build: record.id,
        key: record.key,
        files,
        edge: record.outputs.iter().find_map(|output| output.edge.as_ref()).map(pointer),
    }
}

/// Where a manifest says that a bundle is.
pub fn pointer(edge: &EdgeOutput) -> EdgePointer {
    EdgePointer {
        runtime: edge.runtime,
        version: feed::version(edge.seq),
        seq: edge.seq,
        tree: edge.tree,
        sha256: edge.sha256,
        length: edge.length,
        target: edge.target_name.clone(),
        url: format!("targets/{}.{}", edge.sha256, edge.target_name),
    }
}
