//! What can go wrong, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use colophon_model::Digest;

use crate::sync::Arc;
use crate::{Conflict, InvalidRow, Table};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the store open.
    #[error("`{path}` is in use by another process ({owner}); stop it first")]
    Locked {
        /// The store's directory.
        path: PathBuf,
        /// What the other process wrote about itself.
        owner: String,
    },
    /// The directory is not a store, or one of a version that this program does not know.
    #[error(
        "the store has the format `{found}`, and this program opens `colophon store 1` to \
         `colophon store {newest}`; use the version of colophon that wrote it, or a newer one"
    )]
    Format {
        /// What `FORMAT` says, or `none` when the directory holds metadata but no such file.
        found: String,
        /// The newest format that this program knows.
        newest: u32,
    },
    /// A file of the store's directory cannot be made, opened or read.
    #[error("cannot use `{path}`")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Rows or blobs cannot be read.
    #[error("the store cannot be read")]
    Read(#[source] io::Error),
    /// A blob's bytes are lost or do not match their digest. They are never served.
    #[error("blob `{digest}` is damaged")]
    Corrupt {
        /// The blob's address.
        digest: Digest,
    },
    /// A row does not decode.
    #[error("a row of table `{table}` is damaged")]
    Row {
        /// The row's table.
        table: Table,
        /// What is wrong with it.
        source: InvalidRow,
    },
    /// A blob is larger than [`crate::MAX_BLOB_LEN`].
    #[error("a blob of {size} bytes is over the limit of {limit} bytes", limit = crate::MAX_BLOB_LEN)]
    BlobTooLarge {
        /// Its size, in bytes.
        size: usize,
    },
    /// Another maintenance job (collection, check, erasure, backup) is running.
    #[error("another maintenance job is running; try again when it has ended")]
    Busy,
    /// The disk does not give what is to be moved out of segments.
    #[error("{segments} segments cannot be read; copy the data directory to a disk that is whole")]
    Unreadable {
        /// How many segments.
        segments: u64,
    },
    /// A directory that is to be filled holds something already.
    #[error("`{path}` is not empty; name a directory that does not exist")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A directory is not a backup, or one that was interrupted.
    #[error("`{path}` holds no whole backup: it has no file `FORMAT`")]
    NoBackup {
        /// The directory.
        path: PathBuf,
    },
    /// Readers still hold segments that were given up; what is left is done later.
    #[error("readers still hold {segments} segments that are to be removed; try again later")]
    Readers {
        /// How many segments.
        segments: u64,
    },
    /// A tenant is under legal hold, so it is not erased.
    #[error("the tenant is under legal hold")]
    Held,
    /// A change was not committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Error {
    /// The same error, with a file named from the root of `dir`.
    pub(crate) fn within(self, dir: &Path) -> Self {
        match self {
            Self::File { path, source } => Self::File { path: dir.join(path), source },
            other => other,
        }
    }
}

/// Why a change was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A row was not as the change expected. Nothing of the change was written: read again and
    /// prepare it anew.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// There is too little space on the disk. Nothing of the change was written.
    #[error("the disk is full: only {free} bytes are left, and writing begins again at {resume}")]
    Full {
        /// Bytes that can still be written.
        free: u64,
        /// From so many free bytes on changes are taken again.
        resume: u64,
    },
    /// A write or a sync failed, now or before, or the writer ended. Whether this change is durable
    /// is not known; nothing more is written until the store is opened again.
    #[error("the store has stopped after a failed write; open it again")]
    Stopped(#[source] Arc<io::Error>),
}
