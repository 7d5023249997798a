//! What is known of the request that is being answered, wherever its work runs.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::http::{HeaderMap, header};
use colophon_model::TenantSlug;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::caller::Caller;
use crate::fair::Party;
use crate::keys::random_bytes;

tokio::task_local! {
    static CURRENT: Arc<About>;
}

/// What is kept of a client's name for itself, in characters.
const LONGEST_AGENT: usize = 200;

/// A request, as logs, traces and answers tell of it.
#[derive(Debug)]
pub struct About {
    span: Span,
    trace: String,
    remote: Option<IpAddr>,
    agent: String,
    tenant: OnceLock<TenantSlug>,
    caller: OnceLock<Caller>,
    party: OnceLock<Party>,
}

impl About {
    /// A request whose span is `span`. Its trace is that of the `traceparent` header (W3C Trace
    /// Context), else a new one; it has an id also when nothing is exported.
    pub fn new(span: &Span, headers: &HeaderMap, remote: Option<IpAddr>) -> Arc<Self> {
        let (tenant, caller) = (OnceLock::new(), OnceLock::new());
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let agent = agent.unwrap_or_default().chars().take(LONGEST_AGENT).collect();
        let (span, trace) = (span.clone(), adopt(span, headers));
        Arc::new(Self { span, trace, remote, agent, tenant, caller, party: OnceLock::new() })
    }

    /// The trace's id, 32 hex digits.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// The client's address, as far as it is known.
    pub const fn remote(&self) -> Option<IpAddr> {
        self.remote
    }

    /// What the client calls itself; at most 200 characters.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The tenant whose credential the request carries, once that is known.
    pub fn tenant(&self) -> Option<&TenantSlug> {
        self.tenant.get()
    }

    /// Who asks, once that is known.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.get()
    }

    /// Says in whose share of the server it is worked on. Only the first word counts.
    pub fn comes_as(&self, party: Party) {
        let _ = self.party.set(party);
    }

    /// In whose share of the server it is worked on.
    pub fn party(&self) -> Party {
        self.party.get().copied().unwrap_or_else(|| Party::stranger(self.remote, 0))
    }

    /// The request that is being answered here, if any.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Runs `work` as part of the request.
    pub async fn around<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

/// `work` as part of the request that is being answered here, wherever it runs from now on.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let about = About::current();
    async move {
        match about {
            Some(about) => about.around(work).await,
            None => work.await,
        }
    }
}

/// Runs `work`, on a thread perhaps, as part of the request that it is for.
pub fn within<T>(about: Option<Arc<About>>, work: impl FnOnce() -> T) -> T {
    match about {
        Some(about) => {
            // A layer that sees only this span would not find it as the parent of one it does not see.
            let span = about.span.clone();
            CURRENT.sync_scope(about, || span.in_scope(work))
        }
        None => work(),
    }
}

/// In whose share of the server the request that is being answered here is worked on; outside of one, the
/// server's.
pub fn party() -> Party {
    About::current().map_or(Party::SERVER, |about| about.party())
}

/// The address of the client whose request is being answered here, as far as it is known.
pub fn remote() -> Option<IpAddr> {
    About::current()?.remote()
}

/// Says who asks, and the tenant that it is for. Only the first word counts.
pub fn asked_by(caller: &Caller, tenant: Option<&TenantSlug>) {
    let _ = CURRENT.try_with(|about| {
        let _ = about.caller.set(caller.clone());
        if let Some(tenant) = tenant {
            let _ = about.tenant.set(tenant.clone());
        }
    });
}

/// Makes the caller's span the parent of `span`, and returns the id of their trace.
fn adopt(span: &Span, headers: &HeaderMap) -> String {
    if span.is_disabled() && !headers.contains_key("traceparent") {
        return new_trace();
    }
    let propagator = TraceContextPropagator::new();
    let theirs = propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
    if theirs.span().span_context().is_valid() {
        // Refused only when nothing is exported.
        let _ = span.set_parent(theirs.clone());
    }
    for context in [span.context(), theirs] {
        let span = context.span().span_context().clone();
        if span.is_valid() {
            return span.trace_id().to_string();
        }
    }
    new_trace()
}

/// The id of a trace that nobody knows yet.
fn new_trace() -> String {
    format!("{:032x}", u128::from_be_bytes(random_bytes().unwrap_or([1; 16])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced(parent: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", parent.parse().unwrap());
        About::new(&Span::none(), &headers, None).trace().to_owned()
    }

    /// The example of W3C Trace Context §3.2.4. What is no `traceparent` begins a trace.
    #[test]
    fn a_request_belongs_to_the_trace_that_it_names() {
        assert_eq!(traced(PARENT), "4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E473x-00f067aa0ba902b7-01",
        ] {
            let new = traced(bad);
            assert!(new.len() == 32 && !new.starts_with("4bf9"), "{bad}: {new}");
            assert_ne!(new, traced(bad), "each begins one of its own");
        }
    }

    #[tokio::test]
    async fn who_asks_is_known_wherever_the_work_runs() {
        let about = About::new(&Span::none(), &HeaderMap::new(), None);
        let slug: TenantSlug = "acme-inc".parse().unwrap();
        let work = async {
            let here = About::current();
            let thread = std::thread::spawn(move || {
                within(here, || asked_by(&Caller::OPERATOR, Some(&slug)));
            });
            thread.join().unwrap();
        };
        about.clone().around(work).await;
        assert_eq!(about.caller(), Some(&Caller::OPERATOR));
        assert_eq!(about.tenant().map(TenantSlug::as_str), Some("acme-inc"));
        assert!(About::current().is_none());
        asked_by(&Caller::OPERATOR, None); // nobody listens
    }
}
