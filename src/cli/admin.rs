//! Administration of a data directory: directly, or through the server that holds it.

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::{Owner, open_press, owner_url};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::keys::{MasterKey, Nonce};
use crate::pipeline::Press;

/// How to reach the data.
pub(super) enum Access {
    /// No server runs: the data directory is open here.
    Direct(Box<Press>),
    /// A server holds it: ask there, with the operator's token.
    Server(Client),
}

/// Opens a data directory that is there, or finds the server that holds it. A mistyped path makes
/// no new one.
pub(super) fn open(config: &Config) -> anyhow::Result<Access> {
    if !config.data.join("FORMAT").exists() {
        bail!(
            "there is no data directory at `{}`; name it with `--data`, or make one with \
             `colophon serve` or `colophon tenant create`",
            config.data.display()
        );
    }
    open_or_create(config)
}

/// Opens the data directory, makes it when it is not there, or finds the server that holds it.
pub(super) fn open_or_create(config: &Config) -> anyhow::Result<Access> {
    match open_press(config, std::sync::Arc::new(SystemClock), Owner::Command) {
        Ok(press) => Ok(Access::Direct(Box::new(press))),
        Err(error) => match holder(&error) {
            Some(url) => Ok(Access::Server(Client::new(url, config)?)),
            None => Err(error),
        },
    }
}

/// The URL of the server that holds the data directory, if that is what went wrong.
fn holder(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<colophon_store::Error>() {
        Some(colophon_store::Error::Locked { owner, .. }) => owner_url(owner),
        _ => None,
    }
}

/// Speaks to a running server on this machine as its operator.
pub(super) struct Client {
    url: String,
    token: String,
    agent: ureq::Agent,
}

impl Client {
    /// Connects to the server at `url`, and makes sure that it holds the master key of this data
    /// directory before it is told the operator's token.
    fn new(url: String, config: &Config) -> anyhow::Result<Self> {
        let key = MasterKey::load(&config.data)?
            .with_context(|| format!("`{}` has no master key", config.data.display()))?;
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let nonce = Nonce::random()?;
        let proof = agent
            .get(format!("{url}/v1/operator/proof/{}", nonce.to_hex()))
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .with_context(|| format!("the server at {url} did not answer"))?;
        if proof != key.proof(&nonce) {
            bail!("what listens at {url} is not the server of `{}`", config.data.display());
        }
        let token = key.operator_token().reveal().to_owned();
        Ok(Self { url, token, agent })
    }

    /// Posts `request` as JSON and reads the answer, or the problem it tells.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.url);
        let mut response = self
            .agent
            .post(&url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .send(serde_json::to_vec(request)?)
            .with_context(|| format!("the server at {} did not answer", self.url))?;
        let body = response.body_mut().read_to_vec()?;
        if !response.status().is_success() {
            return Err(problem(&body));
        }
        serde_json::from_slice(&body).context("the server's answer was not understood")
    }
}

/// The detail of a problem answer.
fn problem(body: &[u8]) -> anyhow::Error {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match value["detail"].as_str() {
        Some(detail) => anyhow!("{detail}"),
        None => anyhow!("the server refused the request"),
    }
}

/// The opened data directory; a clear refusal when a server holds it.
pub(super) fn direct(config: &Config) -> anyhow::Result<Press> {
    match open(config)? {
        Access::Direct(press) => Ok(*press),
        Access::Server(client) => bail!(
            "data directory `{}` is held by the server at {}; post the flow there: \
             `curl {}/build -H 'X-Tenant-Slug: …' -H 'Authorization: Bearer …' --data-binary @flow.json`",
            config.data.display(),
            client.url,
            client.url
        ),
    }
}
