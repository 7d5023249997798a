//! `colophon builds watch`.

use anyhow::{Context as _, bail};
use clap::Args;
use colophon_model::{BuildId, BuildRecord, TenantSlug};
use colophon_store::rows::{DeliveryKey, DeliveryRow};
use serde_json::Value;

use super::follow::{Event, Next, follow};
use super::line;
use crate::builds::BuildSummary;
use crate::cli::admin::{self, Access, Client};
use crate::cli::job::{Bar, building};
use crate::cli::out::Out;
use crate::config::{Config, Overrides};
use crate::http::chain;
use crate::maintenance::Step;
use crate::pipeline::Press;
use crate::progress::{Stage, Told, of_delivery, of_record};
use crate::tenants;

/// What to follow.
#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {
    /// The tenant
    slug: TenantSlug,
    /// One build, or the delivery that is to become one; without it all builds from now on, until Ctrl-C
    id: Option<String>,
    /// All builds after this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "id")]
    after: Option<u64>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Watch {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let access = admin::open(&Config::load(&self.overrides)?)?;
        match (access, &self.id) {
            (Access::Server(client), Some(id)) => one(&client, &self.slug, id, out),
            (Access::Server(client), None) => all(&client, &self.slug, self.after, out),
            (Access::Direct(press), Some(id)) => stored(&press, &self.slug, id, out),
            (Access::Direct(_), None) => {
                bail!(
                    "no server holds the data directory, so nothing is built that could be watched"
                )
            }
        }
    }
}

/// Follows one build over the server that makes it.
fn one(client: &Client, slug: &TenantSlug, id: &str, out: Out) -> anyhow::Result<()> {
    known(id)?;
    let (bar, mut end) = (Bar::new(out), None);
    let told = |event: Event| {
        bar.show(&building(&event.kind));
        tell(&bar, &event, out)?;
        let ended = matches!(event.kind.as_str(), "succeeded" | "failed" | "noop");
        end = ended.then_some(event);
        Ok(if ended { Next::Stop } else { Next::Go })
    };
    follow(client, &format!("/v1/t/{slug}/builds/{id}/events"), told, |error| lost(&bar, error))?;
    drop(bar);
    settle(end.as_ref())
}

/// The build as it is told where nothing runs.
fn stored(press: &Press, slug: &TenantSlug, id: &str, out: Out) -> anyhow::Result<()> {
    let (build, delivery) = known(id)?;
    let view = press.store.view()?;
    let uid = tenants::find(&view, slug)?.uid;
    let told = if let Some(record) = view.get::<BuildRecord>(&(uid, build))? {
        of_record(&record)
    } else {
        let row = view.get::<DeliveryRow>(&(uid, delivery))?.context(UNKNOWN)?;
        of_delivery(&view, uid, delivery, &row)?
    };
    let Told { stages, ended } = told;
    let events = stages.iter().map(event).collect::<Result<Vec<_>, _>>()?;
    for event in &events {
        out.data(event, text)?;
    }
    settle(events.last().filter(|_| ended))
}

const UNKNOWN: &str = "there is no such build or delivery";

fn known(id: &str) -> anyhow::Result<(BuildId, DeliveryKey)> {
    Ok((id.parse()?, id.parse()?))
}

fn event(stage: &Stage) -> serde_json::Result<Event> {
    let (id, kind) = (stage.rank().to_string(), stage.word().to_owned());
    Ok(Event { id, kind, data: serde_json::to_value(stage)? })
}

/// Follows all builds of a tenant.
fn all(client: &Client, slug: &TenantSlug, after: Option<u64>, out: Out) -> anyhow::Result<()> {
    let bar = Bar::new(out);
    let after = after.map_or_else(String::new, |after| format!("?after={after}"));
    let path = format!("/v1/t/{slug}/builds/events{after}");
    let told = |event: Event| {
        match event.kind.as_str() {
            "running" => bar.show(&in_work(&event.data)),
            _ => tell(&bar, &event, out)?,
        }
        Ok(Next::Go)
    };
    follow(client, &path, told, |error| lost(&bar, error))
}

/// A line of data, above the bar.
fn tell(bar: &Bar, event: &Event, out: Out) -> anyhow::Result<()> {
    bar.above(
        || if out.is_json() || event.kind != "ready" { out.data(event, text) } else { Ok(()) },
    )
}

fn lost(bar: &Bar, error: &anyhow::Error) {
    let why = chain(error.as_ref());
    bar.show(&Step {
        stage: format!("waiting for the server: {why}").into(),
        done: 0,
        total: None,
    });
}

fn in_work(data: &Value) -> Step {
    let running = data["running"].as_array().map_or(0, Vec::len);
    let stage = if running == 0 { "waiting".to_owned() } else { format!("{running} in work") };
    Step { stage: stage.into(), done: 0, total: None }
}

/// Fails as the build did.
fn settle(end: Option<&Event>) -> anyhow::Result<()> {
    let Some(end) = end else { bail!("the build has not ended") };
    if end.kind == "failed" {
        bail!("the build failed: {}", end.data["code"].as_str().unwrap_or("unknown"));
    }
    Ok(())
}

/// An event for people.
fn text(event: &Event) -> String {
    if event.kind == "build"
        && let Ok(build) = serde_json::from_value::<BuildSummary>(event.data.clone())
    {
        return line(&build);
    }
    let word = |name: &str| event.data[name].as_str().map(|text| format!("{name} {text}"));
    let number = event.data["number"].as_u64().map(|number| format!("number {number}"));
    let gates = event.data["gates"].as_array().map(|gates| {
        let gate = |gate: &Value| {
            let said = [gate["name"].as_str(), gate["status"].as_str()];
            said.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        gates.iter().map(gate).collect::<Vec<_>>().join(", ")
    });
    let facts = ["delivery", "name", "outcome", "code", "flow", "build", "commit"].map(word);
    let facts: Vec<_> = facts.into_iter().chain([number, gates]).flatten().collect();
    format!("{:9}  {}", event.kind, facts.join("  ")).trim_end().to_owned()
}
