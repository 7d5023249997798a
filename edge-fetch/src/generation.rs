//! Unpacked bundles side by side, and the pointer that says which one is active.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use colophon_model::{Artifact, ArtifactPath, FileSet, FlowId};
use colophon_trust::BundleFacts;

use crate::disk;
use crate::{Cache, Error};

/// The name of an unpacked bundle: `gen-<seq>-<first 8 hex digits of the tree>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    seq: u64,
    tree: String,
}

impl Generation {
    /// The generation of a bundle.
    pub fn of(facts: &BundleFacts) -> Self {
        let mut tree = facts.tree.to_string();
        tree.truncate(8);
        Self { seq: facts.seq, tree }
    }

    /// The bundle's sequence number.
    pub const fn seq(&self) -> u64 {
        self.seq
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gen-{}-{}", self.seq, self.tree)
    }
}

impl FromStr for Generation {
    type Err = std::io::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (seq, tree) = text.strip_prefix("gen-")?.split_once('-')?;
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let generation = Self { seq: seq.parse().ok()?, tree: tree.to_owned() };
            let valid = tree.len() == 8 && tree.bytes().all(hex);
            (valid && generation.to_string() == text).then_some(generation)
        };
        parse().ok_or_else(|| std::io::Error::other("not the name of a generation"))
    }
}

/// One flow's generations.
pub(crate) struct Generations<'a> {
    cache: &'a Cache,
    folder: PathBuf,
}

impl<'a> Generations<'a> {
    pub(crate) fn of(cache: &'a Cache, flow: &FlowId) -> Self {
        Self { cache, folder: cache.flow(flow) }
    }

    pub(crate) fn path(&self, generation: &Generation) -> PathBuf {
        self.folder.join(generation.to_string())
    }

    fn pointer(&self) -> PathBuf {
        self.folder.join("current")
    }

    /// The active generation.
    pub(crate) fn active(&self) -> Result<Option<Generation>, Error> {
        let path = self.pointer();
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        match text.trim_end().parse() {
            Ok(generation) => Ok(Some(generation)),
            Err(source) => Err(Error::Disk { path, source }),
        }
    }

    /// Makes `files` the active generation. Whatever happens on the way, the pointer names a whole
    /// generation: the old one, or the new one.
    pub(crate) fn activate(&self, generation: &Generation, files: &FileSet) -> Result<(), Error> {
        let place = self.path(generation);
        if !holds(&place, files) {
            self.build(&place, files)?;
        }
        if self.active()?.as_ref() == Some(generation) {
            return Ok(());
        }
        disk::replace(&self.pointer(), format!("{generation}\n").as_bytes())
    }

    /// Builds the generation aside and moves it into place as a whole.
    fn build(&self, place: &Path, files: &FileSet) -> Result<(), Error> {
        let tmp = self.cache.fresh_tmp()?;
        let building = tmp.join("new");
        write_files(&building, files)?;
        disk::make_folder(&self.folder)?;
        if place.exists() {
            // Somebody changed files in it; a folder cannot be replaced in one step.
            disk::rename(place, &tmp.join("damaged"))?;
        }
        disk::rename(&building, place)?;
        disk::remove_folder(&tmp)
    }
}

/// Whether every file of `files` is in `place` unchanged. Scripts may leave other files there, such
/// as Python's bytecode.
fn holds(place: &Path, files: &FileSet) -> bool {
    let unchanged = |path: &ArtifactPath, artifact: &Artifact| {
        std::fs::read(place.join(path.as_str())).is_ok_and(|bytes| bytes == artifact.bytes())
    };
    place.is_dir() && files.iter().all(|(path, artifact)| unchanged(path, artifact))
}

/// Writes the files below `root`, which is not there yet, all durable when this returns.
fn write_files(root: &Path, files: &FileSet) -> Result<(), Error> {
    disk::make_folder(root)?;
    let mut folders = std::collections::BTreeSet::from([root.to_owned()]);
    for (path, artifact) in files.iter() {
        let full = root.join(path.as_str());
        let inside = full.ancestors().skip(1).take_while(|folder| *folder != root);
        folders.extend(inside.map(Path::to_owned));
        full.parent().map_or(Ok(()), disk::make_folder)?;
        disk::create(&full, artifact.mode(), artifact.bytes())?;
    }
    folders.iter().try_for_each(|folder| disk::sync_folder(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_generations() {
        let generation: Generation = "gen-12-0a1b2c3d".parse().unwrap();
        assert_eq!(generation.seq(), 12);
        for bad in [
            "",
            "gen-1",
            "gen-1-0a1b2c3",
            "gen-01-0a1b2c3d",
            "gen-1-../../x",
            "gen-1-0A1B2C3D",
            "../gen-1-0a1b2c3d",
        ] {
            assert!(bad.parse::<Generation>().is_err(), "{bad}");
        }
    }
}
