//! A server in a process of its own, so that its processor time and memory are apart from the
//! clients'.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

/// Serves until its standard input ends. The first line on stdout is the address.
pub(crate) fn serve(router: impl FnOnce() -> anyhow::Result<Router>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = router()?;
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
    /// Starts this program again, which `arguments` tell to call [`serve`].
    pub(crate) fn start(arguments: &mut Command) -> anyhow::Result<Self> {
        let mut child = arguments.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().context("no output")?;
        BufReader::new(out).read_line(&mut line)?;
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
