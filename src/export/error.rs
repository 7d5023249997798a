//! Why an export was not made.

use std::io;

use colophon_model::{Digest, Sha256};

use super::layout::BagName;

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

/// What is wrong with a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Trouble {
    /// A stable code.
    pub code: &'static str,
    /// What is wrong, and with what.
    pub text: String,
    /// What helps.
    pub hint: Option<&'static str>,
    /// Whether it may help to try again.
    pub passing: bool,
}

impl Trouble {
    /// Trouble that stays until somebody does something.
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hint: None, passing: false }
    }

    /// The same with what helps.
    #[must_use]
    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// What became of a request at `path`. Whether something was there or not is for the caller to know before.
    pub(super) fn of(path: &str, error: &object_store::Error) -> Self {
        use object_store::Error;
        let text = format!("`{path}`: {}", told(error));
        let answer = Answer::of(error);
        if let Some(known) = Self::known(&answer.text, &text) {
            return known;
        }
        match error {
            Error::Unauthenticated { .. } => {
                Self::new("export-credentials", text).hint(CREDENTIALS)
            }
            Error::PermissionDenied { .. } => Self::new("export-denied", text).hint(DENIED),
            Error::NotFound { .. } => Self::new("export-missing", text),
            Error::AlreadyExists { .. } | Error::Precondition { .. } => {
                Self::new("export-conflict", text).passing()
            }
            Error::NotSupported { .. } | Error::NotImplemented { .. } => {
                Self::new("export-unsupported", text)
            }
            Error::Generic { .. } => match answer.status {
                Some(status) => Self::answered(status, text),
                None => Self::new("export-unreachable", text).passing(),
            },
            _ => Self::new("export-refused", text),
        }
    }

    /// What a status says that is no success, beside what its body says.
    pub(super) fn of_status(status: u16, body: &str, text: String) -> Self {
        Self::known(body, &text).unwrap_or_else(|| Self::answered(status, text))
    }

    fn answered(status: u16, text: String) -> Self {
        match status {
            401 | 403 => Self::new("export-denied", text).hint(DENIED),
            408 | 425 | 429 | 500.. => Self::new("export-unreachable", text).passing(),
            _ => Self::new("export-refused", text),
        }
    }

    /// Trouble that a word in what was said tells; mostly codes of S3 ("Error responses").
    fn known(said: &str, text: &str) -> Option<Self> {
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let new = |code| Self::new(code, text);
        if says(&["RequestTimeTooSkewed"]) {
            Some(
                new("export-clock")
                    .hint("the clocks of this machine and of the store differ; set this one"),
            )
        } else if says(&["NoSuchBucket"]) {
            Some(new("export-no-bucket").hint("make the bucket, or name another"))
        } else if says(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "169.254.169.254"]) {
            // The last is where a machine's role would be found: nobody said anything else.
            Some(new("export-credentials").hint(CREDENTIALS))
        } else if says(&["BadDigest", "SHA256Mismatch", "ChecksumMismatch"]) {
            Some(new("export-changed-on-its-way").passing())
        } else {
            None
        }
    }

    fn passing(mut self) -> Self {
        self.passing = true;
        self
    }
}

const DENIED: &str = "docs/export.md has the policy that the exporter's credentials need";
const CREDENTIALS: &str = "credentials are found as AWS tools find them: AWS_ACCESS_KEY_ID and \
                           AWS_SECRET_ACCESS_KEY, a web identity, or the machine's role; or see `export.secret_key`";

/// An error with its causes, as far as they say more, without line breaks.
fn told(error: &object_store::Error) -> String {
    let mut text = crate::http::chain(error);
    if let Some(at) = text.char_indices().nth(600) {
        text.truncate(at.0);
    }
    text.replace(['\n', '\r'], " ")
}

/// What a store answered; its types do not say, so it is read from the error's text.
struct Answer {
    text: String,
    status: Option<u16>,
}

impl Answer {
    fn of(error: &object_store::Error) -> Self {
        let text = crate::http::chain(error);
        let status = text.split("status code: ").nth(1).and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        Self { text, status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    /// What may pass is tried again, what stays is not; and each has a code of its own.
    #[test]
    fn trouble_is_told_apart_by_what_a_store_says() {
        for (said, code, passing) in [
            (
                "Server returned non-2xx status code: 503 Service Unavailable: SlowDown",
                "export-unreachable",
                true,
            ),
            (
                "Server returned non-2xx status code: 500 Internal Server Error: ",
                "export-unreachable",
                true,
            ),
            (
                "Server returned non-2xx status code: 429 Too Many Requests: ",
                "export-unreachable",
                true,
            ),
            ("HTTP error: error sending request", "export-unreachable", true),
            (
                "Server returned non-2xx status code: 400 Bad Request: <Code>BadDigest</Code>",
                "export-changed-on-its-way",
                true,
            ),
            (
                "Server returned non-2xx status code: 400 Bad Request: <Code>InvalidArgument</Code>",
                "export-refused",
                false,
            ),
            (
                "Server returned non-2xx status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>",
                "export-clock",
                false,
            ),
            (
                "Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>",
                "export-denied",
                false,
            ),
            (
                "Server returned non-2xx status code: 404 Not Found: <Code>NoSuchBucket</Code>",
                "export-no-bucket",
                false,
            ),
            (
                "Error performing PUT http://169.254.169.254/latest/api/token",
                "export-credentials",
                false,
            ),
        ] {
            let trouble = Trouble::of("HEAD.json", &generic(said));
            assert_eq!((trouble.code, trouble.passing), (code, passing), "{said}");
            assert!(trouble.text.starts_with("`HEAD.json`: "), "{trouble}");
        }
        let long = Trouble::of("x", &generic(&"a\n".repeat(10_000))).text;
        assert!(long.len() < 700 && !long.contains('\n'), "{}", long.len());
    }
}
