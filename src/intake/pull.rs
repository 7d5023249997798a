//! Reading flows from a builder's API, for builders that tell of a change and do not send it.
//!
//! An ActivePieces event names a flow and a version; `GET {url}/v1/flows/{flow}?versionId={version}` is
//! the flow with that version
//! (<https://github.com/activepieces/activepieces/blob/main/packages/server/api/src/app/flows/flow/flow.controller.ts>).
//! An event that is forged makes us read what the builder holds, and no more.

use std::fmt;
use std::io::Read as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use ureq::http::{Uri, header};
use ureq::tls::{RootCerts, TlsConfig};

use crate::http::chain;
use crate::secrets::{SecretRef, Secrets};

/// How long one read may take in all.
const WITHIN: Duration = Duration::from_secs(30);
/// Longest URL, in bytes.
const LONGEST: usize = 1024;

/// URL of a builder's API: `https://`, without credentials, query or fragment. Plain `http://` on this
/// machine alone, unless the configuration allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderUrl(String);

/// A text that is no URL of a builder's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuilderUrl {
    /// It is no URL, or has parts that it must not have.
    #[error(
        "the builder's URL is not one of at most {LONGEST} bytes such as `https://builder.example/api`, \
         without a user, `?` or `#`"
    )]
    Malformed,
    /// Nothing protects the key on its way.
    #[error(
        "the builder's URL must begin with `https://`; `http://` is for this machine, or for a trusted \
         network with `intake.plain_http` in the configuration"
    )]
    Scheme,
}

impl BuilderUrl {
    /// Checks a URL; `plain_http` allows `http://` to other machines.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, InvalidBuilderUrl> {
        let text = text.trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| InvalidBuilderUrl::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(InvalidBuilderUrl::Malformed);
        };
        let is_plain = text.len() <= LONGEST && !text.contains('#') && uri.query().is_none();
        if !is_plain || authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(InvalidBuilderUrl::Malformed);
        }
        match scheme {
            "https" => {}
            "http" if plain_http || is_loopback(authority.host()) => {}
            _ => return Err(InvalidBuilderUrl::Scheme),
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BuilderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A version of a flow was published.
    Published {
        /// The flow's id at the builder.
        flow: String,
        /// The version's.
        version: String,
    },
    /// Something else, by its name.
    Other(String),
}

/// A text that is no event.
#[derive(Debug, thiserror::Error)]
#[error("this is not an ActivePieces event: {0}")]
pub struct InvalidEvent(String);

#[derive(Deserialize)]
struct Envelope {
    action: String,
    #[serde(default)]
    data: serde_json::Value,
}

impl Event {
    /// Reads an event of ActivePieces: `action`, and in `data` `flow.id` and `flowVersion.id`.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidEvent> {
        let event: Envelope =
            serde_json::from_slice(body).map_err(|e| InvalidEvent(e.to_string()))?;
        if event.action != "flow.published" {
            return Ok(Self::Other(event.action.chars().take(100).collect()));
        }
        let id = |of: &str| {
            let id = event.data[of]["id"].as_str().filter(|id| is_id(id)).map(str::to_owned);
            id.ok_or_else(|| InvalidEvent(format!("`data.{of}.id` is not there, or no id")))
        };
        Ok(Self::Published { flow: id("flow")?, version: id("flowVersion")? })
    }
}

/// It becomes a part of a URL.
fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// Why a flow could not be read. `is_final`: another attempt would end the same.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PullError {
    /// What is wrong, without any secret.
    pub reason: String,
    /// Whether it is of no use to try again.
    pub is_final: bool,
}

impl PullError {
    fn passing(reason: String) -> Self {
        Self { reason, is_final: false }
    }

    fn last(reason: String) -> Self {
        Self { reason, is_final: true }
    }
}

/// Reads flows. Certificates are checked against those that the machine trusts, and redirects are not
/// followed, so that the key goes nowhere but to the builder.
pub struct PullClient {
    agent: Agent,
    /// Largest flow, in bytes.
    most: usize,
}

impl PullClient {
    /// A client that takes flows of at most so many bytes.
    pub fn new(most: usize) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("colophon/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(WITHIN))
            .build();
        Self { agent: config.new_agent(), most }
    }

    /// Reads one version of a flow.
    pub fn read(
        &self,
        url: &str,
        (secrets, credential): (&Secrets, &str),
        (flow, version): (&str, &str),
    ) -> Result<Vec<u8>, PullError> {
        let from: SecretRef = credential
            .parse()
            .map_err(|e: crate::secrets::InvalidRef| PullError::last(e.to_string()))?;
        let secret = secrets.read(&from).map_err(|e| PullError::passing(e.to_string()))?;
        let url = format!("{url}/v1/flows/{flow}?versionId={version}");
        let request = self.agent.get(&url).header(header::AUTHORIZATION, secret.bearer());
        let request = request.header(header::ACCEPT, "application/json");
        let (head, body) = request.call().map_err(|e| PullError::passing(chain(&e)))?.into_parts();
        match head.status.as_u16() {
            200 => {}
            status @ (404 | 410) => {
                return Err(PullError::last(format!("the builder has no such flow ({status})")));
            }
            status => return Err(PullError::passing(format!("the builder answered {status}"))),
        }
        let mut bytes = Vec::new();
        let read = body.into_reader().take(self.most as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| PullError::passing(format!("the builder's answer was cut: {e}")))?;
        if bytes.len() > self.most {
            return Err(PullError::last(format!("the flow is larger than {} bytes", self.most)));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_over_https_alone() {
        for good in ["https://builder.example/api", "http://127.0.0.1:8080/api", "http://localhost"]
        {
            assert_eq!(BuilderUrl::parse(good, false).unwrap().to_string(), good);
        }
        let plain = "http://builder.internal/api";
        assert_eq!(BuilderUrl::parse(plain, false), Err(InvalidBuilderUrl::Scheme));
        assert!(BuilderUrl::parse(plain, true).is_ok());
        for bad in
            ["", "builder", "https://", "https://u:p@x/api", "https://x/api?y", "https://x/#y"]
        {
            assert_eq!(BuilderUrl::parse(bad, true), Err(InvalidBuilderUrl::Malformed), "{bad}");
        }
        assert_eq!(BuilderUrl::parse("ftp://x/api", true), Err(InvalidBuilderUrl::Scheme));
    }

    #[test]
    fn an_event_names_a_flow_and_its_version() {
        let event = |action: &str, flow: &str| {
            let data = serde_json::json!({"flow": {"id": flow}, "flowVersion": {"id": "v1"}});
            Event::parse(serde_json::json!({"action": action, "data": data}).to_string().as_bytes())
        };
        let published = Event::Published { flow: "abc".to_owned(), version: "v1".to_owned() };
        assert_eq!(event("flow.published", "abc").unwrap(), published);
        assert_eq!(event("flow.created", "").unwrap(), Event::Other("flow.created".to_owned()));
        for bad in ["", "a/b", "../x", "a?b", &"x".repeat(65)] {
            assert!(event("flow.published", bad).is_err(), "{bad}");
        }
        for bad in ["", "[]", "{}", "{\"action\": \"flow.published\"}"] {
            assert!(Event::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
