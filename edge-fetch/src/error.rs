//! Everything that can go wrong, by what the caller can do about it, and the exit code of each.

use std::io;
use std::path::PathBuf;

use colophon_model::{FlowId, TenantSlug};
use colophon_trust::TargetName;

use crate::config::InvalidUrl;
use crate::{BundleFlaw, NetworkError};

/// Why an operation failed. After any of these, what was active before is still active.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no enrolment in the folder.
    #[error("`{}` is not enrolled", dir.display())]
    NotEnrolled {
        /// The agent's folder.
        dir: PathBuf,
    },
    /// The folder already belongs to a tenant.
    #[error("`{}` is already enrolled for tenant `{tenant}`", dir.display())]
    AlreadyEnrolled {
        /// The agent's folder.
        dir: PathBuf,
        /// Whose it is.
        tenant: TenantSlug,
    },
    /// A file that the user named cannot be read or used.
    #[error("cannot use `{}`", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server's address cannot be used.
    #[error("the server's address cannot be used")]
    Url(#[from] InvalidUrl),
    /// The server was not reached, or the connection broke. Trying again is safe, and continues a
    /// download where it stopped.
    #[error("cannot get `{path}`")]
    Network {
        /// What was asked for, relative to the tenant's URL.
        path: String,
        /// What happened.
        source: NetworkError,
    },
    /// The server, or the tenant on it, or the file is not there.
    #[error("the server has no `{path}` for this tenant")]
    NotFound {
        /// What was asked for, relative to the tenant's URL.
        path: String,
    },
    /// The tenant offers no bundle of this flow.
    #[error("the tenant offers no bundle of flow `{flow}`")]
    NoSuchFlow {
        /// The flow that was asked for.
        flow: FlowId,
    },
    /// The token is missing, wrong, or of another tenant.
    #[error("the server refused the token with status {status}")]
    Auth {
        /// 401 or 403.
        status: u16,
    },
    /// Metadata was refused.
    #[error("the tenant's metadata was refused")]
    Trust(#[from] colophon_trust::Error),
    /// What is attested about a bundle was refused.
    #[error("the attestation was refused")]
    Attestation(#[from] colophon_trust::attest::Refused),
    /// The whole zip was received, and is not the one that was signed.
    #[error("the download of `{name}` does not have the signed hash")]
    HashMismatch {
        /// The bundle.
        name: TargetName,
    },
    /// The zip is the one that was signed, and must not be unpacked.
    #[error("bundle `{name}` was refused")]
    Bundle {
        /// The bundle.
        name: TargetName,
        /// Why.
        source: Box<BundleFlaw>,
    },
    /// Two different bundles were signed under one sequence number.
    #[error("bundle `{name}` differs from the active one, with the same sequence number {seq}")]
    Fork {
        /// The bundle.
        name: TargetName,
        /// The number of both.
        seq: u64,
    },
    /// The server offers an older bundle than the active one.
    #[error("bundle `{name}` went back from sequence number {active} to {offered}")]
    Rollback {
        /// The bundle.
        name: TargetName,
        /// The active number.
        active: u64,
        /// The offered number.
        offered: u64,
    },
    /// The bundle does not run on this machine.
    #[error("bundle `{name}` runs on {wants}, and this machine is {here}")]
    Unsupported {
        /// The bundle.
        name: TargetName,
        /// Systems and architectures of the bundle.
        wants: String,
        /// System and architecture of this machine.
        here: String,
    },
    /// The server sent more bytes than were signed.
    #[error("the server sends more than the signed {limit} bytes of `{name}`")]
    TooLarge {
        /// The bundle.
        name: TargetName,
        /// Its signed length, in bytes.
        limit: u64,
    },
    /// Another process works in the folder.
    #[error("another process is using `{}`", dir.display())]
    Locked {
        /// The agent's folder.
        dir: PathBuf,
    },
    /// The local disk failed, or is full.
    #[error("cannot write or read `{}`", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The exit codes of `edge-fetch`. Scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or up to date.
    Ok = 0,
    /// The local disk cannot be read or written, for another reason than being full.
    Disk = 1,
    /// Wrong arguments, files or folder.
    Usage = 2,
    /// Network; trying again later is right.
    Network = 3,
    /// Not found, or the tenant is gone.
    NotFound = 4,
    /// Token refused.
    Auth = 5,
    /// Verification failed. Never tried again blindly.
    Verification = 6,
    /// Metadata expired, or the clock is wrong.
    Expired = 7,
    /// Going back was refused.
    Rollback = 8,
    /// Wrong architecture or operating system.
    Unsupported = 9,
    /// `check` found an update.
    UpdateAvailable = 10,
    /// Over a size limit.
    TooLarge = 11,
    /// Locked by another process.
    Locked = 12,
    /// Disk full.
    DiskFull = 14,
}

impl Error {
    /// The exit code of this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotEnrolled { .. }
            | Self::AlreadyEnrolled { .. }
            | Self::Input { .. }
            | Self::Url(_) => Exit::Usage,
            Self::Network { .. } => Exit::Network,
            Self::NotFound { .. } | Self::NoSuchFlow { .. } => Exit::NotFound,
            Self::Auth { .. } => Exit::Auth,
            Self::Attestation(_)
            | Self::HashMismatch { .. }
            | Self::Bundle { .. }
            | Self::Fork { .. } => Exit::Verification,
            Self::Trust(error) => trust_exit(error),
            Self::Rollback { .. } => Exit::Rollback,
            Self::Unsupported { .. } => Exit::Unsupported,
            Self::TooLarge { .. } => Exit::TooLarge,
            Self::Locked { .. } => Exit::Locked,
            Self::Disk { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::DiskFull,
                _ => Exit::Disk,
            },
        }
    }

    /// What the user can do, where there is something better to say than the error itself.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotEnrolled { .. } => {
                Some("run `edge-fetch enroll`, or name the right folder with --dir")
            }
            Self::AlreadyEnrolled { .. } => Some("use another --dir for another tenant"),
            Self::Network { .. } => Some("run the command again; a download continues"),
            Self::Auth { .. } => Some("give a token of this tenant by --token-file"),
            Self::Trust(colophon_trust::Error::Expired { .. }) => {
                Some("check this machine's clock; if it is right, the server has stopped signing")
            }
            Self::Locked { .. } => Some("wait for the other edge-fetch to finish"),
            Self::Input { .. }
            | Self::Url(_)
            | Self::NotFound { .. }
            | Self::NoSuchFlow { .. }
            | Self::Trust(_)
            | Self::Attestation(_)
            | Self::HashMismatch { .. }
            | Self::Bundle { .. }
            | Self::Fork { .. }
            | Self::Rollback { .. }
            | Self::Unsupported { .. }
            | Self::TooLarge { .. }
            | Self::Disk { .. } => None,
        }
    }

    /// Whether the next bundle would fail for the same reason.
    pub(crate) fn concerns_all_bundles(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Auth { .. } | Self::Disk { .. })
    }
}

fn trust_exit(error: &colophon_trust::Error) -> Exit {
    use colophon_trust::Error as Trust;
    match error {
        Trust::Expired { .. } => Exit::Expired,
        Trust::Rollback { .. } => Exit::Rollback,
        Trust::TooLarge { .. } | Trust::BundleTooLarge { .. } | Trust::Unpublishable { .. } => {
            Exit::TooLarge
        }
        Trust::Threshold { .. }
        | Trust::Malformed { .. }
        | Trust::HashMismatch { .. }
        | Trust::WrongVersion { .. }
        | Trust::TooManyRoots
        | Trust::WrongTenant { .. }
        | Trust::Misnamed { .. } => Exit::Verification,
    }
}
