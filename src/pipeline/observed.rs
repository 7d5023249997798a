//! What a delivery leaves behind in traces and in the log. Names of attributes are those of
//! OpenTelemetry's conventions for CI/CD; what they have no name for begins with `colophon.`.

use std::time::Duration;

use colophon_model::Target;
use colophon_store::rows::TenantRow;
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{BuildError, Finished, Outcome};
use crate::metrics::{Delivered, Metrics};

/// The span of one delivery, from its acceptance to its answer.
pub(super) fn span(tenant: &TenantRow) -> Span {
    tracing::info_span!(
        target: "trace",
        "BUILD",
        otel.kind = "server",
        otel.status_code = Empty,
        openinference.span.kind = "CHAIN",
        cicd.pipeline.action.name = "BUILD",
        cicd.pipeline.name = Empty,
        cicd.pipeline.run.id = Empty,
        cicd.pipeline.result = Empty,
        error.type = Empty,
        vcs.ref.head.revision = Empty,
        colophon.tenant = %tenant.slug,
        colophon.flow.id = Empty,
        colophon.noop = Empty,
    )
}

/// Says in `span` and in the log how a delivery ended. Why one was refused is in its answer; what
/// broke is logged where it becomes one.
pub(super) fn end(span: &Span, tenant: &TenantRow, result: &Result<Finished, BuildError>) {
    match result {
        Ok(finished) => {
            built(span, &finished.outcome);
            let record = finished.outcome.record();
            tracing::info!(
                tenant = %tenant.slug,
                flow = %record.flow,
                build = %record.id,
                commit = %record.commit,
                "{}", finished.outcome.word()
            );
        }
        Err(error) => {
            let reason = error.reason();
            refused(span, error, reason);
            tracing::info!(tenant = %tenant.slug, reason, "refused");
        }
    }
}

/// Counts a delivery.
pub(super) fn count(
    metrics: &Metrics,
    tenant: &TenantRow,
    result: &Result<Finished, BuildError>,
    took: Duration,
) {
    let (target, outcome, reason) = match result {
        Ok(finished) => {
            metrics.stages(&finished.timing);
            (targets(&finished.outcome), finished.outcome.word(), None)
        }
        Err(error) => ("", if error.is_ours() { "error" } else { "refused" }, Some(error.reason())),
    };
    metrics.delivered(Delivered { tenant: tenant.slug.as_str(), target, outcome, reason, took });
}

fn targets(outcome: &Outcome) -> &'static str {
    pipeline(outcome.record().outputs.iter().map(|output| output.target))
}

fn built(span: &Span, outcome: &Outcome) {
    if span.is_disabled() {
        return; // what nobody takes need not be put into words
    }
    let record = outcome.record();
    let noop = matches!(outcome, Outcome::NoOp(_));
    name(span, targets(outcome));
    span.record("cicd.pipeline.run.id", record.id.to_string());
    span.record("cicd.pipeline.result", if noop { "skip" } else { "success" });
    span.record("vcs.ref.head.revision", record.commit.to_string());
    span.record("colophon.flow.id", record.flow.as_str());
    span.record("colophon.noop", noop);
}

fn refused(span: &Span, error: &BuildError, reason: &'static str) {
    // `failure` is the flow's, `error` the server's.
    let ours = error.is_ours();
    span.record("cicd.pipeline.result", if ours { "error" } else { "failure" });
    span.record("error.type", reason);
    if ours {
        span.record("otel.status_code", "ERROR");
    }
    if let BuildError::Gate(record) = error {
        span.record("cicd.pipeline.run.id", record.id.to_string());
        span.record("colophon.flow.id", record.flow.as_str());
    }
}

/// The pipeline that makes outputs for `targets`.
fn pipeline(mut targets: impl Iterator<Item = Target>) -> &'static str {
    if targets.any(|target| target == Target::Edge) { "cloud+edge" } else { "cloud" }
}

/// Names the span after its pipeline.
fn name(span: &Span, pipeline: &'static str) {
    span.record("cicd.pipeline.name", pipeline);
    // A name that is recorded later is not taken: the span has begun.
    span.context().span().update_name(format!("BUILD {pipeline}"));
}
