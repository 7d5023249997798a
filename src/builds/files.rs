//! The files of a build, and one of them by its path.

use colophon_model::{ArtifactPath, BuildId, BuildRecord, Digest, FileMode, OutputFile, Target};
use serde::{Deserialize, Serialize};

/// The files that a build has on the branch, by target and path.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BuildFiles {
    /// The build.
    #[schema(value_type = String)]
    pub build: BuildId,
    /// Its files.
    pub files: Vec<BuildFile>,
}

/// A file of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BuildFile {
    /// For which target it was made.
    #[schema(value_type = String)]
    pub target: Target,
    /// Its path on the branch.
    #[schema(value_type = String)]
    pub path: ArtifactPath,
    /// Its mode.
    #[schema(value_type = String)]
    pub mode: FileMode,
    /// BLAKE3 of its bytes.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
}

impl BuildFiles {
    /// The files of `record`.
    pub fn of(record: &BuildRecord) -> Self {
        let files = record.outputs.iter().flat_map(|output| {
            output.files.iter().map(move |file| BuildFile::new(output.target, file))
        });
        Self { build: record.id, files: files.collect() }
    }
}

impl BuildFile {
    fn new(target: Target, file: &OutputFile) -> Self {
        let OutputFile { path, mode, digest, size } = file.clone();
        Self { target, path, mode, digest, size }
    }

    /// The file of `record` at `path`.
    pub fn at(record: &BuildRecord, path: &str) -> Option<Self> {
        BuildFiles::of(record).files.into_iter().find(|file| file.path.as_str() == path)
    }
}
