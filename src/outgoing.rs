//! What all requests have in common that the server sends itself.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use ureq::RequestBuilder;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::serve::CommandIdentity;

/// TLS with ring. Certificates are checked against those that the machine trusts.
pub(crate) fn tls() -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// TLS to the server of a data directory on this machine, under the address in its lock file: its
/// certificate is for other names. What it has to show is the master key, and `command` shows the same.
///
/// # Errors
/// When its key cannot be used, which would be a mistake here.
pub(crate) fn tls_here(command: &CommandIdentity) -> Result<TlsConfig, ureq::Error> {
    let certificate = Certificate::from_der(&command.certificate).to_owned();
    let key = PrivateKey::from_pem(command.key_pem().as_bytes())?;
    Ok(TlsConfig::builder()
        .disable_verification(true)
        .client_cert(Some(ClientCert::new_with_certs(&[certificate], key)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

/// `request` with the headers `traceparent` and `tracestate` (W3C Trace Context) of the current span,
/// when traces are exported.
pub(crate) fn traced<B>(request: RequestBuilder<B>) -> RequestBuilder<B> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    let filled = headers.into_iter().filter(|(_, value)| !value.is_empty());
    filled.fold(request, |request, (name, value)| request.header(name, value))
}
