//! What a generation holds, and by which name.

use std::collections::BTreeSet;
use std::fmt;

use colophon_gitbridge::ListedFile;
use colophon_model::{ArtifactPath, FileMode, FlowId, Oid};
use serde::{Deserialize, Serialize};

/// Name of a generation: its commit and, where that was there in another form, a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionName(String);

/// A text that names no generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it names no generation")]
pub struct InvalidName;

impl VersionName {
    /// The `number`-th form of a commit, from 1 on.
    pub fn new(commit: Oid, number: u32) -> Self {
        if number <= 1 { Self(commit.to_string()) } else { Self(format!("{commit}-{number}")) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit.
    pub fn commit(&self) -> Option<Oid> {
        self.0.get(..2 * Oid::LEN)?.parse().ok()
    }
}

impl TryFrom<String> for VersionName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let (commit, number) = text.split_once('-').map_or((&*text, None), |(c, n)| (c, Some(n)));
        let number = number.map(str::parse::<u32>).transpose().map_err(|_| InvalidName)?;
        let commit: Oid = commit.parse().map_err(|_| InvalidName)?;
        let made = Self::new(commit, number.unwrap_or(1));
        if made.0 == text { Ok(made) } else { Err(InvalidName) }
    }
}

impl From<VersionName> for String {
    fn from(name: VersionName) -> Self {
        name.0
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The list of a generation's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The commit.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// The only flows whose files are here; null for all.
    pub flows: Option<BTreeSet<FlowId>>,
    /// The files.
    pub files: Vec<File>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where.
    pub path: ArtifactPath,
    /// The blob.
    pub blob: Blob,
}

/// A file's content and mode: what two files have in common that are links to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Blob {
    /// Its id.
    pub oid: Oid,
    /// Regular or executable.
    pub mode: FileMode,
}

impl From<ListedFile> for File {
    fn from(listed: ListedFile) -> Self {
        let ListedFile { path, mode, oid } = listed;
        Self { path, blob: Blob { oid, mode } }
    }
}

impl Version {
    /// Every blob once.
    pub(super) fn blobs(&self) -> BTreeSet<Blob> {
        self.files.iter().map(|file| file.blob).collect()
    }

    /// The folders of its files, every one after that which holds it.
    pub(super) fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::new();
        for file in &self.files {
            let path = file.path.as_str();
            folders.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
        }
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in a folder or behind a link is no path until it was read as a name.
    #[test]
    fn only_names_of_ours_are_read() {
        let commit = Oid::from_bytes([7; 20]);
        for number in [1, 2, 17] {
            let name = VersionName::new(commit, number);
            assert_eq!(VersionName::try_from(name.to_string()), Ok(name.clone()));
            assert_eq!(name.commit(), Some(commit));
        }
        for bad in
            ["", "..", "a", &format!("{commit}-1"), &format!("{commit}-02"), &format!("{commit}/x")]
        {
            assert_eq!(VersionName::try_from((*bad).to_owned()), Err(InvalidName), "{bad}");
        }
    }
}
