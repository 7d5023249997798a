//! The Git facade: one virtual repository per tenant, projected from an object log.
//!
//! Its parts meet at [`ObjectLog`], the view that the caller implements over one snapshot of its
//! store:
//!
//! - **Writing**: [`append()`] turns changed files into blobs, trees and one commit; [`annotate`]
//!   makes a tag. Both are pure: they return rows for the caller to store in the transaction of the build.
//! - **Serving**: [`UploadPack`] answers Git's smart HTTP protocol in versions 0, 1 and 2
//!   (gitprotocol-http, gitprotocol-pack, gitprotocol-v2): bytes in, bytes out, with packs streamed
//!   through [`PackStream`]. HTTP, credentials and gzip are the caller's.
//! - **Leaving**: [`write_pack`] and [`PackIndex`] make the files of an ordinary repository, and
//!   [`bundle_header`] those of a bundle.
//! - **Mirroring**: [`Mirror`] compares the log with an upstream repository and makes the [`Push`] that
//!   brings it up to date. Never by force.
//!
//! The history of a tenant is linear and its objects have dense ordinals, so what a commit reaches
//! is every object up to its own position: reachability, negotiation and pack selection are ranges
//! of numbers rather than walks over a graph.

mod advertise;
mod append;
mod cache;
mod delta;
mod error;
mod export;
mod fetch;
mod files;
mod filter;
mod framing;
mod history;
mod log;
mod ls_refs;
mod mates;
mod message;
mod negotiate;
mod object;
mod object_info;
mod pack;
mod piece;
mod pkt;
mod protocol;
mod push;
mod ranges;
mod reach;
mod read;
mod ref_list;
mod refs;
mod select;
mod sent;
mod shallow;
mod signature;
mod stream;
mod tags;
mod upload_pack;
mod v0;
mod v2;
mod verify;
mod worktree;
mod zlib;

pub use append::{Appended, Change, NewCommit, NewTag, annotate, append};
pub use cache::{Cache, CachedLog, LogId, Made, PackedTag, Turn};
pub use error::{Error, ReadError};
pub use export::{ExportError, PackIndex, Part, bundle_header, packed_refs, write_pack};
pub use files::{CommittedFile, first_files};
pub use log::{Held, ObjectLog, Ref, Shape};
pub use message::{Ident, Message, TagName};
pub use pkt::error_packet;
pub use protocol::{Limits, Protocol};
pub use push::{
    Advertisement, Command, Divergence, Mirror, Push, PushRequest, RemoteError, Report, Step,
    visible,
};
pub use read::object;
pub use ref_list::{RefForm, RefList};
pub use refs::Tags;
pub use sent::SentPage;
pub use signature::{Signed, Signer, signed};
pub use stream::PackStream;
pub use tags::TagList;
pub use upload_pack::{Response, UploadPack};
pub use verify::{verify, verify_tag};
