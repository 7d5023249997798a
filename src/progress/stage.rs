//! The stages that a delivery goes through on its way to a build.

use colophon_model::{
    BuildId, BuildKey, BuildRecord, FlowId, GateResult, GateStatus, Oid, UnixMillis,
};
use colophon_store::rows::DeliveryKey;
use serde::Serialize;

use crate::pipeline::{BuildError, Outcome};

/// A stage that was reached. What it tells is a function of what is stored in the end, so a stage reads the
/// same whether it is told as it happens or years later.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Stage {
    /// It is known who sent it, and it is worked on.
    Accepted {
        /// Its name in the log of deliveries. A build's record does not know it.
        #[serde(skip_serializing_if = "Option::is_none")]
        delivery: Option<DeliveryKey>,
        /// When it was received.
        at: String,
    },
    /// The flow was compiled.
    Compiled {
        /// Identity of the outputs.
        key: BuildKey,
        /// The flow's display name.
        name: String,
    },
    /// The gates have spoken.
    Gated {
        /// Whether none refused it.
        passed: bool,
        /// Which ran, in their order.
        gates: Vec<GateTold>,
    },
    /// The build is durable and visible.
    Committed {
        /// The build.
        build: BuildId,
        /// The tenant's count of builds, from 1.
        number: u64,
        /// Of which flow.
        flow: FlowId,
        /// The commit.
        commit: Oid,
        /// The time in the commit.
        at: String,
    },
    /// The end: there is a new build.
    Succeeded {
        /// The build.
        build: BuildId,
        /// Of which flow.
        flow: FlowId,
    },
    /// The end: there is none.
    Failed {
        /// Status of the answer. A build's record does not know it.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The stable code, as in problem answers.
        code: String,
        /// The flow, as far as it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        flow: Option<FlowId>,
        /// The record of the refusal, when a gate refused it.
        #[serde(skip_serializing_if = "Option::is_none")]
        build: Option<BuildId>,
    },
    /// The end: nothing had to be done.
    Noop {
        /// `noop`, `replayed` or, of an event, `ignored`.
        outcome: String,
        /// The flow, when there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        flow: Option<FlowId>,
        /// The build that stands.
        #[serde(skip_serializing_if = "Option::is_none")]
        build: Option<BuildId>,
    },
}

/// A gate in short. Its words are in the build's log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateTold {
    /// Its name.
    pub name: String,
    /// What it said.
    pub status: GateStatus,
    /// How long it took, in milliseconds. Left out for gates that are part of rendering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<f64>,
}

/// The code of a build that a gate refused, as in problem answers.
const GATE_FAILED: &str = "gate-failed";

impl Stage {
    /// Its place among all stages, from 1: the id of its event. Stages may be left out and never change
    /// places.
    pub const fn rank(&self) -> u64 {
        match self {
            Self::Accepted { .. } => 1,
            Self::Compiled { .. } => 2,
            Self::Gated { .. } => 3,
            Self::Committed { .. } => 4,
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Noop { .. } => Self::LAST,
        }
    }

    /// The highest rank: that of the ends.
    pub const LAST: u64 = 5;

    /// Whether nothing comes after it.
    pub const fn is_end(&self) -> bool {
        self.rank() == Self::LAST
    }

    /// The type of its event.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Compiled { .. } => "compiled",
            Self::Gated { .. } => "gated",
            Self::Committed { .. } => "committed",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Noop { .. } => "noop",
        }
    }

    /// A delivery was accepted at `at`.
    pub fn accepted(delivery: Option<DeliveryKey>, at: UnixMillis) -> Self {
        Self::Accepted { delivery, at: at.rfc3339() }
    }

    /// A flow was compiled.
    pub fn compiled(key: BuildKey, name: impl Into<String>) -> Self {
        Self::Compiled { key, name: name.into() }
    }

    /// Gates have run.
    pub fn gated(gates: &[GateResult]) -> Self {
        let passed = gates.iter().all(|gate| gate.status != GateStatus::Failed);
        Self::Gated { passed, gates: gates.iter().map(GateTold::new).collect() }
    }

    /// A build was committed.
    pub fn committed(record: &BuildRecord) -> Self {
        let BuildRecord { id: build, number, commit, .. } = *record;
        let at = record.stamp.time().rfc3339();
        Self::Committed { build, number, flow: record.flow.clone(), commit, at }
    }

    /// The end of a build with this record, made or refused by a gate with an answer of `status`.
    pub fn end(record: &BuildRecord, status: Option<u16>) -> Self {
        let (build, flow) = (record.id, record.flow.clone());
        if record.failure.is_none() {
            return Self::Succeeded { build, flow };
        }
        let code = GATE_FAILED.to_owned();
        Self::Failed { status, code, flow: Some(flow), build: Some(build) }
    }

    /// The end of a delivery to which nothing had to be done.
    pub fn unchanged(outcome: &str, record: &BuildRecord) -> Self {
        let (flow, build) = (Some(record.flow.clone()), Some(record.id));
        Self::Noop { outcome: outcome.to_owned(), flow, build }
    }

    /// The end of a delivery that came to `outcome`.
    pub fn done(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Built(record) => Self::end(record, None),
            Outcome::NoOp(record) | Outcome::Replayed(record) => {
                Self::unchanged(outcome.word(), record)
            }
        }
    }

    /// The end of a delivery that was refused with an answer of `status` and `code`.
    pub fn refused(error: &BuildError, status: u16, code: &str) -> Self {
        if let BuildError::Gate(record) = error {
            return Self::end(record, Some(status));
        }
        let (status, flow) = (Some(status), error.flow().cloned());
        Self::Failed { status, code: code.to_owned(), flow, build: None }
    }
}

impl GateTold {
    fn new(gate: &GateResult) -> Self {
        // Microseconds of a gate fit: it is cut after minutes.
        let millis = gate.micros.map(|micros| micros.min(u64::from(u32::MAX)) as u32);
        let millis = millis.map(|micros| f64::from(micros) / 1e3);
        Self { name: gate.name.clone(), status: gate.status, millis }
    }
}
