//! Bundles' zips, which are not stored: each is made from its tree when it is asked for, and kept in
//! memory for a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use colophon_compiler::{BundleError, Renderer};
use colophon_model::{Artifact, Digest, FileSet, InvalidTree, Sha256, TenantUid, Tree};
use colophon_store::rows::BundleAlias;
use colophon_store::{Store, View};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::pipeline::Press;
use crate::tasks::{TaskError, Tasks};

/// Zips that were asked for before, and the threads that make others.
#[derive(Debug)]
pub struct Zips {
    made: Cache<(TenantUid, Sha256), Bytes, Length>,
    threads: Tasks,
}

#[derive(Debug, Clone)]
struct Length;

impl Weighter<(TenantUid, Sha256), Bytes> for Length {
    fn weight(&self, _: &(TenantUid, Sha256), zip: &Bytes) -> u64 {
        zip.len() as u64
    }
}

/// Why a zip cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// It cannot be made now.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A file cannot be read.
    #[error("a file of the bundle cannot be read")]
    Store(#[from] colophon_store::Error),
    /// A file that the tree names is gone.
    #[error("blob {0} of the bundle is missing")]
    Missing(Digest),
    /// The tree is none.
    #[error("the list of the bundle's files is damaged")]
    Tree(#[from] InvalidTree),
    /// A build of a newer program made it.
    #[error("this program has no renderer `{0}`")]
    Renderer(String),
    /// The renderer failed.
    #[error("the bundle could not be rendered")]
    Render(#[from] BundleError),
    /// The renderer makes other bytes than it did at the build: a defect of this program.
    #[error("renderer `{render}` made {made} where the build had made {signed}")]
    Differs {
        /// The renderer.
        render: String,
        /// SHA-256 of what it makes now.
        made: Sha256,
        /// SHA-256 of what was signed.
        signed: Sha256,
    },
}

impl Zips {
    /// Keeps about `bytes` of zips, and makes `at_a_time` of them with a queue of `waiting`.
    pub fn new(at_a_time: usize, waiting: usize, bytes: u64) -> Self {
        let made = cache(bytes);
        Self { made, threads: Tasks::new(at_a_time, waiting) }
    }

    /// The zip of a bundle of tenant `uid`, of whom it is known that it may be read. Requests for one
    /// that is being made wait for it, without a thread.
    pub async fn get(
        &self,
        press: &Arc<Press>,
        uid: TenantUid,
        (sha256, alias): (Sha256, BundleAlias),
    ) -> Result<Bytes, ZipError> {
        let press = press.clone();
        let made = async {
            let make = move || make(&press.store, uid, &sha256, &alias);
            self.threads.run(make).await?.map(Bytes::from)
        };
        self.made.get_or_insert_async(&(uid, sha256), made).await
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.made.retain(|(uid, _), _| *uid != tenant);
    }
}

/// One shard: among several, each would be too small for a large zip.
fn cache(bytes: u64) -> Cache<(TenantUid, Sha256), Bytes, Length> {
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(64)
        .weight_capacity(bytes)
        .build()
        .expect("both capacities are given");
    let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
    Cache::with_options(options, Length, hasher, lifecycle)
}

/// Makes a zip from its tree. What is not the one that was signed is not given out.
pub fn make(
    store: &Store,
    uid: TenantUid,
    sha256: &Sha256,
    alias: &BundleAlias,
) -> Result<Vec<u8>, ZipError> {
    let renderer = Renderer::named(&alias.render);
    let renderer = renderer.ok_or_else(|| ZipError::Renderer(alias.render.clone()))?;
    let zip = renderer.render(&files(&store.view()?, uid, alias.tree)?)?;
    let made = Sha256::of(&zip);
    if made == *sha256 && zip.len() as u64 == alias.length {
        return Ok(zip);
    }
    Err(ZipError::Differs { render: alias.render.clone(), made, signed: *sha256 })
}

/// The files of a tree, each checked against its digest.
fn files(view: &View, uid: TenantUid, tree: Digest) -> Result<FileSet, ZipError> {
    let read = |digest: Digest| view.read_blob(uid, &digest)?.ok_or(ZipError::Missing(digest));
    let mut files = BTreeMap::new();
    for entry in Tree::decode(&read(tree)?)?.entries() {
        files.insert(entry.path.clone(), Artifact::new(entry.mode, read(entry.digest)?));
    }
    Ok(FileSet::new(files)?)
}
