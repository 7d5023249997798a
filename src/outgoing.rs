//! What all requests have in common that the server sends itself.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use ureq::RequestBuilder;
use ureq::tls::{RootCerts, TlsConfig};

/// TLS with ring. Certificates are checked against those that the machine trusts.
pub(crate) fn tls() -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// `request` with the headers `traceparent` and `tracestate` (W3C Trace Context) of the current span,
/// when traces are exported.
pub(crate) fn traced<B>(request: RequestBuilder<B>) -> RequestBuilder<B> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    let filled = headers.into_iter().filter(|(_, value)| !value.is_empty());
    filled.fold(request, |request, (name, value)| request.header(name, value))
}
