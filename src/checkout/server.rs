//! Where the server is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

/// Address of a colophon server: `http://` or `https://`, a host, and what a proxy has put before its
/// paths; no credentials, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl(String);

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be an address such as `https://colophon.example.com`, without user name, query or fragment"
)]
pub struct InvalidServer;

impl ServerUrl {
    /// Whether requests are encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Whether the server is this machine.
    pub fn is_loopback(&self) -> bool {
        let uri = self.0.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let uri: Uri = text.parse().map_err(|_| InvalidServer)?;
        let authority = uri.authority().ok_or(InvalidServer)?;
        let plain = !authority.as_str().contains('@') && !text.contains(['?', '#']);
        let http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !(plain && http) || authority.host().is_empty() || text.len() > 1024 {
            return Err(InvalidServer);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = InvalidServer;
    fn try_from(text: String) -> Result<Self, InvalidServer> {
        text.parse()
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> Self {
        url.0
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address is shown and written down, so nothing secret is taken in it.
    #[test]
    fn addresses_without_secrets_are_taken() {
        let parse = |text: &str| text.parse::<ServerUrl>();
        assert_eq!(parse("https://c.example/").unwrap().to_string(), "https://c.example");
        assert!(parse("http://[::1]:8787").unwrap().is_loopback());
        assert!(!parse("http://colophon:8787").unwrap().is_loopback());
        for bad in ["", "c.example", "ftp://c", "https://u:p@c", "https://c/?a=b", "https://c/#a"] {
            assert_eq!(parse(bad), Err(InvalidServer), "{bad}");
        }
    }
}
