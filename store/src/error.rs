//! What can go wrong, by what the caller can do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use colophon_model::Digest;

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
        "`{path}` holds the format `{found}`, and this program reads `{expected}` only; \
         open it with the version that wrote it"
    )]
    Format {
        /// The file that names the format.
        path: PathBuf,
        /// What it says, or `none` when the directory holds metadata but no such file.
        found: String,
        /// What it should say.
        expected: &'static str,
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
    /// A change was not committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a change was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A row was not as the change expected. Nothing of the change was written: read again and
    /// prepare it anew.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A write or a sync failed, now or before, or the writer ended. Whether this change is durable
    /// is not known; nothing more is written until the store is opened again.
    #[error("the store has stopped after a failed write; open it again")]
    Stopped(#[source] Arc<io::Error>),
}
