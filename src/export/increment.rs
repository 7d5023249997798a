//! What a bag has in it: what a state of the store has beyond the bags before. Nothing here speaks to a place or
//! asks for the time, so the same state gives the same bag.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::audit::{Chain, ChainHead, Entry};
use colophon_model::{BuildRecord, Digest, Oid, Sha256, Tree, UnixMillis};
use colophon_store::View;
use colophon_store::rows::{AuditHead, AuditLine, BuildNumber, BundleAlias, TenantHead, TenantRow};

use super::cursor::Cursor;
use super::delivery::roots;
use super::edge::{self, EdgeState};
use super::error::ExportError;
use super::git::GitPart;
use super::layout;

/// How much goes into one bag at most. What is beyond goes into further ones, so a bag is made in bounded memory
/// and with a short look at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Builds.
    pub builds: u64,
    /// Lines of the audit log.
    pub lines: u64,
}

/// Where a bag ends: numbers of the last build and of the last line of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// The build.
    pub builds: u64,
    /// The line.
    pub lines: u64,
}

impl Until {
    /// Whether nothing is left to `goal`.
    pub(super) const fn reaches(self, goal: Self) -> bool {
        self.builds >= goal.builds && self.lines >= goal.lines
    }
}

/// A blob, and what it is of the bag's builds. The path sorts last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The blob.
    pub digest: Digest,
    /// What it is.
    pub path: String,
}

/// Everything that goes into one bag.
#[derive(Debug)]
pub struct Content {
    /// Where the bags before end.
    pub since: Cursor,
    /// Where this one ends.
    pub after: Cursor,
    /// The time of the newest fact in it.
    pub time: UnixMillis,
    /// The tenant, when something of it is new.
    pub tenant: Option<TenantRow>,
    /// The builds, by number.
    pub records: Vec<BuildRecord>,
    /// Lines of the audit log, as they were written, each with a line break.
    pub lines: String,
    /// The blobs that the builds name.
    pub references: BTreeSet<Reference>,
    /// Files of the payload that are written about bundles, by path.
    pub documents: BTreeMap<String, Digest>,
    /// Documents that have ended with their bundles: SHA-256 of the zip, and what.
    pub omitted: BTreeSet<(Sha256, &'static str)>,
    pub(super) git: Option<GitPart>,
    /// What of the edge repository no build tells.
    pub(super) edge: Option<EdgeState>,
}

/// How lines begin that tell of an export. They alone are no reason for another one.
const OWN: &str = "{\"action\":\"tenant.export\"";

/// Where the next bag of `tenant` ends; `None` when there is nothing to tell beyond `since`.
///
/// # Errors
/// [`ExportError::Diverged`] when the bags before are not of this store's past.
pub fn until(
    view: &View,
    tenant: &TenantRow,
    since: &Cursor,
    most: Limits,
) -> Result<Option<Until>, ExportError> {
    check_past(view, tenant, since)?;
    let builds = view.get::<TenantHead>(&tenant.uid)?.unwrap_or_default().builds;
    let lines = view.get::<AuditHead>(&tenant.uid)?.unwrap_or_default().0.seq;
    let tells = || first_telling(view, tenant, since.audit.seq).map(|line| line.is_some());
    if since.sequence > 0 && builds <= since.builds && !tells()? {
        return Ok(None);
    }
    Ok(Some(Until {
        builds: builds.min(since.builds.saturating_add(most.builds)),
        lines: lines.min(since.audit.seq.saturating_add(most.lines)),
    }))
}

/// Names of files in one bag, in which one build alone may have more: a list of them has to be read whole.
pub(super) const NAMES: u64 = 60_000;

/// The number of the last build up to which the builds behind number `from` name no more than `most` files, `to` at most;
/// one build at least, if there is one.
///
/// # Errors
/// When a build or the list of a bundle's files cannot be read.
pub fn fitting(
    view: &View,
    tenant: &TenantRow,
    (from, to): (u64, u64),
    most: u64,
) -> Result<u64, ExportError> {
    let mut names = 0;
    for number in from + 1..=to {
        let record = record(view, tenant, number)?;
        for output in &record.outputs {
            names += output.files.len() as u64;
            let Some(edge) = &output.edge else { continue };
            names += tree(view, tenant, &edge.tree)?.entries().len() as u64;
        }
        if names > most && number > from + 1 {
            return Ok(number - 1);
        }
    }
    Ok(to)
}

/// When the first act was written down that comes behind line `after` of the audit log and is no export.
///
/// # Errors
/// When the store cannot be read.
pub fn first_telling(
    view: &View,
    tenant: &TenantRow,
    after: u64,
) -> Result<Option<UnixMillis>, colophon_store::Error> {
    for row in view.scan::<AuditLine>(&tenant.uid).starting_at(&(tenant.uid, after + 1)) {
        let (_, AuditLine(line)) = row?;
        if !line.starts_with(OWN) {
            let entry = serde_json::from_str::<Entry>(&line).ok();
            return Ok(Some(entry.and_then(|entry| time(&entry.time)).unwrap_or(tenant.created)));
        }
    }
    Ok(None)
}

/// What the bag from `since` to `until` has in it.
///
/// # Errors
/// [`ExportError::Diverged`] when the bags before are not of this store's past.
pub fn collect(
    view: &View,
    tenant: &TenantRow,
    since: &Cursor,
    until: Until,
) -> Result<Content, ExportError> {
    check_past(view, tenant, since)?;
    let records = records(view, tenant, since.builds, until.builds)?;
    let Lines { text: lines, end: audit, edge } = lines(view, tenant, &since.audit, until.lines)?;
    let head = view.get::<TenantHead>(&tenant.uid)?.unwrap_or_default();
    let last = records.last();
    let tip = match last {
        _ if until.builds >= head.builds => head.tip,
        Some(record) => Some(record.commit),
        None => since.tip,
    };
    let built = records.iter().map(|record| record.stamp.time()).max();
    let time = [Some(tenant.created), built, Some(audit.time)].into_iter().flatten().max();
    let git =
        tip.map(|tip: Oid| GitPart::new(view, tenant, (since.tip, tip), &records)).transpose()?;
    let mut content = Content {
        since: since.clone(),
        after: Cursor {
            audit,
            build: last.map_or(since.build, |record| Some(record.id)),
            builds: until.builds,
            sequence: since.sequence + 1,
            tip,
        },
        time: time.unwrap_or(tenant.created),
        tenant: news_of(view, tenant, since, &lines)?,
        records: Vec::new(),
        lines,
        references: BTreeSet::new(),
        documents: BTreeMap::new(),
        omitted: BTreeSet::new(),
        git: git.flatten(),
        edge: EdgeState::beyond(view, tenant, since, edge)?,
    };
    for record in &records {
        refer(view, tenant, record, &mut content)?;
    }
    if let Some(repo) = &head.edge {
        content.references.extend(roots(view, tenant, repo)?);
    }
    content.records = records;
    Ok(content)
}

/// How lines begin that tell of what was done to the tenant itself.
const UPON: &str = "{\"action\":\"tenant.";

/// The tenant as it is, when the lines of a bag tell that something was done to it, or it is the first bag. Each step is
/// written down with the change that it makes, so what is left out stands in a bag before.
fn news_of(
    view: &View,
    tenant: &TenantRow,
    since: &Cursor,
    lines: &str,
) -> Result<Option<TenantRow>, ExportError> {
    let tells = |line: &str| line.starts_with(UPON) && !line.starts_with(OWN);
    if since.sequence > 0 && !lines.lines().any(tells) {
        return Ok(None);
    }
    // The run has read it before it was decided which lines are in the bag.
    let now = view.get::<TenantRow>(&tenant.slug)?.filter(|now| now.uid == tenant.uid);
    Ok(Some(now.unwrap_or_else(|| tenant.clone())))
}

/// Makes sure that what was exported before is what this store was then.
pub(super) fn check_past(
    view: &View,
    tenant: &TenantRow,
    since: &Cursor,
) -> Result<(), ExportError> {
    let uid = tenant.uid;
    if since.audit.seq > 0 {
        let line = view.get::<AuditLine>(&(uid, since.audit.seq))?;
        if line.is_none_or(|line| Sha256::of(line.0.as_bytes()) != since.audit.last) {
            return Err(ExportError::Diverged { what: "line", number: since.audit.seq });
        }
    }
    if since.builds > 0 {
        let build = view.get::<BuildNumber>(&(uid, since.builds))?;
        if build.map(|row| row.build) != since.build {
            return Err(ExportError::Diverged { what: "build", number: since.builds });
        }
    }
    Ok(())
}

fn records(
    view: &View,
    tenant: &TenantRow,
    since: u64,
    until: u64,
) -> Result<Vec<BuildRecord>, ExportError> {
    (since + 1..=until).map(|number| record(view, tenant, number)).collect()
}

fn record(view: &View, tenant: &TenantRow, number: u64) -> Result<BuildRecord, ExportError> {
    let lost = || ExportError::Lost { what: "build", number };
    let id = view.get::<BuildNumber>(&(tenant.uid, number))?.ok_or_else(lost)?.build;
    view.get::<BuildRecord>(&(tenant.uid, id))?.ok_or_else(lost)
}

/// The list of a bundle's files.
fn tree(view: &View, tenant: &TenantRow, digest: &Digest) -> Result<Tree, ExportError> {
    let lost = || ExportError::Blob { digest: *digest };
    let text = view.read_blob(tenant.uid, digest)?.ok_or_else(lost)?;
    Tree::decode(&text).map_err(|_| lost())
}

/// Lines of the audit log.
struct Lines {
    text: String,
    /// The end of the chain after them.
    end: ChainHead,
    /// Whether they tell that the edge repository was changed.
    edge: bool,
}

/// The lines up to `until`. Each link is checked on the way.
fn lines(
    view: &View,
    tenant: &TenantRow,
    since: &ChainHead,
    until: u64,
) -> Result<Lines, ExportError> {
    let (mut text, mut head, mut edge) = (String::new(), since.clone(), false);
    let from = (tenant.uid, since.seq + 1);
    let rows = view.scan::<AuditLine>(&tenant.uid).starting_at(&from);
    for row in rows.take(usize::try_from(until.saturating_sub(since.seq)).unwrap_or(usize::MAX)) {
        let ((_, number), AuditLine(line)) = row?;
        let broken = || ExportError::Broken { number };
        let entry: Entry = serde_json::from_str(&line).map_err(|_| broken())?;
        let linked = (entry.seq, entry.prev) == (head.seq + 1, head.last);
        if !linked || number != entry.seq || entry.chain != Chain::Tenant(tenant.uid) {
            return Err(broken());
        }
        edge |= edge::changes(entry.action);
        head = head.follow(&line, time(&entry.time).ok_or_else(broken)?);
        text.push_str(&line);
        text.push('\n');
    }
    if head.seq == until {
        Ok(Lines { text, end: head, edge })
    } else {
        Err(ExportError::Broken { number: head.seq + 1 })
    }
}

/// Milliseconds of the RFC 3339 time of a line.
fn time(text: &str) -> Option<UnixMillis> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(UnixMillis::new)
}

/// Adds what a build names.
fn refer(
    view: &View,
    tenant: &TenantRow,
    record: &BuildRecord,
    content: &mut Content,
) -> Result<(), ExportError> {
    let mut name = |digest, path| {
        content.references.insert(Reference { digest, path });
    };
    name(record.body, format!("builds/{}/flow.json", record.id));
    if let Some(manifest) = record.manifest {
        name(manifest, format!("builds/{}/manifest.json", record.id));
    }
    for output in &record.outputs {
        for file in &output.files {
            name(file.digest, format!("trees/{}/{}", output.tree, file.path));
        }
        let Some(edge) = &output.edge else { continue };
        name(edge.tree, format!("trees/{}", edge.tree));
        for entry in tree(view, tenant, &edge.tree)?.entries() {
            name(entry.digest, format!("trees/{}/{}", edge.tree, entry.path));
        }
        let alias = view.get::<BundleAlias>(&(tenant.uid, edge.sha256))?;
        let documents = alias.map(|alias| alias.documents).unwrap_or_default();
        for (kind, path) in layout::documents(&edge.sha256) {
            match documents.get(&kind) {
                Some(digest) => drop(content.documents.insert(path, *digest)),
                None => drop(content.omitted.insert((edge.sha256, layout::word(kind)))),
            }
        }
    }
    Ok(())
}
