//! Unpacked bundles side by side, and the pointer that says which one is active.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use colophon_model::{Artifact, ArtifactPath, FileSet, FlowId};
use colophon_trust::BundleFacts;
use serde::{Deserialize, Serialize};

use crate::disk::{self, At};
use crate::{Cache, Error};

/// The name of an unpacked bundle: `gen-<seq>-<first 8 hex digits of the tree>`, and `-<n>` after it
/// for the `n`th repair, from 1. A damaged folder cannot be replaced in one step, so a repaired one
/// stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Generation {
    seq: u64,
    tree: String,
    repair: u32,
}

impl Generation {
    /// The generation of a bundle.
    pub fn of(facts: &BundleFacts) -> Self {
        let mut tree = facts.tree.to_string();
        tree.truncate(8);
        Self { seq: facts.seq, tree, repair: 0 }
    }

    /// The bundle's sequence number.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether both are of the same bundle; one may be a repair of the other.
    pub fn is_same_bundle(&self, other: &Self) -> bool {
        (self.seq, &self.tree) == (other.seq, &other.tree)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gen-{}-{}", self.seq, self.tree)?;
        if self.repair > 0 { write!(f, "-{}", self.repair) } else { Ok(()) }
    }
}

impl FromStr for Generation {
    type Err = std::io::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (seq, rest) = text.strip_prefix("gen-")?.split_once('-')?;
            let (tree, repair) = rest.split_once('-').unwrap_or((rest, "0"));
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let (seq, repair) = (seq.parse().ok()?, repair.parse().ok()?);
            let generation = Self { seq, tree: tree.to_owned(), repair };
            let valid = tree.len() == 8 && tree.bytes().all(hex);
            (valid && generation.to_string() == text).then_some(generation)
        };
        parse().ok_or_else(|| std::io::Error::other("not the name of a generation"))
    }
}

impl TryFrom<String> for Generation {
    type Error = std::io::Error;
    fn try_from(text: String) -> Result<Self, std::io::Error> {
        text.parse()
    }
}

impl From<Generation> for String {
    fn from(generation: Generation) -> Self {
        generation.to_string()
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

    /// Puts `files`, the contents of `bundle`, on the disk whole, and gives the name they have there.
    /// What the pointer names is left as it is.
    pub(crate) fn place(&self, bundle: &Generation, files: &FileSet) -> Result<Generation, Error> {
        let copies = self.copies(bundle)?;
        let whole = copies.iter().find(|copy| holds(&self.path(copy), files));
        let generation = match whole {
            Some(whole) => whole.clone(),
            None => self.build(bundle, &copies, files)?,
        };
        let (list, text) = (self.list_path(&generation), files.tree().encode());
        if disk::read(&list)?.as_deref() != Some(&text) {
            disk::replace(&list, &text)?;
        }
        Ok(generation)
    }

    /// Makes the pointer name `generation`, or nothing. Whatever happens on the way, it names a folder
    /// that is there: the one from before, or the new one.
    pub(crate) fn point(&self, generation: Option<&Generation>) -> Result<(), Error> {
        if self.active()?.as_ref() == generation {
            return Ok(());
        }
        match generation {
            Some(generation) => {
                disk::replace(&self.pointer(), format!("{generation}\n").as_bytes())
            }
            None => disk::remove(&self.pointer()),
        }
    }

    /// Removes what is there of the bundle of `kept` beside it: damaged folders, which nothing names
    /// any more. What cannot be removed now is tried again the next time.
    pub(crate) fn drop_damaged(&self, kept: &Generation) -> Result<(), Error> {
        for other in self.copies(kept)?.iter().filter(|copy| *copy != kept) {
            let _ = self.remove(other);
        }
        Ok(())
    }

    /// Removes a generation and its list of files.
    pub(crate) fn remove(&self, generation: &Generation) -> Result<(), Error> {
        disk::remove_folder(&self.path(generation))?;
        disk::remove(&self.list_path(generation))
    }

    /// The list of the files that were signed, in the form whose digest is the tree's.
    pub(crate) fn list(&self, generation: &Generation) -> Result<Option<Vec<u8>>, Error> {
        disk::read(&self.list_path(generation))
    }

    fn list_path(&self, generation: &Generation) -> PathBuf {
        self.folder.join(format!("{generation}.tree"))
    }

    /// What is there of a bundle: nothing or one folder, and more when its files were changed and a
    /// repair did not come to its end.
    fn copies(&self, bundle: &Generation) -> Result<Vec<Generation>, Error> {
        let mut copies = self.all()?;
        copies.retain(|generation| generation.is_same_bundle(bundle));
        Ok(copies)
    }

    /// Every generation that has a folder, the newest first.
    pub(crate) fn all(&self) -> Result<Vec<Generation>, Error> {
        let entries = disk::absent_as_none(fs::read_dir(&self.folder)).at(&self.folder)?;
        let names = entries.into_iter().flatten();
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut all: Vec<Generation> = names.filter_map(|name| name.parse().ok()).collect();
        all.sort_by_key(|generation| std::cmp::Reverse((generation.seq, generation.repair)));
        Ok(all)
    }

    /// Builds a generation aside and moves it into place as a whole, under a name that none of the
    /// damaged `copies` has.
    fn build(
        &self,
        bundle: &Generation,
        copies: &[Generation],
        files: &FileSet,
    ) -> Result<Generation, Error> {
        let repair = copies.iter().map(|copy| copy.repair.saturating_add(1)).max().unwrap_or(0);
        let generation = Generation { repair, ..bundle.clone() };
        let tmp = self.cache.fresh_tmp()?;
        let building = tmp.join("new");
        write_files(&building, files)?;
        disk::make_folder(&self.folder)?;
        disk::rename(&building, &self.path(&generation))?;
        disk::remove_folder(&tmp)?;
        Ok(generation)
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
    disk::make_folder_unsynced(root)?;
    let mut folders = std::collections::BTreeSet::from([root.to_owned()]);
    for (path, artifact) in files.iter() {
        let full = root.join(path.as_str());
        let inside = full.ancestors().skip(1).take_while(|folder| *folder != root);
        folders.extend(inside.map(Path::to_owned));
        full.parent().map_or(Ok(()), disk::make_folder_unsynced)?;
        disk::create(&full, artifact.mode(), artifact.bytes())?;
    }
    folders.iter().try_for_each(|folder| disk::sync_folder(folder))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use colophon_model::FileMode;

    use super::*;

    #[test]
    fn only_our_own_names_are_generations() {
        let generation: Generation = "gen-12-0a1b2c3d".parse().unwrap();
        assert_eq!(generation.seq(), 12);
        let repaired: Generation = "gen-12-0a1b2c3d-1".parse().unwrap();
        assert!(repaired.is_same_bundle(&generation) && repaired != generation);
        for bad in [
            "",
            "gen-1",
            "gen-1-0a1b2c3",
            "gen-01-0a1b2c3d",
            "gen-1-../../x",
            "gen-1-0A1B2C3D",
            "../gen-1-0a1b2c3d",
            "gen-1-0a1b2c3d-",
            "gen-1-0a1b2c3d-0",
            "gen-1-0a1b2c3d-01",
            "gen-1-0a1b2c3d-+1",
            "gen-1-0a1b2c3d-1-1",
            "gen-1-0a1b2c3d-../x",
        ] {
            assert!(bad.parse::<Generation>().is_err(), "{bad}");
        }
    }

    /// A flow with a bundle of one file.
    struct Flow {
        dir: tempfile::TempDir,
        bundle: Generation,
        files: FileSet,
    }

    impl Flow {
        fn new() -> Self {
            let main = Artifact::new(FileMode::Regular, b"whole".to_vec());
            let files = FileSet::new([("main.py".parse().unwrap(), main)].into()).unwrap();
            let bundle = "gen-1-0a1b2c3d".parse().unwrap();
            Self { dir: tempfile::tempdir().unwrap(), bundle, files }
        }

        fn folder(&self) -> PathBuf {
            self.dir.path().join("flows/order")
        }

        fn activate(&self) -> Result<Generation, Error> {
            let cache = Cache::new(self.dir.path());
            let generations = Generations::of(&cache, &"order".parse().unwrap());
            let generation = generations.place(&self.bundle, &self.files)?;
            generations.point(Some(&generation))?;
            generations.drop_damaged(&generation)?;
            Ok(generation)
        }

        fn current(&self) -> String {
            fs::read_to_string(self.folder().join("current")).unwrap().trim_end().to_owned()
        }

        /// The file of the active generation, as one who starts the flow would find it.
        fn active_file(&self) -> String {
            fs::read_to_string(self.folder().join(self.current()).join("main.py")).unwrap()
        }

        fn damage(&self) {
            fs::write(self.folder().join(self.current()).join("main.py"), "damaged").unwrap();
        }

        fn generations(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> =
                names.filter(|name| name.parse::<Generation>().is_ok()).collect();
            names.sort();
            names
        }
    }

    /// The process dies after the repaired generation is in place, or after the pointer names it. The
    /// pointer names a folder that is there all along, and the next run ends the repair.
    #[test]
    fn a_repair_can_be_cut_off_between_any_two_steps() {
        let flow = Flow::new();
        assert_eq!(flow.activate().unwrap(), flow.bundle);
        flow.damage();

        // A folder in the way of the new pointer stops the run right before it.
        let obstacle = flow.folder().join("current.new");
        fs::create_dir(&obstacle).unwrap();
        flow.activate().unwrap_err();
        assert_eq!(flow.generations(), ["gen-1-0a1b2c3d", "gen-1-0a1b2c3d-1"]);
        assert_eq!(
            (flow.current(), flow.active_file()),
            (flow.bundle.to_string(), "damaged".into())
        );
        fs::remove_dir(&obstacle).unwrap();

        // The same, with the pointer moved and the damaged folder still there.
        fs::write(flow.folder().join("current"), "gen-1-0a1b2c3d-1\n").unwrap();
        assert_eq!(flow.active_file(), "whole");
        assert_eq!(flow.activate().unwrap().to_string(), "gen-1-0a1b2c3d-1");
        assert_eq!(flow.generations(), ["gen-1-0a1b2c3d-1"], "the damaged one is gone");
        assert_eq!(flow.active_file(), "whole");

        // From the first of the two.
        flow.damage();
        fs::create_dir(&obstacle).unwrap();
        flow.activate().unwrap_err();
        fs::remove_dir(&obstacle).unwrap();
        assert_eq!(flow.activate().unwrap().to_string(), "gen-1-0a1b2c3d-2");
        assert_eq!(flow.generations(), ["gen-1-0a1b2c3d-2"]);
        assert_eq!(flow.active_file(), "whole");
    }

    /// A kill can come at any moment, so at every moment the pointer must name a folder with its file,
    /// damaged or not.
    #[test]
    fn the_pointer_names_a_folder_throughout_repairs() {
        let flow = Flow::new();
        flow.activate().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let before = flow.current();
                    let there = flow.folder().join(&before).join("main.py").is_file();
                    // A pointer that moved meanwhile says nothing about the folder it named.
                    assert!(there || flow.current() != before, "{before} is active and not there");
                }
            });
            for _ in 0..200 {
                flow.damage();
                flow.activate().unwrap();
            }
            done.store(true, Ordering::Relaxed);
            watcher.join().unwrap();
        });
        assert_eq!(flow.current(), "gen-1-0a1b2c3d-200");
        assert_eq!(flow.generations().len(), 1);
    }
}
