//! `enroll`: where trust begins.

use std::path::PathBuf;

use clap::Args;
use colophon_edge_fetch::{BaseUrl, Cache, Config, Error, Exit, attestation_keys, enroll_attested};
use colophon_model::TenantSlug;

use super::output::Output;
use super::{Cli, absolute, input, network, tell};

#[derive(Debug, Args)]
pub(super) struct EnrollOptions {
    /// The server, such as `https://colophon.example`
    #[arg(long)]
    url: BaseUrl,
    /// The tenant's slug
    #[arg(long)]
    tenant: TenantSlug,
    /// The tenant's root metadata (root.json), received by a way you trust
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// Take only bundles that were attested with the keys in this PEM file; several times for all of them
    #[arg(long = "attestation-key", value_name = "FILE")]
    attestation_keys: Vec<PathBuf>,
    /// Under which name the server lists this machine [default: its own]
    #[arg(long)]
    name: Option<String>,
}

/// Pins a root and remembers the server.
pub(super) fn enroll(
    cli: &Cli,
    options: &EnrollOptions,
    cache: &Cache,
    output: &Output,
) -> Result<Exit, Error> {
    let token_file = cli.token_file.as_deref().map(absolute).transpose()?;
    if token_file.is_some() {
        network(cli, cache)?.check_token_is_safe(&options.url)?;
    }
    let config = Config {
        url: options.url.clone(),
        tenant: options.tenant.clone(),
        token_file,
        device: tell::new_device(),
        name: Some(options.name.clone().unwrap_or_else(tell::machine)),
    };
    let keys: Result<Vec<_>, _> =
        options.attestation_keys.iter().map(|file| attestation_keys(file)).collect();
    let enrolled = enroll_attested(cache, config, &input(&options.root)?, &keys?.concat())?;
    output.enrolled(cache, &enrolled);
    Ok(Exit::Ok)
}
