//! The crate `iroh-blobs`: rows and small blobs in redb, larger ones in files.

use std::path::{Path, PathBuf};

use iroh_blobs::Hash;
use iroh_blobs::store::fs::FsStore;
use tokio::runtime::Runtime;

use super::Blobs;
use crate::disk;

/// Its file store with its defaults, and a runtime to ask it.
pub(crate) struct Iroh {
    pub(crate) store: FsStore,
    pub(crate) runtime: Runtime,
    dir: PathBuf,
}

impl Iroh {
    /// Ends the store as its documentation asks.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        Ok(self.runtime.block_on(self.store.shutdown())?)
    }
}

impl Blobs for Iroh {
    type Address = Hash;

    fn open(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let runtime = Runtime::new()?;
        let store =
            runtime.block_on(FsStore::load(dir)).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self { store, runtime, dir: dir.to_owned() })
    }

    fn put(&self, bytes: Vec<u8>) -> anyhow::Result<Hash> {
        let tag = self.runtime.block_on(async { self.store.add_bytes(bytes).with_tag().await })?;
        Ok(tag.hash)
    }

    fn settle(&self) -> anyhow::Result<()> {
        self.runtime.block_on(self.store.sync_db())?;
        disk::sync_file_system(&self.dir)
    }

    /// Its read of whole blobs does not check them.
    fn get(&self, address: &Hash) -> anyhow::Result<Vec<u8>> {
        let bytes = self.runtime.block_on(async { self.store.get_bytes(*address).await })?;
        Ok(bytes.to_vec())
    }
}
