//! `colophon hook`.

use clap::{Args, Subcommand};
use colophon_model::TenantSlug;
use colophon_store::rows::HookId;

use super::admin::{self, Access};
use super::job::row;
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::intake::hooks::{self, CreateHook, HookList, HookScheme, HookView};

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// Make an address that deliveries of one tenant go to, for senders that cannot set a tenant header
    Create(Create),
    /// List a tenant's hooks
    List {
        /// The tenant
        slug: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Take a hook away
    Delete {
        /// The tenant
        slug: TenantSlug,
        /// The hook, as `colophon hook list` shows it
        id: HookId,
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// A hook as it is asked for.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// The tenant
    slug: TenantSlug,
    /// How deliveries are proven
    #[arg(long, value_enum)]
    scheme: HookScheme,
    /// A word by which people recognise it
    #[arg(long, default_value = "")]
    label: String,
    /// What comes in are ActivePieces events: read the flows from the builder's API at this URL, such as
    /// `https://builder.example/api`
    #[arg(long, value_name = "URL", requires = "credential")]
    pull: Option<String>,
    /// Where the server finds the key of that API: `env:NAME` or `file:/path`
    #[arg(long, value_name = "REF", requires = "pull")]
    credential: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Hook {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Create(Create { slug, scheme, label, pull, credential, overrides }) => {
                let wanted = CreateHook { scheme, label, pull, credential };
                let config = Config::load(&overrides)?;
                let made = create(&config, &slug, &wanted)?;
                out.data(&made, |hook| text(hook, &config.public_url()))
            }
            Self::List { slug, overrides } => {
                let config = Config::load(&overrides)?;
                let url = config.public_url();
                out.data(&list(&config, &slug)?, |list: &HookList| {
                    let hooks: Vec<String> = list.hooks.iter().map(|h| text(h, &url)).collect();
                    if hooks.is_empty() { "no hooks".to_owned() } else { hooks.join("\n") }
                })
            }
            Self::Delete { slug, id, overrides } => {
                delete(&Config::load(&overrides)?, &slug, id)?;
                let done = serde_json::json!({ "slug": slug, "id": id, "deleted": true });
                out.data(&done, |_| format!("hook {id} takes nothing more"))
            }
        }
    }
}

fn path(slug: &TenantSlug) -> String {
    format!("/v1/tenants/{slug}/hooks")
}

fn create(config: &Config, slug: &TenantSlug, wanted: &CreateHook) -> anyhow::Result<HookView> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(hooks::create(&press, config.intake.plain_http, slug, wanted)?),
        Access::Server(client) => client.post(&path(slug), wanted),
    }
}

fn list(config: &Config, slug: &TenantSlug) -> anyhow::Result<HookList> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(hooks::list(&press, slug)?),
        Access::Server(client) => client.get(&path(slug)),
    }
}

fn delete(config: &Config, slug: &TenantSlug, id: HookId) -> anyhow::Result<()> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(hooks::delete(&press, slug, id)?),
        Access::Server(client) => client.delete(&format!("{}/{id}", path(slug))),
    }
}

fn text(hook: &HookView, url: &str) -> String {
    let mut lines = vec![format!("hook {}", hook.id), row("url", format!("{url}{}", hook.path))];
    let mut say = |label, text: Option<String>| lines.extend(text.map(|text| row(label, text)));
    say("scheme", Some(hook.scheme.clone()));
    say("label", Some(hook.label.clone()).filter(|label| !label.is_empty()));
    say("created", Some(hook.created.clone()));
    say("reads from", hook.pull.clone());
    say("credential", hook.credential.clone());
    say("static key", hook.static_key.clone());
    lines.join("\n")
}
