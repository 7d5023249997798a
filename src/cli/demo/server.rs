//! A real server process, and the requests that the demonstration makes of it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;

use crate::http::tenants::CreatedTenant;
use crate::http::tokens::CreatedToken;
use crate::intake::legacy_signature as webhook_signature;

/// A server that was started for the demonstration, and is stopped with it.
pub(super) struct Running {
    child: Child,
    url: String,
    data: PathBuf,
}

/// A status and a JSON body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: serde_json::Value,
}

impl Running {
    /// Starts `colophon serve` on a free loopback port and waits until it says that it listens.
    pub(super) fn start(data: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--dev", "--json", "--listen", "127.0.0.1:0", "--log", "warn"])
            .args(["--space-low", "0", "--data"]) // it runs on any disk
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .context("the server could not be started")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line)
            .context("the server did not start; its message is above")?;
        let url = ready["listening"].as_str().unwrap_or_default().to_owned();
        Ok(Self { child, url, data: data.to_owned() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// `colophon tenant create`, as an operator would run it beside the server.
    pub(super) fn create_tenant(
        &self,
        slug: &str,
        root: &Path,
        policy: &str,
    ) -> anyhow::Result<CreatedTenant> {
        let root = root.display().to_string();
        self.colophon(&["tenant", "create", slug, "--components", policy, "--root-out", &root])
    }

    /// `colophon token create`.
    pub(super) fn create_token(&self, slug: &str, kind: &str) -> anyhow::Result<String> {
        let made: CreatedToken = self.colophon(&["token", "create", slug, "--kind", kind])?;
        Ok(made.token)
    }

    fn colophon<T: DeserializeOwned>(&self, args: &[&str]) -> anyhow::Result<T> {
        let output = Command::new(std::env::current_exe()?)
            .arg("--json")
            .args(args)
            .arg("--data")
            .arg(&self.data)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("`colophon {}` failed", args.join(" "));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Posts a flow as the builder does: `X-Tenant-Slug`, and `X-Ap-Signature` over the body.
    pub(super) fn post(&self, tenant: &CreatedTenant, body: &[u8]) -> anyhow::Result<Answer> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent
            .post(format!("{}/build", self.url))
            .header("content-type", "application/json")
            .header("x-tenant-slug", tenant.slug.as_str())
            .header("x-ap-signature", webhook_signature(&tenant.webhook_secret, body))
            .send(body)?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_vec()?;
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    /// Stops the server.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until the server is stopped from outside: Ctrl-C reaches it too.
    pub(super) fn wait(mut self) -> anyhow::Result<()> {
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error ended the demonstration early: leave no server behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
