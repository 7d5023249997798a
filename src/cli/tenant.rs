//! `colophon tenant create`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use colophon_model::TenantSlug;

use super::admin::{self, Access};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::tenants::{CreateTenant, CreatedTenant};
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant: its branch, its webhook secret, its edge repository
    Create {
        /// Name: lower-case letters, digits and single hyphens
        slug: TenantSlug,
        /// Let its flows carry component sources that no known LangFlow release contains
        #[arg(long)]
        allow_custom_components: bool,
        /// Write the root metadata that agents pin to this file
        #[arg(long, value_name = "FILE")]
        root_out: Option<PathBuf>,
    },
}

impl Tenant {
    pub(super) fn run(self, overrides: &Overrides, out: Out) -> anyhow::Result<()> {
        let Self::Create { slug, allow_custom_components, root_out } = self;
        let config = Config::load(overrides)?;
        let wanted = CreateTenant { slug, allow_custom_components };
        let made = create(&config, &wanted)?;
        if let Some(path) = root_out {
            write_root(&path, &made.root)?;
        }
        out.data(&made, text)
    }
}

fn create(config: &Config, wanted: &CreateTenant) -> anyhow::Result<CreatedTenant> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let made = tenants::create(&press, &wanted.slug, wanted.allow_custom_components)?;
            let listen = format!("http://{}", config.listen);
            Ok(CreatedTenant::new(config.public_url.as_deref().unwrap_or(&listen), made))
        }
        Access::Server(client) => client.post("/v1/tenants", wanted),
    }
}

fn write_root(path: &std::path::Path, root: &str) -> anyhow::Result<()> {
    std::fs::write(path, root).with_context(|| format!("cannot write `{}`", path.display()))
}

fn text(made: &CreatedTenant) -> String {
    format!(
        "tenant          {}\nuid             {}\ngit             {}\nwebhook secret  {}\n\
         root keys       made on this {}: whoever holds its master key can sign for the tenant\n\
         keep the secret: it goes into the builder's webhook settings",
        made.slug, made.uid, made.git_url, made.webhook_secret, made.roots
    )
}
