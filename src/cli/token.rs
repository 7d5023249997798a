//! `colophon token create`.

use clap::Subcommand;
use colophon_model::TenantSlug;

use super::admin::{self, Access};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::tenants::{CreateToken, CreatedToken};
use crate::tokens::{self, TokenKind};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Create a token of a tenant; it is shown once
    Create {
        /// The tenant
        slug: TenantSlug,
        /// What it is for
        #[arg(long, value_enum)]
        kind: TokenKind,
        /// A word by which people recognise it
        #[arg(long, default_value = "")]
        label: String,
        /// Days until it ends
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
        #[command(flatten)]
        overrides: Overrides,
    },
}

impl Token {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self::Create { slug, kind, label, days, overrides } = self;
        let config = Config::load(&overrides)?;
        let made = create(&config, &slug, &CreateToken { kind, label, days })?;
        out.data(&made, |m| {
            format!("{}\nvalid until {}; it is not shown again", m.token, m.expires)
        })
    }
}

fn create(
    config: &Config,
    slug: &TenantSlug,
    wanted: &CreateToken,
) -> anyhow::Result<CreatedToken> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let now = press.clock.now();
            let CreateToken { kind, label, days } = wanted;
            let made = tokens::create_token(&press.store, slug, *kind, label, *days, now)?;
            Ok(CreatedToken::new(&made))
        }
        Access::Server(client) => client.post(&format!("/v1/tenants/{slug}/tokens"), wanted),
    }
}
