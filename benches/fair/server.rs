//! The server that is measured, its tenants, and what they have.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::content::{Kind, Tenant, flow};
use crate::raw::Client;
use crate::storm::Storm;

/// Builds in the repositories that are cloned.
const BUILDS: u64 = 60;

pub(crate) struct Bench {
    server: Child,
    _dir: tempfile::TempDir,
    address: String,
    quiet: Tenant,
    /// One for each storm, so that they do not change what the other storms do.
    storms: [Tenant; 3],
}

impl Bench {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let data = dir.path().join("data");
        let mut quiet = tenant(&data, "quiet")?;
        let mut storms = [
            tenant(&data, "storm-cold")?,
            tenant(&data, "storm-noop")?,
            tenant(&data, "storm-clone")?,
        ];
        let (server, address) = serve(&data)?;
        let mut client = Client::connect(&address)?;
        for tenant in storms.iter_mut().chain([&mut quiet]) {
            for number in 1..=BUILDS {
                let body = flow(if number == 1 { "steady" } else { "history" }, number);
                let answer = client.ask(&tenant.delivery(&body))?;
                ensure!(answer.status == 201, "{}", answer.text());
                let built: Value = serde_json::from_slice(&answer.body)?;
                built["commit"].as_str().context("no commit")?.clone_into(&mut tenant.tip);
            }
        }
        Ok(Self { server, _dir: dir, address, quiet, storms })
    }

    /// Where the server is, and the tenant whose time is taken.
    pub(crate) fn quiet(&self) -> (&str, &Tenant) {
        (&self.address, &self.quiet)
    }

    /// Lets 64 clients of another tenant loose.
    pub(crate) fn storm(&self, kind: Kind) -> anyhow::Result<Storm> {
        Storm::start(&self.address, kind, &self.storms[kind as usize])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn program() -> PathBuf {
    let named = std::env::var_os("COLOPHON_BENCH_PROGRAM").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_colophon")))
}

fn tenant(data: &Path, slug: &str) -> anyhow::Result<Tenant> {
    let output = Command::new(program())
        .args(["--json", "tenant", "create", slug, "--data"])
        .arg(data)
        .output()?;
    let made: Value = serde_json::from_slice(&output.stdout).context("no tenant was made")?;
    let secret = made["webhook_secret"].as_str().context("no secret was told")?.to_owned();
    let output = Command::new(program())
        .args(["--json", "token", "create", slug, "--kind", "git", "--data"])
        .arg(data)
        .output()?;
    let made: Value = serde_json::from_slice(&output.stdout).context("no token was made")?;
    let git = made["token"].as_str().context("no token was told")?.to_owned();
    Ok(Tenant { slug: slug.to_owned(), secret, git, tip: String::new() })
}

fn serve(data: &Path) -> anyhow::Result<(Child, String)> {
    let mut server = Command::new(program())
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--builds-per-day", "100000000"])
        .args(["--log", "warn", "--smoke", "off", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().context("no output")?).read_line(&mut line)?;
    let ready: Value = serde_json::from_str(&line).context("the server did not start")?;
    let url = ready["listening"].as_str().context("no address")?;
    Ok((server, url.trim_start_matches("http://").to_owned()))
}
