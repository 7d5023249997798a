//! Logs to stderr, and traces to an OTLP collector when one is configured.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Telemetry;

/// Sends what is still buffered when it is dropped.
#[derive(Debug)]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            eprintln!("warning: traces were not sent to the end: {error}");
        }
    }
}

/// Starts logging and, if an endpoint is set, tracing. Keep the guard until the program ends.
pub fn start(config: &Telemetry) -> anyhow::Result<Guard> {
    let filter = config.filter().context("the log filter is not valid")?;
    // Each has a filter of its own: a quiet log must not silence the traces.
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_filter(filter.and(filter_fn(is_harmless)));
    let provider = config.otlp_endpoint.as_deref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|p| {
        tracing_opentelemetry::layer()
            .with_tracer(p.tracer("colophon"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(LevelFilter::INFO)
    });
    tracing_subscriber::registry()
        .with(log)
        .with(traces)
        .try_init()
        .context("logging was started before")?;
    Ok(Guard(provider))
}

/// At trace level, libraries of HTTP and TLS write down what goes over the wire, credentials among it.
/// That level is for our own crates alone.
fn is_harmless(event: &Metadata<'_>) -> bool {
    *event.level() != Level::TRACE || event.target().starts_with("colophon")
}

/// OTLP over HTTP with protobuf bodies, the form that every collector and Phoenix take. The
/// blocking client is needed: the batch processor runs on a thread of its own, without tokio.
fn provider(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build()
        .context("the OTLP exporter could not be made")?;
    let resource = Resource::builder()
        .with_service_name("colophon")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
