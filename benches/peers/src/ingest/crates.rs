//! The crates, by the same steps as our side: read, hash, look up, store what is new.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use iroh_blobs::api::Store;
use iroh_blobs::{BlobFormat, Hash, HashAndFormat};
use rayon::prelude::*;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::children::Figures;
use crate::corpus;
use crate::disk::{self, sync_dir};
use crate::sides::{Blobs, Cacache, Files, Iroh};

/// Files in flight at `iroh-blobs`, whose calls wait for its batches.
const IN_FLIGHT: usize = 256;

/// Each file under its path as the key.
pub(super) fn cacache(corpus: Option<&Path>, repo: &Path) -> anyhow::Result<Figures> {
    let Cacache(cache) = Cacache::open(repo)?;
    let Some(corpus) = corpus else { return Ok(Figures::default()) };
    let paths = corpus::list(corpus)?;
    let new = paths.par_iter().map(|path| {
        let key = path.to_str().context("a path is not text")?;
        let bytes = std::fs::read(path)?;
        let known = cacache::metadata_sync(&cache, key)?;
        if known.is_some_and(|known| known.integrity.check(&bytes).is_ok()) {
            return anyhow::Ok(0);
        }
        cacache::write_sync(&cache, key, &bytes)?;
        Ok(1)
    });
    if new.try_reduce(|| 0, |a, b| Ok(a + b))? > 0 {
        disk::sync_file_system(&cache)?;
    }
    Ok(Figures::default())
}

/// Each file a blob, all of them a hash sequence under one tag.
pub(super) fn iroh(corpus: Option<&Path>, repo: &Path) -> anyhow::Result<Figures> {
    let peer = Iroh::open(repo)?;
    if let Some(corpus) = corpus {
        let files = corpus::list(corpus)?;
        let before = peer.runtime.block_on(peer.store.tags().get("corpus"))?;
        let after = peer.runtime.block_on(store_files(&peer.store, files))?;
        if before.is_none_or(|before| before.hash != after) {
            peer.settle()?;
        }
    }
    peer.close()?;
    Ok(Figures::default())
}

async fn store_files(store: &Store, files: Vec<PathBuf>) -> anyhow::Result<Hash> {
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let (mut work, mut hashes) = (JoinSet::new(), vec![Hash::EMPTY; files.len()]);
    for (number, path) in files.into_iter().enumerate() {
        let (store, place) = (store.clone(), Arc::clone(&places).acquire_owned().await?);
        work.spawn(async move {
            let hash = store_file(&store, &path).await;
            drop(place);
            anyhow::Ok((number, hash?))
        });
    }
    while let Some(done) = work.join_next().await {
        let (number, hash) = done??;
        hashes[number] = hash;
    }
    let sequence: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    let root = Hash::new(&sequence);
    if !store.blobs().has(root).await? {
        let root = store.add_bytes_with_opts((sequence, BlobFormat::HashSeq)).temp_tag().await?;
        store.tags().set("corpus", HashAndFormat::hash_seq(root.hash())).await?;
    }
    Ok(root)
}

async fn store_file(store: &Store, path: &Path) -> anyhow::Result<Hash> {
    let bytes = std::fs::read(path)?;
    let hash = Hash::new(&bytes);
    if !store.blobs().has(hash).await? {
        // Nothing collects what no tag names before the sequence is stored.
        let _ = store.add_bytes(bytes).temp_tag().await?;
    }
    Ok(hash)
}

/// Each file a file named by its hash, synced; the directory once at the end.
pub(super) fn files(corpus: Option<&Path>, repo: &Path) -> anyhow::Result<Figures> {
    let files = Files::open(repo)?;
    let Some(corpus) = corpus else { return Ok(Figures::default()) };
    let paths = corpus::list(corpus)?;
    let new = paths.par_iter().map(|path| {
        let bytes = std::fs::read(path)?;
        let name = blake3::hash(&bytes).to_hex();
        if files.0.join(name.as_str()).exists() {
            return anyhow::Ok(0);
        }
        files.write(name.as_str(), &bytes)?;
        Ok(1)
    });
    if new.try_reduce(|| 0, |a, b| Ok(a + b))? > 0 {
        sync_dir(repo)?;
    }
    Ok(Figures::default())
}
