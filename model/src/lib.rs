//! The nouns that two or more crates of colophon share.
//!
//! Sync and pure: no I/O, no clock, no randomness. A type belongs here when two crates need it and
//! it carries an invariant; helpers never do. Each type has one constructor that checks its
//! invariant, and `Deserialize` goes through it.

mod artifact;
pub mod audit;
mod digest;
mod flow;
mod git;
mod key;
mod limits;
mod manifest;
mod path;
mod policy;
mod record;
mod refs;
mod signature;
mod target;
mod tenant;
mod time;
mod tree;

pub use artifact::{Artifact, FileSet};
pub use digest::{Digest, Digester, InvalidHash, Oid, Sha256};
pub use flow::{FlowId, FlowSource, InvalidFlowId, NativeFlowId};
pub use git::{GitKind, LogEntry, Ordinal, TagObject};
pub use key::{BuildInputs, BuildKey};
pub use limits::{MAX_BUNDLE_FILES, MAX_BUNDLE_UNPACKED, MAX_BUNDLE_ZIP};
pub use manifest::{EdgeManifest, EdgePointer, FlowManifest, TenantManifest};
pub use path::{ArtifactPath, InvalidPath};
pub use policy::CodePolicy;
pub use record::{
    BuildId, BuildKind, BuildRecord, EdgeOutput, Failure, GateResult, GateStatus, InvalidBuildId,
    Output, OutputFile, SandboxLevel, SandboxReport,
};
pub use refs::{BuildTag, FailedTag, InvalidRef, TenantBranch};
pub use signature::{InvalidSignature, Signatures, SshSignature};
pub use target::{EdgeRuntime, Target};
pub use tenant::{InvalidSlug, InvalidUid, TenantSlug, TenantUid};
pub use time::{Stamp, UnixMillis};
pub use tree::{FileMode, InvalidTree, Tree, TreeEntry};
