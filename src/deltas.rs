//! Bundles as agents fetch them: told from the one they have. Made once, kept while there is room.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use colophon_model::{Digest, Sha256, TenantUid};
use colophon_store::{Store, View};
use colophon_trust::delta;

use crate::bundles::{FilesError, files};
use crate::config;
use crate::fair::Bounds;
use crate::made::{Made, Weigh};
use crate::tasks::{TaskError, Tasks};

/// Which bundle, told from which.
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
    /// The files could not be put together.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The frame could not be made.
    #[error(transparent)]
    Encode(#[from] delta::EncodeError),
}

/// Makes frames and keeps them.
pub struct Deltas {
    encoders: Tasks,
    frames: Made<(Option<Digest>, Digest), Frame>,
    made: AtomicU64,
}

impl Weigh for Frame {
    fn weight(&self) -> u64 {
        self.bytes.weight()
    }
}

impl Deltas {
    /// As configured; `waiting` more frames than are being made may wait for their turn.
    pub fn new(config: &config::Edge, waiting: usize) -> Self {
        Self {
            encoders: Tasks::within(Bounds::all_but_one(config.encoders, waiting)),
            frames: Made::new(config.delta_cache.get()),
            made: AtomicU64::new(0),
        }
    }

    /// The frame for `pair`. Whoever asks for one that is being made waits for it: it is made once,
    /// however many agents ask.
    ///
    /// # Errors
    /// [`DeltaError`]; nothing is kept of it.
    pub async fn get(&self, store: &Store, pair: &Pair) -> Result<Frame, DeltaError> {
        let make = self.make(store.clone(), pair.clone());
        self.frames.get(pair.tenant, (pair.from, pair.to), make).await
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

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.frames.forget(tenant);
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
    let from = pair.from.map(|tree| files(view, pair.tenant, tree)).transpose()?;
    let to = files(view, pair.tenant, pair.to)?;
    let bytes = delta::encode(from.as_ref(), &to)?;
    let sha256 = Sha256::of(&bytes);
    Ok(Frame { bytes: bytes.into(), sha256 })
}
