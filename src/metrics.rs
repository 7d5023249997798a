//! What is counted for Prometheus. Names have base units; labels are bounded: never a flow, a hash or
//! a build. What can be looked up when somebody asks is not counted here, but in `metrics/look.rs`.

mod kinds;
mod look;
mod tasks;
mod text;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::pipeline::Timing;

use kinds::{AnswerKind, DeliveryKind, Kinds};

pub use look::{Look, look};
pub use text::{CONTENT_TYPE, text};

type Labels<const N: usize> = [(&'static str, String); N];
type Counts<const N: usize> = Family<Labels<N>, Counter>;
type Times<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Counters of the whole process. They begin at zero with it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Whether builds are counted by tenant.
    by_tenant: AtomicBool,
    /// By route.
    answers: Kinds<AnswerKind>,
    /// By tenant, when they are counted so.
    deliveries: Kinds<DeliveryKind>,
    requests: Counts<3>,
    request_seconds: Times<2>,
    response_bytes: Counts<1>,
    /// Requests that are being answered.
    pub requests_in_flight: Gauge,
    builds: Counts<3>,
    build_seconds: Times<2>,
    stage_seconds: Times<1>,
    refusals: Counts<1>,
    /// Deliveries that are being worked on.
    pub builds_in_flight: Gauge,
    jobs: Counts<2>,
    freed_bytes: Counter,
    pushes: Counts<1>,
    webhooks: Counts<1>,
    webhook_seconds: Times<1>,
    webhooks_disabled: Counts<1>,
    webhooks_dropped: Counter,
    connections_refused: Counter,
    exports: Counts<1>,
    export_seconds: Times<1>,
    export_objects: Counter,
    export_requests: Counter,
    export_bytes: Counter,
    export_drills: Counts<1>,
    artifact_uploads: Counts<1>,
    artifact_bytes: Counter,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The method, one of those that are known.
    pub method: &'static str,
    /// The route as in `router.rs`; empty for none.
    pub route: &'a str,
    /// The status.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// Until its end; of a stream of events until its head.
    pub took: Duration,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// `cloud` or `cloud+edge`; empty when the flow could not be read.
    pub target: &'static str,
    /// `built`, `noop`, `refused` or `error`.
    pub outcome: &'static str,
    /// Why, when it was refused or failed.
    pub reason: Option<&'static str>,
    /// From its acceptance to its answer.
    pub took: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            by_tenant: AtomicBool::new(false),
            answers: Kinds::default(),
            deliveries: Kinds::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(quick),
            response_bytes: Family::default(),
            requests_in_flight: Gauge::default(),
            builds: Family::default(),
            build_seconds: Family::new_with_constructor(slow),
            stage_seconds: Family::new_with_constructor(slow),
            refusals: Family::default(),
            builds_in_flight: Gauge::default(),
            jobs: Family::default(),
            freed_bytes: Counter::default(),
            pushes: Family::default(),
            webhooks: Family::default(),
            webhook_seconds: Family::new_with_constructor(quick),
            webhooks_disabled: Family::default(),
            webhooks_dropped: Counter::default(),
            connections_refused: Counter::default(),
            exports: Family::default(),
            export_seconds: Family::new_with_constructor(long),
            export_objects: Counter::default(),
            export_requests: Counter::default(),
            export_bytes: Counter::default(),
            export_drills: Family::default(),
            artifact_uploads: Family::default(),
            artifact_bytes: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

/// Seconds of requests, most of which read.
fn quick() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0])
}

/// Seconds of builds and their stages: a no-op takes a tenth of a millisecond, a gate perhaps a minute.
fn slow() -> Histogram {
    Histogram::new([0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0])
}

/// Seconds of exports: one build is a second, the first of a large tenant an hour.
fn long() -> Histogram {
    Histogram::new([0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0])
}

impl Metrics {
    /// Counters get `_total` behind their name where they are printed.
    fn register(&mut self) {
        let registry = &mut self.registry;
        let (requests, seconds) = (self.requests.clone(), self.request_seconds.clone());
        registry.register("colophon_http_requests", "Requests answered", requests);
        registry.register("colophon_http_request_duration_seconds", "Until the end", seconds);
        let bytes = self.response_bytes.clone();
        registry.register("colophon_http_response_bytes", "Bytes of bodies sent", bytes);
        let now = self.requests_in_flight.clone();
        registry.register("colophon_http_requests_in_flight", "Being answered", now);
        registry.register("colophon_builds", "Deliveries by outcome", self.builds.clone());
        let (seconds, stages) = (self.build_seconds.clone(), self.stage_seconds.clone());
        registry.register("colophon_build_duration_seconds", "Of a delivery", seconds);
        registry.register("colophon_build_stage_duration_seconds", "Of one stage", stages);
        registry.register("colophon_build_refusals", "Why not built", self.refusals.clone());
        let now = self.builds_in_flight.clone();
        registry.register("colophon_builds_in_flight", "Deliveries worked on", now);
        registry.register("colophon_maintenance_runs", "Jobs by result", self.jobs.clone());
        let freed = self.freed_bytes.clone();
        registry.register("colophon_gc_freed_bytes", "Given back by collections", freed);
        registry.register("colophon_mirror_pushes", "Attempts by result", self.pushes.clone());
        let exports = self.exports.clone();
        registry.register("colophon_exports", "Exports of a tenant by result", exports);
        let (seconds, objects) = (self.export_seconds.clone(), self.export_objects.clone());
        registry.register("colophon_export_duration_seconds", "Of an export", seconds);
        registry.register("colophon_export_objects", "Written by exports", objects);
        let (requests, sent) = (self.export_requests.clone(), self.export_bytes.clone());
        registry.register("colophon_export_requests", "Requests of exports", requests);
        registry.register("colophon_export_sent_bytes", "Sent by exports", sent);
        let drills = self.export_drills.clone();
        registry.register("colophon_export_drills", "Exports restored for trial", drills);
        let (uploads, sent) = (self.artifact_uploads.clone(), self.artifact_bytes.clone());
        registry.register("colophon_artifact_uploads", "Attempts by result", uploads);
        registry.register("colophon_artifact_sent_bytes", "Sent to the bucket", sent);
        let (sent, seconds) = (self.webhooks.clone(), self.webhook_seconds.clone());
        registry.register("colophon_webhook_attempts", "Attempts by outcome", sent);
        registry.register("colophon_webhook_attempt_duration_seconds", "Of an attempt", seconds);
        let (disabled, dropped) = (self.webhooks_disabled.clone(), self.webhooks_dropped.clone());
        registry.register("colophon_webhook_endpoints_disabled", "By the server", disabled);
        registry.register("colophon_webhook_events_dropped", "Too many waited", dropped);
        let refused = self.connections_refused.clone();
        registry.register("colophon_http_connections_refused", "Too many of one address", refused);
    }

    /// Counts an attempt to deliver an event.
    pub fn webhook(&self, outcome: &'static str, took: Duration) {
        let labels = [("outcome", outcome.to_owned())];
        self.webhooks.get_or_create(&labels).inc();
        self.webhook_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts an endpoint that the server disabled.
    pub fn webhook_disabled(&self, why: &'static str) {
        self.webhooks_disabled.get_or_create(&[("why", why.to_owned())]).inc();
    }

    /// Counts events that an endpoint is not told of because too many wait for it.
    pub fn webhooks_dropped(&self, events: u64) {
        self.webhooks_dropped.inc_by(events);
    }

    /// Counts a connection that was turned away because its address has too many.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Counts builds by tenant from now on: one time series more for each.
    pub fn count_by_tenant(&self) {
        self.by_tenant.store(true, Ordering::Relaxed);
    }

    /// Counts a request.
    pub fn answered(&self, it: Answered<'_>) {
        let make = || self.answer_kind(&it);
        self.answers.with(it.route, |kind| kind.is_of(&it), make, |kind| kind.count(&it));
    }

    fn answer_kind(&self, it: &Answered<'_>) -> AnswerKind {
        let (method, route) = (("method", it.method.to_owned()), ("route", it.route.to_owned()));
        let status = ("status", it.status.to_string());
        let requests = self.requests.get_or_create_owned(&[method.clone(), route.clone(), status]);
        let seconds = self.request_seconds.get_or_create_owned(&[method, route.clone()]);
        let bytes = self.response_bytes.get_or_create_owned(&[route]);
        AnswerKind { method: it.method, status: it.status, requests, seconds, bytes }
    }

    /// Counts a delivery.
    pub fn delivered(&self, it: Delivered<'_>) {
        let by_tenant = self.by_tenant.load(Ordering::Relaxed);
        let tenant = if by_tenant { it.tenant } else { "" };
        let make = || self.delivery_kind(&it, tenant);
        self.deliveries.with(tenant, |kind| kind.is_of(&it), make, |kind| kind.count(&it));
        if let Some(reason) = it.reason {
            self.refusals.get_or_create(&[("reason", reason.to_owned())]).inc();
        }
    }

    fn delivery_kind(&self, it: &Delivered<'_>, tenant: &str) -> DeliveryKind {
        let outcome = ("outcome", it.outcome.to_owned());
        let target = ("target", it.target.to_owned());
        let labels = [outcome.clone(), target.clone(), ("tenant", tenant.to_owned())];
        let builds = self.builds.get_or_create_owned(&labels);
        let seconds = self.build_seconds.get_or_create_owned(&[outcome, target]);
        DeliveryKind { outcome: it.outcome, target: it.target, builds, seconds }
    }

    /// Counts the stages of a build.
    pub fn stages(&self, timing: &Timing) {
        for (stage, took) in timing.seconds() {
            self.stage_seconds.get_or_create(&[("stage", stage.to_owned())]).observe(took);
        }
    }

    /// Counts a job of maintenance that the server started by itself.
    pub fn job(&self, job: &'static str, well: bool) {
        let result = if well { "success" } else { "failure" };
        let labels = [("job", job.to_owned()), ("result", result.to_owned())];
        self.jobs.get_or_create(&labels).inc();
    }

    /// Counts what a collection gave back.
    pub fn freed(&self, bytes: u64) {
        self.freed_bytes.inc_by(bytes);
    }

    /// Counts an export of a tenant to a place, and the objects that it wrote.
    pub fn exported(&self, well: bool, took: Duration, objects: u64) {
        let result = if well { "success" } else { "failure" };
        let labels = [("result", result.to_owned())];
        self.exports.get_or_create(&labels).inc();
        self.export_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.export_objects.inc_by(objects);
    }

    /// Counts what exports asked and sent.
    pub fn export_traffic(&self, requests: u64, sent: u64) {
        self.export_requests.inc_by(requests);
        self.export_bytes.inc_by(sent);
    }

    /// Counts an export that was restored for trial, by the schedule or by hand.
    pub fn drilled(&self, well: bool) {
        let result = if well { "success" } else { "failure" };
        self.export_drills.get_or_create(&[("result", result.to_owned())]).inc();
    }

    /// Counts an attempt to bring a bundle to the bucket.
    pub fn artifact_uploaded(&self, well: bool) {
        let result = if well { "success" } else { "failure" };
        self.artifact_uploads.get_or_create(&[("result", result.to_owned())]).inc();
    }

    /// Counts bytes of bundles that the bucket took.
    pub fn artifact_sent(&self, bytes: u64) {
        self.artifact_bytes.inc_by(bytes);
    }

    /// Counts an attempt at a mirror.
    pub fn push(&self, result: &'static str) {
        self.pushes.get_or_create(&[("result", result.to_owned())]).inc();
    }
}
