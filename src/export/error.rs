//! Why an export was not made.

use std::io;

use colophon_model::{Digest, Sha256, TenantSlug};

use super::layout::BagName;
pub use crate::place::Trouble;

/// Why an export was not made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read, or refused.
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    /// The Git objects cannot be read.
    #[error("the Git objects cannot be read")]
    Git(#[from] colophon_gitbridge::Error),
    /// A file beside the store cannot be written or read.
    #[error("a temporary file cannot be written or read")]
    Aside(#[source] io::Error),
    /// The tenant was erased while it was exported.
    #[error("tenant `{0}` was erased meanwhile; what had been sent of it lies at the place")]
    Erased(TenantSlug),
    /// A record that should be there is not.
    #[error("{what} {number} is missing in the store; `colophon fsck` says more")]
    Lost {
        /// What.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// A line of the audit log does not follow the one before.
    #[error("line {number} of the audit log is broken; `colophon audit verify` says more")]
    Broken {
        /// Its number.
        number: u64,
    },
    /// A blob that a build names is missing or damaged.
    #[error("blob {digest} cannot be read; `colophon fsck` says more")]
    Blob {
        /// Which.
        digest: Digest,
    },
    /// The export has a past that this store does not have.
    #[error(
        "{what} {number} of the export is not the one of this store: it was made from another store, or this one was restored from an older backup"
    )]
    Diverged {
        /// What.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// The end of the export is before what this server has seen there.
    #[error("export number {seen} was made there before, and `HEAD.json` {found}")]
    WentBack {
        /// The number that was seen.
        seen: u64,
        /// What it says now.
        found: String,
    },
    /// `HEAD.json` cannot be believed.
    #[error("`HEAD.json` there {0}")]
    Head(String),
    /// Somebody else's bag has the place of this one.
    #[error("`{0}` was moved by another exporter; the next run goes on from there")]
    Overtaken(BagName),
    /// Other bytes lie where something is to be written.
    #[error(
        "`{path}` is there already with other content (SHA-256 {found}, not {wanted}); nothing was written over"
    )]
    Taken {
        /// Where.
        path: String,
        /// What is there.
        found: Sha256,
        /// What should be.
        wanted: Sha256,
    },
    /// The tenant's key cannot be opened or made.
    #[error("the key that the tenant's exports are sealed with cannot be opened or made")]
    Key,
    /// The place refused, failed, or is not what it must be.
    #[error(transparent)]
    Place(#[from] Trouble),
}

impl ExportError {
    /// The stable code of the problem.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Git(_) => "git",
            Self::Aside(_) => "file",
            Self::Erased(_) => "export-erased",
            Self::Lost { .. } | Self::Broken { .. } | Self::Blob { .. } => "export-source-damaged",
            Self::Diverged { .. } => "export-diverged",
            Self::WentBack { .. } => "export-went-back",
            Self::Head(_) => "export-head",
            Self::Overtaken(_) => "export-overtaken",
            Self::Taken { .. } => "export-taken",
            Self::Key => "export-key",
            Self::Place(trouble) => trouble.code,
        }
    }

    /// All of it in one line: the causes, and what helps.
    pub fn told(&self) -> String {
        let text = crate::http::chain(self);
        match self.hint() {
            Some(hint) => format!("{text}: {hint}"),
            None => text,
        }
    }

    /// What helps.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Place(trouble) => trouble.hint,
            Self::WentBack { .. } => Some(
                "somebody deleted it or put an older one back; when that was meant, `--anew` takes what is there as it is",
            ),
            Self::Key => Some(
                "it is sealed with the master key that the data directory had; was it restored with another one?",
            ),
            Self::Diverged { .. } => {
                Some("export to another place; what is there stays as the evidence it is")
            }
            Self::Head(_) => {
                Some("another server exports there, or it was changed; export to another place")
            }
            _ => None,
        }
    }
}
