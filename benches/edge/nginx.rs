//! nginx over a folder, with its defaults but for what a file server is told: `sendfile`, kept
//! connections, no log of requests.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::load::Connection;

/// A running nginx, ended with this.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: String,
}

impl Nginx {
    /// Serves `files`; its own files lie in `dir`.
    pub(crate) fn start(dir: &Path, files: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = dir.join("nginx.conf");
        let (dir_text, root) = (dir.display(), files.display());
        std::fs::write(
            &config,
            format!(
                "user root; daemon off; pid {dir_text}/pid; error_log {dir_text}/error.log; worker_processes 2;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
                 server {{ listen {address}; root {root}; }} }}\n"
            ),
        )?;
        let child = Command::new("nginx").arg("-c").arg(&config).spawn().context("no nginx")?;
        let nginx = Self { child, address };
        nginx.wait()?;
        Ok(nginx)
    }

    fn wait(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        while Connection::open(&self.address).is_err() {
            ensure!(start.elapsed() < Duration::from_secs(10), "nginx does not answer");
            std::thread::yield_now();
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only when it is asked.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
