//! The agent's folder on disk. Every path in it is made here.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use colophon_model::FlowId;
use colophon_trust::Role;

use crate::disk::{self, At};
use crate::{Config, Error};

/// The agent's folder:
///
/// ```text
/// config.json                 server and tenant; written last by enrolment
/// lock                        held by the process that works here
/// state/<role>.json           the newest verified metadata, exact bytes
/// partial/<hash>.part         a download that is not complete, with <hash>.etag
/// objects/xx/<blake3>         files of bundles and lists of them; verified whenever they are read
/// tmp/                        generations being built; emptied at will
/// flows/<flow>/gen-<seq>-<tree>/   unpacked bundles; with -<n> after it, one that was repaired
/// flows/<flow>/current        the name of the active one
/// ```
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
    waits: bool,
}

/// The right to work in a folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    /// Unlocks by name, not by closing: a process that another thread is just starting holds a copy
    /// of the open file for a moment.
    fn drop(&mut self) {
        // An error leaves it to closing.
        let _ = self.0.unlock();
    }
}

impl Cache {
    /// The cache in `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), waits: false }
    }

    /// The same, and [`Self::lock`] waits for the other process.
    #[must_use]
    pub fn waiting(self, waits: bool) -> Self {
        Self { waits, ..self }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the folder for this process, so that no other changes it meanwhile.
    ///
    /// # Errors
    /// [`Error::Locked`] at once when another process has it, unless this cache waits.
    pub fn lock(&self) -> Result<Lock, Error> {
        let (path, file) = self.lock_file()?;
        if self.waits {
            return file.lock().map(|()| Lock(file)).at(&path);
        }
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: self.dir.clone() }),
            Err(TryLockError::Error(source)) => Err(Error::Disk { path, source }),
        }
    }

    fn lock_file(&self) -> Result<(PathBuf, File), Error> {
        let path = self.dir.join("lock");
        disk::make_folder(&self.dir)?;
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).at(&path)?;
        Ok((path, file))
    }

    /// What enrolment wrote.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`] when there is nothing.
    pub fn config(&self) -> Result<Config, Error> {
        self.find_config()?.ok_or_else(|| Error::NotEnrolled { dir: self.dir.clone() })
    }

    pub(crate) fn find_config(&self) -> Result<Option<Config>, Error> {
        let path = self.config_path();
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        let config = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Input { path, source: source.into() })?;
        Ok(Some(config))
    }

    pub(crate) fn write_config(&self, config: &Config) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(config).expect("a config has only string keys");
        text.push('\n');
        disk::replace(&self.config_path(), text.as_bytes())
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// The stored metadata of `role`.
    pub(crate) fn metadata(&self, role: Role) -> Result<Option<Vec<u8>>, Error> {
        disk::read(&self.metadata_path(role))
    }

    /// Stores verified metadata.
    pub(crate) fn store_metadata(&self, role: Role, bytes: &[u8]) -> Result<(), Error> {
        disk::make_folder(&self.dir.join("state"))?;
        disk::replace(&self.metadata_path(role), bytes)
    }

    pub(crate) fn forget_metadata(&self, role: Role) -> Result<(), Error> {
        disk::remove(&self.metadata_path(role))
    }

    fn metadata_path(&self, role: Role) -> PathBuf {
        self.dir.join("state").join(format!("{role}.json"))
    }

    /// Where downloads are collected.
    pub(crate) fn partial(&self) -> PathBuf {
        self.dir.join("partial")
    }

    /// The latest moment that is known.
    pub(crate) fn clock_path(&self) -> PathBuf {
        self.dir.join("state").join("clock")
    }

    /// The folder of single files and lists of files, by digest.
    pub(crate) fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// An empty folder on the same file system as the generations.
    pub(crate) fn fresh_tmp(&self) -> Result<PathBuf, Error> {
        let tmp = self.dir.join("tmp");
        disk::remove_folder(&tmp)?;
        disk::make_folder_unsynced(&tmp)?;
        Ok(tmp)
    }

    /// The folder of a flow's generations.
    pub fn flow(&self, flow: &FlowId) -> PathBuf {
        self.dir.join("flows").join(flow.as_str())
    }

    /// The flows that have a folder, in order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn flows(&self) -> Result<Vec<FlowId>, Error> {
        let path = self.dir.join("flows");
        let Some(entries) = disk::absent_as_none(fs::read_dir(&path)).at(&path)? else {
            return Ok(Vec::new());
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut flows: Vec<FlowId> = names.filter_map(|name| name.parse().ok()).collect();
        flows.sort();
        Ok(flows)
    }
}
