//! Generated files in memory, on their way from the compiler to the store and the Git facade.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::tree::check_collisions;
use crate::{ArtifactPath, Digest, FileMode, InvalidTree, Tree, TreeEntry};

/// One file's mode, bytes and address. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    mode: FileMode,
    bytes: Arc<Vec<u8>>,
    digest: Digest,
}

impl Artifact {
    /// Hashes `bytes` once; the digest goes along from here on.
    pub fn new(mode: FileMode, bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { mode, bytes: Arc::new(bytes), digest }
    }

    /// The mode.
    pub const fn mode(&self) -> FileMode {
        self.mode
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The address of the bytes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Files by path, in order, free of collisions on any platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSet(BTreeMap<ArtifactPath, Artifact>);

impl FileSet {
    /// Checks that no two paths collide.
    pub fn new(files: BTreeMap<ArtifactPath, Artifact>) -> Result<Self, InvalidTree> {
        check_collisions(files.keys())?;
        Ok(Self(files))
    }

    /// The files, in byte order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&ArtifactPath, &Artifact)> {
        self.0.iter()
    }

    /// The file at `path`.
    pub fn get(&self, path: &ArtifactPath) -> Option<&Artifact> {
        self.0.get(path)
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sum of the files' sizes, in bytes.
    pub fn total_size(&self) -> u64 {
        self.0.values().map(|a| a.bytes.len() as u64).sum()
    }

    /// The canonical tree of these files.
    pub fn tree(&self) -> Tree {
        let entry = |(path, file): (&ArtifactPath, &Artifact)| TreeEntry {
            path: path.clone(),
            mode: file.mode,
            digest: file.digest,
        };
        Tree::of_distinct(self.0.iter().map(entry).collect())
    }

    /// Takes the files out.
    pub fn into_inner(self) -> BTreeMap<ArtifactPath, Artifact> {
        self.0
    }
}
