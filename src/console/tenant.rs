//! A tenant's page: how it stands, and its builds, newest first.

use colophon_model::{BuildKind, BuildRecord, GateStatus};
use colophon_store::View;
use colophon_store::rows::{BuildNumber, TenantHead, TenantRow};
use serde::Serialize;

use super::tenants::{Quota, details, phase, quota, state, when};
use super::words::{Badge, ago, count, short, time, to_the_second};
use crate::app::App;
use crate::exporter::{self, ExportStatus, Phase};
use crate::mirror::{self, MirrorError};

/// Builds of one page.
const PAGE: usize = 30;

/// The page.
#[derive(Debug, Serialize)]
pub struct TenantPage {
    slug: String,
    state: Badge,
    since: Option<String>,
    /// Since when it is under legal hold.
    held: Option<String>,
    created: String,
    edge: Badge,
    components: String,
    roots: String,
    git_url: String,
    commit: Option<String>,
    flows: u64,
    agents: u64,
    tokens: u64,
    quota: Vec<Quota>,
    mirror: Option<Mirror>,
    /// Where it is exported to, for the operator.
    exports: Vec<Export>,
    timeline: Timeline,
}

/// A place where the tenant is exported to for its auditors.
#[derive(Debug, Serialize)]
struct Export {
    to: String,
    state: Badge,
    scheduled: bool,
    there: String,
    waits: Option<String>,
    succeeded: Option<String>,
    next: Option<String>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Mirror {
    url: String,
    phase: Badge,
    pending: Option<u64>,
    trouble: Option<String>,
}

/// The builds alone.
#[derive(Debug, Serialize)]
pub struct TimelinePage {
    /// The builds.
    pub timeline: Timeline,
}

/// Builds of a tenant, the newest first.
#[derive(Debug, Serialize)]
pub struct Timeline {
    /// How many builds the tenant has: what the page's script asks about.
    seen: u64,
    /// Where it asks.
    news_href: String,
    /// Where it hears that there is something to ask for.
    events_href: String,
    builds: Vec<Line>,
    /// Address of older ones.
    older_href: Option<String>,
    /// Whether these are the newest.
    newest: bool,
    newest_href: String,
}

#[derive(Debug, Serialize)]
struct Line {
    number: u64,
    href: String,
    flow: String,
    name: String,
    at: String,
    kind: String,
    state: Badge,
    gates: Badge,
    revision: Option<u64>,
    commit: String,
}

/// The page of `tenant`, with builds before number `before`. The `operator` sees where it is exported to.
///
/// # Errors
/// When the store cannot be read.
pub fn page(
    app: &App,
    view: &View,
    tenant: &TenantRow,
    (before, operator): (Option<u64>, bool),
) -> Result<TenantPage, MirrorError> {
    let about = details(app, view, tenant)?;
    let exports = if operator {
        exporter::status(view, &app.config.export, &tenant.slug, app.press.clock.now())?
    } else {
        Vec::new()
    };
    Ok(TenantPage {
        slug: tenant.slug.to_string(),
        state: state(tenant),
        since: when(tenant.suspended.or(tenant.archived)),
        held: when(tenant.held),
        created: time(tenant.created),
        edge: if about.edge_archived { Badge::warn("archived") } else { Badge::good("active") },
        components: word(&about.components),
        roots: word(&about.roots),
        git_url: about.git_url.clone(),
        commit: about.commit.map(|commit| commit.to_string()),
        flows: about.flows,
        agents: about.agents,
        tokens: about.tokens,
        quota: quota(&about),
        mirror: mirror(view, tenant)?,
        exports: exports.into_iter().map(Export::new).collect(),
        timeline: timeline(view, tenant, before)?,
    })
}

impl Export {
    fn new(status: ExportStatus) -> Self {
        let builds = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX), "build");
        let (bags, lag) = (status.sequence, ago(status.lag));
        let waits = match (status.phase, status.waiting) {
            (Phase::Current, 0) => None,
            (_, 0) => Some(format!("acts, for {lag}")),
            (_, waiting) => Some(format!("{}, for {lag}", builds(waiting))),
        };
        Self {
            state: match status.phase {
                Phase::Current => Badge::good("current"),
                Phase::Waiting => Badge::plain("waiting"),
                Phase::Failing => Badge::bad("failing"),
            },
            scheduled: status.scheduled,
            there: match bags {
                0 => "nothing yet".to_owned(),
                1 => format!("{}, in 1 bag", builds(status.builds)),
                _ => format!("{}, in {bags} bags", builds(status.builds)),
            },
            waits,
            succeeded: status.succeeded.as_deref().map(to_the_second),
            next: status.next.as_deref().map(to_the_second),
            trouble: status.trouble,
            to: status.to,
        }
    }
}

/// The word that a value is written with in JSON.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn mirror(view: &View, tenant: &TenantRow) -> Result<Option<Mirror>, MirrorError> {
    match mirror::status(view, &tenant.slug) {
        Ok(status) => Ok(Some(Mirror {
            url: status.url,
            phase: phase(status.phase),
            pending: status.pending.map(|pending| pending.changes),
            trouble: status.trouble,
        })),
        Err(MirrorError::None(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many builds the tenant has.
///
/// # Errors
/// When the store cannot be read.
pub fn builds(view: &View, tenant: &TenantRow) -> Result<u64, colophon_store::Error> {
    Ok(view.get::<TenantHead>(&tenant.uid)?.unwrap_or_default().builds)
}

/// The builds before number `before`, or the newest.
///
/// # Errors
/// When the store cannot be read.
pub fn timeline(
    view: &View,
    tenant: &TenantRow,
    before: Option<u64>,
) -> Result<Timeline, colophon_store::Error> {
    let mut rows = view.scan::<BuildNumber>(&tenant.uid).descending();
    if let Some(before) = before {
        rows = rows.starting_at(&(tenant.uid, before.saturating_sub(1)));
    }
    let (mut builds, mut older) = (Vec::new(), None);
    for row in rows {
        let ((_, number), BuildNumber { build }) = row?;
        if builds.len() == PAGE {
            older = Some(number + 1);
            break;
        }
        if let Some(record) = view.get::<BuildRecord>(&(tenant.uid, build))? {
            builds.push(Line::new(tenant, &record));
        }
    }
    let here = format!("/console/t/{}", tenant.slug);
    Ok(Timeline {
        seen: self::builds(view, tenant)?,
        news_href: format!("{here}/timeline"),
        events_href: format!("{here}/events"),
        builds,
        older_href: older.map(|before| format!("{here}?before={before}")),
        newest: before.is_none(),
        newest_href: here,
    })
}

impl Line {
    fn new(tenant: &TenantRow, record: &BuildRecord) -> Self {
        Self {
            number: record.number,
            href: format!("/console/t/{}/builds/{}", tenant.slug, record.id),
            flow: record.flow.to_string(),
            name: record.name.clone(),
            at: time(record.stamp.time()),
            kind: kind(record.kind).to_owned(),
            state: outcome(record),
            gates: gates(record),
            revision: record.revision,
            commit: short(record.commit),
        }
    }
}

/// What led to a build.
pub(super) const fn kind(kind: BuildKind) -> &'static str {
    match kind {
        BuildKind::Delivery => "delivery",
        BuildKind::Rebuild { .. } => "rebuild",
        BuildKind::Deletion => "deletion",
        BuildKind::Rollback => "edge rollback",
        BuildKind::Reverted { .. } => "rollback",
    }
}

/// What became of a build.
pub(super) fn outcome(record: &BuildRecord) -> Badge {
    match (&record.failure, record.kind) {
        (Some(_), _) => Badge::bad("refused by a gate"),
        (None, BuildKind::Deletion) => Badge::plain("deleted"),
        (None, _) => Badge::good("built"),
    }
}

fn gates(record: &BuildRecord) -> Badge {
    let with = |status| record.gates.iter().filter(move |gate| gate.status == status);
    let (passed, skipped) = (with(GateStatus::Passed).count(), with(GateStatus::Skipped).count());
    match with(GateStatus::Failed).next() {
        Some(gate) => Badge::bad(format!("{} failed", gate.name)),
        None if skipped > 0 => Badge::warn(format!("{passed} passed, {skipped} skipped")),
        None if passed == 0 => Badge::plain("none"),
        None => Badge::good(count(passed, "gate") + " passed"),
    }
}
