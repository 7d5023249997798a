//! From a zip to checked files in memory. Nothing is written before everything is checked.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use colophon_model::{Artifact, ArtifactPath, Digest, FileMode, FileSet, InvalidPath, InvalidTree};
use colophon_trust::BundleFacts;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// Why a zip must not be unpacked although it is the one that was signed.
#[derive(Debug, thiserror::Error)]
pub enum BundleFlaw {
    /// Not a zip, an encrypted one, or one whose two lists of files disagree, overlap or repeat a
    /// name.
    #[error("the zip is damaged or ambiguous")]
    Zip(#[from] ZipError),
    /// A name that is not safe on every platform.
    #[error("a file has an unsafe name")]
    Path(#[from] InvalidPath),
    /// A name that is not even text.
    #[error("the name of file {0} is not UTF-8")]
    Name(usize),
    /// Two names that are one file on some platform.
    #[error("two files have the same name")]
    Collision(#[from] InvalidTree),
    /// A symbolic link, a folder or a device.
    #[error("`{0}` is not a regular file")]
    NotAFile(ArtifactPath),
    /// Another number of files than was signed.
    #[error("the zip has {found} files, and {signed} were signed")]
    Files {
        /// How many there are.
        found: u64,
        /// How many were signed.
        signed: u64,
    },
    /// The files unpack to another size than was signed.
    #[error("the files do not unpack to the signed {signed} bytes")]
    Size {
        /// The signed size, in bytes.
        signed: u64,
    },
    /// Other files than were signed.
    #[error("the unpacked tree is `{found}`, and `{signed}` was signed")]
    Tree {
        /// The digest of the files.
        found: Digest,
        /// The signed digest.
        signed: Digest,
    },
}

/// The files of a bundle, exactly those that `facts` describe.
///
/// Memory is bounded by the signed unpacked size, which the caller has checked against its limit.
pub(crate) fn unpack(zip: &[u8], facts: &BundleFacts) -> Result<FileSet, BundleFlaw> {
    let mut archive = ZipArchive::new(Cursor::new(zip))?;
    let found = archive.len() as u64;
    if found != facts.files {
        return Err(BundleFlaw::Files { found, signed: facts.files });
    }
    archive.validate_header_consistency()?;
    let mut budget = facts.unpacked;
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let (path, mode) = describe(index, &entry)?;
        let bytes = read_within(&mut entry, budget)
            .map_err(ZipError::from)?
            .ok_or(BundleFlaw::Size { signed: facts.unpacked })?;
        budget -= bytes.len() as u64;
        files.insert(path, Artifact::new(mode, bytes));
    }
    if budget > 0 {
        return Err(BundleFlaw::Size { signed: facts.unpacked });
    }
    let files = FileSet::new(files)?;
    let found = files.tree().digest();
    if found != facts.tree {
        return Err(BundleFlaw::Tree { found, signed: facts.tree });
    }
    Ok(files)
}

/// A file's path and mode, when it is an ordinary one. The name of a folder ends in a slash, which no
/// safe path does.
fn describe<R: Read>(
    index: usize,
    entry: &ZipFile<'_, R>,
) -> Result<(ArtifactPath, FileMode), BundleFlaw> {
    /// `S_IFMT` and `S_IFREG` of POSIX: the type of a file in its mode.
    const TYPE: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    let name = std::str::from_utf8(entry.name_raw()).map_err(|_| BundleFlaw::Name(index))?;
    let path = ArtifactPath::new(name)?;
    let mode = entry.unix_mode().unwrap_or(REGULAR);
    // Writers that are not on Unix leave the type out.
    if ![REGULAR, 0].contains(&(mode & TYPE)) {
        return Err(BundleFlaw::NotAFile(path));
    }
    let executable = mode & 0o100 != 0;
    Ok((path, if executable { FileMode::Executable } else { FileMode::Regular }))
}

/// The whole entry, or `None` when it is larger than `budget`, whatever its header announces.
fn read_within(entry: &mut impl Read, budget: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let count = entry.take(budget.saturating_add(1)).read_to_end(&mut bytes)? as u64;
    Ok((count <= budget).then_some(bytes))
}
