//! What a program does that has no store: one file per blob.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use blake3::Hash;

use super::Blobs;
use crate::disk::sync_dir;

/// Files in one directory, named by BLAKE3.
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    /// Writes `bytes` to `name` durably.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let temporary = self.0.join(format!("{name}.tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, self.0.join(name))?;
        Ok(())
    }
}

impl Blobs for Files {
    type Address = Hash;

    fn open(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }

    fn put(&self, bytes: Vec<u8>) -> anyhow::Result<Hash> {
        let hash = blake3::hash(&bytes);
        self.write(hash.to_hex().as_str(), &bytes)?;
        sync_dir(&self.0)?;
        Ok(hash)
    }

    fn settle(&self) -> anyhow::Result<()> {
        Ok(())
    }

    fn get(&self, address: &Hash) -> anyhow::Result<Vec<u8>> {
        let bytes = fs::read(self.0.join(address.to_hex().as_str()))?;
        ensure!(blake3::hash(&bytes) == *address, "a file is damaged");
        Ok(bytes)
    }
}
