//! Traces on their way out: OTLP over HTTP with protobuf bodies, the form that every collector and
//! Arize Phoenix take.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

use crate::config::Telemetry;
use crate::keys::random_bytes;
use crate::outgoing;
use crate::secrets::{SecretRef, Secrets};

/// Most bytes that are read of a collector's answer.
const MOST_ANSWER: u64 = 64 * 1024;

/// A provider that sends to `endpoint`, which is used as it is.
pub(super) fn provider(
    endpoint: &str,
    config: &Telemetry,
    secrets: &Secrets,
) -> anyhow::Result<SdkTracerProvider> {
    let longest = config.otlp_timeout.get();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(longest)
        .with_headers(headers(config, secrets)?)
        .with_http_client(Poster::new(longest))
        .build()
        .context("the OTLP exporter could not be made")?;
    let share = Sampler::TraceIdRatioBased(config.sampling.get());
    Ok(SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(share)))
        .with_batch_exporter(exporter)
        .with_resource(resource(config)?)
        .build())
}

fn headers(config: &Telemetry, secrets: &Secrets) -> anyhow::Result<HashMap<String, String>> {
    let read = |(name, place): (&String, &String)| {
        let value = secrets.read(&place.parse::<SecretRef>()?)?;
        Ok((name.clone(), value.reveal().to_owned()))
    };
    let all = config.otlp_headers.iter().map(read).collect::<anyhow::Result<_>>();
    all.context("a header in `telemetry.otlp_headers` has no value")
}

/// Who sends. `OTEL_RESOURCE_ATTRIBUTES` adds to it, as the SDK reads it.
fn resource(config: &Telemetry) -> anyhow::Result<Resource> {
    let instance = instance(random_bytes().context("no random bytes")?);
    let mut attributes = vec![
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance),
    ];
    if let Some(project) = &config.project {
        attributes.push(KeyValue::new("openinference.project.name", project.clone()));
    }
    Ok(Resource::builder().with_service_name("colophon").with_attributes(attributes).build())
}

/// A random UUID (RFC 9562 §5.4), as the semantic conventions ask for.
fn instance(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// Posts what the batch processor has gathered, from that processor's own thread: there is no tokio
/// there, so the client blocks.
#[derive(Debug)]
struct Poster {
    agent: ureq::Agent,
    /// Whether the last export failed, so that a collector that is away is told of once.
    failing: AtomicBool,
}

impl Poster {
    fn new(longest: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .tls_config(outgoing::tls())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(longest))
            .build();
        Self { agent: config.new_agent(), failing: AtomicBool::new(false) }
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, body.as_ref()))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(MOST_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }

    fn tell(&self, trouble: Option<String>) {
        let before = self.failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !before => tracing::warn!(trouble, "traces cannot be sent"),
            None if before => tracing::info!("traces are sent again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Poster {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.post(request);
        self.tell(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        });
        Ok(answer?)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_instance_is_a_random_uuid() {
        assert_eq!(super::instance([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(super::instance([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
