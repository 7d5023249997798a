//! A client of any TUF repository: the I/O around [`colophon_trust::tuf`], on which the agent stands as
//! well. The official conformance suite drives it.

use std::path::{Path, PathBuf};

use colophon_model::UnixMillis;
use colophon_trust::limits::{MAX_ROOT, MAX_TIMESTAMP};
use colophon_trust::tuf::{
    RootChain, Search, TrustedRoot, TrustedSnapshot, TrustedTargets, TrustedTimestamp,
    percent_encoded,
};

use crate::transport::read;
use crate::{Error, Transport, disk};

/// Why a target cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// The metadata cannot be had, or is not to be trusted.
    #[error(transparent)]
    Metadata(#[from] Error),
    /// No role that is trusted with this path lists it.
    #[error("the repository offers no target `{path}`")]
    NoSuchTarget {
        /// The path.
        path: String,
    },
    /// What was sent is not what was signed.
    #[error("the download of target `{path}` does not have the signed length and hash")]
    WrongTarget {
        /// The path.
        path: String,
    },
}

impl From<colophon_trust::Error> for TufError {
    fn from(error: colophon_trust::Error) -> Self {
        Self::Metadata(error.into())
    }
}

/// A repository, and the folder with what is trusted of it: one file a role, named after it.
pub struct TufClient<T> {
    /// Where the trusted metadata is. `root.json` is there from the beginning.
    pub folder: PathBuf,
    /// The way to the repository's metadata.
    pub metadata: T,
    /// What the clock says.
    pub now: UnixMillis,
}

impl<T: Transport> TufClient<T> {
    /// Updates the top-level metadata. Each file is stored as soon as it is verified.
    ///
    /// # Errors
    /// When a file cannot be had or is not to be trusted.
    pub fn refresh(&self) -> Result<Refreshed, TufError> {
        let root = self.root()?;
        let timestamp = self.timestamp(&root)?;
        let snapshot = self.snapshot(&timestamp)?;
        Ok(Refreshed { consistent: root.consistent_snapshot(), targets: self.targets(&snapshot)? })
    }

    /// Has the target `path` in `folder`, under its percent-encoded name. One that is there already is
    /// not downloaded again.
    ///
    /// # Errors
    /// When nobody lists it, or what is sent is something else.
    pub fn download(
        &self,
        from: &Refreshed,
        path: &str,
        targets: &impl Transport,
        folder: &Path,
    ) -> Result<(), TufError> {
        let mut search = from.targets.search(path)?;
        self.finish(&mut search)?;
        let Some(target) = search.found() else {
            return Err(TufError::NoSuchTarget { path: path.to_owned() });
        };
        let file = folder.join(percent_encoded(path));
        if disk::read(&file)?.is_some_and(|bytes| target.matches(&bytes)) {
            return Ok(());
        }
        let bytes = read(targets, &target.url_path(path, from.consistent), target.length)?;
        if !target.matches(&bytes) {
            return Err(TufError::WrongTarget { path: path.to_owned() });
        }
        Ok(disk::replace(&file, &bytes)?)
    }

    fn root(&self) -> Result<TrustedRoot, TufError> {
        let mut chain = RootChain::pinned(&self.stored("root")?.unwrap_or_default())?;
        while let Some(bytes) = self.find(&chain.next_name(), MAX_ROOT)? {
            chain = chain.followed_by(&bytes)?;
            if chain.reset() {
                // Before the root is stored: the other way round, a crash in between would keep
                // files that the new keys did not sign for good.
                disk::remove(&self.file("timestamp"))?;
                disk::remove(&self.file("snapshot"))?;
            }
            self.store("root", &bytes)?;
        }
        Ok(chain.finish(self.now)?)
    }

    fn timestamp(&self, root: &TrustedRoot) -> Result<TrustedTimestamp, TufError> {
        let stored = self.stored("timestamp")?;
        let bytes = read(&self.metadata, TrustedRoot::TIMESTAMP, MAX_TIMESTAMP)?;
        let timestamp = root.timestamp(&bytes, stored.as_deref(), self.now)?;
        self.store("timestamp", timestamp.bytes())?;
        Ok(timestamp)
    }

    fn snapshot(&self, timestamp: &TrustedTimestamp) -> Result<TrustedSnapshot, TufError> {
        let stored = self.stored("snapshot")?;
        if let Some(bytes) = &stored
            && let Ok(snapshot) = timestamp.snapshot(bytes, None, self.now)
        {
            return Ok(snapshot);
        }
        let limit = timestamp.snapshot_length()?;
        let bytes = read(&self.metadata, &timestamp.snapshot_name(), limit)?;
        let snapshot = timestamp.snapshot(&bytes, stored.as_deref(), self.now)?;
        self.store("snapshot", snapshot.bytes())?;
        Ok(snapshot)
    }

    fn targets(&self, snapshot: &TrustedSnapshot) -> Result<TrustedTargets, TufError> {
        if let Some(bytes) = self.stored("targets")?
            && let Ok(targets) = snapshot.targets(&bytes, self.now)
        {
            return Ok(targets);
        }
        let limit = snapshot.targets_length()?;
        let bytes = read(&self.metadata, &snapshot.targets_name(), limit)?;
        let targets = snapshot.targets(&bytes, self.now)?;
        self.store("targets", targets.bytes())?;
        Ok(targets)
    }

    /// Walks through the delegations until the target is found or there are no more.
    fn finish(&self, search: &mut Search) -> Result<(), TufError> {
        while let Some(wanted) = search.wanted()? {
            if let Some(bytes) = self.stored(&wanted.role)?
                && search.supply(&bytes, self.now).is_ok()
            {
                continue;
            }
            let bytes = read(&self.metadata, &wanted.file, wanted.limit)?;
            search.supply(&bytes, self.now)?;
            self.store(&wanted.role, &bytes)?;
        }
        Ok(())
    }

    /// A file that the repository may not have. Some storage says 403 where others say 404.
    fn find(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
        match read(&self.metadata, name, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. } | Error::Auth { status: 403 }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self, role: &str) -> PathBuf {
        self.folder.join(format!("{role}.json"))
    }

    fn stored(&self, role: &str) -> Result<Option<Vec<u8>>, TufError> {
        Ok(disk::read(&self.file(role))?)
    }

    fn store(&self, role: &str, bytes: &[u8]) -> Result<(), TufError> {
        Ok(disk::replace(&self.file(role), bytes)?)
    }
}

/// The top-level metadata of one moment.
pub struct Refreshed {
    consistent: bool,
    targets: TrustedTargets,
}
