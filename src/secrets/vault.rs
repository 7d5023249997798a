//! Secrets in a KV engine, version 2, of Vault or OpenBao, over its HTTP API.
//!
//! <https://openbao.org/api-docs/secret/kv/kv-v2/#read-secret-version>

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use colophon_model::UnixMillis;
use serde::Deserialize;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::{Secret, SecretError};
use crate::clock::SharedClock;
use crate::config::VaultConfig;

/// How long one question may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// Secrets that are remembered at most.
const REMEMBERED: usize = 256;

/// A vault, and what was read from it a moment ago.
pub(super) struct Vault {
    config: VaultConfig,
    agent: Agent,
    clock: SharedClock,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    until: UnixMillis,
    values: Values,
}

type Values = Arc<BTreeMap<String, Zeroizing<String>>>;

/// What the engine answers with. Values that are no texts are not secrets of ours.
#[derive(Deserialize)]
struct Answer {
    data: Version,
}

#[derive(Deserialize)]
struct Version {
    data: Option<BTreeMap<String, serde_json::Value>>,
}

/// The status of an answer, and what it said.
pub(super) type Answered = (u16, Zeroizing<Vec<u8>>);

impl Vault {
    /// Certificates are checked against those that the machine trusts. Redirects are not followed, so
    /// that the token goes nowhere else.
    pub(super) fn new(config: &VaultConfig, clock: SharedClock) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        Self { config: config.clone(), agent, clock, known: Mutex::default() }
    }

    /// The value of `key`; with `anew` from the vault itself. `token` is asked for when it is needed.
    pub(super) fn read(
        &self,
        (mount, path, key): (&str, &str, &str),
        anew: bool,
        token: impl FnOnce() -> Result<Secret, SecretError>,
    ) -> Result<Zeroizing<String>, SecretError> {
        let place = format!("{mount}/data/{path}");
        let values = match self.recall(&place).filter(|_| !anew) {
            Some(values) => values,
            None => self.remember(&place, self.ask(&place, token)?),
        };
        let value = values.get(key).cloned();
        value.ok_or_else(|| {
            SecretError(format!("`{mount}/{path}` of the vault has no text `{key}`"))
        })
    }

    fn recall(&self, place: &str) -> Option<Values> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let good = known.get(place).filter(|known| self.clock.now() < known.until);
        good.map(|known| known.values.clone())
    }

    fn remember(&self, place: &str, values: Values) -> Values {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        known.retain(|_, known| now < known.until);
        let until = now.plus(self.config.cache.millis());
        if known.len() < REMEMBERED && now < until {
            known.insert(place.to_owned(), Known { until, values: values.clone() });
        }
        values
    }

    fn ask(
        &self,
        place: &str,
        token: impl FnOnce() -> Result<Secret, SecretError>,
    ) -> Result<Values, SecretError> {
        self.address()?;
        let said = |what: &str| SecretError(self.said(what));
        let (status, bytes) =
            self.send(place, None, &token()?).map_err(|(text, _)| SecretError(text))?;
        match status {
            200 => {}
            403 => return Err(said(&format!("does not let this server read `{place}`"))),
            404 => return Err(said(&format!("has no secret at `{place}`"))),
            503 => return Err(said("is sealed, or not ready")),
            status => return Err(said(&format!("answered with status {status}"))),
        }
        // Not with the parser's words: they may repeat what was read.
        let parsed: Answer =
            serde_json::from_slice(&bytes).map_err(|_| said("is no KV engine of version 2"))?;
        let data = parsed.data.data.ok_or_else(|| said(&format!("has no secret at `{place}`")))?;
        let texts = data.into_iter().filter_map(|(key, value)| match value {
            serde_json::Value::String(text) => Some((key, Zeroizing::new(text))),
            _ => None,
        });
        Ok(Arc::new(texts.collect()))
    }

    /// Its URL, without a final slash.
    pub(super) fn address(&self) -> Result<&str, SecretError> {
        let address = self.config.address.as_deref().map(|url| url.trim_end_matches('/'));
        address.ok_or_else(|| {
            SecretError("a secret is in a vault, and `secrets.vault.address` names none".to_owned())
        })
    }

    /// A sentence about it.
    pub(super) fn said(&self, what: &str) -> String {
        format!("the vault at {} {what}", self.address().unwrap_or_default())
    }

    /// Asks with `GET`, or says `body` with `POST`; returns the status and what was answered. An error says whether it may
    /// help to ask again.
    pub(super) fn send(
        &self,
        path: &str,
        body: Option<&str>,
        token: &Secret,
    ) -> Result<Answered, (String, bool)> {
        let address = self.address().map_err(|error| (error.to_string(), false))?;
        let mut request = axum::http::Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(format!("{address}/v1/{path}"))
            .header("x-vault-token", token.reveal())
            .header("x-vault-request", "true");
        if let Some(namespace) = &self.config.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let failed = |error: &dyn std::fmt::Display| {
            self.said(&format!("did not answer: {}", token.blot(&error.to_string())))
        };
        let sent = match body {
            None => request.body(()).map(|request| self.agent.run(request)),
            Some(body) => request.body(body).map(|request| self.agent.run(request)),
        };
        let sent = sent.map_err(|error| (failed(&error), false))?;
        let mut answer = sent.map_err(|error| (failed(&error), true))?;
        let bytes = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
        let bytes = bytes.map_err(|_| (self.said("cut its answer"), true))?;
        Ok((answer.status().as_u16(), Zeroizing::new(bytes)))
    }
}
