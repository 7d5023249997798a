//! What every request leaves behind: a span, and a line at the target `access`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::response::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use colophon_model::TenantSlug;
use http_body::{Frame, SizeHint};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::party::party;
use super::remote::{Peer, client};
use crate::app::{App, SharedApp};
use crate::fair::Standing;
use crate::metrics::Answered;
use crate::pipeline::Press;
use crate::telemetry::request::About;

/// Answers within a span of the request's own (OpenTelemetry's conventions for HTTP servers). It and
/// the access line are done when the last byte of the answer has left, or nobody wants it any more.
pub(super) async fn observe(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Response {
    let seen = Seen::new(&request, &app);
    // For the log, which knows nothing of the other span.
    let line = tracing::info_span!(parent: &seen.span, "request", trace_id = seen.about.trace());
    let answer = seen.about.clone().around(next.run(request).instrument(line)).await;
    let (head, body) = answer.into_parts();
    let body = Observed { body, seen: seen.answered(&head), sent: 0 };
    Response::from_parts(head, Body::new(body))
}

/// A request on its way.
struct Seen {
    start: Instant,
    method: &'static str,
    /// As in `router.rs`. Empty: no such route.
    route: Option<MatchedPath>,
    version: Version,
    about: Arc<About>,
    span: Span,
    status: StatusCode,
    /// Until the head, of an answer whose end says nothing of how quick the server is.
    head: Option<Duration>,
    press: Arc<Press>,
}

impl Seen {
    fn new(request: &Request, app: &App) -> Self {
        let press = app.press.clone();
        let peer = request.extensions().get::<Peer>().copied();
        let trusted = &app.config.server.trusted_proxies;
        let remote = client(peer, request.headers(), trusted);
        press.metrics.requests_in_flight.inc();
        let method = known(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let scheme = if app.tls.get().is_some() { "https" } else { "http" };
        let span = span(method, route.as_ref().map(MatchedPath::as_str), (request, scheme));
        let about = About::new(&span, request.headers(), remote);
        let party = party(app, request, remote);
        about.comes_as(party);
        if let Some(standing) = request.extensions().get::<Standing>() {
            standing.set(party);
        }
        let (start, version) = (Instant::now(), request.version());
        let (status, head) = (StatusCode::OK, None);
        Self { start, method, route, version, about, span, status, head, press }
    }

    fn answered(mut self, head: &Parts) -> Self {
        let status = head.status;
        self.status = status;
        self.head = is_stream(head).then(|| self.start.elapsed());
        if self.span.is_disabled() {
            return self; // what nobody takes need not be put into words
        }
        self.span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", status.as_str());
        }
        if let Some(remote) = self.about.remote() {
            self.span.record("client.address", remote.to_string());
        }
        if let Some(tenant) = self.about.tenant() {
            self.span.record("colophon.tenant", tenant.as_str());
        }
        self
    }

    fn ended(&self, bytes: u64) {
        self.span.record("http.response.body.size", bytes);
        let (took, status) = (self.start.elapsed(), self.status.as_u16());
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        self.press.metrics.requests_in_flight.dec();
        self.press.note_request(&self.about, (self.method, route), self.status);
        let counted = self.head.unwrap_or(took);
        let answered = Answered { method: self.method, route, status, bytes, took: counted };
        self.press.metrics.answered(answered);
        tracing::info!(
            target: "access",
            parent: None,
            method = self.method,
            route,
            status,
            bytes,
            seconds = took.as_secs_f64(),
            version = ?self.version,
            remote = self.about.remote().map(tracing::field::display),
            tenant = self.about.tenant().map(TenantSlug::as_str),
            caller = self.about.caller().map(tracing::field::display),
            trace_id = self.about.trace(),
            "request"
        );
    }
}

/// Whether an answer goes on for as long as its reader likes.
fn is_stream(head: &Parts) -> bool {
    let media = head.headers.get(axum::http::header::CONTENT_TYPE);
    media.is_some_and(|media| media == "text/event-stream")
}

fn span(
    method: &'static str,
    route: Option<&str>,
    (request, scheme): (&Request, &'static str),
) -> Span {
    // The path alone: a query may hold a signature, which is as good as a password.
    tracing::info_span!(
        target: "trace",
        "http",
        otel.name = %[method, route.unwrap_or_default()].join(" ").trim_end(),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        http.response.body.size = Empty,
        url.path = shown(request.uri().path()),
        url.scheme = scheme,
        network.protocol.version = protocol(request.version()),
        user_agent.original = agent(request.headers()),
        error.type = Empty,
        client.address = Empty,
        colophon.tenant = Empty,
    )
}

/// The path without what is as good as a password: the address of a hook may be all that its sender has.
fn shown(path: &str) -> &str {
    if path.starts_with("/v1/hooks/") { "/v1/hooks/…" } else { path }
}

fn agent(headers: &HeaderMap) -> Option<&str> {
    let agent = headers.get(axum::http::header::USER_AGENT)?.to_str().ok()?;
    Some(&agent[..agent.len().min(200)])
}

/// The version of HTTP, as the conventions write it.
const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// Methods that somebody makes up are one, as the conventions say.
fn known(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    known.into_iter().find(|name| method == *name).unwrap_or("_OTHER")
}

/// An answer's body that counts what is taken of it, and tells of the request with its end.
struct Observed {
    body: Body,
    seen: Seen,
    sent: u64,
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.seen.ended(self.sent);
    }
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref) {
            self.sent += data.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_makes_no_name_of_its_own() {
        assert_eq!(known(&Method::GET), "GET");
        assert_eq!(known(&Method::from_bytes(b"GOT").unwrap()), "_OTHER");
    }
}
