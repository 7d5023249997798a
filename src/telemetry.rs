//! Logs to stderr, and traces to an OTLP collector when one is configured.
//!
//! Spans with the target [`TRACE`] are for traces alone: their fields have the names of
//! OpenTelemetry's semantic conventions, and would only be noise in a log. What a log line has to say
//! stands in the line itself, behind the trace's id.

mod export;
pub mod request;

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt as _, FilterFn, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Telemetry};
use crate::secrets::Secrets;

/// The target of spans that are exported. The macros of `tracing` want it written out.
pub const TRACE: &str = "trace";

/// Sends what is still buffered when it is dropped, in bounded time.
#[derive(Debug)]
pub struct Guard(Option<(SdkTracerProvider, Duration)>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((provider, longest)) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(*longest)
        {
            eprintln!("warning: traces were not sent to the end: {error}");
        }
    }
}

/// Starts logging and, if an endpoint is set, tracing. Keep the guard until the program ends.
/// Credentials of the collector are found among `secrets`.
pub fn start(config: &Telemetry, secrets: &Secrets) -> anyhow::Result<Guard> {
    let filter = config.filter().context("the log filter is not valid")?;
    // Each has a filter of its own: a quiet log must not silence the traces.
    let log = log(config.log_format).with_filter(filter.and(up_to(Level::TRACE, is_for_the_log)));
    let provider = config.otlp_endpoint.as_deref();
    let provider =
        provider.map(|endpoint| export::provider(endpoint, config, secrets)).transpose()?;
    let traces = provider.as_ref().map(|p| {
        tracing_opentelemetry::layer()
            .with_tracer(p.tracer("colophon"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
            .with_filter(up_to(Level::INFO, is_for_traces))
    });
    // Not an `Option` of a layer: beside one that is `None`, what no other wants is made all the same.
    let registry = tracing_subscriber::registry().with(log);
    let started = match traces {
        Some(traces) => registry.with(traces).try_init(),
        None => registry.try_init(),
    };
    started.context("logging was started before")?;
    Ok(Guard(provider.map(|provider| (provider, config.otlp_timeout.get()))))
}

/// What `wants` lets through and is no more verbose than `level`. Without a level that is known, each event of every
/// library would be made, to be asked about one by one.
fn up_to(level: Level, wants: fn(&Metadata<'_>) -> bool) -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(wants).with_max_level_hint(level)
}

type Log<S> = Box<dyn Layer<S> + Send + Sync>;

/// Lines on stderr. Each JSON line has the fields of its event beside `timestamp`, `level`, `target`
/// and `message`.
fn log<S: Subscriber + for<'a> LookupSpan<'a>>(format: LogFormat) -> Log<S> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            layer.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed()
        }
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    }
}

/// At trace level, libraries of HTTP and TLS write down what goes over the wire, credentials among it.
/// That level is for our own crates alone.
fn is_for_the_log(about: &Metadata<'_>) -> bool {
    let harmless = *about.level() != Level::TRACE || about.target().starts_with("colophon");
    harmless && about.target() != TRACE
}

/// Our spans, and what went wrong in them.
fn is_for_traces(about: &Metadata<'_>) -> bool {
    if about.is_span() { about.target() == TRACE } else { *about.level() <= Level::WARN }
}
