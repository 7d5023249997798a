//! Options of every command that talks to the server.

use std::path::PathBuf;

use clap::Args;
use colophon_edge_fetch::{Network, Settings};

/// How the server is reached. Each can be set by a variable, and in `edge-fetch.toml`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkOptions {
    /// Trust only the authorities in this PEM file, not the machine's
    #[arg(long, global = true, env = "EDGE_FETCH_CA_CERT", value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// PEM file with this machine's certificate, for servers that ask for one
    #[arg(long, global = true, env = "EDGE_FETCH_CLIENT_CERT", value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// PEM file with the private key of --client-cert
    #[arg(long, global = true, env = "EDGE_FETCH_CLIENT_KEY", value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// Proxy such as http://proxy:3128, or `none` [default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY]
    #[arg(
        long,
        global = true,
        env = "EDGE_FETCH_PROXY",
        value_name = "URL",
        hide_env_values = true
    )]
    proxy: Option<String>,
    /// Send the token unencrypted to another machine; everybody on the way can read it
    #[arg(long, global = true, env = "EDGE_FETCH_ALLOW_HTTP")]
    allow_http: bool,
}

impl NetworkOptions {
    /// These options, and the settings where an option is not given. A certificate and its key come
    /// from the same place.
    pub(crate) fn over(&self, settings: &Settings) -> Network {
        let given = self.client_cert.is_some() || self.client_key.is_some();
        let (client_cert, client_key) = if given {
            (&self.client_cert, &self.client_key)
        } else {
            (&settings.client_cert, &settings.client_key)
        };
        Network {
            ca_cert: self.ca_cert.clone().or_else(|| settings.ca_cert.clone()),
            client_cert: client_cert.clone(),
            client_key: client_key.clone(),
            proxy: self.proxy.clone().or_else(|| settings.proxy.clone()),
            allow_http: self.allow_http || settings.allow_http,
        }
    }
}
