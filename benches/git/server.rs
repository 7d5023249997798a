//! The server that is measured: the product's routes, and the same repository through stock git.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use colophon::app::App;
use colophon::clock::SystemClock;
use tokio::net::TcpListener;

use crate::content::{Place, config};
use crate::peers;

/// Serves until its standard input ends. The first line on stdout is the address.
pub(crate) fn serve(place: &Place) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Arc::new(App::open(config(place), Arc::new(SystemClock))?);
        let router = colophon::http::router(app).merge(peers::routes(&place.bare()));
        // Whoever started this may be killed, and closes the pipe then.
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            std::process::exit(0);
        });
        let mut out = std::io::stdout();
        writeln!(out, "{address}")?;
        out.flush()?;
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}

/// A server as a child of this process, ended with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(&place.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().context("no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line)?;
        let server = Self { child, address: line.trim().to_owned() };
        anyhow::ensure!(!server.address.is_empty(), "the server did not start");
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
