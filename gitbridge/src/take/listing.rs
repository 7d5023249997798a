//! What one commit holds.

use colophon_model::{ArtifactPath, FileMode, GitKind, Oid};
use gix_object::tree::EntryKind;

use super::{TakeError, Taken};
use crate::object::{CommitHead, from_gix};

/// A commit, as far as a checkout needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenCommit {
    /// Its tree.
    pub tree: Oid,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
}

/// A file of a commit, by the id of its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Where, below the top.
    pub path: ArtifactPath,
    /// Regular or executable.
    pub mode: FileMode,
    /// The blob.
    pub oid: Oid,
}

/// What a walk has come by.
struct Found {
    most: usize,
    folders: usize,
    files: Vec<ListedFile>,
}

impl Found {
    const fn folder(&mut self) -> Result<(), TakeError> {
        if self.folders == self.most {
            return Err(TakeError::TooMuch { what: "folders", most: self.most as u64 });
        }
        self.folders += 1;
        Ok(())
    }

    fn file(&mut self, file: ListedFile) -> Result<(), TakeError> {
        if self.files.len() == self.most {
            return Err(TakeError::TooMuch { what: "files", most: self.most as u64 });
        }
        self.files.push(file);
        Ok(())
    }
}

impl Taken {
    /// The commit.
    ///
    /// # Errors
    /// When it did not come, or is none.
    pub fn commit(&self, oid: Oid) -> Result<TakenCommit, TakeError> {
        let head = CommitHead::parse(self.get(oid, GitKind::Commit)?);
        let CommitHead { tree, time, .. } =
            head.ok_or(TakeError::NotA { oid, wanted: "a well-formed commit" })?;
        Ok(TakenCommit { tree, time })
    }

    /// The files below a tree, in the order of the trees; at most `most`, in as many folders. Every path is
    /// one that may be written ([`ArtifactPath`]), none is there twice in any letter case, and none leads
    /// through a link.
    ///
    /// # Errors
    /// When a tree did not come or is malformed, or holds what must not be checked out.
    pub fn files(&self, tree: Oid, most: usize) -> Result<Vec<ListedFile>, TakeError> {
        let mut found = Found { most, folders: 0, files: Vec::new() };
        self.walk(tree, "", &mut found)?;
        Ok(found.files)
    }

    /// Ends: a path has at most 240 bytes, so trees within trees do too; and a few trees that hold each
    /// other many times are as many folders.
    fn walk(&self, tree: Oid, folder: &str, found: &mut Found) -> Result<(), TakeError> {
        let malformed = TakeError::NotA { oid: tree, wanted: "a well-formed tree" };
        let bytes = self.get(tree, GitKind::Tree)?;
        let entries = gix_object::TreeRef::from_bytes(bytes, gix_hash::Kind::Sha1);
        let entries = entries.map_err(|_| malformed.clone())?.entries;
        let mut names = std::collections::BTreeSet::new();
        for entry in entries {
            let name = str::from_utf8(entry.filename).unwrap_or("\u{0}"); // which is no path
            let path = ArtifactPath::new(format!("{folder}{name}"));
            let path = path.map_err(|path| TakeError::Path { tree, path })?;
            if name.contains('/') || !names.insert(name.to_ascii_lowercase()) {
                return Err(TakeError::Entry { tree, problem: "two entries have one name" });
            }
            let oid = from_gix(entry.oid).ok_or(malformed.clone())?;
            let mode = match entry.mode.kind() {
                EntryKind::Tree => {
                    found.folder()?;
                    self.walk(oid, &format!("{path}/"), found)?;
                    continue;
                }
                EntryKind::Blob => FileMode::Regular,
                EntryKind::BlobExecutable => FileMode::Executable,
                EntryKind::Link => {
                    return Err(TakeError::Entry { tree, problem: "it holds a symbolic link" });
                }
                EntryKind::Commit => {
                    return Err(TakeError::Entry { tree, problem: "it holds a submodule" });
                }
            };
            found.file(ListedFile { path, mode, oid })?;
        }
        Ok(())
    }
}
