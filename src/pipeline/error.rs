//! Why a delivery became no build.

use colophon_compiler::Problems;
use colophon_model::{BuildRecord, FlowId, GateResult, GateStatus, UnixMillis};
use colophon_store::CommitError;

use crate::zips::ZipError;

/// Every way in which a delivery can fail. Nothing is stored in any of them but [`BuildError::Gate`].
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The flow is not valid: every problem found.
    #[error("the flow is not valid")]
    Flow(#[from] Problems),
    /// The revision is not above the current one.
    #[error("flow `{flow}` stands at revision {current}; revision {sent} would take it back")]
    Stale {
        /// The flow.
        flow: FlowId,
        /// The revision sent.
        sent: u64,
        /// The revision of the flow's head.
        current: u64,
    },
    /// The same body was built before, is not current, and carries no revision.
    #[error("this content of flow `{flow}` was built before and has been replaced since")]
    SeenBefore {
        /// The flow.
        flow: FlowId,
    },
    /// A delivery was signed before the flow's head was made, and has no revision.
    #[error("flow `{flow}` has taken a delivery of {last}; this one is of {sent}")]
    StaleDelivery {
        /// The flow.
        flow: FlowId,
        /// When the delivery was signed.
        sent: UnixMillis,
        /// The latest delivery of the flow.
        last: UnixMillis,
    },
    /// A delivery of the same name is in work.
    #[error("a delivery with the same id is being worked on")]
    InFlight,
    /// The name of the delivery is that of another one.
    #[error("a delivery with the same id and other content came before")]
    IdReused,
    /// There is no such flow, or no longer.
    #[error("there is no flow `{flow}`")]
    NoFlow {
        /// The flow.
        flow: FlowId,
    },
    /// The flow has no such build to go back to.
    #[error("flow `{flow}` has no such earlier build to go back to")]
    NoBuild {
        /// The flow.
        flow: FlowId,
    },
    /// The flow has no such bundle to go back to, or no longer.
    #[error(
        "flow `{flow}` has no bundle {}to go back to, or no longer",
        .seq.map_or_else(String::new, |seq| format!("{seq} "))
    )]
    NoBundle {
        /// The flow.
        flow: FlowId,
        /// The bundle that was asked for.
        seq: Option<u64>,
    },
    /// The bundle to go back to cannot be rendered.
    #[error("the bundle to go back to cannot be rendered")]
    Zip(#[from] ZipError),
    /// The flow was deleted, and the delivery does not come after that.
    #[error("flow `{flow}` was deleted, and this delivery is from before that")]
    Deleted {
        /// The flow.
        flow: FlowId,
    },
    /// The flow's name and every variant of it belong to other flows.
    #[error("`{wanted}` and every variant of it are names of other flows")]
    NoFreeName {
        /// The name it would have had.
        wanted: FlowId,
    },
    /// The tenant has made its builds for now.
    #[error("the quota of {limit} builds in 24 hours for target `{target}` is used up")]
    Quota {
        /// Which target's quota.
        target: colophon_model::Target,
        /// How many builds.
        limit: u64,
        /// Seconds until a build is allowed again.
        retry_after: u64,
    },
    /// The tenant had as many dry runs as it may have for now.
    #[error("the quota of {limit} dry runs in 24 hours is used up")]
    DryRuns {
        /// How many.
        limit: u64,
        /// Seconds until one is allowed again.
        retry_after: u64,
    },
    /// The credential may build for one target only, and the flow has a part for another.
    #[error("the token may build for `{only}` alone, and the flow has a part for another target")]
    OtherTarget {
        /// What it may build for.
        only: colophon_model::Target,
    },
    /// A gate refused the build. The record says so durably, and what the gate said.
    #[error("the build was refused by the gate `{}`", .0.gates.last().map_or("", |g| &g.name))]
    Gate(Box<BuildRecord>),
    /// A gate that is required cannot run.
    #[error("the gate `{gate}` is required and cannot run: {reason}")]
    GateMissing {
        /// Which.
        gate: String,
        /// Why not, and what helps.
        reason: String,
    },
    /// Other writers changed the tenant each time the build was ready.
    #[error("the tenant changed too often while the build was made")]
    Contended,
    /// What is to be changed is not what somebody expected to find.
    #[error("flow `{flow}` is not as it was expected to be; nothing was changed")]
    Unexpected {
        /// The flow.
        flow: FlowId,
    },
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// The tenant is archived.
    #[error("the tenant is archived: it can be read, and nothing can be changed")]
    Archived,
    /// The tenant was removed in between.
    #[error("the tenant is gone")]
    TenantGone,
    /// There is too little space on the disk.
    #[error(transparent)]
    Full(CommitError),
    /// The store has stopped after a failed write.
    #[error("the store has stopped")]
    Stopped(#[source] CommitError),
    /// Reading the store failed.
    #[error("the store could not be read")]
    Store(#[from] colophon_store::Error),
    /// The Git objects could not be made.
    #[error("the commit could not be made")]
    Git(#[from] colophon_gitbridge::Error),
    /// The TUF metadata could not be made.
    #[error("the edge metadata could not be made")]
    Feed(#[from] crate::feed::FeedError),
    /// A manifest could not be written as JSON.
    #[error("a manifest could not be encoded")]
    Encoding(#[from] serde_json::Error),
}

impl BuildError {
    /// The flow that it is about, where it is known.
    pub const fn flow(&self) -> Option<&FlowId> {
        match self {
            Self::Stale { flow, .. }
            | Self::StaleDelivery { flow, .. }
            | Self::SeenBefore { flow }
            | Self::NoFlow { flow }
            | Self::NoBuild { flow }
            | Self::Unexpected { flow }
            | Self::NoBundle { flow, .. }
            | Self::Deleted { flow } => Some(flow),
            Self::Gate(record) => Some(&record.flow),
            _ => None,
        }
    }
    /// The reason in one word, for telemetry: the code of the answer, as far as there is one.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Flow(_) => "invalid-flow",
            Self::Stale { .. } => "stale-revision",
            Self::StaleDelivery { .. } => "stale-delivery",
            Self::InFlight => "delivery-in-flight",
            Self::IdReused => "delivery-id-reused",
            Self::OtherTarget { .. } => "target-not-allowed",
            Self::Unexpected { .. } => "precondition-failed",
            Self::Suspended => "tenant-suspended",
            Self::Archived => "tenant-archived",
            Self::SeenBefore { .. } => "seen-before",
            Self::NoFlow { .. } | Self::TenantGone => "not-found",
            Self::NoBundle { .. } => "no-bundle",
            Self::NoBuild { .. } => "no-build",
            Self::Deleted { .. } => "flow-deleted",
            Self::NoFreeName { .. } => "no-free-name",
            Self::Quota { .. } | Self::DryRuns { .. } => "quota-exceeded",
            Self::Gate(_) => "gate-failed",
            Self::GateMissing { .. } => "gate-unavailable",
            Self::Contended => "contended",
            Self::Full(_) => "disk-full",
            Self::Stopped(_) => "store-stopped",
            Self::Zip(_) | Self::Store(_) | Self::Git(_) | Self::Feed(_) | Self::Encoding(_) => {
                "internal"
            }
        }
    }

    /// Whether it says more about the server than about the delivery.
    pub fn is_ours(&self) -> bool {
        matches!(
            self.reason(),
            "gate-unavailable" | "contended" | "disk-full" | "store-stopped" | "internal"
        )
    }
}

/// The gate that refused the build of `record`.
pub fn refusal(record: &BuildRecord) -> Option<&GateResult> {
    record.gates.iter().find(|gate| gate.status == GateStatus::Failed)
}

impl From<CommitError> for BuildError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full { .. } => Self::Full(error),
            CommitError::Conflict(_) => Self::Contended,
            CommitError::Stopped(_) => Self::Stopped(error),
        }
    }
}
