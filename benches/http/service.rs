//! `colophon serve` as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::clients::{self, Effort, Measured, Question, Side};
use crate::place::{self, Tenant};

/// Tenants of a server, and clients at most.
pub(crate) const TENANTS: usize = 32;

/// A running server and its tenants; ended with this.
pub(crate) struct Service {
    child: Child,
    address: String,
    pub(crate) tenants: Vec<Tenant>,
}

/// How a server differs from one that logs warnings and tests no build.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setting<'a> {
    /// The Python in which builds are tested.
    pub(crate) smoke: Option<&'a Path>,
    /// Filter of the log, which goes nowhere.
    pub(crate) log: Option<&'a str>,
    /// Where traces go.
    pub(crate) collector: Option<&'a str>,
}

impl Service {
    /// A server over a fresh data directory with so many tenants.
    pub(crate) fn start(
        program: &Path,
        data: &Path,
        tenants: usize,
        setting: Setting,
    ) -> anyhow::Result<Self> {
        let tenants = place::make(data, tenants)?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--builds-per-day", "100000000"])
            .args(["--log", setting.log.unwrap_or("warn"), "--data"])
            .arg(data);
        match setting.smoke {
            Some(python) => command.args(["--smoke", "required", "--gates-python"]).arg(python),
            None => command.args(["--smoke", "off"]),
        };
        if let Some(collector) = setting.collector {
            command.env("COLOPHON_TELEMETRY_OTLP_ENDPOINT", collector);
        }
        let errors = if setting.log.is_some() { Stdio::null() } else { Stdio::inherit() };
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).context("the server did not start")?;
        let address = ready["listening"].as_str().context("no address")?;
        let address = address.strip_prefix("http://").context("no plain HTTP")?.to_owned();
        Ok(Self { child, address, tenants })
    }

    pub(crate) fn side(&self) -> Side<'_> {
        (&self.address, self.child.id())
    }

    /// Asks for `body` to be built by every tenant, which it must be.
    pub(crate) fn build_everywhere(&self, body: &[u8]) -> anyhow::Result<()> {
        let mut connection = crate::load::Connection::open(&self.address)?;
        for tenant in &self.tenants {
            let mut said = Vec::new();
            let status = connection.ask(&tenant.request(body), &mut said)?;
            ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&said));
        }
        Ok(())
    }

    /// No-ops of a body that every tenant has built.
    pub(crate) fn noops(&self, effort: Effort, body: &[u8]) -> anyhow::Result<Measured> {
        let requests: Vec<_> = self.tenants.iter().map(|tenant| tenant.request(body)).collect();
        let next = clients::steady(&requests);
        clients::ask(self.side(), effort, &Question { next: &next, status: 200, seen: &|_| {} })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
