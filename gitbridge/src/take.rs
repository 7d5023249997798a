//! The side that asks: refs and objects taken from a server, without a repository of our own
//! (gitprotocol-v2, `ls-refs` and `fetch`).
//!
//! 1. [`refs_request`] and [`parse_refs`]: what refs name.
//! 2. [`objects_request`] and [`parse_objects`]: objects by their ids. No answer is believed: each object
//!    is named by the id that is computed from its bytes ([`Taken`]), so what was not asked for is never
//!    found, and what was altered is missing.
//! 3. [`Taken::commit`] and [`Taken::files`]: what one commit holds, with every path checked.
//!
//! Requests are independent of each other. Whoever wants a version asks for its trees
//! ([`Part::WithoutBlobs`]) and then for the blobs that are not there yet, a few at a time, so that an
//! answer that was cut costs no more than itself.

mod listing;
mod pack;
mod packets;
mod request;

pub use listing::{ListedFile, TakenCommit};
pub use pack::{Taken, TakenLimits, blob_id};
pub use request::{Part, RemoteRef, objects_request, parse_objects, parse_refs, refs_request};

use colophon_model::{InvalidPath, Oid};

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// It is not what the protocol says, or was cut.
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    /// The server says why not, in these words. Free of control characters.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// More than is taken.
    #[error("the answer holds more than {most} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much is taken.
        most: u64,
    },
    /// The bytes of an object were made to collide under SHA-1.
    #[error("an object is one half of a SHA-1 collision")]
    Collision,
    /// What was asked for did not come, or not as it is named.
    #[error("object {0} did not come")]
    Missing(Oid),
    /// An object is of another kind than it must be, or not well-formed.
    #[error("object {oid} is not {wanted}")]
    NotA {
        /// The object.
        oid: Oid,
        /// What it should be.
        wanted: &'static str,
    },
    /// A path that must not be written.
    #[error("tree {tree} cannot be checked out: {path}")]
    Path {
        /// The tree that holds it.
        tree: Oid,
        /// Which path, and what is wrong with it.
        path: InvalidPath,
    },
    /// An entry of a tree that is no ordinary file or folder, or is there twice.
    #[error("tree {tree} cannot be checked out: {problem}")]
    Entry {
        /// The tree that holds it.
        tree: Oid,
        /// What is wrong with it.
        problem: &'static str,
    },
}
