//! What the colophon server and its edge agents must agree on byte for byte.
//!
//! One TUF 1.0 repository per tenant: the keys and their derivation ([`TenantKeys`]), the metadata
//! that the server signs ([`initial_root`], [`publish()`]), and the client workflow that an agent
//! follows ([`RootChain`] and the stages after it: colophon's demands on top of a client for any TUF
//! repository, [`tuf`]). Beside it, signed statements ([`dsse`]), signatures in a file of their own ([`detached`]), what is attested
//! about a bundle ([`attest`]), signatures for minisign ([`minisign`]), how a bundle's files travel
//! ([`delta`], [`Contents`]), and many files in one answer ([`sync`]). Pure
//! and sync: no I/O, no clock, no randomness; the time comes in as a value. The layout is written down in `docs/edge-protocol.md`.

pub mod attest;
mod bundle;
mod ceremony;
mod client;
mod contents;
pub mod delta;
pub mod detached;
pub mod dsse;
mod environment;
mod error;
mod keys;
pub mod limits;
mod metadata;
pub mod minisign;
pub mod note;
mod publish;
mod root;
pub mod sshsig;
pub mod sync;
pub mod tuf;
mod values;

pub use bundle::{BundleFacts, Channel, FactsSchema, InvalidTargetName, TargetFile, TargetName};
pub use ceremony::{CeremonyError, OfflineRoot, RootRequest};
pub use client::{RootChain, TrustedRoot, TrustedSnapshot, TrustedTargets, TrustedTimestamp};
pub use contents::{ContentFlaw, Contents};
pub use environment::{EnvFacts, EnvFile, EnvKind, EnvName, InvalidEnvName};
pub use error::Error;
pub use keys::{Generations, OnlineKeys, OnlinePublic, Seed, TenantKeys};
pub use publish::{Listing, Published, Versions, publish, sign_all, sign_snapshot, sign_timestamp};
pub use root::{OFFLINE_ROOTS, SERVER_ROOTS, initial_root, next_root};
pub use tuf::Role;
pub use values::{Environment, InvalidEnvironment, MAX_NAME, MAX_VALUE, MAX_VALUES};
