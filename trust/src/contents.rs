//! What is signed about the files of a bundle, and the check of files from anywhere against it.

use std::collections::BTreeMap;

use colophon_model::{Artifact, ArtifactPath, Digest, FileMode, FileSet, InvalidTree, Tree};

use crate::BundleFacts;

/// What is signed about a bundle's files. Everything that carries files is bounded by it and
/// checked against it, so that nothing that carries them needs to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Digest of the tree.
    pub tree: Digest,
    /// Sum of the sizes of the files, in bytes.
    pub unpacked: u64,
    /// How many files.
    pub files: u64,
}

/// Why files are not those that were signed.
#[derive(Debug, thiserror::Error)]
pub enum ContentFlaw {
    /// The list of files is not one, or has names that are not safe everywhere.
    #[error("the list of files is malformed")]
    Tree(#[from] InvalidTree),
    /// Another list of files.
    #[error("the list of files is `{found}`, and `{signed}` was signed")]
    OtherTree {
        /// The digest of the list.
        found: Digest,
        /// The signed digest.
        signed: Digest,
    },
    /// Another number of files than was signed.
    #[error("the list has {found} files, and {signed} were signed")]
    Files {
        /// How many there are.
        found: u64,
        /// How many were signed.
        signed: u64,
    },
    /// A file is not at hand.
    #[error("the contents of `{0}` are missing")]
    Missing(ArtifactPath),
    /// A file has other bytes than the list says.
    #[error("the contents of `{0}` have another hash")]
    OtherFile(ArtifactPath),
    /// The files have another size together than was signed.
    #[error("the files do not have the signed {signed} bytes together")]
    Size {
        /// The signed size, in bytes.
        signed: u64,
    },
}

/// First line of a tree, and longest further one: mode, digest, path of 240 bytes, two spaces, end.
const TREE_HEAD: u64 = 17;
const TREE_LINE: u64 = 6 + 64 + 240 + 3;

impl BundleFacts {
    /// What is signed about the files.
    pub const fn contents(&self) -> Contents {
        Contents { tree: self.tree, unpacked: self.unpacked, files: self.files }
    }
}

impl Contents {
    /// The most bytes that the list of files can have.
    pub const fn max_tree(&self) -> u64 {
        TREE_HEAD + self.files.saturating_mul(TREE_LINE)
    }

    /// Reads the list of files, when it is the signed one.
    ///
    /// # Errors
    /// [`ContentFlaw`] for any other bytes.
    pub fn read_tree(&self, text: &[u8]) -> Result<Tree, ContentFlaw> {
        let found = Digest::of(text);
        if found != self.tree {
            return Err(ContentFlaw::OtherTree { found, signed: self.tree });
        }
        let tree = Tree::decode(text)?;
        match tree.entries().len() as u64 {
            found if found == self.files => Ok(tree),
            found => Err(ContentFlaw::Files { found, signed: self.files }),
        }
    }

    /// The signed files, from `tree` (of [`Self::read_tree`]) and what `blob` gives for each digest.
    /// Every file is hashed here; no more than the signed size is held, although small files may be
    /// in many places.
    ///
    /// # Errors
    /// [`ContentFlaw`] names the first file that is missing or another one.
    pub fn assemble(
        &self,
        tree: &Tree,
        mut blob: impl FnMut(&Digest) -> Option<Vec<u8>>,
    ) -> Result<FileSet, ContentFlaw> {
        let oversize = || ContentFlaw::Size { signed: self.unpacked };
        let mut left = self.unpacked;
        let mut files = BTreeMap::new();
        for entry in tree.entries() {
            let bytes = blob(&entry.digest);
            let bytes = bytes.ok_or_else(|| ContentFlaw::Missing(entry.path.clone()))?;
            left = left.checked_sub(bytes.len() as u64).ok_or_else(oversize)?;
            files
                .insert(entry.path.clone(), checked(&entry.path, entry.mode, entry.digest, bytes)?);
        }
        if left > 0 {
            return Err(oversize());
        }
        Ok(FileSet::new(files)?)
    }
}

fn checked(
    path: &ArtifactPath,
    mode: FileMode,
    digest: Digest,
    bytes: Vec<u8>,
) -> Result<Artifact, ContentFlaw> {
    let artifact = Artifact::new(mode, bytes);
    if artifact.digest() == digest {
        Ok(artifact)
    } else {
        Err(ContentFlaw::OtherFile(path.clone()))
    }
}
