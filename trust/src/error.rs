//! Everything that can be wrong with metadata, by what the reader can do about it.

use colophon_model::{TenantSlug, UnixMillis};

use crate::Role;

/// Why metadata was refused, or could not be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Older than its expiry: the server stopped signing, someone withholds updates, or the local
    /// clock is wrong.
    #[error("the {role} metadata expired at {expires}")]
    Expired {
        /// Which file.
        role: Role,
        /// When.
        expires: UnixMillis,
    },
    /// A lower version than one that was seen before.
    #[error("the {role} metadata went back from version {trusted} to {offered}")]
    Rollback {
        /// Which file.
        role: Role,
        /// The version that was seen before.
        trusted: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// Too few valid signatures of distinct keys.
    #[error("the {role} metadata has {valid} valid signatures where {needed} are needed")]
    Threshold {
        /// Which file.
        role: Role,
        /// Valid signatures of distinct keys of the role.
        valid: usize,
        /// The role's threshold.
        needed: u32,
    },
    /// Not the JSON that TUF and this program's profile of it ask for.
    #[error("the {role} metadata is malformed")]
    Malformed {
        /// Which file.
        role: Role,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// More bytes than a signed length or a fixed bound allows.
    #[error("the {role} metadata is larger than {limit} bytes")]
    TooLarge {
        /// Which file.
        role: Role,
        /// The bound, in bytes.
        limit: u64,
    },
    /// Published metadata would be past the bound that agents hold. A tenant has too many bundles, or
    /// they have too much to say: take some away.
    #[error("the {role} metadata would have {size} bytes; agents take at most {limit}")]
    Unpublishable {
        /// Which file.
        role: Role,
        /// The size it would have, in bytes.
        size: u64,
        /// The bound, in bytes.
        limit: u64,
    },
    /// Not the bytes that the next higher role signed for.
    #[error("the {role} metadata does not have the signed length and hash")]
    HashMismatch {
        /// Which file.
        role: Role,
    },
    /// Not the version that was asked for: a skipped root, or files of two moments mixed.
    #[error("the {role} metadata has version {found}, not {expected}")]
    WrongVersion {
        /// Which file.
        role: Role,
        /// The version that the next higher role names.
        expected: u64,
        /// The version in the file.
        found: u64,
    },
    /// A file that the one before it listed is not listed any more, as if it had never been.
    #[error("the snapshot metadata no longer lists `{name}`")]
    Dropped {
        /// The unversioned name of the file.
        name: String,
    },
    /// A role that has targets, by the word of another, but no file.
    #[error("the snapshot metadata does not list the role `{name}`")]
    Unlisted {
        /// The role.
        name: String,
    },
    /// What is wrong is in the file of a delegated role.
    #[error("the delegated role `{name}` cannot be trusted")]
    Delegated {
        /// The role.
        name: String,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A search read [`crate::limits::MAX_DELEGATIONS`] delegated roles and there are still more.
    #[error("there are more delegated roles than one search reads")]
    TooManyDelegations,
    /// One run followed [`crate::limits::MAX_ROOT_UPDATES`] roots and there are still more.
    #[error("there are more new root versions than one run follows")]
    TooManyRoots,
    /// Correctly signed, but for someone else.
    #[error("the metadata is of tenant `{found}`, not of `{expected}`")]
    WrongTenant {
        /// Whose metadata was asked for.
        expected: TenantSlug,
        /// Whose it is.
        found: TenantSlug,
    },
    /// A target that describes another bundle or environment than its name does.
    #[error("target `{name}` describes `{described}`")]
    Misnamed {
        /// The target's name.
        name: String,
        /// The name of what it describes.
        described: String,
    },
    /// A bundle past one of the limits that both sides hold.
    #[error("the bundle has {value} {what}; at most {limit} are allowed")]
    BundleTooLarge {
        /// What is counted.
        what: &'static str,
        /// The count.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// An encrypted environment past the limit that both sides hold.
    #[error("the encrypted environment has {value} bytes; at most {limit} are allowed")]
    EnvTooLarge {
        /// Its size, in bytes.
        value: u64,
        /// The limit, in bytes.
        limit: u64,
    },
}
