//! `colophon webhook`.

use clap::{Subcommand, ValueEnum};
use colophon_model::TenantSlug;

use super::admin::{self, Access};
use super::job::row;
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::webhooks::SetWebhook;
use crate::intake::secrets::{self, NewSecret, Rotate, SecretState, SecretView, WebhookView};
use crate::units::Span;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// Make, list and revoke the secrets that a builder signs with
    #[command(subcommand)]
    Secret(Secret),
    /// Set how a tenant's deliveries are checked
    Set {
        /// The tenant
        slug: TenantSlug,
        /// Whether a delivery with neither revision nor signed time may repeat content that was replaced
        #[arg(long, value_enum)]
        repeats: Repeats,
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// What is done about secrets.
#[derive(Debug, Subcommand)]
pub(super) enum Secret {
    /// Make a new secret; it is shown once, and those before it end after the overlap
    Rotate {
        /// The tenant
        slug: TenantSlug,
        /// How long the secrets before it stay good; `0s` for no longer
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: Span,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// List a tenant's secrets, but not what they are
    List {
        /// The tenant
        slug: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// End a secret at once
    Revoke {
        /// The tenant
        slug: TenantSlug,
        /// Which, as `colophon webhook secret list` shows
        generation: u32,
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// Whether repeated content is taken.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Repeats {
    /// It is: whoever can send an old delivery again can bring an old flow back
    Allow,
    /// It is refused as a replay
    Refuse,
}

impl Webhook {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Secret(Secret::Rotate { slug, overlap, overrides }) => {
                out.data(&rotate(&Config::load(&overrides)?, &slug, Rotate { overlap })?, made)
            }
            Self::Secret(Secret::List { slug, overrides }) => {
                out.data(&list(&Config::load(&overrides)?, &slug)?, text)
            }
            Self::Secret(Secret::Revoke { slug, generation, overrides }) => {
                out.data(&revoke(&Config::load(&overrides)?, &slug, generation)?, text)
            }
            Self::Set { slug, repeats, overrides } => {
                let wanted = SetWebhook { repeats: matches!(repeats, Repeats::Allow) };
                out.data(&set(&Config::load(&overrides)?, &slug, wanted)?, text)
            }
        }
    }
}

fn path(slug: &TenantSlug) -> String {
    format!("/v1/tenants/{slug}/webhook")
}

fn rotate(config: &Config, slug: &TenantSlug, wanted: Rotate) -> anyhow::Result<NewSecret> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(secrets::rotate(&press, slug, wanted)?),
        Access::Server(client) => client.post(&format!("{}/secrets", path(slug)), &wanted),
    }
}

fn list(config: &Config, slug: &TenantSlug) -> anyhow::Result<WebhookView> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(secrets::show(&press, slug)?),
        Access::Server(client) => client.get(&path(slug)),
    }
}

fn revoke(config: &Config, slug: &TenantSlug, generation: u32) -> anyhow::Result<WebhookView> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(secrets::revoke(&press, slug, generation)?),
        Access::Server(client) => {
            client.delete_for(&format!("{}/secrets/{generation}", path(slug)))
        }
    }
}

fn set(config: &Config, slug: &TenantSlug, wanted: SetWebhook) -> anyhow::Result<WebhookView> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(secrets::set_repeats(&press, slug, wanted.repeats)?),
        Access::Server(client) => client.put(&path(slug), &wanted),
    }
}

fn made(new: &NewSecret) -> String {
    [
        format!("secret {} is good from now on; it is not shown again", new.generation),
        row("secret", &new.secret),
        row("static key", &new.static_key),
        row("others end", &new.others_end),
    ]
    .join("\n")
}

fn text(webhook: &WebhookView) -> String {
    let secret = |secret: &SecretView| {
        let SecretView { generation, state, created, ends } = secret;
        let word = match state {
            SecretState::Active => "active",
            SecretState::Retiring => "retiring",
            SecretState::Retired => "retired",
            SecretState::Revoked => "revoked",
        };
        let ends = ends.as_ref().map_or_else(String::new, |ends| format!("  until {ends}"));
        row(&generation.to_string(), format!("{word:8}  from {created}{ends}"))
    };
    let repeats = if webhook.repeats { "allowed" } else { "refused" };
    let mut lines = vec![format!("secrets of {}; repeats are {repeats}", webhook.slug)];
    lines.extend(webhook.secrets.iter().map(secret));
    lines.join("\n")
}
