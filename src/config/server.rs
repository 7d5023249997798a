//! The sections `server` and `tls`.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// How connections are taken and given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Connections at a time, on the public listener. More wait in the system's queue.
    pub max_connections: usize,
    /// Connections at a time from one address (of IPv6: one network of 64 bits), on the public listener; one more is
    /// answered with 503 and closed. 0: no bound. Trusted proxies have none.
    pub max_connections_per_address: usize,
    /// How long a client may take from its connection to its first request, to send a request's head, and to be idle
    /// between two.
    pub header_timeout: Span,
    /// How long a client may take to send a request's body.
    pub body_timeout: Span,
    /// How long requests are still taken after `/readyz` says no, when the server is told to stop: for
    /// balancers to notice.
    pub drain_delay: Span,
    /// How long open requests may go on after that.
    pub drain: Span,
    /// Networks of proxies whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of pages that may read the API in a browser.
    pub cors_origins: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_address: 1024,
            header_timeout: Span::seconds(60),
            body_timeout: Span::seconds(30),
            drain_delay: Span::seconds(0),
            drain: Span::seconds(30),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
        }
    }
}

/// TLS on the public listener. Without a certificate it speaks plain HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate with what leads to its authority, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Authorities of clients, PEM. When set, every client must have a certificate of one.
    pub client_ca: Option<PathBuf>,
}

impl Server {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=1_000_000).contains(&self.max_connections) {
            problems.push("`server.max_connections` must be 1 to 1000000".to_owned());
        }
        let times = [("header_timeout", self.header_timeout), ("body_timeout", self.body_timeout)];
        for (name, _) in times.iter().filter(|(_, time)| time.get().is_zero()) {
            problems.push(format!("`server.{name}` must be more than 0"));
        }
        for origin in self.cors_origins.iter().filter(|origin| !is_origin(origin)) {
            problems.push(format!(
                "`server.cors_origins`: `{origin}` must be an origin such as `https://portal.example.com`"
            ));
        }
        problems
    }
}

/// Whether browsers would send this in `Origin` (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
    host.is_some_and(|host| !host.is_empty() && host.chars().all(plain))
}

impl Tls {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.cert.is_some() != self.key.is_some() {
            problems.push("`tls.cert` and `tls.key` go together".to_owned());
        }
        if self.client_ca.is_some() && self.cert.is_none() {
            problems.push("`tls.client_ca` needs `tls.cert` and `tls.key`".to_owned());
        }
        problems
    }
}
