//! How the server is reached: whom TLS trusts, who we are there, and through which proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use crate::{BaseUrl, Error};

/// How long to wait for a connection, and for the next bytes of an answer.
const CONNECT: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_secs(30);
/// How long one answer may take in all: a sender that drips bytes ends here, and is resumed.
const BODY: Duration = Duration::from_mins(15);
/// The same of a bucket: there is somebody else to ask.
const BUCKET_BODY: Duration = Duration::from_mins(5);
/// How often a bucket may send on.
const BUCKET_REDIRECTS: u32 = 3;

const USER_AGENT: &str = concat!("edge-fetch/", env!("CARGO_PKG_VERSION"));

/// What is known about the way to the server. The default is what most machines need: the
/// authorities that the machine trusts, no client certificate, the proxy of the environment.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// PEM file with the only authorities to trust.
    pub ca_cert: Option<PathBuf>,
    /// PEM file with this machine's certificate chain, its own first.
    pub client_cert: Option<PathBuf>,
    /// PEM file with that certificate's private key. Goes with `client_cert`.
    pub client_key: Option<PathBuf>,
    /// The proxy to use, whatever the environment says; `none` for no proxy.
    pub proxy: Option<String>,
    /// Whether the token may go unencrypted to another machine.
    pub allow_http: bool,
    /// How long to wait for the next bytes; 30 seconds without it.
    pub stall_timeout: Option<Duration>,
    /// Whether bundles are fetched from the tenant's server alone, though it knows of a bucket.
    pub no_bucket: bool,
}

impl Network {
    /// Makes the HTTP client for `url`.
    ///
    /// Redirects are not followed: nothing here needs them, and a network's sign-in page is told
    /// from an answer. The body is asked for as it is, since a range of a compressed one is not a
    /// range of the file.
    pub(crate) fn agent(&self, url: &BaseUrl) -> Result<Agent, Error> {
        let config = Agent::config_builder()
            .tls_config(self.tls()?)
            .proxy(self.proxy_for(url, &|name| std::env::var(name).ok())?)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(USER_AGENT)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(self.stall_timeout.unwrap_or(STALL)))
            .timeout_recv_body(Some(BODY))
            .build();
        Ok(config.new_agent())
    }

    /// Makes the HTTP client for a bucket at `host`: without this machine's certificate. It follows a few redirects, as
    /// stores send to the region that a bucket is in, and never out of TLS.
    pub(crate) fn bucket_agent(&self, host: &BaseUrl) -> Result<Agent, Error> {
        let stranger = Self { client_cert: None, client_key: None, ..self.clone() };
        let config = Agent::config_builder()
            .tls_config(stranger.tls()?)
            .proxy(self.proxy_for(host, &|name| std::env::var(name).ok())?)
            .http_status_as_error(false)
            .https_only(host.is_https())
            .max_redirects(BUCKET_REDIRECTS)
            .accept_encoding("identity")
            .user_agent(USER_AGENT)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(self.stall_timeout.unwrap_or(STALL)))
            .timeout_recv_body(Some(BUCKET_BODY))
            .build();
        Ok(config.new_agent())
    }

    /// Whether a token may be sent to `url`.
    ///
    /// # Errors
    /// [`Error::PlainHttp`] when it would leave this machine unencrypted.
    pub fn check_token_is_safe(&self, url: &BaseUrl) -> Result<(), Error> {
        if url.is_https() || url.is_loopback() || self.allow_http {
            return Ok(());
        }
        Err(Error::PlainHttp { url: url.clone() })
    }

    fn tls(&self) -> Result<TlsConfig, Error> {
        let roots = match &self.ca_cert {
            Some(file) => RootCerts::new_with_certs(&certificates(file)?),
            None => RootCerts::PlatformVerifier,
        };
        Ok(TlsConfig::builder()
            .root_certs(roots)
            .client_cert(self.identity()?)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build())
    }

    fn identity(&self) -> Result<Option<ClientCert>, Error> {
        match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                Ok(Some(ClientCert::new_with_certs(&certificates(cert)?, private_key(key)?)))
            }
            (None, None) => Ok(None),
            (Some(alone), None) | (None, Some(alone)) => {
                Err(unusable(alone, "--client-cert and --client-key go together"))
            }
        }
    }

    /// The proxy for `url`, by the settings, else by `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY`. Loopback never goes through one: the token would leave the machine.
    fn proxy_for(
        &self,
        url: &BaseUrl,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Proxy>, Error> {
        let address = match self.proxy.as_deref() {
            _ if url.is_loopback() => None,
            Some("none") => None,
            Some(proxy) => Some(proxy.to_owned()),
            None => from_environment(url, variable),
        };
        address.map(|address| Proxy::new(&address).map_err(|_| Error::Proxy)).transpose()
    }
}

fn from_environment(url: &BaseUrl, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let first = |names: &[&str]| {
        names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
    };
    let exempt = first(&["no_proxy", "NO_PROXY"]);
    if exempt.is_some_and(|list| is_exempt(&url.host(), &list)) {
        return None;
    }
    if url.is_https() {
        first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    } else {
        first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
    }
}

/// Whether a list as in `NO_PROXY` names the host: itself, a domain above it, or `*` for all.
fn is_exempt(host: &str, list: &str) -> bool {
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let domain = entry.trim_start_matches('*').trim_start_matches('.');
        entry == "*"
            || (!domain.is_empty()
                && host
                    .strip_suffix(domain)
                    .is_some_and(|sub| sub.is_empty() || sub.ends_with('.')))
    })
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let items = pem(file)?;
    let found = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(unusable(file, "it holds no certificate (PEM)")) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKey<'static>, Error> {
    let key = pem(file)?.into_iter().find_map(|item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    });
    key.ok_or_else(|| unusable(file, "it holds no private key (PEM)"))
}

fn pem(file: &Path) -> Result<Vec<PemItem<'static>>, Error> {
    let bytes = fs::read(file).map_err(|source| Error::Input { path: file.to_owned(), source })?;
    parse_pem(&bytes).collect::<Result<_, _>>().map_err(|_| unusable(file, "it is not PEM"))
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::Input { path: path.to_owned(), source: std::io::Error::other(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(network: &Network, url: &str, environment: &[(&str, &str)]) -> Option<String> {
        let lookup = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let proxy = network.proxy_for(&url.parse().unwrap(), &lookup).unwrap()?;
        Some(format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn the_environment_names_a_proxy_by_scheme() {
        let none = Network::default();
        let environment = [("HTTPS_PROXY", "http://p:1"), ("HTTP_PROXY", "http://q:2")];
        assert_eq!(proxy(&none, "https://e.example", &environment).as_deref(), Some("p:1"));
        assert_eq!(proxy(&none, "http://e.example", &environment).as_deref(), Some("q:2"));
        let all = [("ALL_PROXY", "http://r:3"), ("HTTPS_PROXY", "")];
        assert_eq!(proxy(&none, "https://e.example", &all).as_deref(), Some("r:3"));
        assert_eq!(proxy(&none, "https://e.example", &[]), None);
        assert_eq!(proxy(&none, "http://127.0.0.1:1", &environment), None, "loopback stays here");
    }

    #[test]
    fn what_is_set_wins_over_the_environment() {
        let environment = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "*")];
        let set = |proxy: &str| Network { proxy: Some(proxy.to_owned()), ..Network::default() };
        let url = "https://e.example";
        assert_eq!(proxy(&set("http://s:4"), url, &environment).as_deref(), Some("s:4"));
        assert_eq!(proxy(&set("none"), url, &environment[..1]), None);
        let url = url.parse().unwrap();
        assert!(set("ftp://x").proxy_for(&url, &|_| None).is_err());
    }

    #[test]
    fn exempt_hosts_are_told_by_domain() {
        for list in ["*", "e.example", "example", ".example", "*.example", "x, E.EXAMPLE "] {
            assert!(is_exempt("e.example", list), "{list}");
        }
        for list in ["", ",", "xe.example", "e.example.com", "ample", "d.e.example"] {
            assert!(!is_exempt("e.example", list), "{list}");
        }
    }
}
