//! The text that Prometheus reads: OpenMetrics 1.0.

use std::fmt;

use colophon_store::{Histogram, Meter};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::tasks;
use super::{Look, Metrics};
use crate::app::App;

/// What the answer is (OpenMetrics 1.0 §ABNF; Prometheus takes it since 2.5).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that was counted and looked up.
pub fn text(app: &App, metrics: &Metrics, look: &Look) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode_registry(&mut text, &metrics.registry)?;
    let mut now = prometheus_client::registry::Registry::default();
    let meter = meter(app.press.store.meter());
    let gauges = Now { gauges: gauges(app, look), counters: counters(app), meter };
    now.register_collector(Box::new(gauges));
    encode_registry(&mut text, &now)?;
    encode_eof(&mut text)?;
    Ok(text)
}

/// A name, its help, and values by one label, which may be empty.
pub(super) struct Named(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) Vec<(Vec<(&'static str, String)>, f64)>,
);

#[derive(Debug)]
struct Now {
    gauges: Vec<Named>,
    counters: Vec<Named>,
    meter: [(&'static str, &'static str, Histogram, f64); 2],
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn meter(meter: &Meter) -> [(&'static str, &'static str, Histogram, f64); 2] {
    let commits = "Until a group of changes was durable";
    [
        ("colophon_store_commit_duration_seconds", commits, meter.commit_micros(), 1e6),
        ("colophon_store_group_changes", "Changes in a group", meter.group_changes(), 1.0),
    ]
}

fn counters(app: &App) -> Vec<Named> {
    let mut all = tasks::counters(app);
    let dropped = vec![(Vec::new(), number(app.press.deliveries.dropped()))];
    all.push(Named("colophon_delivery_log_dropped", "Deliveries never logged", dropped));
    all
}

fn gauges(app: &App, look: &Look) -> Vec<Named> {
    let mut all = vec![build_info()];
    all.extend(tasks::gauges(app));
    let one = |value| vec![(Vec::new(), value)];
    let extent = &look.extent;
    let (agents, behind, silent) = look.agents;
    let states = [("all", agents), ("behind", behind), ("silent", silent)];
    let up = app.press.store.health().is_ok();
    let room = app.press.store.room().is_ok();
    let now = app.press.clock.now().get();
    let late = app.press.gathered.behind_since().map_or(0, |since| now.saturating_sub(since.get()));
    let behind_log = number(late) / 1e3;
    all.extend([
        Named("colophon_store_blobs", "Blobs held", one(number(extent.blobs))),
        Named("colophon_store_segments", "Segments", one(number(extent.segments))),
        Named("colophon_store_segment_bytes", "Their length", one(number(extent.segment_bytes))),
        Named("colophon_store_metadata_bytes", "Metadata", one(number(look.metadata_bytes))),
        Named("colophon_store_up", "1 while the store writes", one(f64::from(u8::from(up)))),
        Named("colophon_store_room", "1 while changes are taken", one(f64::from(u8::from(room)))),
        Named("colophon_tenants", "Tenants", one(number(look.tenants))),
        Named("colophon_event_streams", "Open", one(number(app.streams.count() as u64))),
        Named("colophon_outbox_rows", "Effects to come", one(number(look.outbox.0))),
        Named("colophon_outbox_oldest_seconds", "How long one waits", one(look.outbox.1)),
        Named("colophon_artifacts_waiting", "To be uploaded", one(number(look.artifacts.0))),
        Named("colophon_artifact_lag_seconds", "How long one waits", one(look.artifacts.1)),
        Named(
            "colophon_audit_behind_seconds",
            "How long the audit log lacks acts",
            one(behind_log),
        ),
        Named(
            "colophon_delivery_log_waiting",
            "Deliveries to be logged",
            one(number(app.press.deliveries.waiting())),
        ),
        Named("colophon_mirrors", "Mirrors by phase", by("phase", look.mirrors)),
        Named("colophon_webhook_endpoints", "Endpoints by phase", by("phase", look.endpoints)),
        Named("colophon_webhook_late_seconds", "Due and not sent", one(look.late)),
        Named("colophon_agents", "Devices by state; `all` has the others", by("state", states)),
        Named(
            "colophon_edge_roots_ending",
            "Tenants that need a ceremony",
            one(number(app.press.ending_roots.get())),
        ),
    ]);
    all.extend(exports(look));
    let every = app.config.export.drill_every.millis();
    all.push(Named("colophon_export_drill_every_seconds", "0: never", one(number(every) / 1e3)));
    if let Some(free) = extent.free {
        all.push(Named("colophon_disk_free_bytes", "Free for the data", one(number(free))));
    }
    let ends = look.ends.iter().map(|(role, left)| (vec![("role", (*role).to_owned())], *left));
    all.push(Named("colophon_edge_metadata_ends_seconds", "Until the first", ends.collect()));
    if let Some(tls) = app.tls.get() {
        let (end, now) = (tls.end().get(), app.press.clock.now().get());
        let left = (number(end) - number(now)) / 1e3;
        all.push(Named("colophon_tls_certificate_ends_seconds", "Until its end", one(left)));
    }
    all
}

/// By place: of those there are as many as the configuration names.
fn exports(look: &Look) -> [Named; 3] {
    let (mut lags, mut tenants, mut drills) = (Vec::new(), Vec::new(), Vec::new());
    for count in &look.exports {
        let place = ("place", count.to.clone());
        lags.push((vec![place.clone()], number(count.lag)));
        let drilled = count.drilled.map(|at| number(at.get()) / 1e3);
        drills.extend(drilled.map(|at| (vec![place.clone()], at)));
        let phases =
            [("current", count.current), ("waiting", count.waiting), ("failing", count.failing)];
        for (word, tenants_in) in phases {
            let phase = ("phase", word.to_owned());
            tenants.push((vec![phase, place.clone()], number(tenants_in)));
        }
    }
    [
        Named("colophon_export_lag_seconds", "Since the oldest that is not exported", lags),
        Named("colophon_export_tenants", "Tenants by phase of their export", tenants),
        Named(
            "colophon_export_drill_last_success_timestamp_seconds",
            "When an export there was last restored for trial, and good",
            drills,
        ),
    ]
}

fn build_info() -> Named {
    let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    Named("colophon_build_info", "This program", vec![(labels, 1.0)])
}

fn by<const N: usize>(
    label: &'static str,
    counts: [(&'static str, u64); N],
) -> Vec<(Vec<(&'static str, String)>, f64)> {
    counts.map(|(word, count)| (vec![(label, word.to_owned())], number(count))).into()
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
pub(super) const fn number(count: u64) -> f64 {
    count as f64
}

impl prometheus_client::collector::Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Named(name, help, rows) in &self.gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in rows {
                ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        for Named(name, help, rows) in &self.counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, value) in rows {
                ConstCounter::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        for (name, help, histogram, unit) in &self.meter {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            let buckets = histogram.buckets.iter();
            let buckets = buckets.map(|(bound, count)| (number(*bound) / unit, *count));
            let above = histogram.count - histogram.buckets.iter().map(|(_, n)| n).sum::<u64>();
            let all: Vec<_> = buckets.chain([(f64::INFINITY, above)]).collect();
            let sum = number(histogram.sum) / unit;
            family.encode_histogram::<NoLabelSet>(sum, histogram.count, &all, None)?;
        }
        Ok(())
    }
}
