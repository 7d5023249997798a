//! Options of every command that talks to the server.

use std::path::PathBuf;

use clap::Args;
use colophon_edge_fetch::{Health, Network, Policy, Settings};

/// How the server is reached. Each can be set by a variable, and in `edge-fetch.toml`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
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
    /// Give up when the server sends nothing for this long [default: 30s]
    #[arg(long, global = true, env = "EDGE_FETCH_STALL_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration)]
    stall_timeout: Option<std::time::Duration>,
    /// Fetch bundles from the server alone, never from a bucket that it names
    #[arg(long, global = true, env = "EDGE_FETCH_NO_BUCKET")]
    no_bucket: bool,
    /// Do not tell the server what runs here
    #[arg(long, global = true, env = "EDGE_FETCH_NO_REPORT")]
    pub(crate) no_report: bool,
    /// Ask for each file by itself, as from a server that does not know how to send all at once
    #[arg(long, global = true, env = "EDGE_FETCH_NO_SYNC")]
    pub(crate) no_sync: bool,
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
            stall_timeout: self.stall_timeout.or(settings.stall_timeout),
            no_bucket: self.no_bucket || settings.no_bucket,
        }
    }
}

/// Who decides whether a new bundle stays.
#[derive(Debug, Args)]
pub(crate) struct TrialOptions {
    /// Program, and arguments after spaces, that is run in the folder of each new bundle: when it
    /// ends with 0 the bundle stays, else the one before comes back
    #[arg(long, env = "EDGE_FETCH_HEALTH", value_name = "CMD")]
    health: Option<String>,
    /// How long the health command may take [default: 1m]
    #[arg(long, env = "EDGE_FETCH_HEALTH_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration)]
    health_timeout: Option<std::time::Duration>,
    /// Leave new bundles on trial until `commit` or `rollback`
    #[arg(long)]
    no_commit: bool,
    /// Take bundles that failed here before once more
    #[arg(long)]
    again: bool,
}

impl TrialOptions {
    /// These options, and the settings of flows where no command is given.
    pub(crate) fn policy(&self, settings: &Settings) -> Policy {
        let words = |text: &String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let health = self.health.as_ref().map(words).unwrap_or_default();
        let flows = settings.flows.iter().filter_map(|(flow, set)| {
            let timeout = self.health_timeout.or(set.health_timeout);
            Some((flow.clone(), Health::new(&set.health, timeout)?))
        });
        Policy {
            no_commit: self.no_commit,
            again: self.again,
            health: Health::new(&health, self.health_timeout),
            flows: flows.collect(),
        }
    }
}
