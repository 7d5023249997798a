//! The pipeline as its users write it: uvicorn over `pipeline/app.py`.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::clients::Side;
use crate::load::Connection;
use crate::place::{self, Tenant};

/// Longest time of a start.
const START: Duration = Duration::from_mins(1);

/// A running pipeline and its tenants; ended with this.
pub(crate) struct Pipeline {
    child: Child,
    address: String,
    pub(crate) tenants: Vec<Tenant>,
}

/// What differs from one pipeline to the other.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Processes; uvicorn has one when it is told nothing.
    pub(crate) workers: usize,
    /// Whether black and pytest run before a commit.
    pub(crate) gates: bool,
}

impl Pipeline {
    /// Starts it over an empty folder.
    pub(crate) fn start(
        python: &Path,
        dir: &Path,
        tenants: usize,
        shape: Shape,
    ) -> anyhow::Result<Self> {
        let dir = place::empty(dir)?;
        let tenant = |number| Tenant {
            slug: format!("tenant-{number}"),
            secret: format!("the secret of tenant {number}"),
            token: String::new(),
        };
        let tenants: Vec<Tenant> = (0..tenants).map(tenant).collect();
        let secrets: BTreeMap<_, _> = tenants.iter().map(|t| (&t.slug, &t.secret)).collect();
        std::fs::write(dir.join("secrets.json"), serde_json::to_vec(&secrets)?)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(dir.join("log"))?;
        let child = Command::new(python)
            .args(["-B", "-m", "uvicorn", "app:app", "--no-access-log", "--log-level", "warning"])
            .args(["--app-dir", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/http/pipeline")])
            .args(["--port", &port.to_string(), "--workers", &shape.workers.to_string()])
            .env("PIPELINE_DIR", &dir)
            .env("PIPELINE_GATES", if shape.gates { "1" } else { "0" })
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("no {}; run tests/setup.sh bench-http", python.display()))?;
        let pipeline = Self { child, address: format!("127.0.0.1:{port}"), tenants };
        pipeline.wait()?;
        Ok(pipeline)
    }

    fn wait(&self) -> anyhow::Result<()> {
        let (start, mut body) = (Instant::now(), Vec::new());
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut answers = || Connection::open(&self.address)?.ask(request, &mut body);
        while !matches!(answers(), Ok(200)) {
            ensure!(start.elapsed() < START, "the pipeline does not answer");
            std::thread::yield_now();
        }
        Ok(())
    }

    pub(crate) fn side(&self) -> Side<'_> {
        (&self.address, self.child.id())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Its workers end with it only when it is asked.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
