//! What is told: types of events, and their bodies.

use std::fmt;
use std::str::FromStr;

use colophon_compiler::Problems;
use colophon_model::{
    BuildKind, BuildRecord, Digest, EdgeOutput, FlowId, GateResult, GateStatus, Output, Sha256,
    Target, TenantBranch, TenantSlug, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::feed;

/// A type of events.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    utoipa::ToSchema,
)]
pub enum EventKind {
    /// A flow was built: delivered, compiled again, rolled back or deleted
    #[serde(rename = "build.succeeded")]
    #[value(name = "build.succeeded")]
    BuildSucceeded,
    /// A flow was refused by a gate or by the compiler
    #[serde(rename = "build.failed")]
    #[value(name = "build.failed")]
    BuildFailed,
    /// A flow was delivered and is as it was
    #[serde(rename = "build.noop")]
    #[value(name = "build.noop")]
    BuildNoop,
    /// Somebody tries an endpoint out; sent whatever it wants to know
    #[serde(rename = "endpoint.test")]
    #[value(name = "endpoint.test")]
    Test,
}

impl EventKind {
    /// Every type.
    pub const ALL: [Self; 4] =
        [Self::BuildSucceeded, Self::BuildFailed, Self::BuildNoop, Self::Test];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BuildSucceeded => "build.succeeded",
            Self::BuildFailed => "build.failed",
            Self::BuildNoop => "build.noop",
            Self::Test => "endpoint.test",
        }
    }
}

/// A text that is no type of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no type of events; there are build.succeeded, build.failed and build.noop")]
pub struct InvalidKind(String);

impl FromStr for EventKind {
    type Err = InvalidKind;

    fn from_str(text: &str) -> Result<Self, InvalidKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.word() == text);
        found.ok_or_else(|| InvalidKind(text.chars().take(80).collect()))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Most problems of a flow that are told.
const PROBLEMS: usize = 20;

/// The form that Standard Webhooks recommends for a body.
#[derive(Serialize)]
struct Payload<'a, D> {
    r#type: &'a str,
    timestamp: String,
    data: D,
}

fn body(kind: EventKind, at: UnixMillis, data: impl Serialize) -> String {
    let payload = Payload { r#type: kind.word(), timestamp: at.rfc3339(), data };
    serde_json::to_string(&payload).expect("events have text keys and finite numbers only")
}

/// Whose events they are, and where the server is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) tenant: &'a TenantSlug,
    /// URL of the server, without a final slash.
    pub(super) url: &'a str,
}

/// A build, as receivers need it: what is where, and how to know it. No secrets, no files, and no URL that
/// ends: each is read with a token of the receiver's own.
#[derive(Serialize)]
struct Build<'a> {
    tenant: &'a TenantSlug,
    flow: &'a FlowId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(rename = "build")]
    id: String,
    /// Rises with every build of the tenant: which of two events is the later one.
    number: u64,
    /// Why it was built.
    kind: &'static str,
    outcome: &'static str,
    key: String,
    branch: String,
    commit: String,
    tags: Vec<String>,
    outputs: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gates: Vec<Gate<'a>>,
    url: String,
    manifest_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_digest: Option<Digest>,
    repository_url: String,
}

#[derive(Serialize)]
struct Part<'a> {
    target: Target,
    tree: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<Bundle<'a>>,
}

#[derive(Serialize)]
struct Bundle<'a> {
    version: String,
    edge_sha256: Sha256,
    length: u64,
    tree: Digest,
    target: &'a str,
    manifest_url: String,
}

#[derive(Serialize)]
struct Gate<'a> {
    name: &'a str,
    status: GateStatus,
}

const fn word(kind: BuildKind) -> &'static str {
    match kind {
        BuildKind::Delivery => "delivery",
        BuildKind::Rebuild { .. } => "rebuild",
        BuildKind::Deletion => "deletion",
        BuildKind::Rollback => "edge-rollback",
        BuildKind::Reverted { .. } => "rollback",
    }
}

impl Context<'_> {
    /// The body of an event about the build `record`.
    pub(super) fn build(&self, kind: EventKind, record: &BuildRecord, at: UnixMillis) -> String {
        let Self { tenant, url } = self;
        let base = format!("{url}/v1/t/{tenant}");
        let outcome = match (kind, &record.failure) {
            (EventKind::BuildNoop, _) => "noop",
            (_, Some(_)) => "failed",
            _ => "built",
        };
        let failed = record.failure.as_ref().map(|failure| failure.tag.to_string());
        let tags = record.tags.iter().map(ToString::to_string).chain(failed);
        let gate = |gate: &'_ GateResult| gate.status != GateStatus::Passed;
        let data = Build {
            tenant,
            flow: &record.flow,
            name: &record.name,
            revision: record.revision,
            id: record.id.to_string(),
            number: record.number,
            kind: word(record.kind),
            outcome,
            key: record.key.to_string(),
            branch: TenantBranch::new((*tenant).clone()).to_string(),
            commit: record.commit.to_string(),
            tags: tags.collect(),
            outputs: record.outputs.iter().map(|output| part(&base, record, output)).collect(),
            gates: record
                .gates
                .iter()
                .filter(|result| record.failure.is_some() && gate(result))
                .map(|result| Gate { name: &result.name, status: result.status })
                .collect(),
            url: format!("{base}/builds/{}", record.id),
            manifest_url: format!("{base}/manifest.json"),
            manifest_digest: record.manifest,
            repository_url: format!("{url}/git/{tenant}.git"),
        };
        body(kind, at, data)
    }

    /// The body of an event about a flow that the compiler refused: it is no build.
    pub(super) fn refused(
        &self,
        problems: &Problems,
        body_digest: Digest,
        at: UnixMillis,
    ) -> String {
        let problem = |problem: &colophon_compiler::Problem| {
            serde_json::json!({
                "code": problem.code, "pointer": problem.pointer.to_string(), "node": problem.node,
                "detail": problem.detail,
            })
        };
        let problems: Vec<_> = problems.as_slice().iter().take(PROBLEMS).map(problem).collect();
        let data = serde_json::json!({
            "tenant": self.tenant, "kind": "delivery", "outcome": "refused", "body": body_digest,
            "code": "invalid-flow", "errors": problems,
        });
        body(EventKind::BuildFailed, at, data)
    }

    /// The body of an event that tries an endpoint out.
    pub(super) fn test(&self, endpoint: &str, at: UnixMillis) -> String {
        let data = serde_json::json!({ "tenant": self.tenant, "endpoint": endpoint });
        body(EventKind::Test, at, data)
    }
}

fn part<'a>(base: &str, record: &BuildRecord, output: &'a Output) -> Part<'a> {
    let bundle = |edge: &'a EdgeOutput| Bundle {
        version: feed::version(edge.seq),
        edge_sha256: edge.sha256,
        length: edge.length,
        tree: edge.tree,
        target: &edge.target_name,
        manifest_url: format!("{base}/edge/{}/manifest.json", record.flow),
    };
    Part { target: output.target, tree: output.tree, edge: output.edge.as_ref().map(bundle) }
}
