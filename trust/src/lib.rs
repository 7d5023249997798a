//! What the colophon server and its edge agents must agree on byte for byte.
//!
//! One TUF 1.0 repository per tenant: the keys and their derivation ([`TenantKeys`]), the metadata
//! that the server signs ([`initial_root`], [`publish()`]), and the client workflow that an agent
//! follows ([`RootChain`] and the stages after it). Beside it, signed statements ([`dsse`]), what is attested
//! about a bundle ([`attest`]), signatures for minisign ([`minisign`]), and how a bundle's files travel
//! ([`delta`], [`Contents`]). Pure
//! and sync: no I/O, no clock, no randomness; the time comes in as a value. The layout is written down in `docs/edge-protocol.md`.

pub mod attest;
mod bundle;
mod canonical;
mod client;
mod contents;
pub mod delta;
pub mod dsse;
mod envelope;
mod error;
mod keys;
pub mod limits;
mod metadata;
pub mod minisign;
mod publish;
pub mod sshsig;

pub use bundle::{BundleFacts, Channel, FactsSchema, InvalidTargetName, TargetFile, TargetName};
pub use client::{RootChain, TrustedRoot, TrustedSnapshot, TrustedTargets, TrustedTimestamp};
pub use contents::{ContentFlaw, Contents};
pub use error::Error;
pub use keys::{Seed, TenantKeys};
pub use metadata::Role;
pub use publish::{Published, SERVER_ROOTS, initial_root, publish};
