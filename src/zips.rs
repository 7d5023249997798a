//! Bundles' zips, which are not stored: each is made from its tree when it is asked for, and kept in
//! memory for a while.

use std::sync::Arc;

use axum::body::Bytes;
use colophon_compiler::{BundleError, Renderer};
use colophon_model::{Sha256, TenantUid};
use colophon_store::Store;
use colophon_store::rows::BundleAlias;

use crate::bundles::{FilesError, files};
use crate::config;
use crate::fair::Bounds;
use crate::made::Made;
use crate::pipeline::Press;
use crate::tasks::{TaskError, Tasks};

/// Zips that were asked for before, and the threads that make others.
#[derive(Debug)]
pub struct Zips {
    made: Made<Sha256, Bytes>,
    threads: Tasks,
}

/// Why a zip cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// It cannot be made now.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    /// The files could not be put together.
    #[error(transparent)]
    Files(#[from] FilesError),
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
    /// As configured; `waiting` more than are being made may wait for their turn.
    pub fn new(config: &config::Edge, waiting: usize) -> Self {
        let made = Made::new(config.zip_cache.get());
        Self { made, threads: Tasks::within(Bounds::all_but_one(config.renders, waiting)) }
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
        self.made.get(uid, sha256, made).await
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.made.forget(tenant);
    }
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
