//! Administration of a data directory: directly, or through the server that holds it.

use std::io::{BufRead, BufReader};

use anyhow::{Context as _, anyhow, bail};
use colophon_model::TenantSlug;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::job::Request;
use crate::app::{Owner, open_press, owner_url};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::http::chain;
use crate::keys::{MasterKey, Nonce};
use crate::maintenance::{Job, Line, Step};
use crate::outgoing;
use crate::pipeline::Press;
use crate::secrets::{Secrets, master_key};
use crate::serve::CommandIdentity;
use crate::tokens::Token;

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

/// The master key of a data directory. No server is asked.
pub(super) fn master(config: &Config) -> anyhow::Result<MasterKey> {
    let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
    master_key(config, &secrets)?
        .with_context(|| format!("`{}` has no master key", config.data.display()))
}

/// The operator's token: it derives from the master key, so whoever can read that has it. No server is asked.
pub(super) fn operator_token(config: &Config) -> anyhow::Result<Token> {
    Ok(master(config)?.operator_token())
}

/// Opens the data directory, makes it when it is not there, or finds the server that holds it.
pub(super) fn open_or_create(config: &Config) -> anyhow::Result<Access> {
    match open_press(config, std::sync::Arc::new(SystemClock), Owner::Command) {
        Ok(press) => {
            finish_erasures(&press);
            Ok(Access::Direct(Box::new(press)))
        }
        Err(error) => match holder(&error) {
            Some(url) => Ok(Access::Server(Client::new(url, config)?)),
            None => Err(error),
        },
    }
}

/// Finishes what a crash cut. That it cannot, on a full disk perhaps, must not keep a command from
/// making room.
fn finish_erasures(press: &Press) {
    match press.store.resume_erasures(&|_| {}) {
        Ok(0) => {}
        Ok(_) => eprintln!("finished an erasure that was interrupted"),
        Err(error) => eprintln!("warning: an interrupted erasure waits: {}", chain(&error)),
    }
}

/// The URL of the server that holds the data directory, if that is what went wrong.
fn holder(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<colophon_store::Error>() {
        Some(colophon_store::Error::Locked { owner, .. }) => owner_url(owner),
        _ => None,
    }
}

/// Largest text that a server of one's own gives at once, in bytes.
const MAX_TEXT: u64 = 64 << 20;

/// Speaks to a running server on this machine as its operator.
pub(super) struct Client {
    url: String,
    bearer: String,
    agent: ureq::Agent,
}

impl Client {
    /// Connects to the server at `url`, and makes sure that it holds the master key of this data
    /// directory before it is told the operator's token.
    fn new(url: String, config: &Config) -> anyhow::Result<Self> {
        let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
        let key = master_key(config, &secrets)?
            .with_context(|| format!("`{}` has no master key", config.data.display()))?;
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        let tls = outgoing::tls_here(&CommandIdentity::of(&key)?)?;
        let agent: ureq::Agent = agent.tls_config(tls).build().into();
        let nonce = Nonce::random()?;
        let proof = agent
            .get(format!("{url}/v1/operator/proof/{}", nonce.to_hex()))
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .with_context(|| format!("the server at {url} did not answer"))?;
        if proof != key.proof(&nonce) {
            bail!("what listens at {url} is not the server of `{}`", config.data.display());
        }
        let bearer = format!("Bearer {}", key.operator_token().reveal());
        Ok(Self { url, bearer, agent })
    }

    /// Posts `request` as JSON and reads the answer, or the problem it tells.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.send(self.agent.post(self.url(path)), request)
    }

    /// Puts `request` as JSON and reads the answer, or the problem it tells.
    pub(super) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.send(self.agent.put(self.url(path)), request)
    }

    /// Puts bytes as they are, and reads the answer or the problem it tells.
    pub(super) fn put_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        bytes: &[u8],
    ) -> anyhow::Result<T> {
        let builder = self.agent.put(self.url(path)).header("authorization", &self.bearer);
        let sent = builder.header("content-type", "application/octet-stream").send(bytes);
        understood(self.accepted(sent)?)
    }

    /// Delivers a flow of a tenant: the answer, or the problem as it is told.
    pub(super) fn deliver(
        &self,
        slug: &TenantSlug,
        flow: &[u8],
    ) -> anyhow::Result<Result<Value, Value>> {
        let builder = self.agent.post(self.url("/v1/builds"));
        let builder = builder.header("authorization", &self.bearer);
        let sent = builder.header("x-tenant-slug", slug.as_str()).send(flow);
        let answer = sent.with_context(|| format!("the server at {} did not answer", self.url))?;
        let good = answer.status().is_success();
        let body = understood(answer.into_body())?;
        Ok(if good { Ok(body) } else { Err(body) })
    }

    fn send<T: DeserializeOwned>(
        &self,
        builder: ureq::RequestBuilder<ureq::typestate::WithBody>,
        request: &impl Serialize,
    ) -> anyhow::Result<T> {
        let builder = builder.header("authorization", &self.bearer);
        let sent =
            builder.header("content-type", "application/json").send(serde_json::to_vec(request)?);
        understood(self.accepted(sent)?)
    }

    /// Reads what is there, or the problem it tells.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let sent = self.agent.get(self.url(path)).header("authorization", &self.bearer).call();
        understood(self.accepted(sent)?)
    }

    /// Follows a stream of events from behind the one with id `last`. `None`: nothing is to come.
    pub(super) fn events(
        &self,
        path: &str,
        last: Option<&str>,
    ) -> Result<Option<impl BufRead + use<>>, Refused> {
        let mut builder = self.agent.get(self.url(path)).header("authorization", &self.bearer);
        builder = builder.header("accept", "text/event-stream");
        if let Some(last) = last {
            builder = builder.header("last-event-id", last);
        }
        let answer = builder.call().map_err(|error| Refused::later(error.into()))?;
        let status = answer.status().as_u16();
        if status == 204 {
            return Ok(None);
        }
        // What a server says that is busy, or about to stop, is worth another try.
        let passes = matches!(status, 429 | 503);
        match self.accepted(Ok(answer)) {
            Ok(body) => Ok(Some(BufReader::new(body.into_reader()))),
            Err(error) if passes => Err(Refused::later(error)),
            Err(error) => Err(Refused { error, passes }),
        }
    }

    /// Reads a text, or the problem it tells.
    pub(super) fn text(&self, path: &str) -> anyhow::Result<String> {
        let sent = self.agent.get(self.url(path)).header("authorization", &self.bearer).call();
        Ok(self.accepted(sent)?.with_config().limit(MAX_TEXT).read_to_string()?)
    }

    /// Reads a text, if it is there.
    pub(super) fn find_text(&self, path: &str) -> anyhow::Result<Option<String>> {
        let sent = self.agent.get(self.url(path)).header("authorization", &self.bearer).call();
        if matches!(&sent, Ok(response) if response.status().as_u16() == 404) {
            return Ok(None);
        }
        Ok(Some(self.accepted(sent)?.read_to_string()?))
    }

    /// Deletes what is there.
    pub(super) fn delete(&self, path: &str) -> anyhow::Result<()> {
        let sent = self.agent.delete(self.url(path)).header("authorization", &self.bearer).call();
        self.accepted(sent).map(drop)
    }

    /// Deletes what is there, and reads the answer.
    pub(super) fn delete_for<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let sent = self.agent.delete(self.url(path)).header("authorization", &self.bearer).call();
        understood(self.accepted(sent)?)
    }

    /// Reads what is there, if it is.
    pub(super) fn find<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let sent = self.agent.get(self.url(path)).header("authorization", &self.bearer).call();
        if matches!(&sent, Ok(response) if response.status().as_u16() == 404) {
            return Ok(None);
        }
        understood(self.accepted(sent)?).map(Some)
    }

    /// Has the server do a job, and tells of its steps.
    pub(super) fn job<J: Job>(
        &self,
        request: &Request,
        job: &J,
        step: impl Fn(Step),
    ) -> anyhow::Result<J::Outcome> {
        let sent = match request {
            Request::Post(path) => self
                .agent
                .post(self.url(path))
                .header("authorization", &self.bearer)
                .header("content-type", "application/json")
                .send(serde_json::to_vec(job)?),
            Request::Delete(path) => {
                self.agent.delete(self.url(path)).header("authorization", &self.bearer).call()
            }
        };
        for line in BufReader::new(self.accepted(sent)?.into_reader()).lines() {
            let line = line.context(CUT)?;
            match serde_json::from_str(&line).context("the server's answer was not understood")? {
                Line::Progress(told) => step(told),
                Line::Result(outcome) => return Ok(outcome),
                Line::Error(told) => return Err(problem(&told)),
            }
        }
        bail!(CUT)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The body of an answer that is no refusal.
    fn accepted(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> anyhow::Result<ureq::Body> {
        let response =
            sent.with_context(|| format!("the server at {} did not answer", self.url))?;
        let status = response.status();
        let mut body = response.into_body();
        if status.is_success() {
            return Ok(body);
        }
        Err(problem(&serde_json::from_slice(&body.read_to_vec()?).unwrap_or_default()))
    }
}

/// Why a stream did not begin.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: anyhow::Error,
    /// Whether that may pass.
    pub(super) passes: bool,
}

impl Refused {
    const fn later(error: anyhow::Error) -> Self {
        Self { error, passes: true }
    }
}

fn understood<T: DeserializeOwned>(mut body: ureq::Body) -> anyhow::Result<T> {
    serde_json::from_slice(&body.read_to_vec()?).context("the server's answer was not understood")
}

/// When a server ends an answer before it is complete.
const CUT: &str =
    "the server ended the answer early; if it still runs, its log says how the job went";

/// What a problem answer says, and what to do about it.
pub(super) fn problem(told: &Value) -> anyhow::Error {
    match (told["detail"].as_str(), told["hint"].as_str()) {
        (Some(detail), Some(hint)) => anyhow!("{detail}: {hint}"),
        (Some(detail), None) => anyhow!("{detail}"),
        (None, _) => anyhow!("the server refused the request"),
    }
}
