//! Everything that can go wrong, by what the caller can do about it, and the exit code of each.

use std::io;
use std::path::PathBuf;

use colophon_model::{Digest, FlowId, TenantSlug, UnixMillis};
use colophon_trust::TargetName;

use crate::config::InvalidUrl;
use crate::{
    AttestationFlaw, BaseUrl, BundleDigest, BundleFlaw, DeliveryFlaw, EnvFlaw, Generation,
    NetworkError, Unhealthy,
};

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
    /// The address of the proxy cannot be used. It is not shown: it may hold a password.
    #[error("the proxy's address cannot be used")]
    Proxy,
    /// The token would be sent unencrypted to another machine.
    #[error("`{url}` is not encrypted, and the token would be readable on the way")]
    PlainHttp {
        /// The server.
        url: BaseUrl,
    },
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
    /// The tenant has signed that it is archived: its flows are to be taken away.
    #[error("tenant `{tenant}` is archived{}", removed_text(removed))]
    Archived {
        /// The tenant.
        tenant: TenantSlug,
        /// The flows that were removed here.
        removed: Vec<FlowId>,
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
    /// The metadata that is stored here does not do without a server: it has expired, most often.
    #[error("the tenant's metadata that is stored here cannot be used offline")]
    Stored {
        /// Why.
        source: colophon_trust::Error,
    },
    /// Nothing may be asked for, and this is not here.
    #[error("{what} is not here, and offline nothing is asked for")]
    Absent {
        /// What is missing.
        what: String,
    },
    /// A bundle was asked for by a digest that no signed metadata names.
    #[error("nothing that the tenant signed says that `{digest}` is a bundle of it")]
    NotVouched {
        /// What was asked for.
        digest: BundleDigest,
    },
    /// What is attested about a bundle was refused.
    #[error("the attestation was refused")]
    Attestation(#[from] colophon_trust::attest::Refused),
    /// Attestations are required here, and this bundle's is missing or not to be trusted.
    #[error("bundle `{name}` is not attested as is required here")]
    Unattested {
        /// The bundle.
        name: TargetName,
        /// Why.
        source: AttestationFlaw,
    },
    /// The whole zip was received, and is not the one that was signed.
    #[error("the download of `{name}` does not have the signed hash")]
    HashMismatch {
        /// The bundle.
        name: TargetName,
    },
    /// What was sent is not what was signed.
    #[error("what the server sent as `{path}` was refused")]
    Delivery {
        /// What was asked for, relative to the tenant's URL.
        path: String,
        /// What is wrong with it.
        source: Box<DeliveryFlaw>,
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
    /// A new generation was tried out and failed; what was active before is active again.
    #[error("flow `{flow}` was rolled back")]
    Unhealthy {
        /// The flow.
        flow: FlowId,
        /// Why.
        source: Unhealthy,
    },
    /// The secrets of a flow cannot be taken or used.
    #[error("the environment of flow `{flow}` cannot be used")]
    Environment {
        /// The flow.
        flow: FlowId,
        /// Why.
        source: Box<EnvFlaw>,
    },
    /// The file with this device's key holds none.
    #[error("`{}` holds no age key", path.display())]
    DeviceKey {
        /// The file.
        path: PathBuf,
    },
    /// The bundle was tried out here before and failed.
    #[error("bundle `{name}` is refused since it failed here: {reason}")]
    Refused {
        /// The bundle.
        name: TargetName,
        /// Why it failed.
        reason: String,
    },
    /// Files of a generation are not those that were signed.
    #[error("{generation} of flow `{flow}` is not as it was signed: {}", found.join("; "))]
    Damaged {
        /// The flow.
        flow: FlowId,
        /// The generation.
        generation: Generation,
        /// All that was found.
        found: Vec<String>,
    },
    /// The clock is behind what an earlier run has seen.
    #[error(
        "the clock went back by {} s since the last run",
        latest.get().saturating_sub(now.get()) / 1000
    )]
    ClockBack {
        /// What it says.
        now: UnixMillis,
        /// What it said.
        latest: UnixMillis,
    },
    /// What cannot be run.
    #[error("flow `{flow}` cannot be run: {why}")]
    NotRunnable {
        /// The flow.
        flow: FlowId,
        /// Why.
        why: String,
    },
    /// Nothing here has this digest.
    #[error("nothing here has the digest `{digest}`")]
    Nowhere {
        /// BLAKE3 of a file or a tree.
        digest: Digest,
    },
    /// There is no generation to go back to.
    #[error("flow `{flow}` has no generation to go back to")]
    NothingBefore {
        /// The flow.
        flow: FlowId,
    },
    /// The tenant has signed that no generation below a number may be activated.
    #[error(
        "flow `{flow}` cannot go back to sequence number {seq}: {min_seq} is the lowest allowed"
    )]
    BelowFloor {
        /// The flow.
        flow: FlowId,
        /// The number it would go back to.
        seq: u64,
        /// The lowest that is allowed.
        min_seq: u64,
    },
    /// No bundle of this flow is installed.
    #[error("no bundle of flow `{flow}` is installed")]
    NotInstalled {
        /// The flow that was asked for.
        flow: FlowId,
    },
    /// There are several flows, or none, and none was named.
    #[error("name one of the {} flows that are installed", flows.len())]
    WhichFlow {
        /// What there is.
        flows: Vec<FlowId>,
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

fn removed_text(flows: &[FlowId]) -> String {
    let names: Vec<&str> = flows.iter().map(FlowId::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; removed here: {}", names.join(", ")) }
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
    /// A new generation failed its trial, and the one before is active again.
    Activation = 13,
    /// Disk full.
    DiskFull = 14,
    /// Secrets cannot be decrypted.
    Secrets = 15,
}

impl Error {
    /// The exit code of this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotEnrolled { .. }
            | Self::AlreadyEnrolled { .. }
            | Self::Input { .. }
            | Self::Proxy
            | Self::PlainHttp { .. }
            | Self::WhichFlow { .. }
            | Self::Url(_) => Exit::Usage,
            Self::Network { .. } => Exit::Network,
            Self::ClockBack { .. } => Exit::Expired,
            Self::Unhealthy { .. } | Self::Refused { .. } => Exit::Activation,
            Self::Nowhere { .. }
            | Self::NothingBefore { .. }
            | Self::NotInstalled { .. }
            | Self::NotFound { .. }
            | Self::NoSuchFlow { .. }
            | Self::Absent { .. }
            // Not 6: nothing came that was refused. The digest is of a bundle that was replaced, or is not
            // published yet, or was never one, and who asked cannot have it.
            | Self::NotVouched { .. }
            | Self::Archived { .. } => Exit::NotFound,
            Self::Auth { .. } => Exit::Auth,
            Self::Attestation(_)
            | Self::Unattested { .. }
            | Self::Damaged { .. }
            | Self::HashMismatch { .. }
            | Self::Delivery { .. }
            | Self::Bundle { .. }
            | Self::Fork { .. } => Exit::Verification,
            Self::Trust(source) | Self::Stored { source } => trust_exit(source),
            Self::Rollback { .. } | Self::BelowFloor { .. } => Exit::Rollback,
            Self::NotRunnable { .. } | Self::Unsupported { .. } => Exit::Unsupported,
            Self::Environment { source, .. } => source.exit(),
            Self::DeviceKey { .. } => Exit::Secrets,
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
            Self::Proxy => Some("write it as http://host:port, or `none`"),
            Self::PlainHttp { .. } => Some(
                "use https://; --allow-http, or allow_http in edge-fetch.toml, sends it anyway",
            ),
            Self::Network { source: NetworkError::Tls(_), .. } => Some(
                "check the address and this machine's clock; --ca-cert names an authority of your \
                 own, --client-cert and --client-key this machine's certificate",
            ),
            Self::Network { .. } => Some("run the command again; a download continues"),
            Self::Auth { .. } => Some("give a token of this tenant by --token-file"),
            Self::Trust(colophon_trust::Error::Expired { .. }) => {
                Some("check this machine's clock; if it is right, the server has stopped signing")
            }
            Self::Archived { removed, .. } if removed.is_empty() => {
                Some("`edge-fetch apply` removes its flows; they come back when it is restored")
            }
            Self::Archived { .. } => {
                Some("`edge-fetch apply` brings them back when it is restored")
            }
            Self::Stored { source: colophon_trust::Error::Expired { .. } } => {
                Some("check this machine's clock; if it is right, run it without --offline")
            }
            Self::Stored { .. } | Self::Absent { .. } => Some("run it without --offline"),
            Self::NotVouched { .. } => Some(
                "`edge-fetch check --json` names what is offered, `edge-fetch status` what is active",
            ),
            Self::Locked { .. } => Some("wait for the other edge-fetch to finish"),
            Self::Fork { .. } => Some(
                "both signed files are in state/forks of the agent's folder: show them to the operator",
            ),
            Self::Refused { .. } => {
                Some("one with a higher sequence number is taken; --again takes this one once more")
            }
            Self::Environment { source, .. } => source.hint(),
            Self::DeviceKey { .. } => Some(
                "put the file back from a copy; or remove it, run `edge-fetch recipient`, and have the \
                 secrets encrypted for the new recipient",
            ),
            Self::Damaged { .. } => Some("--repair fetches the bundle again"),
            Self::ClockBack { .. } => Some(
                "set this machine's clock; if it is right now and was wrong before, remove \
                 state/clock from the agent's folder",
            ),
            Self::WhichFlow { .. } => Some("`edge-fetch status` lists them"),
            _ => None,
        }
    }

    /// How long the server asks to wait before the next request.
    pub const fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Network { source: NetworkError::Busy { retry_after, .. }, .. } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }

    /// Whether fetching again mends it.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Environment { source, .. } => matches!(**source, EnvFlaw::Damaged),
            _ => false,
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
        Trust::Delegated { source, .. } => trust_exit(source),
        Trust::Expired { .. } => Exit::Expired,
        Trust::Rollback { .. } => Exit::Rollback,
        Trust::TooLarge { .. }
        | Trust::BundleTooLarge { .. }
        | Trust::EnvTooLarge { .. }
        | Trust::Unpublishable { .. } => Exit::TooLarge,
        Trust::Threshold { .. }
        | Trust::Malformed { .. }
        | Trust::HashMismatch { .. }
        | Trust::WrongVersion { .. }
        | Trust::Dropped { .. }
        | Trust::Unlisted { .. }
        | Trust::TooManyDelegations
        | Trust::TooManyRoots
        | Trust::WrongTenant { .. }
        | Trust::Misnamed { .. } => Exit::Verification,
    }
}
