//! Connections: taken within bounds, served, and drained at the end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::crowd::{self, Crowd, Seat};
use super::tls::Tls;
use crate::fair::{Party, Standing, Steps};
use crate::http::Peer;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes.
const HEAD: usize = 64 * 1024;
/// Requests at a time over one HTTP/2 connection.
const STREAMS: u32 = 128;
/// How long an HTTP/2 connection may be silent before it is asked for a sign of life, and how long
/// that may take.
const PING: Duration = Duration::from_secs(30);

/// A listener and what it serves.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Tls>>,
    /// Connections at a time.
    pub(super) most: usize,
    /// How long a head may take.
    pub(super) header_timeout: Duration,
    /// How many of them from one address.
    pub(super) crowd: Crowd,
    /// Whose connection goes on next.
    pub(super) steps: Steps,
}

impl Door {
    /// Takes connections until `stop` ends; then those that are open may finish what they are at, for
    /// as long as `grace`.
    pub(super) async fn serve(self, stop: impl Future<Output = ()>, grace: Duration) {
        let open = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.most));
        tokio::select! {
            () = self.take(&open, &places) => {}
            () = stop => {}
        }
        drop(self);
        if timeout(grace, open.shutdown()).await.is_err() {
            tracing::warn!("connections still open after {} s were cut", grace.as_secs());
        }
    }

    async fn take(&self, open: &GracefulShutdown, places: &Arc<Semaphore>) {
        while let Ok(place) = places.clone().acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(seat) = self.crowd.enter(peer.ip()) else {
                        tokio::spawn(crowd::turn_away(stream, self.tls.is_none(), place));
                        continue;
                    };
                    let standing = Standing::new(Party::stranger(Some(peer.ip()), 0));
                    let connection = Connection {
                        router: self.router.clone(),
                        peer,
                        steps: self.steps.clone(),
                        standing: standing.clone(),
                        header_timeout: self.header_timeout,
                        watcher: open.watcher(),
                        _place: place,
                        _seat: seat,
                    };
                    let connection = connection.begin(stream, self.tls.clone());
                    tokio::spawn(self.steps.of(standing, connection));
                }
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    // Out of file descriptors, as a rule: others must close theirs first.
                    tracing::error!(%error, "no connection can be taken");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// Whether an error is about the connection that was to be taken, and not about taking any.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

struct Connection {
    router: Router,
    peer: SocketAddr,
    steps: Steps,
    standing: Standing,
    header_timeout: Duration,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
    _seat: Seat,
}

impl Connection {
    async fn begin(self, stream: TcpStream, tls: Option<Arc<Tls>>) {
        // Answers are small and complete: waiting to fill a packet only adds delay.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.serve(stream).await };
        match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "no TLS"),
            Err(_) => tracing::debug!(peer = %self.peer, "a TLS handshake took too long"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (router, peer, standing) = (self.router, Peer(self.peer), self.standing);
        let streams = Streams { steps: self.steps, standing: standing.clone() };
        let asked = Arc::new(AtomicBool::new(false));
        let silent = silence(asked.clone(), self.header_timeout);
        let service = service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (mut request, router) = (request.map(Body::new), router.clone());
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(standing.clone());
            async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(never)) }
        });
        let builder = builder(self.header_timeout, streams);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::select! {
            ended = self.watcher.watch(connection.into_owned()) => {
                if let Err(error) = ended {
                    tracing::trace!(error, "a connection ended early");
                }
            }
            () = silent => tracing::trace!("a connection asked for nothing"),
        }
    }
}

/// Ends when nothing was `asked` for in the time that a head may take. hyper counts that time from the first byte that
/// tells which version of HTTP it is, so without this a client that sends nothing would keep its place for ever.
async fn silence(asked: Arc<AtomicBool>, longest: Duration) {
    tokio::time::sleep(longest).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn never<T>(error: Infallible) -> T {
    match error {}
}

/// Runs what HTTP/2 has on the way over one connection, each for itself and all in that connection's turns.
#[derive(Clone)]
struct Streams {
    steps: Steps,
    standing: Standing,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(self.steps.of(self.standing.clone(), stream));
    }
}

fn builder(header_timeout: Duration, streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD.max(16 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD as u32)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
