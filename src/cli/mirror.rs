//! `colophon mirror`.

use clap::Subcommand;
use colophon_model::TenantSlug;

use super::admin::{self, Access};
use super::job::{count, row};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::mirrors::MirrorList;
use crate::mirror::{self, MirrorStatus, Phase, SetMirror};

#[derive(Debug, Subcommand)]
pub(super) enum Mirror {
    /// Push a tenant's branch and tags to an upstream repository from now on
    Set {
        /// The tenant
        slug: TenantSlug,
        /// The repository, which must be this tenant's alone, such as `https://github.com/acme/flows.git`
        url: String,
        /// Where the server finds the password or token: `env:NAME`, `file:/path`, `systemd:NAME`,
        /// `vault:MOUNT/PATH#KEY` or `sops:/path#KEY`
        #[arg(long, value_name = "REF")]
        credential: Option<String>,
        /// Who pushes
        #[arg(long, default_value_t = mirror::default_username())]
        username: String,
        /// New tags in one push: GitHub starts no workflow for more than three
        #[arg(long, value_name = "N", default_value_t = mirror::default_tags())]
        tags_per_push: u32,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Say how a mirror fares, or all of them
    Status {
        /// The tenant [default: all]
        slug: Option<TenantSlug>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Let a mirror that waits, is parked or in quarantine try again at once
    Retry {
        /// The tenant
        slug: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Push to it no more; the upstream repository stays as it is
    Clear {
        /// The tenant
        slug: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
}

impl Mirror {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Set { slug, url, credential, username, tags_per_push, overrides } => {
                let wanted = SetMirror { url, credential, username, tags_per_push };
                out.data(&set(&Config::load(&overrides)?, &slug, &wanted)?, text)
            }
            Self::Status { slug: Some(slug), overrides } => {
                out.data(&status(&Config::load(&overrides)?, &slug)?, text)
            }
            Self::Status { slug: None, overrides } => {
                out.data(&list(&Config::load(&overrides)?)?, list_text)
            }
            Self::Retry { slug, overrides } => {
                out.data(&retry(&Config::load(&overrides)?, &slug)?, text)
            }
            Self::Clear { slug, overrides } => {
                clear(&Config::load(&overrides)?, &slug)?;
                let done = serde_json::json!({ "slug": slug, "cleared": true });
                out.data(&done, |_| {
                    format!(
                        "tenant {slug} is mirrored no more; its upstream repository stays as it is"
                    )
                })
            }
        }
    }
}

fn path(slug: &TenantSlug) -> String {
    format!("/v1/tenants/{slug}/mirror")
}

fn set(config: &Config, slug: &TenantSlug, wanted: &SetMirror) -> anyhow::Result<MirrorStatus> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(mirror::set(&press, config.mirror.plain_http, slug, wanted)?),
        Access::Server(client) => client.put(&path(slug), wanted),
    }
}

fn status(config: &Config, slug: &TenantSlug) -> anyhow::Result<MirrorStatus> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(mirror::status(&press.store.view()?, slug)?),
        Access::Server(client) => client.get(&path(slug)),
    }
}

/// Every mirror.
pub(super) fn list(config: &Config) -> anyhow::Result<MirrorList> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(MirrorList { mirrors: mirror::list(&press.store.view()?)? }),
        Access::Server(client) => client.get("/v1/mirrors"),
    }
}

fn retry(config: &Config, slug: &TenantSlug) -> anyhow::Result<MirrorStatus> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(mirror::retry(&press, slug)?),
        Access::Server(client) => client.post(&format!("{}/retry", path(slug)), &()),
    }
}

fn clear(config: &Config, slug: &TenantSlug) -> anyhow::Result<()> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(mirror::clear(&press, slug)?),
        Access::Server(client) => client.delete(&path(slug)),
    }
}

const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Settled => "up to date",
        Phase::Pending => "a push is due",
        Phase::Retrying => "failing; another attempt follows",
        Phase::Parked => "parked: mend it, then run `colophon mirror retry`",
        Phase::Quarantined => "in quarantine: somebody else wrote there; nothing was overwritten",
    }
}

fn text(mirror: &MirrorStatus) -> String {
    let mut lines =
        vec![format!("tenant {} → {}", mirror.slug, mirror.url), row("state", word(mirror.phase))];
    let mut say = |label, text: Option<String>| lines.extend(text.map(|text| row(label, text)));
    say("credential", mirror.credential.as_ref().map(|c| format!("{c}, as {}", mirror.username)));
    say("here", mirror.tip.map(|tip| tip.to_string()));
    say("upstream", mirror.upstream.map(|tip| tip.to_string()));
    say("up to date", mirror.succeeded.clone());
    let waiting = |p: &mirror::Pending| format!("{} since {}", count(p.changes, "change"), p.since);
    say("waiting", mirror.pending.as_ref().map(waiting));
    say("failures", (mirror.failures > 0).then(|| mirror.failures.to_string()));
    say("why", mirror.trouble.clone());
    let found = |d: &mirror::Diverged| format!("{}: ours {}, theirs {}", d.name, d.ours, d.theirs);
    say("diverged", mirror.diverged.as_ref().map(found));
    say("since", mirror.halted.clone());
    say("next", mirror.next.clone());
    lines.join("\n")
}

fn list_text(list: &MirrorList) -> String {
    if list.mirrors.is_empty() {
        return "no tenant is mirrored".to_owned();
    }
    list.mirrors.iter().map(text).collect::<Vec<_>>().join("\n")
}
