//! What all requests have in common that the server sends itself.

use std::collections::HashMap;
use std::sync::Arc;

use colophon_model::UnixMillis;
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
    here().into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Value of `traceparent` that names the current span, when traces are exported.
pub(crate) fn traceparent() -> Option<String> {
    here().remove("traceparent")
}

/// Makes what `traceparent` names the parent of `span`.
pub(crate) fn follow(span: &Span, traceparent: &str) {
    let headers = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    // Refused only when nothing is exported.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&headers));
}

fn here() -> HashMap<String, String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    headers.retain(|_, value| !value.is_empty());
    headers
}

/// `Retry-After` (RFC 9110 §10.2.3), seconds or a date, as milliseconds from `now`.
pub(crate) fn retry_after(value: &str, now: UnixMillis) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
    Some(u64::try_from(date).ok()?.saturating_sub(now.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_a_date() {
        let now = UnixMillis::new(784_111_717_000);
        assert_eq!(retry_after("120", now), Some(120_000));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(60_000));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(0));
        for bad in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
    }
}
