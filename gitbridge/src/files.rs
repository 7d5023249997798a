//! The files of one commit.

use colophon_model::{ArtifactPath, FileMode, GitKind, Oid, Ordinal};
use gix_object::tree::EntryKind;

use crate::history::Commit;
use crate::object::from_gix;
use crate::{Error, ObjectLog, read};

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedFile {
    /// Where.
    pub path: ArtifactPath,
    /// Regular or executable.
    pub mode: FileMode,
    /// The content.
    pub bytes: Vec<u8>,
}

/// The files of the first commit of the log, in the order of its trees. `None` for a log without a
/// commit.
///
/// # Errors
/// [`Error::Damaged`] when an object cannot be read, or a name is not one that is let through.
pub fn first_files(log: &dyn ObjectLog) -> Result<Option<Vec<CommittedFile>>, Error> {
    for at in (0..log.len().map_err(Error::Read)?).map(Ordinal::new) {
        if read::entry(log, at)?.kind == GitKind::Commit {
            let tree = Commit::read(log, at)?.tree;
            let mut files = Vec::new();
            walk(log, tree, "", &mut files)?;
            return Ok(Some(files));
        }
    }
    Ok(None)
}

fn walk(
    log: &dyn ObjectLog,
    tree: Oid,
    folder: &str,
    files: &mut Vec<CommittedFile>,
) -> Result<(), Error> {
    let at = read::locate(log, tree)?;
    let damaged = || Error::damaged(at, "it is not a tree of files that are let through");
    let bytes = read::tree(log, tree)?;
    let entries = gix_object::TreeRef::from_bytes(&bytes, gix_hash::Kind::Sha1);
    for entry in entries.map_err(|_| damaged())?.entries {
        let name = std::str::from_utf8(entry.filename).map_err(|_| damaged())?;
        let path = ArtifactPath::new(format!("{folder}{name}")).map_err(|_| damaged())?;
        let oid = from_gix(entry.oid).ok_or_else(damaged)?;
        let mode = match entry.mode.kind() {
            EntryKind::Tree => {
                walk(log, oid, &format!("{path}/"), files)?;
                continue;
            }
            EntryKind::Blob => FileMode::Regular,
            EntryKind::BlobExecutable => FileMode::Executable,
            EntryKind::Link | EntryKind::Commit => return Err(damaged()),
        };
        let (_, bytes) = read::object(log, read::locate(log, oid)?)?;
        files.push(CommittedFile { path, mode, bytes });
    }
    Ok(())
}
