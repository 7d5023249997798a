//! Running the service until it is told to stop.

mod accept;
mod clients;
mod crowd;
mod notify;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::artifacts::Uploader;
use crate::audit::AuditWriter;
use crate::clock::SharedClock;
use crate::config::{self, Config};
use crate::exporter::Exporter;
use crate::fair::{Steps, slice};
use crate::http;
use crate::intake::flush::DeliveryFlush;
use crate::intake::pulls::Pulls;
use crate::mirror::Mirrors;
use crate::outbound::Notifier;
use crate::upkeep::Upkeep;

use accept::Door;
pub use clients::CommandIdentity;
use crowd::Crowd;
pub use tls::Tls;

/// Time between two looks at the files of a certificate.
const LOOK_AT_CERTIFICATES: Duration = Duration::from_secs(30);

/// A server that has its data directory and its address, and is about to serve.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    admin: Option<TcpListener>,
    hangups: Hangups,
}

impl Server {
    /// Takes the address first, so that the lock file names the real one, then opens the data.
    pub async fn start(mut config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        let listener = bind(config.listen).await?;
        let admin = match config.admin.listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let address = listener.local_addr()?;
        config.listen = address;
        // Before the data: a mistake in a certificate must leave nothing behind.
        let tls = Tls::load(&config.tls)?.map(Arc::new);
        let app = Arc::new(App::open(config, clock)?);
        if let Some(tls) = tls {
            tls.admit_commands(&app.press.keys)?;
            let _ = app.tls.set(tls); // it is new
        }
        Ok(Self { app, listener, address, admin, hangups: Hangups::new() })
    }

    /// The address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the address it listens on.
    pub fn url(&self) -> String {
        let scheme = if self.app.tls.get().is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The address of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// What handlers share, for tests and the demo.
    pub fn app(&self) -> Arc<App> {
        self.app.clone()
    }

    /// Serves until `stop` ends. Then, one after the other: `/readyz` says no, no connection is taken
    /// any more and open requests finish, and background work ends.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let (app, settings) = (self.app.clone(), self.app.config.server.clone());
        let (upkeep, mirrors) = (Upkeep::start(&app), Mirrors::start(&app));
        let deliveries = DeliveryFlush::start(&app);
        let audit = AuditWriter::start(&app);
        let (pulls, notifier) = (Pulls::start(&app), Notifier::start(&app));
        let uploader = Uploader::start(&app);
        let exporter = Exporter::start(&app);
        // On a thread of its own: the imports of a worker take seconds, and nothing waits for them.
        let warm = app.clone();
        std::thread::spawn(move || {
            slice::long();
            warm.press.gates.warm_up();
        });
        let mut beside = JoinSet::new();
        if let Some(listener) = self.admin {
            let door = door(
                listener,
                http::admin_router(app.clone()),
                None,
                &settings,
                (Crowd::unbounded(), app.steps.clone()),
            );
            // Until the very end: what watches the server sees how it stops.
            beside.spawn(door.serve(std::future::pending(), Duration::ZERO));
        }
        beside.spawn(renew(app.tls.get().cloned(), self.hangups));
        beside.spawn(live(app.clone()));
        let tls = app.tls.get().cloned();
        let door = door(
            self.listener,
            http::router(app.clone()),
            tls,
            &settings,
            (Crowd::new(&app), app.steps.clone()),
        );
        notify::say("READY=1");
        let draining = app.clone();
        let stop = async move {
            stop.await;
            notify::say("STOPPING=1");
            draining.stopping.store(true, Ordering::Relaxed);
            tokio::time::sleep(settings.drain_delay.get()).await;
            // They would go on for ever; whoever reads one comes again, to a server that is there.
            draining.press.progress.stop();
        };
        door.serve(stop, settings.drain.get()).await;
        mirrors.stop().await;
        pulls.stop().await;
        notifier.stop().await;
        uploader.stop().await;
        exporter.stop().await;
        deliveries.stop().await;
        upkeep.stop().await;
        audit.stop().await;
        beside.shutdown().await;
        Ok(())
    }
}

fn door(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    settings: &config::Server,
    (crowd, steps): (Crowd, Steps),
) -> Door {
    let header_timeout = settings.header_timeout.get();
    Door { listener, router, tls, most: settings.max_connections, header_timeout, crowd, steps }
}

/// Takes a new certificate when its files change: looks from time to time, and at once on SIGHUP. Without a certificate it
/// hears of SIGHUP all the same, which would end the process.
async fn renew(tls: Option<Arc<Tls>>, mut hangups: Hangups) {
    let Some(tls) = tls else {
        loop {
            hangups.next().await;
            tracing::info!("nothing is read anew on SIGHUP: there is no certificate");
        }
    };
    loop {
        tokio::select! {
            () = hangups.next() => {}
            () = tokio::time::sleep(LOOK_AT_CERTIFICATES) => {}
        }
        match tls.reload() {
            Ok(true) => tracing::info!(until = %tls.end().rfc3339(), "took a new certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = %http::chain(error.as_ref()),
                "the new certificate is not good; the old one stays"
            ),
        }
    }
}

/// Gives the service manager the signs of life that it wants, while the store writes.
async fn live(app: Arc<App>) {
    let Some(every) = notify::watchdog() else { return };
    loop {
        tokio::time::sleep(every).await;
        if app.press.store.health().is_ok() {
            notify::say("WATCHDOG=1");
        }
    }
}

/// SIGHUP, where there is such a thing. It is heard of from the first moment on.
struct Hangups(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Hangups {
    #[cfg(unix)]
    fn new() -> Self {
        Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok())
    }

    #[cfg(not(unix))]
    const fn new() -> Self {
        Self()
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on `{address}`"))
}

/// How often the process was asked to stop, by SIGINT or SIGTERM.
#[derive(Debug)]
pub struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Counts from now on: whoever is told afterwards that the program is ready may send one at once. Call it within a
    /// runtime.
    pub fn new() -> Self {
        let (tell, told) = watch::channel(0);
        tokio::spawn(count_signals(tell));
        Self(told)
    }

    /// Ends with the `n`th.
    pub fn nth(&self, n: u32) -> impl Future<Output = ()> + Send + 'static {
        let mut told = self.0.clone();
        async move {
            if told.wait_for(|count| *count >= n).await.is_err() {
                // Nobody counts: then nobody can ask.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

/// The streams are made once, and before this returns: a signal between two of them would be lost, and one before them
/// would end the process.
#[cfg(unix)]
fn count_signals(tell: watch::Sender<u32>) -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let both = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = both else { return };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tell.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(not(unix))]
async fn count_signals(tell: watch::Sender<u32>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        tell.send_modify(|count| *count += 1);
    }
}
