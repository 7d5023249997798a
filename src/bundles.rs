//! What is made of bundles for those who fetch them.

use std::collections::HashSet;
use std::sync::Arc;

use colophon_model::{Artifact, Digest, FileSet, InvalidTree, TenantUid, Tree, TreeEntry};
use colophon_store::View;

use crate::config;
use crate::deltas::Deltas;
use crate::made::{Made, Weigh};
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
    members: Made<Digest, Members>,
}

/// Most bytes of lists of which files are in a bundle: those of some hundred bundles.
const MEMBERS: u64 = 8 * 1024 * 1024;

/// The files of a bundle by digest.
#[derive(Clone)]
struct Members(Arc<HashSet<Digest>>);

impl Weigh for Members {
    fn weight(&self) -> u64 {
        // A table is filled to half at least.
        2 * (self.0.len() * size_of::<Digest>()) as u64
    }
}

impl Bundles {
    /// As configured; `waiting` more of each kind than are being made may wait for their turn.
    pub fn new(config: &config::Edge, waiting: usize) -> Self {
        Self {
            zips: Zips::new(config, waiting),
            deltas: Deltas::new(config, waiting),
            syncs: Syncs::default(),
            members: Made::new(MEMBERS),
        }
    }

    /// Whether `file` is one of the bundle with this tree. The list is read once: it is long where the
    /// files are many.
    ///
    /// # Errors
    /// [`FilesError`], also when the tenant does not have the tree.
    pub fn holds(
        &self,
        view: &View,
        tenant: TenantUid,
        tree: Digest,
        file: &Digest,
    ) -> Result<bool, FilesError> {
        let read = || -> Result<Members, FilesError> {
            let text = view.read_blob(tenant, &tree)?.ok_or(FilesError::Missing(tree))?;
            let digests = Tree::decode(&text)?.entries().iter().map(|entry| entry.digest).collect();
            Ok(Members(Arc::new(digests)))
        };
        Ok(self.members.get_now(tenant, tree, read)?.0.contains(file))
    }

    /// Whether it is remembered that `file` is one of the bundle with this tree. It may be asked on any
    /// thread.
    pub fn known_to_hold(&self, tenant: TenantUid, tree: Digest, file: &Digest) -> bool {
        self.members.kept(tenant, tree).is_some_and(|members| members.0.contains(file))
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.zips.forget(tenant);
        self.deltas.forget(tenant);
        self.syncs.forget(tenant);
        self.members.forget(tenant);
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
