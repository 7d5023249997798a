//! Versions that are here: made aside, put in place by a rename, looked at, taken away.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::blobs::Blobs;
use super::fault::At as _;
use super::moment::moment;
use super::version::Version;
use super::{Fault, Folder, VersionName, disk};

/// Above so many folders the file system is synced as a whole, which is one wait instead of many.
const MANY: usize = 64;

/// The versions of a folder.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    folder: Folder,
}

/// Which versions stay that readers no longer get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many of those that were replaced last.
    pub versions: usize,
    /// And all that were replaced less than this ago: their readers may not be done.
    pub grace: Duration,
}

/// A version that could not be taken away.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) name: VersionName,
    pub(super) fault: Fault,
}

impl Shelf {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { folder: folder.clone() }
    }

    /// What a version holds; `None` when it is not here, or was not finished.
    pub(super) fn read(&self, name: &VersionName) -> Result<Option<Version>, Fault> {
        let Some(bytes) = disk::read(&self.folder.list(name))? else { return Ok(None) };
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Versions that are here, by name.
    pub(super) fn all(&self) -> Result<Vec<VersionName>, Fault> {
        let names = disk::names(&self.folder.versions())?.into_iter();
        let listed = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        Ok(listed.filter_map(|name| VersionName::try_from(name).ok()).collect())
    }

    /// The first file of a version that is not as it was put there.
    pub(super) fn flaw(
        &self,
        name: &VersionName,
        version: &Version,
        blobs: &mut Blobs,
    ) -> Result<Option<String>, Fault> {
        let top = self.folder.generation(name);
        for file in &version.files {
            if !blobs.is_intact(&top.join(file.path.as_str()), file.blob)? {
                return Ok(Some(format!("`{}` is missing or differs", file.path)));
            }
        }
        Ok(None)
    }

    /// Makes a version of blobs that are all here, and puts it beside the others. Durable when it
    /// returns.
    pub(super) fn build(&self, version: &Version, blobs: &mut Blobs) -> Result<VersionName, Fault> {
        let staging = self.folder.incoming().join("version");
        disk::remove_folder(&staging)?;
        disk::make_folder(&staging)?;
        let folders = version.folders();
        let bulk = blobs.are_unsynced() || folders.len() > MANY;
        for folder in &folders {
            disk::make_folder(&staging.join(folder))?;
        }
        for file in &version.files {
            disk::link(&blobs.path(file.blob), &staging.join(file.path.as_str()), !bulk)?;
        }
        if bulk {
            blobs.sync()?;
        } else {
            folders.iter().try_for_each(|folder| disk::sync_folder(&staging.join(folder)))?;
            disk::sync_folder(&staging)?;
        }
        let name = self.free_name(version);
        let list = serde_json::to_vec(version).unwrap_or_default(); // strings and numbers
        disk::replace(&self.folder.list(&name), &list, true)?;
        disk::rename(&staging, &self.folder.generation(&name))?;
        disk::sync_folder(&self.folder.generations())?;
        Ok(name)
    }

    fn free_name(&self, version: &Version) -> VersionName {
        let is_free = |name: &VersionName| {
            !self.folder.generation(name).exists() && !self.folder.list(name).exists()
        };
        let mut names = (1..).map(|number| VersionName::new(version.commit, number));
        names.find(is_free).unwrap_or_else(|| VersionName::new(version.commit, u32::MAX))
    }

    /// Lets readers get another version from now on. This is the one moment at which they do.
    pub(super) fn switch(&self, to: &VersionName) -> Result<(), Fault> {
        if let Some(old) = self.folder.current_version() {
            let list = self.folder.list(&old);
            if let Ok(file) = File::options().append(true).open(&list) {
                file.set_modified(moment()).at(&list)?; // when it was replaced
            }
        }
        let link = self.folder.incoming().join("current");
        disk::remove(&link)?;
        disk::point(&link, &Path::new("generations").join(to.as_str()))?;
        disk::rename(&link, &self.folder.current())?;
        disk::sync_folder(self.folder.dir())
    }

    /// When a version was replaced, or made if it never was current.
    pub(super) fn replaced_at(&self, name: &VersionName) -> SystemTime {
        let list = std::fs::metadata(self.folder.list(name));
        list.and_then(|list| list.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Takes away what is not to be kept, with the blobs that nothing else holds. Returns what stays all
    /// the same, with the reason: a runner may have written there as another user.
    pub(super) fn prune(&self, keep: Keep, blobs: &mut Blobs) -> Result<Vec<Stuck>, Fault> {
        let current = self.folder.current_version();
        let mut old = self.all()?;
        old.retain(|name| Some(name) != current.as_ref());
        old.sort_by_key(|name| std::cmp::Reverse(self.replaced_at(name)));
        let young = |name: &VersionName| {
            let age = moment().duration_since(self.replaced_at(name));
            age.unwrap_or_default() < keep.grace
        };
        let gone: Vec<VersionName> =
            old.into_iter().skip(keep.versions).filter(|name| !young(name)).collect();
        let (mut loose, mut stuck) = (BTreeSet::new(), Vec::new());
        for name in gone {
            loose.extend(self.read(&name)?.iter().flat_map(Version::blobs));
            if let Err(fault) = self.remove(&name)? {
                stuck.push(Stuck { name, fault });
            }
        }
        if !loose.is_empty() {
            let held = self.blobs()?;
            blobs.remove(&loose.difference(&held).copied().collect())?;
        }
        Ok(stuck)
    }

    /// Takes a version away. Within: why its folder could not be; it is tried again at the next start.
    fn remove(&self, name: &VersionName) -> Result<Result<(), Fault>, Fault> {
        disk::remove(&self.folder.list(name))?;
        Ok(disk::remove_folder(&self.folder.generation(name)))
    }

    /// Every blob that a version holds.
    fn blobs(&self) -> Result<BTreeSet<super::version::Blob>, Fault> {
        let mut held = BTreeSet::new();
        for name in self.all()? {
            held.extend(self.read(&name)?.iter().flat_map(Version::blobs));
        }
        Ok(held)
    }

    /// Takes away what a crash has left half-done.
    pub(super) fn tidy(&self, blobs: &mut Blobs) -> Result<(), Fault> {
        disk::remove_folder(&self.folder.incoming())?;
        disk::make_folder(&self.folder.incoming())?;
        for name in self.all()? {
            if !self.folder.generation(&name).is_dir() {
                disk::remove(&self.folder.list(&name))?;
            }
        }
        let current = self.folder.current_version();
        for name in disk::names(&self.folder.generations())? {
            let Ok(name) = VersionName::try_from(name) else { continue };
            if Some(&name) != current.as_ref() && self.read(&name)?.is_none() {
                let _ = self.remove(&name)?; // what another user has written there is no reason to stop
            }
        }
        self.sweep(blobs)
    }

    /// Takes away the blobs that no version holds.
    pub(super) fn sweep(&self, blobs: &mut Blobs) -> Result<(), Fault> {
        blobs.sweep(&self.blobs()?)
    }
}
