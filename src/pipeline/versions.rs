//! Which stored blobs the blobs of a build are versions of: the store keeps a version as what differs from
//! the one before, where that pays. These are hints, and nothing else depends on them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use colophon_model::{
    Artifact, ArtifactPath, BuildRecord, Digest, Output, Target, TenantUid, Tree,
};
use colophon_store::rows::{BundleAlias, Document, FlowHead};
use colophon_store::{PreparedBlob, View};
use rayon::prelude::*;

use super::BuildError;
use crate::fair;

/// Files of so many bytes together are packed on one core: a fraction of a millisecond.
const LITTLE: usize = 128 * 1024;

/// What the flow's build before stored. It is read when it is first asked for.
pub(super) struct Versions<'a> {
    view: &'a View,
    uid: TenantUid,
    before: Option<&'a FlowHead>,
    outputs: OnceLock<Vec<Output>>,
    bundle: OnceLock<BTreeMap<ArtifactPath, Digest>>,
}

/// A generated file that the store does not have.
pub(super) struct NewFile<'a> {
    pub(super) path: &'a ArtifactPath,
    pub(super) file: &'a Artifact,
    /// Whether it is one of a bundle.
    pub(super) is_bundled: bool,
    pub(super) versions: &'a Versions<'a>,
}

impl<'a> Versions<'a> {
    pub(super) fn of(view: &'a View, uid: TenantUid, before: Option<&'a FlowHead>) -> Self {
        Self { view, uid, before, outputs: OnceLock::new(), bundle: OnceLock::new() }
    }

    /// `raw` as a version of `base`.
    pub(super) fn pack(
        &self,
        raw: &[u8],
        base: impl FnOnce() -> Option<Digest>,
    ) -> Result<PreparedBlob, BuildError> {
        Ok(PreparedBlob::version_of(self.view, self.uid, (Digest::of(raw), raw), base)?)
    }

    /// The flow as received.
    pub(super) fn body(&self) -> Option<Digest> {
        self.before.map(|head| head.body)
    }

    /// The list of the files for `target` on the branch.
    pub(super) fn list(&self, target: Target) -> Option<Digest> {
        let output = self.outputs().iter().find(|output| output.target == target);
        output.map(|output| output.tree)
    }

    /// The list of the bundle's files.
    pub(super) fn bundle_list(&self) -> Option<Digest> {
        Some(self.before?.edge.as_ref()?.output.tree)
    }

    /// What was written about the bundle.
    pub(super) fn documents(&self) -> BTreeMap<Document, Digest> {
        let edge = self.before.and_then(|head| head.edge.as_ref());
        let alias = edge.and_then(|edge| {
            self.view.get::<BundleAlias>(&(self.uid, edge.output.sha256)).ok().flatten()
        });
        alias.map(|alias| alias.documents).unwrap_or_default()
    }

    fn file(&self, path: &ArtifactPath) -> Option<Digest> {
        let mut files = self.outputs().iter().flat_map(|output| &output.files);
        files.find(|file| file.path == *path).map(|file| file.digest)
    }

    fn outputs(&self) -> &[Output] {
        self.outputs.get_or_init(|| {
            let record = self.before.and_then(|head| {
                self.view.get::<BuildRecord>(&(self.uid, head.build)).ok().flatten()
            });
            record.map(|record| record.outputs).unwrap_or_default()
        })
    }

    fn bundled(&self, path: &ArtifactPath) -> Option<Digest> {
        let files = self.bundle.get_or_init(|| {
            let list = self.bundle_list();
            let bytes = list.and_then(|list| self.view.read_blob(self.uid, &list).ok().flatten());
            let tree = bytes.and_then(|bytes| Tree::decode(&bytes).ok());
            let entries = tree.iter().flat_map(Tree::entries);
            entries.map(|entry| (entry.path.clone(), entry.digest)).collect()
        });
        files.get(path).copied()
    }
}

impl NewFile<'_> {
    /// The files in their order: many on all cores, a few on this one, since to wake the others takes longer.
    pub(super) fn pack_all(files: &[Self]) -> Result<Vec<PreparedBlob>, BuildError> {
        let bytes: usize = files.iter().map(|file| file.file.bytes().len()).sum();
        if bytes <= LITTLE {
            return files.iter().map(Self::pack).collect();
        }
        files.par_iter().map(Self::pack).collect()
    }

    fn pack(&self) -> Result<PreparedBlob, BuildError> {
        let base = || {
            let Self { path, versions, .. } = self;
            if self.is_bundled { versions.bundled(path) } else { versions.file(path) }
        };
        let Versions { view, uid, .. } = self.versions;
        let blob = (self.file.digest(), self.file.bytes());
        let packed = PreparedBlob::version_of(view, *uid, blob, base)?;
        fair::breathe();
        Ok(packed)
    }
}
