//! What enrolment writes down: which server, which tenant.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use colophon_model::TenantSlug;
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

/// `config.json` in the agent's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server.
    pub url: BaseUrl,
    /// The tenant whose bundles this machine runs.
    pub tenant: TenantSlug,
    /// Where the token is read from when the command line and the environment name none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_file: Option<PathBuf>,
}

impl Config {
    /// The address below which everything of the tenant is, without a slash at the end.
    pub fn tenant_url(&self) -> String {
        format!("{}/v1/t/{}", self.url, self.tenant)
    }
}

/// The server's address: `http://host[:port][/path]`, kept without a slash at the end. Integrity
/// rests on signatures, but the token is sent as it is, so plain HTTP belongs on loopback or behind
/// a TLS tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(String);

/// A text that is not an address this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}`: {rule}")]
pub struct InvalidUrl {
    url: String,
    rule: &'static str,
}

impl BaseUrl {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, InvalidUrl> {
        match broken_rule(text) {
            None => Ok(Self(text.trim_end_matches('/').to_owned())),
            Some(rule) => Err(InvalidUrl { url: text.chars().take(200).collect(), rule }),
        }
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    let Ok(uri) = text.parse::<Uri>() else { return Some("not a URL") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(at)) if at.as_str().contains('@') => {
            Some("a user name or password does not belong in the URL")
        }
        (Some("http"), Some(at)) if at.host().is_empty() => Some("it names no host"),
        (Some("http"), Some(_)) if text.contains(['?', '#']) => {
            Some("it must not have a query or fragment")
        }
        (Some("http"), Some(_)) => None,
        _ => Some("only `http://` is supported; reach a TLS server through a tunnel on loopback"),
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;
    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        Self::new(text)
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = InvalidUrl;
    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        Self::new(&text)
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for (good, kept) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("http://edge.example/colophon/", "http://edge.example/colophon"),
        ] {
            assert_eq!(BaseUrl::new(good).unwrap().to_string(), kept);
        }
        for bad in [
            "",
            "localhost",
            "https://edge.example",
            "ftp://edge.example",
            "http://",
            "http://user:pass@edge.example",
            "http://edge.example/?a=b",
            "http://edge.example/#f",
            "http://edge example/",
            "file:///etc/passwd",
        ] {
            assert!(BaseUrl::new(bad).is_err(), "{bad}");
        }
    }
}
