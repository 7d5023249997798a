//! What the folder holds, and what of it can go.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use colophon_model::{Digest, FlowId, Tree, UnixMillis};

use crate::activation::Activation;
use crate::disk::{self, At};
use crate::environment::Environments;
use crate::generation::Generations;
use crate::objects::Objects;
use crate::refresh;
use crate::{Cache, Error};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Generations.
    pub generations: u64,
    /// Downloaded objects that no kept generation needs.
    pub objects: u64,
}

/// Bytes in parts of the folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheSize {
    /// Unpacked generations.
    pub flows: u64,
    /// Downloads that are kept.
    pub objects: u64,
    /// Downloads that were cut, and what is being built.
    pub unfinished: u64,
}

/// Removes generations but the active, previous and pending ones and the `keep` newest others, and
/// objects that none of the kept needs.
///
/// # Errors
/// When the folder is locked or cannot be changed.
pub fn gc(cache: &Cache, keep: usize) -> Result<Collected, Error> {
    cache.config()?;
    let _lock = cache.lock()?;
    let mut collected = Collected::default();
    let mut needed = BTreeSet::new();
    for flow in cache.flows()? {
        collected.generations += collect_flow(cache, &flow, keep, &mut needed)?;
        needed.extend(Environments::of(cache, &flow).objects()?.map(|digest| digest.to_string()));
    }
    if let Some(targets) = refresh::stored(cache)? {
        let objects = Objects::of(cache);
        for file in targets.bundles().values() {
            // What is fetched and not applied yet.
            let list = objects.read(&file.custom.tree)?.unwrap_or_default();
            note(&list, &mut needed);
        }
    }
    collected.objects = collect_objects(&cache.objects(), &needed)?;
    Ok(collected)
}

/// The names of the objects that kept generations need go to `needed`.
fn collect_flow(
    cache: &Cache,
    flow: &FlowId,
    keep: usize,
    needed: &mut BTreeSet<String>,
) -> Result<u64, Error> {
    let state = Activation::of(cache, flow, UnixMillis::new(0)).recover()?;
    let generations = Generations::of(cache, flow);
    let held: Vec<_> = state.kept().cloned().collect();
    let (mut spared, mut removed) = (0, 0);
    for generation in generations.all()? {
        let extra = !held.contains(&generation);
        if extra && spared == keep {
            generations.remove(&generation)?;
            removed += 1;
            continue;
        }
        spared += usize::from(extra);
        let list = generations.list(&generation)?.unwrap_or_default();
        note(&list, needed);
    }
    Ok(removed)
}

/// Adds the names of a list of files and of the files.
fn note(list: &[u8], needed: &mut BTreeSet<String>) {
    needed.insert(Digest::of(list).to_string());
    if let Ok(tree) = Tree::decode(list) {
        needed.extend(tree.entries().iter().map(|entry| entry.digest.to_string()));
    }
}

fn collect_objects(folder: &Path, needed: &BTreeSet<String>) -> Result<u64, Error> {
    let mut removed = 0;
    for_each_file(folder, &mut |path, _| {
        let name = path.file_name().and_then(|name| name.to_str());
        if !name.is_some_and(|name| needed.contains(name)) {
            disk::remove(path)?;
            removed += 1;
        }
        Ok(())
    })?;
    Ok(removed)
}

/// Measures the folder.
///
/// # Errors
/// When it cannot be read.
pub fn cache_size(cache: &Cache) -> Result<CacheSize, Error> {
    let sum = |folders: &[std::path::PathBuf]| {
        let mut sum = 0;
        for folder in folders {
            for_each_file(folder, &mut |_, bytes| {
                sum += bytes;
                Ok(())
            })?;
        }
        Ok::<u64, Error>(sum)
    };
    Ok(CacheSize {
        flows: sum(&[cache.dir().join("flows")])?,
        objects: sum(&[cache.objects()])?,
        unfinished: sum(&[cache.partial(), cache.dir().join("tmp")])?,
    })
}

/// Removes everything that can be downloaded again. What is unpacked stays.
///
/// # Errors
/// When the folder is locked or cannot be changed.
pub fn clean_cache(cache: &Cache) -> Result<CacheSize, Error> {
    cache.config()?;
    let _lock = cache.lock()?;
    let size = cache_size(cache)?;
    remove_downloads(cache)?;
    Ok(size)
}

/// Removes everything that can be downloaded again.
pub(crate) fn remove_downloads(cache: &Cache) -> Result<(), Error> {
    let mut folders = [cache.objects(), cache.partial(), cache.dir().join("tmp")].into_iter();
    folders.try_for_each(|folder| disk::remove_folder(&folder))
}

/// Calls `work` with every file below `folder` and its size.
pub(crate) fn for_each_file(
    folder: &Path,
    work: &mut dyn FnMut(&Path, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let entries = disk::absent_as_none(fs::read_dir(folder)).at(folder)?;
    for entry in entries.into_iter().flatten() {
        let path = entry.at(folder)?.path();
        // A running agent may take a file away meanwhile.
        let Some(about) = disk::absent_as_none(fs::symlink_metadata(&path)).at(&path)? else {
            continue;
        };
        if about.is_dir() { for_each_file(&path, work)? } else { work(&path, about.len())? }
    }
    Ok(())
}
