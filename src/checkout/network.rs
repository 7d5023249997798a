//! The way to the server: whom TLS trusts, who we are there, how long anything may take.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::{Fault, ServerUrl};

/// How long to wait for a connection, and for the next bytes of an answer.
const CONNECT: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_secs(30);
/// How long one answer may take in all.
const WHOLE: Duration = Duration::from_mins(15);

/// What is known about the way to the server. The default is what most machines need: the authorities
/// that the machine trusts, no client certificate, the proxy of the environment (`HTTPS_PROXY`,
/// `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// PEM file with the only authorities to trust.
    pub ca_cert: Option<PathBuf>,
    /// PEM file with this machine's certificate chain, its own first.
    pub client_cert: Option<PathBuf>,
    /// PEM file with that certificate's private key. Goes with `client_cert`.
    pub client_key: Option<PathBuf>,
    /// Whether the token may go unencrypted to another machine.
    pub allow_http: bool,
}

impl Network {
    /// Makes the HTTP client for `server`. Redirects are not followed, so a token goes nowhere else.
    ///
    /// # Errors
    /// [`Fault::Usage`] when a file cannot be used, or the token would be sent unencrypted.
    pub fn agent(&self, server: &ServerUrl) -> Result<Agent, Fault> {
        if !(server.is_https() || server.is_loopback() || self.allow_http) {
            return Err(Fault::Usage(format!(
                "the token would be sent unencrypted to `{server}`: use https://, or --allow-http on a \
                 network that you trust"
            )));
        }
        let config = Agent::config_builder()
            .tls_config(self.tls()?)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("colophon-checkout/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(STALL))
            .timeout_recv_body(Some(WHOLE));
        // The token would leave this machine.
        let config = if server.is_loopback() { config.proxy(None) } else { config };
        Ok(config.build().new_agent())
    }

    fn tls(&self) -> Result<TlsConfig, Fault> {
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

    fn identity(&self) -> Result<Option<ClientCert>, Fault> {
        match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                Ok(Some(ClientCert::new_with_certs(&certificates(cert)?, private_key(key)?)))
            }
            (None, None) => Ok(None),
            _ => Err(Fault::Usage("--client-cert and --client-key go together".to_owned())),
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Fault> {
    let found = pem(file)?.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(unusable(file, "it holds no certificate (PEM)")) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKey<'static>, Fault> {
    let key = pem(file)?.into_iter().find_map(|item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    });
    key.ok_or_else(|| unusable(file, "it holds no private key (PEM)"))
}

fn pem(file: &Path) -> Result<Vec<PemItem<'static>>, Fault> {
    let bytes = fs::read(file).map_err(|error| unusable(file, &error.to_string()))?;
    parse_pem(&bytes).collect::<Result<_, _>>().map_err(|_| unusable(file, "it is not PEM"))
}

fn unusable(file: &Path, why: &str) -> Fault {
    Fault::Usage(format!("`{}` cannot be used: {why}", file.display()))
}
