//! Blobs by id: what generations are made of. None is believed because it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use colophon_gitbridge::blob_id;
use colophon_model::FileMode;

use super::disk::{self, absent_as_none};
use super::fault::At as _;
use super::version::Blob;
use super::{Fault, Folder};

/// What a file that was read once still has as long as nobody has written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// The blobs of a folder.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: Folder,
    /// Files that were read and are what they are named, since this process began.
    known: BTreeMap<Blob, Stamp>,
    /// Whether a power cut may take blobs that are here.
    unsynced: bool,
}

impl Blobs {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { folder: folder.clone(), known: BTreeMap::new(), unsynced: false }
    }

    /// Where a blob is kept. Files of two modes are two files.
    pub(super) fn path(&self, blob: Blob) -> PathBuf {
        let name = name(blob);
        self.folder.objects().join(&name[..2]).join(&name[2..])
    }

    /// Whether the blob is here. One that is damaged goes.
    pub(super) fn holds(&mut self, blob: Blob) -> Result<bool, Fault> {
        let path = self.path(blob);
        let intact = self.is_intact(&path, blob)?;
        if !intact {
            disk::remove(&path)?;
        }
        Ok(intact)
    }

    /// Whether the file at `path` is this blob.
    pub(super) fn is_intact(&mut self, path: &Path, blob: Blob) -> Result<bool, Fault> {
        let Some(found) = absent_as_none(fs::symlink_metadata(path)).at(path)? else {
            return Ok(false);
        };
        let executable = found.mode() & 0o111 != 0;
        if !found.is_file() || executable != (blob.mode == FileMode::Executable) {
            return Ok(false);
        }
        let changed = (found.mtime(), found.mtime_nsec());
        let stamp = Stamp { inode: found.ino(), size: found.size(), changed };
        if self.known.get(&blob) == Some(&stamp) {
            return Ok(true);
        }
        let Some(bytes) = disk::read(path)? else { return Ok(false) };
        let intact = blob_id(&bytes)? == blob.oid;
        if intact {
            self.known.insert(blob, stamp);
        }
        Ok(intact)
    }

    /// Keeps a blob, whose id was computed from `bytes`. Without `sync` it is not durable before
    /// [`Self::sync`].
    pub(super) fn put(&mut self, blob: Blob, bytes: &[u8], sync: bool) -> Result<(), Fault> {
        let (path, incoming) = (self.path(blob), self.folder.incoming().join(name(blob)));
        disk::remove(&incoming)?;
        disk::create(&incoming, blob.mode, bytes, sync)?;
        let folder = path.parent().unwrap_or(&path);
        disk::make_folders(folder)?;
        disk::rename(&incoming, &path)?;
        if sync {
            disk::sync_folder(folder)?;
            disk::sync_folder(&self.folder.objects())?;
        }
        self.unsynced |= !sync;
        Ok(())
    }

    /// Whether blobs were put here, perhaps for a version that failed, which are not durable yet.
    pub(super) const fn are_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Makes all of them durable, and whatever else was written beside them.
    pub(super) fn sync(&mut self) -> Result<(), Fault> {
        disk::sync_all(&self.folder.objects())?;
        self.unsynced = false;
        Ok(())
    }

    /// Removes blobs.
    pub(super) fn remove(&mut self, blobs: &BTreeSet<Blob>) -> Result<(), Fault> {
        for blob in blobs {
            self.known.remove(blob);
            disk::remove(&self.path(*blob))?;
        }
        Ok(())
    }

    /// Removes everything but `wanted`.
    pub(super) fn sweep(&mut self, wanted: &BTreeSet<Blob>) -> Result<(), Fault> {
        let wanted: BTreeSet<PathBuf> = wanted.iter().map(|blob| self.path(*blob)).collect();
        for folder in disk::names(&self.folder.objects())? {
            let folder = self.folder.objects().join(folder);
            for name in disk::names(&folder)? {
                let path = folder.join(name);
                if !wanted.contains(&path) {
                    disk::remove(&path)?;
                }
            }
        }
        Ok(())
    }
}

fn name(Blob { oid, mode }: Blob) -> String {
    match mode {
        FileMode::Regular => oid.to_string(),
        FileMode::Executable => format!("{oid}x"),
    }
}
