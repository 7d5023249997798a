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

mod arrivals;
pub mod audit;
mod backup;
mod blob;
mod change;
mod committer;
mod damage;
mod delta;
mod dictionary;
mod disk;
mod era;
mod erase;
mod error;
mod explain;
mod format;
mod frame;
mod fsck;
mod gc;
mod kv;
mod lane;
mod layered;
mod lease;
mod meter;
pub mod outbox;
mod pace;
mod pool;
mod progress;
pub mod quota;
mod reach;
mod reader;
mod retention;
mod row;
pub mod rows;
mod scrub;
mod segments;
mod sequence;
mod space;
mod store;
mod sync;
mod tables;
mod turns;
mod view;
mod writer;

pub use backup::{BackupReport, RestoreReport, restore};
pub use blob::PreparedBlob;
pub use change::Change;
pub use disk::os::OsDisk;
pub use disk::{Disk, DiskFile};
pub use erase::Erased;
pub use error::{CommitError, Error};
pub use explain::{Explanation, Holder};
pub use frame::{Frame, InvalidFrame, MAX_BLOB_LEN};
pub use fsck::{FsckOptions, FsckReport, Heal, Problem};
pub use gc::{GcOptions, GcReport};
pub use kv::generations::RedbKv;
pub use kv::memory::MemoryKv;
pub use kv::redb::Durability;
pub use kv::{Batch, Check, Conflict, Entry, KeyRange, Kv, Order, Snapshot, Usage, Visit, Writes};
pub use lane::Lane;
pub use lease::Lease;
pub use meter::{Histogram, Meter};
pub use pace::Pace;
pub use progress::{Progress, Report};
pub use retention::{PurgeOptions, PurgeReport};
pub use row::{InvalidRow, KeyPart, Row};
pub use scrub::{Scrubbed, Unread};
pub use segments::files::FileSegments;
pub use segments::memory::MemorySegments;
pub use segments::{Location, SegmentInfo, Segments};
pub use space::Watermarks;
pub use store::{Extent, Options, Store};
pub use tables::Table;
pub use view::{Scan, View};
pub use writer::Ticket;
