//! TUF 1.0 (theupdateframework.github.io/specification, 1.0.34) as any repository may use it, without
//! any I/O: what files hold, whose signatures count, and in which order a client may believe them.
//!
//! Each stage of the client workflow (§5) is a type that only the stage before can make, so metadata
//! cannot be used before it is verified nor verified in another order:
//! [`RootChain`] → [`TrustedRoot`] → [`TrustedTimestamp`] → [`TrustedSnapshot`] →
//! [`TrustedTargets`], and from there a [`Search`] through the delegations. A stage keeps the exact
//! bytes it was made from; the caller stores them, and passes them as `trusted` the next time, which
//! is what makes rollbacks visible.
//!
//! What colophon asks for beyond this (whose repository it is, that nothing is left out that TUF
//! leaves to the repository) is checked on top, by the types at the root of this crate.

pub(crate) mod canonical;
mod client;
mod delegation;
mod encoding;
pub(crate) mod envelope;
mod expires;
mod key;
mod metadata;
mod pattern;
mod role;
mod search;
mod target;

pub use client::{RootChain, TrustedRoot, TrustedSnapshot, TrustedTargets, TrustedTimestamp};
pub use encoding::percent_encoded;
pub use role::Role;
pub use search::{Search, Wanted};
pub use target::{Hashes, Target};

pub(crate) use expires::Expires;
pub(crate) use key::{ECDSA, ECDSA_P256, ED25519, Key, KeyId, RoleKeys};
pub(crate) use metadata::{
    Body, Grants, MetaFile, Root, SPEC_VERSION, Signed, Snapshot, Targets, Timestamp, TimestampMeta,
};
