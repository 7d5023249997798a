//! The page of the store's health.

use std::sync::atomic::Ordering;

use colophon_store::View;
use colophon_store::rows::TenantRow;
use serde::Serialize;

use super::pages::Link;
use super::tenants::phase;
use super::words::{Badge, ago, bytes};
use crate::app::App;
use crate::exporter;
use crate::feed::status::EdgeStatus;
use crate::metrics;
use crate::mirror::{self, MirrorError, Phase};
use crate::tasks::Tasks;

/// The page.
#[derive(Debug, Serialize)]
pub struct HealthPage {
    version: &'static str,
    store: Badge,
    ready: Badge,
    gates: Badge,
    gate_reason: Option<String>,
    facts: Vec<Fact>,
    exports: Vec<Export>,
    queues: Vec<Queue>,
    upkeep: Vec<Fact>,
    mirrors: Vec<Mirror>,
    ends: Vec<Fact>,
    roots: Vec<Link>,
}

/// Something and its value.
#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Queue {
    name: &'static str,
    running: usize,
    most: usize,
    waiting: usize,
}

/// A place where the server exports to by itself.
#[derive(Debug, Serialize)]
struct Export {
    to: String,
    state: Badge,
    tenants: String,
    lag: String,
}

#[derive(Debug, Serialize)]
struct Mirror {
    href: String,
    slug: String,
    url: String,
    phase: Badge,
    pending: Option<u64>,
    trouble: Option<String>,
}

/// How everything is at this moment.
///
/// # Errors
/// When the store cannot be read.
pub fn page(app: &App, view: &View) -> Result<HealthPage, MirrorError> {
    let look = metrics::look(app)?;
    let (gates, gate_reason) = match app.press.gates.ready() {
        Ok(()) => (Badge::good("ready"), None),
        Err((gate, reason)) => (Badge::bad(format!("{gate} cannot run")), Some(reason)),
    };
    Ok(HealthPage {
        version: env!("CARGO_PKG_VERSION"),
        store: store(app),
        ready: ready(app),
        gates,
        gate_reason,
        facts: facts(&look),
        exports: exports(&look),
        queues: [("Builds", &app.builds), ("Reads", &app.reads), ("Maintenance", &app.maintenance)]
            .map(queue)
            .into(),
        upkeep: upkeep(app),
        mirrors: mirrors(view)?,
        ends: ends(&look),
        roots: roots(app, view)?,
    })
}

fn store(app: &App) -> Badge {
    match (app.press.store.health().is_ok(), app.press.store.room().is_ok()) {
        (false, _) => Badge::bad("stopped after a failed write"),
        (true, false) => Badge::bad("disk full"),
        (true, true) => Badge::good("takes writes"),
    }
}

fn ready(app: &App) -> Badge {
    let stopping = app.stopping.load(Ordering::Relaxed);
    if stopping {
        return Badge::warn("about to end");
    }
    let ready = app.press.store.room().is_ok() && app.press.gates.ready().is_ok();
    if ready { Badge::good("takes builds") } else { Badge::bad("takes no builds") }
}

fn fact(name: &'static str, value: impl Into<String>) -> Fact {
    Fact { name, value: value.into() }
}

fn facts(look: &metrics::Look) -> Vec<Fact> {
    let extent = &look.extent;
    let (waiting, oldest) = look.outbox;
    let (agents, behind, silent) = look.agents;
    let free = extent.free.map_or_else(|| "not known".to_owned(), bytes);
    vec![
        fact("Tenants", look.tenants.to_string()),
        fact("Blobs", extent.blobs.to_string()),
        fact("Segments", format!("{}, {}", extent.segments, bytes(extent.segment_bytes))),
        fact("Metadata", bytes(look.metadata_bytes)),
        fact("Free on the disk", free),
        fact("Effects of builds that wait", after(waiting, oldest)),
        fact("Agents", format!("{agents}, of which {behind} behind and {silent} silent for a day")),
    ]
}

fn exports(look: &metrics::Look) -> Vec<Export> {
    let one = |count: &exporter::Count| Export {
        to: count.to.clone(),
        state: match (count.failing, count.waiting) {
            (0, 0) => Badge::good("current"),
            (0, _) => Badge::plain("waiting"),
            (_, _) => Badge::bad("failing"),
        },
        tenants: format!(
            "{} current, {} waiting, {} failing",
            count.current, count.waiting, count.failing
        ),
        lag: if count.waiting + count.failing == 0 { "none".to_owned() } else { ago(count.lag) },
    };
    look.exports.iter().map(one).collect()
}

fn after(waiting: u64, oldest: f64) -> String {
    if waiting == 0 {
        "none".to_owned()
    } else {
        format!("{waiting}, the oldest for {}", ago(seconds(oldest)))
    }
}

/// Whole seconds; what is past is none.
#[expect(clippy::cast_sign_loss, reason = "not below zero")]
fn seconds(seconds: f64) -> u64 {
    seconds.max(0.0) as u64
}

fn queue((name, tasks): (&'static str, &Tasks)) -> Queue {
    let load = tasks.load();
    let (running, waiting) = (load.state.running, load.state.waiting);
    Queue { name, running, most: load.most, waiting }
}

fn upkeep(app: &App) -> Vec<Fact> {
    let config = &app.config.maintenance;
    if !config.enabled {
        return vec![fact("By itself", "nothing: `maintenance.enabled` is off")];
    }
    let every = |span: crate::units::Span| {
        if span.get().is_zero() { "never".to_owned() } else { format!("every {span}") }
    };
    vec![
        fact(
            "Garbage collection",
            format!("{}, of what nothing names for {}", every(config.gc_every), config.gc_grace),
        ),
        fact("Purge of what is expired", every(config.purge_every)),
        fact("Look for metadata to sign", every(config.resign_every)),
        fact("Check of blobs", format!("{} a second", config.scrub_per_second.rounded())),
    ]
}

fn mirrors(view: &View) -> Result<Vec<Mirror>, MirrorError> {
    let mut all = mirror::list(view)?;
    // What needs somebody stands first.
    all.sort_by_key(|mirror| match mirror.phase {
        Phase::Quarantined | Phase::Parked => 0,
        Phase::Retrying => 1,
        Phase::Pending => 2,
        Phase::Settled => 3,
    });
    let one = |status: mirror::MirrorStatus| Mirror {
        href: format!("/console/t/{}", status.slug),
        slug: status.slug.to_string(),
        url: status.url,
        phase: phase(status.phase),
        pending: status.pending.map(|pending| pending.changes),
        trouble: status.trouble,
    };
    Ok(all.into_iter().take(200).map(one).collect())
}

fn ends(look: &metrics::Look) -> Vec<Fact> {
    let fact = |(role, left): &(&'static str, f64)| {
        let value =
            if *left > 0.0 { format!("in {}", ago(seconds(*left))) } else { "ended".to_owned() };
        Fact { name: role, value }
    };
    look.ends.iter().map(fact).collect()
}

/// Tenants whose root only a ceremony can renew, and soon should.
fn roots(app: &App, view: &View) -> Result<Vec<Link>, colophon_store::Error> {
    let mut links = Vec::new();
    for row in view.scan::<TenantRow>(&String::new()) {
        let (slug, tenant) = row?;
        for status in EdgeStatus::read(view, &[tenant], app.press.clock.now())? {
            let text = |warning: &String| Link::new(format!("/console/t/{slug}"), warning);
            links.extend(status.warnings.iter().map(text));
        }
    }
    Ok(links)
}
