//! Files of bundles by digest, each once: what a delta begins from.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;

use colophon_model::{Artifact, Digest, FileSet, Tree};
use colophon_trust::{ContentFlaw, Contents};

use crate::disk::{self, At};
use crate::{Cache, Error};

/// The objects of a folder: lists of files and files, `<first two digits>/<digest>`.
///
/// Nothing here is synced: every object is hashed whenever it is read, so one that a power cut tore, or
/// that somebody changed, is noticed and fetched again. Generations are synced, which are what runs.
pub(crate) struct Objects {
    dir: PathBuf,
}

impl Objects {
    pub(crate) fn of(cache: &Cache) -> Self {
        Self { dir: cache.objects() }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// The bytes with this digest, if they are here. What has the name and other bytes is removed.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(digest);
        match disk::read(&path)? {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            Some(_) => disk::remove(&path).map(|()| None),
            None => Ok(None),
        }
    }

    /// Keeps `bytes`, which have this digest, in a file that nobody may write.
    pub(crate) fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(digest);
        if disk::read(&path)?.as_deref() == Some(bytes) {
            return Ok(());
        }
        path.parent().map_or(Ok(()), disk::make_folder_unsynced)?;
        disk::put(&path, bytes)
    }

    /// Keeps a bundle: the list of its files, and the files.
    pub(crate) fn keep_bundle(&self, files: &FileSet) -> Result<(), Error> {
        self.remove_zips()?;
        let text = files.tree().encode();
        self.keep(&Digest::of(&text), &text)?;
        let mut seen = HashSet::new();
        for (_, artifact) in files.iter().filter(|(_, artifact)| seen.insert(artifact.digest())) {
            self.keep(&artifact.digest(), artifact.bytes())?;
        }
        Ok(())
    }

    /// The signed bundle, if all of it is here.
    pub(crate) fn bundle(&self, signed: &Contents) -> Result<Option<FileSet>, Error> {
        let Some(text) = self.read(&signed.tree)? else { return Ok(None) };
        let Ok(tree) = signed.read_tree(&text) else { return Ok(None) };
        Ok(self.assemble(signed, &tree)?.ok())
    }

    /// What of the signed bundle is not here, in words.
    pub(crate) fn missing(&self, signed: &Contents) -> Result<String, Error> {
        let text = self.read(&signed.tree)?;
        let Some(tree) = text.and_then(|text| signed.read_tree(&text).ok()) else {
            return Ok("the list of its files".to_owned());
        };
        let mut missing = 0;
        for entry in tree.entries() {
            missing += usize::from(self.read(&entry.digest)?.is_none());
        }
        Ok(format!("{missing} of its {} files", tree.entries().len()))
    }

    /// The files of `tree`, if all of them are here and they are those that were signed.
    pub(crate) fn assemble(
        &self,
        signed: &Contents,
        tree: &Tree,
    ) -> Result<Result<FileSet, ContentFlaw>, Error> {
        let mut broken = None;
        let files = signed.assemble(tree, |digest| {
            self.read(digest).unwrap_or_else(|error| {
                broken = Some(error);
                None
            })
        });
        broken.map_or(Ok(files), Err)
    }

    /// The files that a list from this disk names, if all of them are here and no more than `most`
    /// bytes: a bundle that was signed once.
    pub(crate) fn listed(&self, tree: &Tree, most: u64) -> Result<Option<FileSet>, Error> {
        let mut files = BTreeMap::new();
        let mut left = most;
        for entry in tree.entries() {
            let Some(bytes) = self.read(&entry.digest)? else { return Ok(None) };
            let Some(rest) = left.checked_sub(bytes.len() as u64) else { return Ok(None) };
            left = rest;
            files.insert(entry.path.clone(), Artifact::new(entry.mode, bytes));
        }
        Ok(FileSet::new(files).ok())
    }

    /// Agents before this one kept whole zips here.
    fn remove_zips(&self) -> Result<(), Error> {
        let entries = disk::absent_as_none(fs::read_dir(&self.dir)).at(&self.dir)?;
        let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let mut zips = paths.filter(|path| path.extension().is_some_and(|end| end == "zip"));
        zips.try_for_each(|zip| disk::remove(&zip))
    }
}
