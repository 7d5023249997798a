//! Why a tenant was not restored.

use std::io;

use colophon_model::TenantSlug;

use crate::export::error::ExportError;
use crate::export::head::Head;
use crate::export::layout;
use crate::export::upload::Carrier;
use crate::export::verify::{Finding, Verified};
use crate::feed::FeedError;
use crate::projection::RebuildError;

/// Why a tenant was not restored. Whatever it is, no tenant was changed and none was made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The place cannot be read.
    #[error(transparent)]
    Place(Box<ExportError>),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    /// Git objects cannot be made, or are not those of the records.
    #[error(transparent)]
    Git(Box<RebuildError>),
    /// The edge repository cannot be made.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// A file beside the store cannot be written or read.
    #[error("a temporary file or thread failed")]
    Aside(#[source] io::Error),
    /// There is a tenant of that name or uid.
    #[error("tenant `{0}` exists already; nothing was changed")]
    Exists(TenantSlug),
    /// A tenant of that name was erased here, or a signed statement beside the export says that it was.
    #[error("tenant `{0}` has been erased, and does not come back from an export")]
    Erased(TenantSlug),
    /// The check of the export has found something.
    #[error("the export of `{name}` is not good: {}; nothing was written", first(.findings))]
    NotGood {
        /// The tenant, or the folder.
        name: String,
        /// What is wrong; not empty.
        findings: Vec<Finding>,
    },
    /// Nobody vouches for the key that signed it.
    #[error("the export is signed by {}, which is not the key of this server; nothing was written", whose(.claimed.as_ref()))]
    UntrustedKey {
        /// The id of the key that it says.
        claimed: Option<String>,
    },
    /// Something that is signed says what cannot be.
    #[error("`{at}` {problem}; nothing was restored")]
    Content {
        /// Which object, and where in it.
        at: String,
        /// What.
        problem: String,
    },
    /// It is encrypted, and no identity opens it.
    #[error("`{at}` is encrypted for `{key}`, and there is no identity that opens it")]
    Sealed {
        /// Which object.
        at: String,
        /// The id of the key.
        key: String,
    },
    /// What was given to open it is no identity.
    #[error("{0}")]
    Identity(String),
    /// The tenant's roots are of a ceremony, and grant nothing to the keys of this server.
    #[error(
        "tenant `{0}` needs roots of a ceremony, and those that it has grant its roles to keys of another master key"
    )]
    OtherKey(TenantSlug),
}

fn first(findings: &[Finding]) -> String {
    let more = match findings.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    findings.first().map_or_else(String::new, |it| format!("`{}` {}{more}", it.at, it.problem))
}

fn whose(id: Option<&String>) -> String {
    id.map_or_else(|| "a key that nobody gave".to_owned(), |id| format!("key {id}"))
}

/// Something that is signed says what cannot be.
pub(super) fn content(at: impl Into<String>, problem: impl Into<String>) -> RestoreError {
    RestoreError::Content { at: at.into(), problem: problem.into() }
}

/// What is wrong with an export that is not good: the key above all, when it is another's.
pub(super) async fn not_good(
    carrier: &Carrier<'_>,
    found: Verified,
    own_key: bool,
) -> RestoreError {
    let head = carrier.find_within(&carrier.key(layout::HEAD), 1 << 20).await.ok().flatten();
    let claimed = head.and_then(|bytes| Head::claimed_key(&bytes));
    let other = claimed.as_ref().is_some_and(|id| *id != found.key);
    if own_key && found.key_given && other {
        return RestoreError::UntrustedKey { claimed };
    }
    let name = found.tenant.map_or(found.folder, |slug| slug.to_string());
    RestoreError::NotGood { name, findings: found.findings }
}

impl From<RebuildError> for RestoreError {
    fn from(error: RebuildError) -> Self {
        Self::Git(Box::new(error))
    }
}

impl RestoreError {
    /// Whether another attempt would fail in the same way: the export itself is at fault.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::Content { .. } => true,
            Self::Git(error) => {
                matches!(
                    **error,
                    RebuildError::Differs { .. } | RebuildError::Lost(_) | RebuildError::Git(_)
                )
            }
            _ => false,
        }
    }

    /// The stable code of the problem.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Place(error) => error.code(),
            Self::Store(_) => "store",
            Self::Git(_) => "import-git",
            Self::Feed(_) => "import-edge",
            Self::Aside(_) => "file",
            Self::Exists(_) => "import-exists",
            Self::Erased(_) => "tenant-erased",
            Self::NotGood { .. } => "import-not-good",
            Self::UntrustedKey { .. } => "import-untrusted-key",
            Self::Content { .. } => "import-content",
            Self::Sealed { .. } => "import-sealed",
            Self::Identity(_) => "import-identity",
            Self::OtherKey(_) => "import-other-key",
        }
    }

    /// What helps.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Place(error) => error.hint(),
            Self::Exists(_) => {
                Some("import into a data directory without that tenant: `--data DIR`")
            }
            Self::NotGood { .. } => Some("`colophon export verify` lists all that is wrong"),
            Self::UntrustedKey { .. } => Some(
                "give the old server's master key with `--master FILE`, or the public key that signed with `--key FILE`; `--key-as-found` believes the one that lies there, and whoever can write there can replace that",
            ),
            Self::OtherKey(_) => Some(
                "import with the old server's master key, `--master FILE`; without it, allow roots of this server (`edge.offline_roots = false`) and enroll every agent anew",
            ),
            Self::Sealed { .. } => Some("give the file with the identity: `--identity FILE`"),
            _ => None,
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
}
