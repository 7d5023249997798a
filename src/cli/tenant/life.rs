//! Tenants as they stand: listed, shown, suspended and archived.

use colophon_model::TenantSlug;
use colophon_store::rows::RootsOrigin;

use crate::cli::admin::{self, Access};
use crate::cli::job::row;
use crate::cli::out::Out;
use crate::config::Config;
use crate::tenants::overview::{self, TenantDetails, TenantPage, TenantSummary};
use crate::tenants::{self, Standing, Step};

/// Every tenant, whatever the size of a page.
pub(super) fn list(config: &Config) -> anyhow::Result<TenantPage> {
    let mut all = TenantPage { tenants: Vec::new(), next: None };
    let access = admin::open(config)?;
    let mut after: Option<TenantSlug> = None;
    loop {
        let page = match &access {
            Access::Direct(press) => {
                overview::list(&press.store.view()?, after.as_ref(), overview::PAGE)?
            }
            Access::Server(client) => {
                let cursor = after.as_ref().map(|slug| format!("&cursor={slug}"));
                let cursor = cursor.unwrap_or_default();
                client.get(&format!("/v1/tenants?limit={}{cursor}", overview::PAGE))?
            }
        };
        all.tenants.extend(page.tenants);
        match page.next {
            Some(next) => after = Some(next.parse()?),
            None => return Ok(all),
        }
    }
}

pub(super) fn table(listed: &TenantPage) -> String {
    if listed.tenants.is_empty() {
        return "there are no tenants".to_owned();
    }
    let line = |one: &TenantSummary| {
        let built = one.built.as_deref().unwrap_or("nothing built");
        let state = one.state.word();
        format!("{:<32}  {state:<9}  {:>7} builds  {built}", one.slug, one.builds)
    };
    listed.tenants.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn show(config: &Config, out: Out, slug: &TenantSlug) -> anyhow::Result<()> {
    let shown = match admin::open(config)? {
        Access::Direct(press) => tenants::show(&press, slug, config)?,
        Access::Server(client) => client.get(&format!("/v1/tenants/{slug}"))?,
    };
    out.data(&shown, details)
}

pub(super) fn step(config: &Config, out: Out, slug: &TenantSlug, step: Step) -> anyhow::Result<()> {
    let shown: TenantDetails = match admin::open(config)? {
        Access::Direct(press) => {
            tenants::step(&press, slug, step)?;
            tenants::show(&press, slug, config)?
        }
        Access::Server(client) => {
            client.post(&format!("/v1/tenants/{slug}/{}", step.word()), &serde_json::json!({}))?
        }
    };
    out.data(&shown, |shown| {
        let meaning = match shown.summary.state {
            Standing::Active => "its credentials are taken, and it is built for",
            Standing::Suspended => "its credentials are refused; nothing of it is lost",
            Standing::Archived => "it is read and cloned, and nothing of it changes",
        };
        let held = if shown.held.is_some() { "; it is under legal hold" } else { "" };
        format!("{slug} is {}: {meaning}{held}", shown.summary.state.word())
    })
}

fn details(one: &TenantDetails) -> String {
    let TenantSummary { slug, uid, state, created, builds, built } = &one.summary;
    let since = match state {
        Standing::Active => None,
        Standing::Suspended => one.suspended.as_ref(),
        Standing::Archived => one.archived.as_ref(),
    };
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    let roots = match one.roots {
        RootsOrigin::Server => "made on this server",
        RootsOrigin::Offline => "made in a ceremony",
    };
    let commit = one.commit.map_or_else(|| "none".to_owned(), |oid| oid.to_string());
    let built = built.as_deref().map_or_else(String::new, |at| format!(", the last at {at}"));
    let mut lines = vec![
        format!("tenant {slug} ({uid})"),
        row("state", format!("{}{since}", state.word())),
        row("created", created),
        row("git", &one.git_url),
        row("commit", commit),
        row("root keys", roots),
        row("flows", one.flows),
        row("builds", format!("{builds}{built}")),
        row("agents", one.agents),
        row("tokens", one.tokens),
    ];
    lines.extend(one.buckets.named().map(|(what, folder)| row(what, folder)));
    if let Some(since) = &one.held {
        lines.push(row("legal hold", format!("since {since}: it cannot be erased")));
    }
    if one.edge_archived {
        lines.push(row("edge", "archived: agents remove its flows"));
    }
    let quota = |used: &overview::QuotaUse| {
        row("quota", format!("{} of {} for {} in 24 hours", used.used, used.limit, used.target))
    };
    lines.extend(one.quota.iter().map(quota));
    lines.join("\n")
}
