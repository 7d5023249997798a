//! `colophon token create`.

use clap::{Subcommand, ValueEnum};
use colophon_model::TenantSlug;

use super::admin::{self, Access};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::tenants::{CreateToken, CreatedToken};
use crate::tenants;
use crate::tokens::TokenKind;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Create a token of a tenant; it is shown once
    Create {
        /// The tenant
        slug: TenantSlug,
        /// What it is for
        #[arg(long, value_enum)]
        kind: Kind,
        /// A word by which people recognise it
        #[arg(long, default_value = "")]
        label: String,
        /// Days until it ends
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
    },
}

/// Kinds a tenant can have.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// Post builds and read their results
    Api,
    /// Clone and fetch
    Git,
    /// Read edge metadata and bundles
    Edge,
}

impl From<Kind> for TokenKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Api => Self::Api,
            Kind::Git => Self::Git,
            Kind::Edge => Self::Edge,
        }
    }
}

impl Token {
    pub(super) fn run(self, overrides: &Overrides, out: Out) -> anyhow::Result<()> {
        let Self::Create { slug, kind, label, days } = self;
        let config = Config::load(overrides)?;
        let wanted = CreateToken { kind: kind.into(), label, days };
        let made = create(&config, &slug, &wanted)?;
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
            let made = tenants::create_token(&press.store, slug, *kind, label, *days, now)?;
            Ok(CreatedToken {
                token: made.token.reveal().to_owned(),
                expires: made.expires.rfc3339_seconds(),
            })
        }
        Access::Server(client) => client.post(&format!("/v1/tenants/{slug}/tokens"), wanted),
    }
}
