//! Generated files on their way into a commit.

use colophon_gitbridge::Change;
use colophon_model::{Artifact, ArtifactPath, FileMode, FileSet, InvalidTree, TenantManifest};

/// Why the files of a commit could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The manifest could not be written as JSON.
    #[error("the manifest could not be encoded")]
    Encoding(#[from] serde_json::Error),
    /// The manifest's path is taken by a file of another name.
    #[error("the files collide")]
    Collision(#[from] InvalidTree),
}

/// Where a tenant's manifest stands on its branch.
pub(crate) fn manifest_path() -> ArtifactPath {
    ArtifactPath::new("manifest.json").expect("a constant that follows the rules")
}

/// A tenant's manifest as a file: indented JSON in the order of its keys, with a final newline.
pub(crate) fn manifest_file(manifest: &TenantManifest) -> Result<Artifact, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    Ok(Artifact::new(FileMode::Regular, text))
}

/// `files` and the manifest.
pub fn with_manifest(files: FileSet, manifest: &TenantManifest) -> Result<FileSet, FilesError> {
    let mut files = files.into_inner();
    files.insert(manifest_path(), manifest_file(manifest)?);
    Ok(FileSet::new(files)?)
}

/// A commit's change that puts one file.
pub(crate) fn put<'a>((path, file): (&'a ArtifactPath, &'a Artifact)) -> Change<'a> {
    Change::Put { path, mode: file.mode(), bytes: file.bytes(), digest: file.digest() }
}

/// A commit's changes that put all of `files`.
pub fn puts(files: &FileSet) -> Vec<Change<'_>> {
    files.iter().map(put).collect()
}
