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

/// TLS to the server of a data directory on this machine, under the address in its lock file: its
/// certificate is for other names. What it has to show is the master key.
pub(crate) fn tls_here() -> TlsConfig {
    TlsConfig::builder()
        .disable_verification(true)
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
