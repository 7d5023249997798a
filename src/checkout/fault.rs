//! What can go wrong, by what its reader can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use colophon_gitbridge::TakeError;
use colophon_model::{FlowId, Oid};

/// Why a folder is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Something that was given cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The folder holds what this program has not put there.
    #[error("`{}` holds `{found}`, and is no folder of `colophon checkout`", dir.display())]
    NotOurs {
        /// The folder.
        dir: PathBuf,
        /// The first name found there.
        found: String,
    },
    /// The folder is another tenant's.
    #[error("`{}` is a checkout of tenant `{here}`, not of `{asked}`", dir.display())]
    OtherTenant {
        /// The folder.
        dir: PathBuf,
        /// Whose it is.
        here: String,
        /// Who was asked for.
        asked: String,
    },
    /// Nothing has been checked out there.
    #[error("`{}` is no folder of `colophon checkout`", dir.display())]
    Nothing {
        /// The folder.
        dir: PathBuf,
    },
    /// Another process works there.
    #[error("another `colophon checkout` works in `{}`", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The disk failed, or is full.
    #[error("cannot read or write `{}`", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No answer, or a cut one.
    #[error("{0}")]
    Unreachable(String),
    /// The server has no time, or is ill.
    #[error("the server answers with status {status}{words}")]
    Busy {
        /// HTTP status.
        status: u16,
        /// What it says, after a colon.
        words: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server will not, and not in a moment either.
    #[error("{words}")]
    Refused {
        /// HTTP status: 401, 403 or 404.
        status: u16,
        /// The problem's stable code; empty without one.
        code: String,
        /// What the server says.
        words: String,
    },
    /// What answers is no colophon.
    #[error("{0}")]
    NoServer(String),
    /// An answer is not what was asked for.
    #[error("what the server sent cannot be used")]
    Answer(#[from] TakeError),
    /// There is no such version.
    #[error("the server has no version `{0}` of this tenant")]
    NoVersion(String),
    /// A flow that was asked for is not in the version.
    #[error("the version has no flow `{flow}`: {}", listed(there))]
    NoFlow {
        /// Which.
        flow: FlowId,
        /// Those that it has.
        there: Vec<FlowId>,
    },
    /// What was put on the disk is not as it was put there.
    #[error("version {commit} in `{}` is not as it was checked out: {found}", dir.display())]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// The version's commit.
        commit: Oid,
        /// The first flaw.
        found: String,
    },
    /// The command or the signal after a switch failed.
    #[error("the version is in place, and what was to follow failed: {0}")]
    Hook(String),
    /// Nobody has looked for longer than was allowed.
    #[error("the folder was last compared with the branch {} ago", humantime::format_duration(*.0))]
    Stale(Duration),
}

/// Exit codes of `colophon checkout`, those of `edge-fetch`. Scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The disk cannot be read or written, for another reason than being full.
    Disk = 1,
    /// Wrong arguments, or a wrong folder.
    Usage = 2,
    /// Network; trying again later is right.
    Network = 3,
    /// No such version, or no such tenant for this token.
    NotFound = 4,
    /// Token refused, or tenant suspended.
    Auth = 5,
    /// What was sent or is on the disk is not what it is named.
    Verification = 6,
    /// `--status`: nobody has looked lately.
    Stale = 7,
    /// Locked by another process.
    Locked = 12,
    /// The version is in place, and the command after it failed.
    Hook = 13,
    /// Disk full.
    DiskFull = 14,
}

impl Fault {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::NotOurs { .. } | Self::OtherTenant { .. } => Exit::Usage,
            Self::Nothing { .. }
            | Self::NoVersion(_)
            | Self::NoFlow { .. }
            | Self::Refused { status: 404, .. } => Exit::NotFound,
            Self::Locked { .. } => Exit::Locked,
            Self::Disk { source, .. } if is_full(source) => Exit::DiskFull,
            Self::Disk { .. } => Exit::Disk,
            Self::Refused { .. } => Exit::Auth,
            // An answer was cut on its way, or the server said so in the middle of it.
            Self::Answer(TakeError::Malformed(_) | TakeError::Refused(_))
            | Self::Unreachable(_)
            | Self::Busy { .. }
            | Self::NoServer(_) => Exit::Network,
            Self::Answer(_) | Self::Damaged { .. } => Exit::Verification,
            Self::Hook(_) => Exit::Hook,
            Self::Stale(_) => Exit::Stale,
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } if !code.is_empty() => code,
            Self::NoFlow { .. } => "unknown-flow",
            _ => match self.exit() {
                Exit::Disk => "disk",
                Exit::Usage => "usage",
                Exit::Network => "network",
                Exit::NotFound => "not-found",
                Exit::Auth => "unauthorized",
                Exit::Verification => "verification",
                Exit::Stale => "stale",
                Exit::Locked => "locked",
                Exit::Hook => "hook",
                Exit::DiskFull => "disk-full",
            },
        }
    }

    /// Whether trying again does not help until a person has done something. A watch ends with it when
    /// it is the first thing that it meets.
    pub fn is_permanent(&self) -> bool {
        matches!(self.exit(), Exit::Usage | Exit::NotFound | Exit::Auth | Exit::Locked)
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotOurs { .. } => Some("name an empty folder, or one that is not there yet"),
            Self::OtherTenant { .. } => Some("use another folder for another tenant"),
            Self::Nothing { .. } => {
                Some("`colophon checkout` with --server and --tenant makes one")
            }
            Self::Locked { .. } => {
                Some("one process keeps a folder; end the other one, or use another folder")
            }
            Self::Refused { code, .. } if code == "tenant-suspended" => {
                Some("the folder stays as it is until `colophon tenant resume`")
            }
            Self::Refused { status: 401 | 403, .. } => {
                Some("it takes a token of this tenant: `colophon token create TENANT --kind git`")
            }
            Self::Refused { .. } => {
                Some("check --tenant: the token is of another one, or there is none of this name")
            }
            Self::NoServer(_) => Some(
                "check --server: it is the address of colophon itself, without a path behind it",
            ),
            Self::NoVersion(_) => Some(
                "a version is a commit, a tag or the branch: `git log` and `git tag` in a clone show them",
            ),
            Self::NoFlow { .. } => Some(
                "--flow takes a flow's id, as `colophon flow list TENANT` and the branch's manifest.json have it",
            ),
            Self::Damaged { .. } => Some("`colophon checkout DIR` puts it in order"),
            Self::Stale(_) => {
                Some("look whether `colophon checkout --watch` runs, and what it says")
            }
            _ => None,
        }
    }

    /// How long the server asks to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Flows in words; the first few.
fn listed(flows: &[FlowId]) -> String {
    const FEW: usize = 10;
    let names: Vec<&str> = flows.iter().take(FEW).map(FlowId::as_str).collect();
    match flows.len() {
        0 => "it has none".to_owned(),
        all if all > FEW => format!("it has {} and {} more", names.join(", "), all - FEW),
        _ => format!("it has {}", names.join(", ")),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Attaches the path to a failure.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Fault>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Fault> {
        self.map_err(|source| Fault::Disk { path: path.to_owned(), source })
    }
}
