//! What is made of bundles for those who fetch them.

use colophon_model::{Artifact, Digest, FileSet, InvalidTree, TenantUid, Tree, TreeEntry};
use colophon_store::View;

use crate::config;
use crate::deltas::Deltas;
use crate::syncs::Syncs;
use crate::zips::Zips;

/// Everything that is made of bundles and kept for a while, of all tenants.
pub struct Bundles {
    /// As zips.
    pub zips: Zips,
    /// Told from other bundles.
    pub deltas: Deltas,
    /// With all else that an agent asks for at once.
    pub syncs: Syncs,
}

impl Bundles {
    /// As configured; `waiting` more of each kind than are being made may wait for their turn.
    pub fn new(config: &config::Edge, waiting: usize) -> Self {
        Self {
            zips: Zips::new(config, waiting),
            deltas: Deltas::new(config, waiting),
            syncs: Syncs::default(),
        }
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.zips.forget(tenant);
        self.deltas.forget(tenant);
        self.syncs.forget(tenant);
    }
}

/// Why the files of a bundle cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One cannot be read.
    #[error("a file of the bundle cannot be read")]
    Store(#[from] colophon_store::Error),
    /// The tenant does not have it.
    #[error("blob {0} of the bundle is missing")]
    Missing(Digest),
    /// The list of them is none.
    #[error("the list of the bundle's files is damaged")]
    Tree(#[from] InvalidTree),
}

/// The files of a bundle, each checked against its digest.
///
/// # Errors
/// [`FilesError`].
pub fn files(view: &View, tenant: TenantUid, tree: Digest) -> Result<FileSet, FilesError> {
    let read = |digest| view.read_blob(tenant, &digest)?.ok_or(FilesError::Missing(digest));
    let tree = Tree::decode(&read(tree)?)?;
    let file = |entry: &TreeEntry| {
        Ok((entry.path.clone(), Artifact::new(entry.mode, read(entry.digest)?)))
    };
    let files = tree.entries().iter().map(file).collect::<Result<_, FilesError>>()?;
    Ok(FileSet::new(files)?)
}
