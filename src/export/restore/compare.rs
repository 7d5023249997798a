//! What was restored, laid beside the export once more.

use std::collections::BTreeMap;

use colophon_model::{BuildRecord, Digest, Oid, TenantBranch};
use colophon_store::rows::{AuditLine, BuildNumber, BundleAlias, RefRow, TenantHead};
use colophon_store::{Progress, Report, View};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::source::{Source, has};
use super::{RestoreError, Surveyed};
use crate::export::layout;
use crate::export::verify::payload::parse;
use crate::export::verify::{Finding, Tags};
use crate::pipeline::Press;

/// How a restored tenant compares with its export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Builds whose records are the same.
    pub builds: u64,
    /// Lines of the audit log that are the same.
    pub lines: u64,
    /// Names of blobs whose blob is there.
    pub names: u64,
    /// Documents about bundles that are the same.
    pub documents: u64,
    /// Refs that lead to the same objects.
    pub refs: u64,
    /// What is not the same; empty when all is.
    pub findings: Vec<Finding>,
}

impl Compared {
    fn note(&mut self, good: bool, at: impl FnOnce() -> String, problem: &str) -> bool {
        if !good {
            self.findings.push(Finding { at: at(), problem: problem.to_owned() });
        }
        good
    }
}

/// Compares record by record, line by line, ref by ref. Blobs are looked for: whether they are whole is for the check
/// of the store.
pub(super) fn compare(
    (press, runtime): (&Press, &Runtime),
    source: &Source<'_>,
    from: &Surveyed,
    tags: &BTreeMap<String, Oid>,
    report: Report<'_>,
) -> Result<Compared, RestoreError> {
    let mut done = Compared::default();
    let total = Some(from.proven.bags.len() as u64);
    for (count, bag) in from.proven.bags.iter().enumerate() {
        let files = runtime.block_on(Files::read(source, bag, done.lines + 1))?;
        let view = press.store.view()?;
        records(&view, from, bag, &files, &mut done)?;
        lines(&view, from, bag, &files, &mut done)?;
        blobs(&view, from, bag, &files, &mut done)?;
        report(Progress { stage: "comparing", done: count as u64 + 1, total });
    }
    let view = press.store.view()?;
    runtime.block_on(documents(&view, source, from, &mut done))?;
    refs(&view, from, tags, &mut done)?;
    Ok(done)
}

/// What of a bag is compared.
struct Files {
    builds: String,
    lines: String,
    blobs: String,
}

impl Files {
    async fn read(source: &Source<'_>, bag: &Tags, first: u64) -> Result<Self, RestoreError> {
        Ok(Self {
            builds: source.text(bag, layout::BUILDS).await?,
            lines: source.text(bag, &layout::audit(first)).await?,
            blobs: source.text(bag, layout::BLOB_LIST).await?,
        })
    }
}

fn records(
    view: &View,
    from: &Surveyed,
    bag: &Tags,
    files: &Files,
    done: &mut Compared,
) -> Result<(), RestoreError> {
    let uid = from.tenant.uid;
    for line in files.builds.lines() {
        let number = done.builds + 1;
        let id = view.get::<BuildNumber>(&(uid, number))?.map(|row| row.build);
        let record = id.map(|id| view.get::<BuildRecord>(&(uid, id))).transpose()?.flatten();
        let json = record.and_then(|record| serde_json::to_value(record).ok());
        let same = json.map(|json| json.to_string()).as_deref() == Some(line);
        let at = || format!("{} (build {number})", bag.name.file(layout::BUILDS));
        done.note(same, at, "was not restored as it is");
        done.builds = number;
    }
    Ok(())
}

fn lines(
    view: &View,
    from: &Surveyed,
    bag: &Tags,
    files: &Files,
    done: &mut Compared,
) -> Result<(), RestoreError> {
    for line in files.lines.lines() {
        let seq = done.lines + 1;
        let stored = view.get::<AuditLine>(&(from.tenant.uid, seq))?;
        let at = || format!("{} (line {seq})", bag.name);
        done.note(stored.is_some_and(|stored| stored.0 == line), at, "was not restored as it is");
        done.lines = seq;
    }
    Ok(())
}

fn blobs(
    view: &View,
    from: &Surveyed,
    bag: &Tags,
    files: &Files,
    done: &mut Compared,
) -> Result<(), RestoreError> {
    // Roots come back by `data/edge.json`, where the keys are those of before.
    let is_root = |line: &&str| line.splitn(5, ' ').nth(4).is_some_and(layout::is_root);
    for (_, named) in files.blobs.lines().filter(|line| !is_root(line)).filter_map(parse) {
        let Some(digest) = named.digest else { continue };
        let there = view.has_blob(from.tenant.uid, &digest)?;
        let at = || format!("{} ({digest})", bag.name.file(layout::BLOB_LIST));
        if done.note(there, at, "was not restored") {
            done.names += 1;
        }
    }
    Ok(())
}

/// The newest documents about each bundle.
async fn documents(
    view: &View,
    source: &Source<'_>,
    from: &Surveyed,
    done: &mut Compared,
) -> Result<(), RestoreError> {
    for row in view.scan::<BundleAlias>(&from.tenant.uid) {
        let ((_, zip), alias) = row?;
        for (kind, path) in layout::documents(&zip) {
            let newest = from.proven.bags.iter().rev().find(|bag| has(bag, &path));
            let Some(bag) = newest else { continue };
            let bytes = source.file(bag, &path).await?.unwrap_or_default();
            let same = alias.documents.get(&kind) == Some(&Digest::of(&bytes));
            if done.note(same, || bag.name.file(&path), "was not restored as it is") {
                done.documents += 1;
            }
        }
    }
    Ok(())
}

fn refs(
    view: &View,
    from: &Surveyed,
    tags: &BTreeMap<String, Oid>,
    done: &mut Compared,
) -> Result<(), RestoreError> {
    let (uid, cursor) = (from.tenant.uid, &from.proven.head.cursor);
    let branch = TenantBranch::new(from.tenant.slug.clone()).full_name();
    let mut wanted = tags.clone();
    wanted.extend(cursor.tip.map(|tip| (branch, tip)));
    for row in view.scan::<RefRow>(&uid) {
        let ((_, name), row) = row?;
        let same = wanted.remove(&name) == Some(row.oid);
        if done.note(same, || name.clone(), "leads elsewhere than in the export") {
            done.refs += 1;
        }
    }
    for name in wanted.into_keys() {
        done.note(false, || name, "was not restored");
    }
    let head = view.get::<TenantHead>(&uid)?.unwrap_or_default();
    let ends = (head.builds, head.tip) == (cursor.builds, cursor.tip);
    done.note(ends, || layout::HEAD.to_owned(), "names another last build or tip");
    done.note(done.builds == cursor.builds, || layout::BUILDS.to_owned(), "is not complete");
    let all = done.lines == cursor.audit.seq;
    done.note(all, || "data/audit".to_owned(), "is not complete");
    Ok(())
}
