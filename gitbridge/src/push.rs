//! The other way: a tenant's repository pushed to one upstream repository, as `git push` would
//! (gitprotocol-pack, "Pushing Data To a Server"; gitprotocol-http, "Smart Service git-receive-pack").
//!
//! 1. [`Advertisement::parse`] reads what the remote holds.
//! 2. [`Mirror::step`] compares it with the log and says what to do: nothing, one [`Push`], or to keep
//!    away, because somebody else has written there.
//! 3. [`Push::request`] is the body to send: commands and a pack, streamed like the packs for clients.
//! 4. [`Report::parse`] reads the answer. It is the remote's word only: what counts is what a new
//!    advertisement shows.
//!
//! Nothing is ever forced. Each command names the object that was seen at the remote, so a remote that
//! has moved in between refuses it. receive-pack speaks versions 0 and 1 of the protocol only.

mod advertisement;
mod packets;
mod plan;
mod report;
mod request;

pub use advertisement::Advertisement;
pub use plan::{Divergence, Mirror, Step};
pub use report::{Report, visible};
pub use request::{Command, Push, PushRequest};

/// Why an answer of the remote is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// It is not what the protocol says.
    #[error("the remote's answer is malformed: {0}")]
    Malformed(&'static str),
    /// It is longer than is read.
    #[error("the remote's answer has more than {0} bytes")]
    TooLong(usize),
    /// An `ERR` packet: the remote refuses, in these words. Free of control characters.
    #[error("the remote refuses: {0}")]
    Refused(String),
    /// Its objects are named by another hash than SHA-1.
    #[error("the remote's repository is of object format {0}, and only sha1 can be pushed")]
    ObjectFormat(String),
}
