//! A tenant's Git objects, made anew from facts and put in the place of those that stand.
//!
//! All of it is made, and checked commit by commit, before anything is written. An object that stands
//! at its ordinal keeps it, so only rows that are lost or not as they would be made today are
//! replaced, in batches: packs that are being streamed go on. Refs, tags and the tail of the log
//! follow in the last transaction, in the tenant's lane.

use std::collections::BTreeSet;
use std::io;

use colophon_gitbridge::ObjectLog as _;
use colophon_model::{
    LogEntry, Oid, Ordinal, TagObject, TenantBranch, TenantSlug, TenantUid, UnixMillis,
};
use colophon_store::rows::{GitOid, RefRow, SlugOf, TenantHead, TenantRow};
use colophon_store::{Change, Error, Progress, Report, Store, View};
use serde::{Deserialize, Serialize};

use super::replay::{Replay, Tags};

/// Why a tenant's objects were not made anew. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A commit would be another one.
    #[error("{build} would become commit {made} instead of {stored}; nothing was changed")]
    Differs {
        /// Which.
        build: String,
        /// The commit that was handed out.
        stored: Oid,
        /// The commit that the facts give.
        made: Oid,
    },
    /// A fact, or a blob that one names, is gone.
    #[error("{0} is lost; nothing was changed")]
    Lost(String),
    /// The tenant was erased in between.
    #[error("the tenant is gone")]
    Gone,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// An object cannot be made.
    #[error("a Git object cannot be made")]
    Git(#[from] colophon_gitbridge::Error),
    /// A manifest cannot be made.
    #[error("a manifest could not be encoded")]
    Encoding(#[from] serde_json::Error),
    /// The file that holds the new objects until they are stored failed.
    #[error("the new objects cannot be set aside")]
    Aside(#[from] io::Error),
}

/// What was made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Whether nothing was changed because that was asked for.
    pub dry_run: bool,
    /// The tip, the same before and after.
    pub tip: Oid,
    /// Builds that were made again.
    pub builds: u64,
    /// Objects on the branch.
    pub objects: u64,
    /// Tags that stand.
    pub tags: u64,
    /// Objects whose rows were lost or other than they are made now, and are replaced.
    pub replaced: u64,
    /// Refs and tag objects that were lost or wrong, and are replaced.
    pub refs_replaced: u64,
    /// Rows of objects that the branch does not reach, and that are gone.
    pub removed: u64,
    /// Whether objects changed their places in the log, which ends packs that were being streamed.
    pub moved: bool,
}

/// What to make anew, and how.
pub struct Rebuild<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where the new objects are set aside.
    pub dir: &'a std::path::Path,
    /// The tenant.
    pub tenant: &'a TenantRow,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// When all refs are lost: tags of builds since then are made again.
    pub tags_since: UnixMillis,
}

/// Most rows of one batch, and most bytes.
const BATCH: usize = 1_024;
const BATCH_BYTES: usize = 4 << 20;

impl Rebuild<'_> {
    /// Makes the tenant's objects anew.
    pub fn run(&self, report: Report<'_>) -> Result<Rebuilt, RebuildError> {
        let view = self.store.view()?;
        let mut replay = Replay::begin(&view, self.tenant, self.tags(&view)?, self.dir)?;
        let head = self.head(&view)?;
        drop(view);
        self.catch_up(&mut replay, &head, report)?;
        let mut counts = Counts::default();
        let moved = self.is_moved(&replay)?;
        if !moved && !self.dry_run {
            counts.settled = self.replace_rows(&replay, &mut counts, report)?;
        }
        self.switch(&mut replay, moved, counts, report)
    }

    fn head(&self, view: &View) -> Result<TenantHead, RebuildError> {
        view.get::<TenantHead>(&self.tenant.uid)?.ok_or(RebuildError::Gone)
    }

    fn branch(&self) -> String {
        TenantBranch::new(self.tenant.slug.clone()).full_name()
    }

    fn tags(&self, view: &View) -> Result<Tags, RebuildError> {
        let uid = self.tenant.uid;
        if view.get::<RefRow>(&(uid, self.branch()))?.is_none() {
            return Ok(Tags::Since(self.tags_since));
        }
        let names = view.scan::<RefRow>(&uid).map(|row| row.map(|((_, name), _)| name));
        Ok(Tags::Standing(names.collect::<Result<_, _>>()?))
    }

    fn catch_up(
        &self,
        replay: &mut Replay<'_>,
        head: &TenantHead,
        report: Report<'_>,
    ) -> Result<(), RebuildError> {
        while replay.builds < head.builds {
            replay.build(&self.store.view()?)?;
            let (done, total) = (replay.builds, Some(head.builds));
            report(Progress { stage: "making commits", done, total });
        }
        match (head.tip, replay.tip) {
            (Some(stored), Some(made)) if stored != made => {
                Err(RebuildError::Differs { build: "the tip".to_owned(), stored, made })
            }
            _ => Ok(()),
        }
    }

    /// Whether a row of the log holds another object than it would.
    fn is_moved(&self, replay: &Replay<'_>) -> Result<bool, RebuildError> {
        let objects = replay.objects()?;
        for from in (0..objects).step_by(BATCH) {
            let view = self.store.view()?;
            for at in (from..objects.min(from.saturating_add(BATCH as u32))).map(Ordinal::new) {
                let stored = stored(&view, self.tenant.uid, at)?.map(|entry| entry.oid);
                if stored.is_some_and(|oid| replay.draft.ordinal(&oid).ok().flatten() != Some(at)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Replaces rows batch by batch, in order: whatever is read in between, each object is the one
    /// that its ordinal names, and deltas of new rows rest on new rows. Returns how many are done.
    fn replace_rows(
        &self,
        replay: &Replay<'_>,
        counts: &mut Counts,
        report: Report<'_>,
    ) -> Result<u32, RebuildError> {
        let objects = replay.objects()?;
        let mut next = 0;
        while next < objects {
            let lane = self.store.lane(self.tenant.uid);
            let mut batch = Batch::new(self.tenant);
            next = batch.rows(&lane.settled()?, replay, next, Some(BATCH_BYTES))?;
            if batch.rows > 0 {
                lane.submit(batch.change).wait().map_err(Error::from)?;
            }
            counts.replaced += batch.rows;
            let (done, total) = (next.into(), Some(objects.into()));
            report(Progress { stage: "replacing objects", done, total });
        }
        Ok(objects)
    }

    /// Brings the rest, and makes it what stands. Builds of the tenant wait meanwhile.
    fn switch(
        &self,
        replay: &mut Replay<'_>,
        moved: bool,
        mut counts: Counts,
        report: Report<'_>,
    ) -> Result<Rebuilt, RebuildError> {
        let lane = self.store.lane(self.tenant.uid);
        let view = lane.settled()?;
        let head = self.head(&view)?;
        self.catch_up(replay, &head, report)?;
        let tip = replay.tip.ok_or_else(|| RebuildError::Lost("the tip".to_owned()))?;
        let objects = replay.objects()?;
        let mut batch = Batch::new(self.tenant);
        batch.rows(&view, replay, counts.settled, None)?;
        counts.replaced += batch.rows;
        counts.removed = batch.strays(&view, replay)?;
        let branch = RefRow { oid: tip, peeled: None };
        counts.refs = batch.reference(&view, self.branch(), &branch);
        let (tags, refs) = batch.tags(&view, replay)?;
        counts.refs += refs;
        counts.removed += batch.stray_tags(&view, replay)?;
        let new_head = TenantHead { tip: Some(tip), next_ordinal: objects, ..head.clone() };
        let uid = self.tenant.uid;
        batch.change.expect::<TenantHead>(&uid, Some(&head)).put::<TenantHead>(&uid, &new_head);
        let changed = counts.replaced + counts.refs + counts.removed > 0 || new_head != head;
        if changed && !self.dry_run {
            lane.submit(batch.change).wait().map_err(Error::from)?;
        }
        Ok(Rebuilt {
            dry_run: self.dry_run,
            tip,
            builds: replay.builds,
            objects: objects.into(),
            tags,
            replaced: counts.replaced,
            refs_replaced: counts.refs,
            removed: counts.removed,
            moved,
        })
    }
}

#[derive(Debug, Default)]
struct Counts {
    /// Objects from the first on whose rows are as they should be.
    settled: u32,
    replaced: u64,
    refs: u64,
    removed: u64,
}

/// Rows that are to be as they are made now.
struct Batch<'a> {
    uid: TenantUid,
    slug: &'a TenantSlug,
    change: Change,
    /// Objects whose rows are in it.
    rows: u64,
}

impl<'a> Batch<'a> {
    /// Fails with a conflict once the tenant is erased, so that nothing of it comes back.
    fn new(tenant: &'a TenantRow) -> Self {
        let mut change = Change::new();
        change.expect(&tenant.uid, Some(&SlugOf { slug: tenant.slug.clone() }));
        Self { uid: tenant.uid, slug: &tenant.slug, change, rows: 0 }
    }

    /// Adds the rows that differ, from ordinal `from` on and, with a bound, for about that many
    /// bytes; returns where to go on.
    fn rows(
        &mut self,
        view: &View,
        replay: &Replay<'_>,
        from: u32,
        most: Option<usize>,
    ) -> Result<u32, RebuildError> {
        let objects = replay.objects()?;
        let (mut next, mut bytes) = (from, 0);
        while next < objects && most.is_none_or(|most| bytes < most && next - from < BATCH as u32) {
            let at = Ordinal::new(next);
            let entry = replay.draft.entry(at).map_err(colophon_gitbridge::Error::Read)?;
            let entry = entry.ok_or_else(|| RebuildError::Lost(format!("object {next}")))?;
            let ordinal = view.get::<GitOid>(&(self.uid, entry.oid)).ok().flatten();
            let same = stored(view, self.uid, at)?.as_ref() == Some(&entry);
            next += 1;
            if same && ordinal.is_some_and(|row| row.ordinal == at) {
                continue;
            }
            bytes += entry.deflated.len();
            self.rows += 1;
            self.change.put(&(self.uid, entry.oid), &GitOid { ordinal: at });
            self.change.put(&(self.uid, at), &entry);
        }
        Ok(next)
    }

    /// Deletes what the branch does not reach; returns how many rows.
    fn strays(&mut self, view: &View, replay: &Replay<'_>) -> Result<u64, RebuildError> {
        let (mut removed, objects) = (0, replay.objects()?);
        for row in view.scan::<GitOid>(&self.uid) {
            let ((_, oid), _) = row?;
            let known = replay.draft.ordinal(&oid).map_err(colophon_gitbridge::Error::Read)?;
            if known.is_none() {
                self.change.delete::<GitOid>(&(self.uid, oid));
                removed += 1;
            }
        }
        let from = (self.uid, Ordinal::new(objects));
        for row in view.scan::<LogEntry>(&self.uid).starting_at(&from) {
            self.change.delete::<LogEntry>(&row?.0);
            removed += 1;
        }
        Ok(removed)
    }

    /// Makes a ref point where it should; returns whether it did not, as a number.
    fn reference(&mut self, view: &View, name: String, to: &RefRow) -> u64 {
        let key = (self.uid, name);
        if view.get::<RefRow>(&key).ok().flatten().as_ref() == Some(to) {
            return 0;
        }
        self.change.put::<RefRow>(&key, to);
        1
    }

    /// Makes tags and their objects what they should be; returns how many there are, and how many
    /// were not. A tag that was purged meanwhile stays away.
    fn tags(&mut self, view: &View, replay: &Replay<'_>) -> Result<(u64, u64), RebuildError> {
        let branch = TenantBranch::new(self.slug.clone()).full_name();
        let lost = view.get::<RefRow>(&(self.uid, branch))?.is_none();
        let (mut standing, mut replaced) = (0, 0);
        for (name, tag) in &replay.tags {
            let key = (self.uid, name.clone());
            if !lost && view.get::<RefRow>(&key)?.is_none() {
                continue;
            }
            standing += 1;
            let row = RefRow { oid: tag.oid, peeled: Some(tag.target) };
            let reference = self.reference(view, name.clone(), &row);
            let stored = view.get::<TagObject>(&(self.uid, tag.oid)).ok().flatten();
            if reference > 0 || stored.as_ref() != Some(tag) {
                self.change.put(&(self.uid, tag.oid), tag);
                replaced += 1;
            }
        }
        Ok((standing, replaced))
    }

    /// Deletes tag objects that no ref names; returns how many.
    fn stray_tags(&mut self, view: &View, replay: &Replay<'_>) -> Result<u64, RebuildError> {
        let mut named: BTreeSet<Oid> = BTreeSet::new();
        for row in view.scan::<RefRow>(&self.uid) {
            let ((_, name), row) = row?;
            named.insert(replay.tags.get(&name).map_or(row.oid, |tag| tag.oid));
        }
        let known: BTreeSet<Oid> = replay.tags.values().map(|tag| tag.oid).collect();
        let mut removed = 0;
        for row in view.scan::<TagObject>(&self.uid) {
            let (key, _) = row?;
            if !named.contains(&key.1) && !known.contains(&key.1) {
                self.change.delete::<TagObject>(&key);
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// The row at an ordinal; `None` also when it is damaged.
fn stored(view: &View, uid: TenantUid, at: Ordinal) -> Result<Option<LogEntry>, RebuildError> {
    match view.get::<LogEntry>(&(uid, at)) {
        Err(Error::Row { .. }) => Ok(None),
        other => Ok(other?),
    }
}
