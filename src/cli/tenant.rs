//! `colophon tenant create`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use colophon_model::{CodePolicy, TenantSlug};
use colophon_store::rows::RootsOrigin;

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
        /// Which component sources its LangFlow exports may carry
        #[arg(long, value_enum, default_value_t)]
        components: Components,
        /// Write the root metadata that agents pin to this new file
        #[arg(long, value_name = "FILE")]
        root_out: Option<PathBuf>,
        #[command(flatten)]
        overrides: Overrides,
    },
}

impl Tenant {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self::Create { slug, components, root_out, overrides } = self;
        let config = Config::load(&overrides)?;
        // The file comes first: a path that cannot be written must not leave a tenant whose secret
        // nobody has seen.
        let file = root_out.as_deref().map(new_file).transpose()?;
        let wanted = CreateTenant { slug, components: components.into() };
        let made = create(&config, &wanted)?;
        out.data(&made, |made| text(made, root_out.as_deref()))?;
        if let Some(mut file) = file {
            file.write_all(made.root.as_bytes())?;
        }
        Ok(())
    }
}

/// Policies as the command line spells them.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Components {
    /// No component sources at all
    None,
    /// Those of known LangFlow releases
    #[default]
    KnownOnly,
    /// Any: the tenant's flows can run code of their own
    AllowCustom,
}

impl From<Components> for CodePolicy {
    fn from(components: Components) -> Self {
        match components {
            Components::None => Self::None,
            Components::KnownOnly => Self::KnownOnly,
            Components::AllowCustom => Self::AllowCustom,
        }
    }
}

fn new_file(path: &Path) -> anyhow::Result<File> {
    File::create_new(path).with_context(|| format!("cannot create `{}`", path.display()))
}

fn create(config: &Config, wanted: &CreateTenant) -> anyhow::Result<CreatedTenant> {
    match admin::open_or_create(config)? {
        Access::Direct(press) => {
            let made = tenants::create(&press, &wanted.slug, wanted.components)?;
            Ok(CreatedTenant::new(&config.public_url(), made))
        }
        Access::Server(client) => client.post("/v1/tenants", wanted),
    }
}

fn text(made: &CreatedTenant, root_out: Option<&Path>) -> String {
    let root = match root_out {
        Some(path) => format!("written to {}", path.display()),
        None => format!("later: GET /v1/t/{}/tuf/1.root.json with a token of kind edge", made.slug),
    };
    let RootsOrigin::Server = made.roots;
    format!(
        "tenant          {}\nuid             {}\ngit             {}\nwebhook secret  {}\n\
         root metadata   {root}\n\
         root keys       made on this server: whoever holds its master key can sign for the tenant\n\
         keep the secret: it goes into the builder's webhook settings and is not shown again",
        made.slug, made.uid, made.git_url, made.webhook_secret
    )
}
