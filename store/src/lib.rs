//! Content-addressed blobs and ordered metadata behind one commit point.
//!
//! Bytes are durable before a row names them, and all rows of one build become visible in one
//! transaction or not at all. Two seams carry everything: [`Kv`] (ordered rows; redb and memory) and
//! [`Segments`] (append-only frames; files and memory). All meaning is written once above them:
//! typed [`rows`], the rolling-window [`quota`], tenant [`Lane`]s and the one writer thread.
//!
//! Sync, without a clock or randomness: time comes in as values. The bytes on disk are described in
//! `docs/store-format.md`.
//!
//! ```
//! use colophon_model::{Digest, TenantUid};
//! use colophon_store::{Change, PreparedBlob, Store};
//!
//! let store = Store::in_memory()?;
//! let tenant = TenantUid::from_bytes([1; 16]);
//! let mut change = Change::new();
//! change.blob(tenant, PreparedBlob::new(b"print('hello')\n")?);
//! store.lane(tenant).submit(change).wait()?;
//!
//! let digest = Digest::of(b"print('hello')\n");
//! assert!(store.view()?.read_blob(tenant, &digest)?.is_some());
//! let stranger = TenantUid::from_bytes([2; 16]);
//! assert!(store.view()?.read_blob(stranger, &digest)?.is_none());
//! # Ok::<(), colophon_store::Error>(())
//! ```

mod blob;
mod change;
mod directory;
mod error;
mod frame;
mod kv;
mod lane;
mod layered;
pub mod quota;
mod row;
pub mod rows;
mod segments;
mod store;
mod tables;
mod view;
mod writer;

pub use blob::PreparedBlob;
pub use change::Change;
pub use error::{CommitError, Error};
pub use frame::{Frame, InvalidFrame, MAX_BLOB_LEN};
pub use kv::memory::MemoryKv;
pub use kv::redb::{Durability, RedbKv};
pub use kv::{Batch, Check, Conflict, Entry, KeyRange, Kv, Order, Snapshot, Writes};
pub use lane::Lane;
pub use row::{InvalidRow, KeyPart, Row};
pub use segments::files::FileSegments;
pub use segments::memory::MemorySegments;
pub use segments::{Location, Segments};
pub use store::{Options, Store};
pub use tables::Table;
pub use view::{Scan, View};
pub use writer::Ticket;
