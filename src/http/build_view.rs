//! A build as clients see it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::{
    BuildId, BuildKey, BuildRecord, BuildTag, Digest, EdgeOutput, FailedTag, FlowId, GateResult,
    Oid, Output, OutputFile, Sha256, Target, TenantBranch, TenantSlug,
};
use colophon_store::rows::TenantRow;
use serde::Serialize;

use super::error::ProblemView;
use super::{ApiError, edge_url};
use crate::app::App;
use crate::feed;
use crate::pipeline::{DryRun, FileChange, Finished, Timing};

/// Bytes that most answers about a build have room in.
const ANSWER: usize = 4096;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The body of an answer about a build.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct BuildView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[schema(value_type = String)]
    id: BuildId,
    #[schema(value_type = String)]
    tenant: &'a TenantSlug,
    #[schema(value_type = String)]
    flow: &'a FlowId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[schema(value_type = String)]
    key: BuildKey,
    branch: String,
    #[schema(value_type = String)]
    commit: Oid,
    #[schema(value_type = Vec<String>)]
    tags: &'a [BuildTag],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    failed_tag: Option<&'a FailedTag>,
    built_at: String,
    outputs: Vec<OutputView<'a>>,
    #[schema(value_type = Vec<Object>)]
    gates: &'a [GateResult],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<ProblemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing_ms: Option<TimingView>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OutputView<'a> {
    #[schema(value_type = String)]
    target: Target,
    #[schema(value_type = String)]
    tree: Digest,
    #[schema(value_type = Vec<Object>)]
    files: &'a [OutputFile],
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<EdgeView>,
}

/// The edge part, with the names that the builder's own agents know.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EdgeView {
    version: String,
    #[schema(value_type = String)]
    edge_sha256: Sha256,
    length: u64,
    target: String,
    edge_url: String,
    edge_url_expires: String,
}

/// Where the time of a request went, in milliseconds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TimingView {
    receive: f64,
    render: f64,
    gates: f64,
    commit: f64,
    total: f64,
}

impl TimingView {
    /// The stages, and the whole from the first byte of the request.
    pub(super) fn new(timing: Timing, total: Duration) -> Self {
        Self {
            receive: timing.receive.millis(),
            render: timing.render.millis(),
            gates: timing.gates.millis(),
            commit: timing.commit.millis(),
            total: (total.as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}

impl<'a> BuildView<'a> {
    /// What `record` says, with a download URL that is valid for a while from now.
    pub(super) fn new(app: &App, tenant: &'a TenantRow, record: &'a BuildRecord) -> Self {
        Self {
            outcome: record.failure.is_some().then_some("failed"),
            id: record.id,
            tenant: &tenant.slug,
            flow: &record.flow,
            name: &record.name,
            revision: record.revision,
            key: record.key,
            branch: TenantBranch::new(tenant.slug.clone()).to_string(),
            commit: record.commit,
            tags: &record.tags,
            failed_tag: record.failure.as_ref().map(|failure| &failure.tag),
            built_at: record.stamp.time().rfc3339(),
            outputs: record.outputs.iter().map(|o| output(app, tenant, o)).collect(),
            gates: &record.gates,
            warnings: Vec::new(),
            timing_ms: None,
        }
    }

    /// The view as JSON, in one piece: it has some hundred parts, and would grow slowly by each.
    pub(super) fn answer(&self, status: StatusCode) -> Response {
        let mut text = Vec::with_capacity(ANSWER);
        match serde_json::to_writer(&mut text, self) {
            Ok(()) => (status, [(header::CONTENT_TYPE, JSON)], text).into_response(),
            Err(error) => ApiError::internal(&error).into_response(),
        }
    }

    /// Adds what became of the delivery.
    pub(super) fn of_delivery(self, finished: &Finished, timing: TimingView) -> Self {
        Self {
            outcome: Some(finished.outcome.word()),
            warnings: finished.warnings.iter().map(ProblemView::new).collect(),
            timing_ms: Some(timing),
            ..self
        }
    }
}

/// The body of an answer about what would become of a delivery.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DryRunView {
    dry_run: bool,
    outcome: &'static str,
    #[schema(value_type = String)]
    flow: FlowId,
    #[schema(value_type = String)]
    key: BuildKey,
    files: Vec<FileChange>,
    #[schema(value_type = Vec<Object>)]
    gates: Vec<GateResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<ProblemView>,
}

impl DryRunView {
    /// What was found.
    pub(super) fn new(told: DryRun) -> Self {
        let DryRun { outcome, flow, key, files, gates, warnings } = told;
        let warnings = warnings.iter().map(ProblemView::new).collect();
        Self { dry_run: true, outcome, flow, key, files, gates, warnings }
    }
}

fn output<'a>(app: &App, tenant: &TenantRow, output: &'a Output) -> OutputView<'a> {
    OutputView {
        target: output.target,
        tree: output.tree,
        files: &output.files,
        edge: output.edge.as_ref().map(|e| edge(app, tenant, e)),
    }
}

fn edge(app: &App, tenant: &TenantRow, edge: &EdgeOutput) -> EdgeView {
    let (edge_url, expires) = edge_url::sign(app, tenant, edge);
    EdgeView {
        version: feed::version(edge.seq),
        edge_sha256: edge.sha256,
        length: edge.length,
        target: edge.target_name.clone(),
        edge_url,
        edge_url_expires: expires.rfc3339_seconds(),
    }
}
