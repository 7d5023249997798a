//! Bundles as agents fetch them: told from the one they have. Made once, kept while there is room.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use colophon_model::{Artifact, Digest, FileSet, InvalidTree, Sha256, TenantUid, Tree, TreeEntry};
use colophon_store::{Store, View};
use colophon_trust::delta;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::config;
use crate::tasks::{TaskError, Tasks};

/// Which bundle, told from which. The tenant is in it so that no tenant can tell by the time an
/// answer takes what others have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Whose bundles.
    pub tenant: TenantUid,
    /// The tree the agent has, if any.
    pub from: Option<Digest>,
    /// The tree it wants.
    pub to: Digest,
}

/// A frame as it is sent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The bytes.
    pub bytes: Bytes,
    /// Their checksum.
    pub sha256: Sha256,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Too many are being made, or the program is stopping.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The files could not be read.
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    /// The tenant has no such bundle.
    #[error("the tenant has no such bundle")]
    Missing,
    /// What is stored as a list of files is none.
    #[error("a stored tree is damaged")]
    Tree(#[from] InvalidTree),
    /// The frame could not be made.
    #[error(transparent)]
    Encode(#[from] delta::EncodeError),
}

/// Makes frames and keeps them.
pub struct Deltas {
    encoders: Tasks,
    frames: Cache<Pair, Frame, Weight>,
    made: AtomicU64,
}

/// Items that the cache has room for before it grows its tables.
const EXPECTED: usize = 1024;
/// What a frame takes besides its bytes.
const OVERHEAD: u64 = 256;

#[derive(Clone)]
struct Weight;

impl Weighter<Pair, Frame> for Weight {
    fn weight(&self, _: &Pair, frame: &Frame) -> u64 {
        frame.bytes.len() as u64 + OVERHEAD
    }
}

impl Deltas {
    /// As configured; `waiting` more frames than are being made may wait for their turn.
    pub fn new(config: &config::Edge, waiting: usize) -> Self {
        Self {
            encoders: Tasks::new(config.encoders, waiting),
            frames: Cache::with_weighter(EXPECTED, config.delta_cache.get(), Weight),
            made: AtomicU64::new(0),
        }
    }

    /// The frame for `pair`. Whoever asks for one that is being made waits for it: it is made once,
    /// however many agents ask.
    ///
    /// # Errors
    /// [`DeltaError`]; nothing is kept of it.
    pub async fn get(&self, store: &Store, pair: &Pair) -> Result<Frame, DeltaError> {
        self.frames.get_or_insert_async(pair, self.make(store.clone(), pair.clone())).await
    }

    /// Runs `work` as one of those that make frames, in its turn.
    ///
    /// # Errors
    /// When too many wait, or the program is stopping.
    pub async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        self.encoders.run(work).await
    }

    /// How many frames were made since the program started.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    async fn make(&self, store: Store, pair: Pair) -> Result<Frame, DeltaError> {
        let frame = self.encoders.run(move || encode(&store.view()?, &pair)).await??;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(frame)
    }
}

fn encode(view: &View, pair: &Pair) -> Result<Frame, DeltaError> {
    let from = pair.from.map(|tree| files(view, pair.tenant, &tree)).transpose()?;
    let to = files(view, pair.tenant, &pair.to)?;
    let bytes = delta::encode(from.as_ref(), &to)?;
    let sha256 = Sha256::of(&bytes);
    Ok(Frame { bytes: bytes.into(), sha256 })
}

/// The files of a bundle, from the store.
fn files(view: &View, tenant: TenantUid, tree: &Digest) -> Result<FileSet, DeltaError> {
    let blob = |digest: &Digest| view.read_blob(tenant, digest)?.ok_or(DeltaError::Missing);
    let tree = Tree::decode(&blob(tree)?)?;
    let file = |entry: &TreeEntry| {
        Ok((entry.path.clone(), Artifact::new(entry.mode, blob(&entry.digest)?)))
    };
    let files = tree.entries().iter().map(file).collect::<Result<_, DeltaError>>()?;
    Ok(FileSet::new(files)?)
}
