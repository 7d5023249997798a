//! Mirrors: each tenant's branch and tags, pushed to one upstream repository of its own.
//!
//! A build, and a purge of tags, leave a row in the outbox in their own transaction. A worker of the
//! running server takes the rows that are due, one tenant at a time each, and pushes what the remote
//! lacks. What is pending, what went wrong and when to try again is in the store, so that a restart
//! goes on where the last run ended.
//!
//! What counts is what the remote shows, not what it answers: its refs are read before each push and
//! after it. Nothing is forced; a remote with somebody else's commits on our branch is left alone.

mod attempt;
mod backoff;
mod client;
mod fault;
mod ledger;
mod manage;
mod outgoing;
mod state;
mod status;
mod url;
mod worker;

pub use manage::{
    MirrorError, SetMirror, clear, clear_expected, current_version, retry, set, set_expected,
};
pub(crate) use manage::{default_tags, default_username};
pub use status::{Diverged, MirrorStatus, Pending, Phase, list, status};
pub use url::{InvalidUrl, MirrorUrl};
pub use worker::Mirrors;
