//! The crate `cacache`: one file per blob, found by SHA-256, and an index of keys.

use std::path::{Path, PathBuf};

use cacache::Integrity;

use super::Blobs;
use crate::disk;

/// A cache in a directory.
pub(crate) struct Cacache(pub(crate) PathBuf);

impl Blobs for Cacache {
    type Address = Integrity;

    fn open(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }

    fn put(&self, bytes: Vec<u8>) -> anyhow::Result<Integrity> {
        Ok(cacache::write_hash_sync(&self.0, bytes)?)
    }

    fn settle(&self) -> anyhow::Result<()> {
        disk::sync_file_system(&self.0)
    }

    /// Checked by the crate.
    fn get(&self, address: &Integrity) -> anyhow::Result<Vec<u8>> {
        Ok(cacache::read_hash_sync(&self.0, address)?)
    }
}
