//! The section `outbound`.

use serde::{Deserialize, Serialize};

use crate::outbound::Allowed;
use crate::units::Span;

/// How events are sent to endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Whether anything is sent. What is due waits.
    pub enabled: bool,
    /// Requests at a time. Endpoints that are slow or fail get half of them at most.
    pub workers: usize,
    /// Requests at a time to endpoints of one tenant.
    pub per_tenant: usize,
    /// How long an endpoint may take for its whole answer.
    pub timeout: Span,
    /// How long an endpoint may fail before it is disabled.
    pub disable_after: Span,
    /// Whether endpoints may have `http://` URLs. What is sent then goes unprotected.
    pub plain_http: bool,
    /// Networks and names of hosts that are sent to although they are not public.
    pub allow: Vec<Allowed>,
    /// Ports below 1024, beside 443 and, with `plain_http`, 80, that are sent to.
    pub ports: Vec<u16>,
}

impl Default for Outbound {
    /// The spec of Standard Webhooks recommends 15 to 30 seconds.
    fn default() -> Self {
        Self {
            enabled: true,
            workers: 16,
            per_tenant: 4,
            timeout: Span::seconds(15),
            disable_after: Span::days(5),
            plain_http: false,
            allow: Vec::new(),
            ports: Vec::new(),
        }
    }
}

impl Outbound {
    /// What is wrong with it.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=256).contains(&self.workers) {
            problems.push("`outbound.workers` must be 1 to 256".to_owned());
        }
        if !(1..=256).contains(&self.per_tenant) {
            problems.push("`outbound.per_tenant` must be 1 to 256".to_owned());
        }
        if !(1_000..=60_000).contains(&self.timeout.millis()) {
            problems.push("`outbound.timeout` must be 1 s to 60 s".to_owned());
        }
        if self.disable_after < Span::hours(1) {
            problems.push("`outbound.disable_after` must be at least 1 h".to_owned());
        }
        problems
    }
}
