//! A tenant's Git objects, made from records that were imported, where there are none yet.

use std::collections::BTreeMap;
use std::path::Path;

use colophon_gitbridge::ObjectLog as _;
use colophon_model::{Oid, Ordinal, TenantBranch, TenantUid};
use colophon_store::rows::{GitOid, RefRow, TenantRow};
use colophon_store::{Change, Error, Progress, Report, Store};

use super::RebuildError;
use super::replay::{Replay, Tags};

/// Most rows of one batch, and most bytes.
const BATCH: usize = 1_024;
const BATCH_BYTES: usize = 4 << 20;

/// What to make. Records, planted files, the first commit's signature and all blobs are in the store.
pub struct Restore<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where the objects are set aside until they are stored.
    pub dir: &'a Path,
    /// The tenant, which need not be there yet.
    pub tenant: &'a TenantRow,
    /// How many builds it has.
    pub builds: u64,
    /// The tags that stand, by full name, and the ids of their objects.
    pub tags: &'a BTreeMap<String, Oid>,
    /// Where the branch must end.
    pub tip: Oid,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Objects on the branch.
    pub objects: u32,
    /// Tags.
    pub tags: u64,
}

impl Restore<'_> {
    /// Makes every commit again, makes sure that each has the id that its record says, and each tag the id that is
    /// asked for, and only then writes rows: objects, tags, refs.
    ///
    /// # Errors
    /// [`RebuildError`]; rows of the tenant may be there then, which the next attempt writes again.
    pub fn run(&self, report: Report<'_>) -> Result<Restored, RebuildError> {
        let names = Tags::Standing(self.tags.keys().cloned().collect());
        let mut replay = Replay::begin(&self.store.view()?, self.tenant, names, self.dir)?;
        while replay.builds < self.builds {
            replay.build(&self.store.view()?)?;
            let (done, total) = (replay.builds, Some(self.builds));
            report(Progress { stage: "making commits", done, total });
        }
        self.check(&replay)?;
        let objects = replay.objects()?;
        let mut next = 0;
        while next < objects {
            let mut change = Change::new();
            next = self.rows(&replay, next, &mut change)?;
            self.store.commit(change).map_err(Error::from)?;
            let (done, total) = (next.into(), Some(objects.into()));
            report(Progress { stage: "storing objects", done, total });
        }
        self.refs(&replay)?;
        Ok(Restored { objects, tags: replay.tags.len() as u64 })
    }

    fn uid(&self) -> TenantUid {
        self.tenant.uid
    }

    fn check(&self, replay: &Replay<'_>) -> Result<(), RebuildError> {
        let made = replay.tip.ok_or_else(|| RebuildError::Lost("the tip".to_owned()))?;
        if made != self.tip {
            let build = "the tip".to_owned();
            return Err(RebuildError::Differs { build, stored: self.tip, made });
        }
        for (name, stored) in self.tags {
            let made = replay.tags.get(name);
            let made =
                made.ok_or_else(|| RebuildError::Lost(format!("the build of tag `{name}`")))?;
            if made.oid != *stored {
                let (build, stored, made) = (format!("tag `{name}`"), *stored, made.oid);
                return Err(RebuildError::Differs { build, stored, made });
            }
        }
        Ok(())
    }

    /// Adds objects from ordinal `from` on; returns where to go on.
    fn rows(
        &self,
        replay: &Replay<'_>,
        from: u32,
        change: &mut Change,
    ) -> Result<u32, RebuildError> {
        let objects = replay.objects()?;
        let (mut next, mut bytes) = (from, 0);
        while next < objects && bytes < BATCH_BYTES && next - from < BATCH as u32 {
            let at = Ordinal::new(next);
            let entry = replay.draft.entry(at).map_err(colophon_gitbridge::Error::Read)?;
            let entry = entry.ok_or_else(|| RebuildError::Lost(format!("object {next}")))?;
            bytes += entry.deflated.len();
            change.put(&(self.uid(), entry.oid), &GitOid { ordinal: at });
            change.put(&(self.uid(), at), &entry);
            next += 1;
        }
        Ok(next)
    }

    fn refs(&self, replay: &Replay<'_>) -> Result<(), RebuildError> {
        let uid = self.uid();
        let branch = TenantBranch::new(self.tenant.slug.clone()).full_name();
        let mut change = Change::new();
        change.put::<RefRow>(&(uid, branch), &RefRow { oid: self.tip, peeled: None });
        for (count, (name, tag)) in replay.tags.iter().enumerate() {
            if count % BATCH == BATCH - 1 {
                self.store.commit(std::mem::take(&mut change)).map_err(Error::from)?;
            }
            let row = RefRow { oid: tag.oid, peeled: Some(tag.target) };
            change.put::<RefRow>(&(uid, name.clone()), &row);
            change.put(&(uid, tag.oid), tag);
        }
        Ok(self.store.commit(change).map_err(Error::from)?)
    }
}
