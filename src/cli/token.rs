//! `colophon token …`.

use clap::Subcommand;
use colophon_model::{Target, TenantSlug};

use super::admin::{self, Access};
use super::job::{count, row};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::tokens::{CreateToken, CreatedToken, Revoked, RotateToken};
use crate::tenants;
use crate::tokens::{self, Scope, Scopes, TokenKind, TokenList, TokenState, TokenView, Usage};
use crate::units::Span;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Create a token of a tenant; it is shown once
    Create {
        /// The tenant
        slug: TenantSlug,
        /// What it is for
        #[arg(long, value_enum)]
        kind: TokenKind,
        /// What it may do, some of what its kind may [default: all of that]
        #[arg(long, value_enum, value_delimiter = ',', value_name = "SCOPE,…")]
        scopes: Vec<Scope>,
        /// The only target that it may build for: cloud or edge [default: both]
        #[arg(long, value_parser = target)]
        target: Option<Target>,
        /// A word by which people recognise it
        #[arg(long, default_value = "")]
        label: String,
        /// Days until it ends [default: `tokens.default_days`]
        #[arg(long)]
        days: Option<u32>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Print the operator's token, for the console's login
    Operator {
        #[command(flatten)]
        overrides: Overrides,
    },
    /// List a tenant's tokens, without the tokens themselves
    List {
        /// The tenant
        slug: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Show what is known of one token
    Show {
        /// The tenant
        slug: TenantSlug,
        /// The token's id, as `token list` shows it
        id: String,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Make a new token with the same grants, and let the old one end
    Rotate {
        /// The tenant
        slug: TenantSlug,
        /// The token's id
        id: String,
        /// How long the old token is good beside the new one
        #[arg(long, default_value = "24h", value_name = "TIME")]
        overlap: Span,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Take a token back at once, or all of a tenant's
    Revoke {
        /// The tenant
        slug: TenantSlug,
        /// The token's id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of the tenant's tokens
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        overrides: Overrides,
    },
}

fn target(word: &str) -> Result<Target, String> {
    match word {
        "cloud" => Ok(Target::Cloud),
        "edge" => Ok(Target::Edge),
        _ => Err("it is `cloud` or `edge`".to_owned()),
    }
}

impl Token {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Create { slug, kind, scopes, target, label, days, overrides } => {
                let scopes = (!scopes.is_empty()).then(|| Scopes::new(scopes));
                let wanted = CreateToken { kind, label, days, scopes, target };
                let made = create(&Config::load(&overrides)?, &slug, wanted)?;
                out.data(&made, told)
            }
            Self::Operator { overrides } => {
                let token = admin::operator_token(&Config::load(&overrides)?)?;
                out.data(&OperatorToken { token: token.reveal().to_owned() }, |t| t.token.clone())
            }
            Self::List { slug, overrides } => {
                let listed = list(&Config::load(&overrides)?, &slug)?;
                out.data(&listed, |listed| table(&slug, listed))
            }
            Self::Show { slug, id, overrides } => {
                let shown = show(&Config::load(&overrides)?, &slug, &id)?;
                out.data(&shown, details)
            }
            Self::Rotate { slug, id, overlap, overrides } => {
                let made = rotate(&Config::load(&overrides)?, &slug, &id, overlap)?;
                out.data(&made, told)
            }
            Self::Revoke { slug, id, overrides, .. } => {
                let revoked = revoke(&Config::load(&overrides)?, &slug, id.as_deref())?;
                out.data(&Revoked { revoked }, |one| {
                    format!("revoked {} of {slug}", count(one.revoked, "token"))
                })
            }
        }
    }
}

/// The operator's token, as data.
#[derive(serde::Serialize)]
struct OperatorToken {
    token: String,
}

fn told(made: &CreatedToken) -> String {
    let CreatedToken { token, view } = made;
    format!("{token}\nid {}; valid until {}; it is not shown again", view.id, view.expires)
}

fn table(slug: &TenantSlug, listed: &TokenList) -> String {
    if listed.tokens.is_empty() {
        return format!("{slug} has no tokens");
    }
    let line = |one: &TokenView| {
        let used = one.last_used.as_deref().unwrap_or("never");
        format!(
            "{}  {:<7}  {:<8}  until {}  used {:<20}  {}",
            one.id,
            one.kind.word(),
            state(one.state),
            one.expires,
            used,
            one.label
        )
    };
    listed
        .tokens
        .iter()
        .map(line)
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

const fn state(state: TokenState) -> &'static str {
    match state {
        TokenState::Active => "active",
        TokenState::Retiring => "retiring",
        TokenState::Ended => "ended",
    }
}

fn details(one: &TokenView) -> String {
    let mut lines = vec![
        format!("token {}", one.id),
        row("kind", one.kind.word()),
        row("scopes", one.scopes.words().join(", ")),
    ];
    lines.extend(one.target.map(|target| row("only for", target)));
    lines.extend([
        row("label", &one.label),
        row("created", &one.created),
        row("expires", &one.expires),
        row("state", state(one.state)),
        row("last used", one.last_used.as_deref().unwrap_or("never, as far as is known")),
    ]);
    lines.extend(one.successor.as_ref().map(|by| row("replaced by", by)));
    lines.join("\n")
}

fn path(slug: &TenantSlug) -> String {
    format!("/v1/tenants/{slug}/tokens")
}

fn create(config: &Config, slug: &TenantSlug, wanted: CreateToken) -> anyhow::Result<CreatedToken> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let (store, now) = (&press.store, press.clock.now());
            let made = tokens::create(store, &config.tokens, slug, &wanted.into(), now)?;
            Ok(CreatedToken::new(made))
        }
        Access::Server(client) => client.post(&path(slug), &wanted),
    }
}

fn list(config: &Config, slug: &TenantSlug) -> anyhow::Result<TokenList> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let tenant = tenants::find(&view, slug)?.uid;
            Ok(tokens::list(&view, &Usage::default(), tenant, press.clock.now())?)
        }
        Access::Server(client) => client.get(&path(slug)),
    }
}

fn show(config: &Config, slug: &TenantSlug, id: &str) -> anyhow::Result<TokenView> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let tenant = tenants::find(&view, slug)?.uid;
            Ok(tokens::show(&view, &Usage::default(), tenant, id, press.clock.now())?)
        }
        Access::Server(client) => client.get(&format!("{}/{}", path(slug), segment(id)?)),
    }
}

fn rotate(
    config: &Config,
    slug: &TenantSlug,
    id: &str,
    overlap: Span,
) -> anyhow::Result<CreatedToken> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let (store, now) = (&press.store, press.clock.now());
            let made = tokens::rotate(store, &config.tokens, slug, (id, overlap), now)?;
            Ok(CreatedToken::new(made))
        }
        Access::Server(client) => {
            let path = format!("{}/{}/rotate", path(slug), segment(id)?);
            client.post(&path, &RotateToken { overlap })
        }
    }
}

fn revoke(config: &Config, slug: &TenantSlug, id: Option<&str>) -> anyhow::Result<u64> {
    match (admin::open(config)?, id) {
        (Access::Direct(press), Some(id)) => {
            tokens::revoke(&press.store, slug, id, press.clock.now())?;
            Ok(1)
        }
        (Access::Direct(press), None) => {
            Ok(tokens::revoke_all(&press.store, slug, press.clock.now())?)
        }
        (Access::Server(client), Some(id)) => {
            client.delete(&format!("{}/{}", path(slug), segment(id)?))?;
            Ok(1)
        }
        (Access::Server(client), None) => Ok(client.delete_for::<Revoked>(&path(slug))?.revoked),
    }
}

/// An id as it may stand in a path.
fn segment(id: &str) -> anyhow::Result<&str> {
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit());
    if plain { Ok(id) } else { Err(tokens::TokenError::Unknown.into()) }
}
