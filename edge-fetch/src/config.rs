//! What enrolment writes down: which server, which tenant.

use std::fmt;
use std::net::IpAddr;
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
    /// Under which id this machine reports: 32 random hex digits. Without one it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Under which name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
}

impl Config {
    /// The address below which everything of the tenant is, without a slash at the end.
    pub fn tenant_url(&self) -> String {
        format!("{}/v1/t/{}", self.url, self.tenant)
    }
}

/// The server's address: `https://host[:port][/path]` or the same with `http`, kept without a slash
/// at the end. Integrity rests on signatures, but the token is sent as it is, so plain HTTP belongs
/// on loopback.
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

    /// Whether requests are encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Whether the server is this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The server's name or address, without the brackets of IPv6.
    pub fn host(&self) -> String {
        let uri = self.0.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        host.trim_matches(['[', ']']).to_ascii_lowercase()
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    let Ok(uri) = text.parse::<Uri>() else { return Some("not a URL") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(at)) if at.as_str().contains('@') => {
            Some("a user name or password does not belong in the URL")
        }
        (Some("http" | "https"), Some(at)) if at.host().is_empty() => Some("it names no host"),
        (Some("http" | "https"), Some(_)) if text.contains(['?', '#']) => {
            Some("it must not have a query or fragment")
        }
        (Some("http" | "https"), Some(_)) => None,
        _ => Some("it must begin with `https://` or `http://`"),
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
            ("https://edge.example:8443", "https://edge.example:8443"),
        ] {
            assert_eq!(BaseUrl::new(good).unwrap().to_string(), kept);
        }
        for bad in [
            "",
            "localhost",
            "ftp://edge.example",
            "http://",
            "https://user:pass@edge.example",
            "http://user:pass@edge.example",
            "http://edge.example/?a=b",
            "http://edge.example/#f",
            "http://edge example/",
            "file:///etc/passwd",
        ] {
            assert!(BaseUrl::new(bad).is_err(), "{bad}");
        }
    }

    /// Only what cannot leave the machine counts as loopback.
    #[test]
    fn loopback_is_told_from_names_that_look_like_it() {
        let loopback = |text: &str| BaseUrl::new(text).unwrap().is_loopback();
        for here in
            ["http://localhost:1", "http://127.9.9.9", "http://[::1]:8080/x", "http://LOCALHOST"]
        {
            assert!(loopback(here), "{here}");
        }
        for away in ["http://localhost.example", "http://127.0.0.1.example", "http://10.0.0.1"] {
            assert!(!loopback(away), "{away}");
        }
    }
}
