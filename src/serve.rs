//! Running the service until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use crate::app::App;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::http;
use crate::intake::flush::DeliveryFlush;
use crate::intake::pulls::Pulls;
use crate::mirror::Mirrors;
use crate::upkeep::Upkeep;

/// How long open connections may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);

/// A server that has its data directory and its address, and is about to serve.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the address first, so that the lock file names the real one, then opens the data.
    pub async fn start(mut config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on `{}`", config.listen))?;
        let address = listener.local_addr()?;
        config.listen = address;
        let app = Arc::new(App::open(config, clock)?);
        Ok(Self { app, listener, address })
    }

    /// The address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What handlers share, for tests and the demo.
    pub fn app(&self) -> Arc<App> {
        self.app.clone()
    }

    /// Serves until `stop` ends, then lets open requests finish, within limits.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let upkeep = Upkeep::start(&self.app);
        let mirrors = Mirrors::start(&self.app);
        let deliveries = DeliveryFlush::start(&self.app);
        let pulls = Pulls::start(&self.app);
        let warm = self.app.clone();
        // On a thread of its own: the imports of a worker take seconds, and nothing waits for them.
        std::thread::spawn(move || warm.press.gates.warm_up());
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let signal = async move {
            stop.await;
            let _ = stopping.send(());
        };
        let listener = self.listener.tap_io(|stream| {
            // Answers are small and complete: waiting to fill a packet only adds delay.
            let _ = stream.set_nodelay(true);
        });
        // Handlers know where a request came from.
        let service = http::router(self.app).into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(signal);
        let late = async move {
            let _ = stopped.await;
            tokio::time::sleep(GRACE).await;
        };
        let result = tokio::select! {
            result = async { serving.await } => result.context("the server failed"),
            () = late => {
                tracing::warn!("connections still open after {} s were cut", GRACE.as_secs());
                Ok(())
            }
        };
        mirrors.stop().await;
        pulls.stop().await;
        deliveries.stop().await;
        upkeep.stop().await;
        result
    }
}

/// Ends when the process is asked to stop: SIGINT or SIGTERM.
pub async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        match terminate {
            Ok(mut terminate) => tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            },
            Err(_) => drop(interrupt.await),
        }
    }
    #[cfg(not(unix))]
    drop(interrupt.await);
}
