//! What one commit does: bytes durable first, then the rows of all changes of the group together.

use std::collections::{BTreeSet, HashSet};
use std::io;

use colophon_model::{Digest, TenantUid};

use crate::blob::{self, BlobRow, Place};
use crate::damage::{Damage, Quarantined};
use crate::era::{self, Era};
use crate::row::{KeyPart as _, Row, key_bytes};
use crate::rows::RefChanges;
use crate::sequence::Sequence;
use crate::space::{Space, is_full};
use crate::sync::Arc;
use crate::{
    Batch, Change, CommitError, Conflict, InvalidRow, Kv, PreparedBlob, Segments, Snapshot, Table,
};

/// Everything the writer works on. It is on one thread at a time.
pub(crate) struct Committer {
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) segments: Arc<dyn Segments>,
    pub(crate) damage: Arc<Damage>,
    pub(crate) space: Arc<Space>,
    era: Era,
    inline: Inline,
    sequence: Sequence,
}

/// Which blobs of a group are kept in the metadata.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inline {
    /// Largest one, encoded, in bytes.
    pub(crate) max: usize,
    /// Most bytes of all of them.
    pub(crate) per_group: usize,
}

impl Inline {
    /// Small builds stay in the metadata, and cost no sync of a segment. A large group pays for one
    /// easily, and segments hold its blobs side by side, where pages of the metadata leave gaps.
    fn split(self, blobs: Vec<&PreparedBlob>) -> (Vec<&PreparedBlob>, Vec<&PreparedBlob>) {
        let mut left = self.per_group;
        blobs.into_iter().partition(|blob| {
            let len = blob.frame().payload().len();
            let fits = len <= self.max && len <= left;
            left -= if fits { len } else { 0 };
            fits
        })
    }
}

/// The rows of a group's blobs, and what they change about damage.
#[derive(Default)]
struct BlobRows {
    batch: Batch,
    damaged: BTreeSet<Digest>,
    healed: BTreeSet<Digest>,
}

impl Committer {
    pub(crate) fn new(
        kv: Arc<dyn Kv>,
        segments: Arc<dyn Segments>,
        damage: Arc<Damage>,
        space: Arc<Space>,
        inline: Inline,
    ) -> io::Result<Self> {
        let sequence = Sequence::load(&*kv.snapshot()?)?;
        Ok(Self { kv, segments, damage, space, era: Era::default(), inline, sequence })
    }

    /// The era, which this alone ends.
    pub(crate) fn era(&self) -> Era {
        self.era.clone()
    }

    /// Commits a group and answers for each change.
    ///
    /// # Errors
    /// Nothing is known about any of them, and nothing more may be written.
    pub(crate) fn commit(
        &mut self,
        group: &[Arc<Change>],
    ) -> io::Result<Vec<Result<(), CommitError>>> {
        let full = self.space.check();
        let fits = |change: &Change| change.uses_reserve || full.is_ok();
        let taken: Vec<&Change> =
            group.iter().map(AsRef::as_ref).filter(|change| fits(change)).collect();
        let mut results = match self.write(&taken) {
            Ok(results) => results.into_iter().map(|r| r.map_err(CommitError::from)).collect(),
            Err(Failed::Full) => vec![Err(self.space.refusal()); taken.len()],
            Err(Failed::Stopped(error)) => return Err(error),
        }
        .into_iter();
        let answer = |change: &Arc<Change>| {
            if fits(change) { results.next().unwrap_or(Ok(())) } else { full.clone() }
        };
        Ok(group.iter().map(answer).collect())
    }

    /// Commits batches of rows alone, such as those of maintenance.
    pub(crate) fn commit_rows(&self, batches: &[Batch]) -> io::Result<Vec<Result<(), Conflict>>> {
        self.apply(&batches.iter().collect::<Vec<_>>())
    }

    /// The only way to the rows. Who changes refs need not remember to count that, and who takes something
    /// away need not remember to end the era.
    fn apply(&self, batches: &[&Batch]) -> io::Result<Vec<Result<(), Conflict>>> {
        let counted = self.count_ref_changes(batches)?;
        let all: Vec<&Batch> = batches.iter().copied().chain(&counted).collect();
        let committed = self.kv.commit(&all);
        // After an error as well, since nothing is known then; a conflict only costs a look.
        if batches.iter().any(|batch| era::is_ended_by(batch)) {
            self.era.end();
        }
        let mut results = committed?;
        results.truncate(batches.len());
        Ok(results)
    }

    /// Raises the number of each tenant whose refs `batches` write, in a batch behind them. It is
    /// raised as well when a batch meets a conflict, which says no more than that refs may differ.
    fn count_ref_changes(&self, batches: &[&Batch]) -> io::Result<Option<Batch>> {
        let tenants: BTreeSet<TenantUid> =
            batches.iter().flat_map(|b| tenants_of_refs(b)).collect();
        if tenants.is_empty() {
            return Ok(None);
        }
        let (snapshot, mut batch) = (self.kv.snapshot()?, Batch::default());
        for tenant in tenants {
            let key = RefChanges::encode_key(&tenant);
            let row = snapshot.get(RefChanges::TABLE, &key)?;
            let row = row.map(|row| RefChanges::decode(&row)).transpose().map_err(invalid)?;
            let count = row.unwrap_or_default().count + 1;
            let row = RefChanges { count }.encode();
            batch.writes.insert((RefChanges::TABLE, key), Some(row));
        }
        Ok(Some(batch))
    }

    fn write(&mut self, group: &[&Change]) -> Result<Vec<Result<(), Conflict>>, Failed> {
        let rows = self.store_blobs(group)?;
        let changes = group.iter().map(|change| &change.batch);
        let batches: Vec<&Batch> = std::iter::once(&rows.batch).chain(changes).collect();
        let mut results = self.apply(&batches)?;
        self.damage.set(&rows.damaged, &rows.healed);
        // The batch of blobs has no checks, and nobody waits for it.
        Ok(results.split_off(1))
    }

    /// Makes the bytes of new blobs durable, or part of the batch, and returns their rows.
    fn store_blobs(&mut self, group: &[&Change]) -> Result<BlobRows, Failed> {
        let mut rows = BlobRows::default();
        if group.iter().all(|change| change.blobs.is_empty()) && !self.damage.has_suspected() {
            return Ok(rows);
        }
        let snapshot = self.kv.snapshot()?;
        self.quarantine(&*snapshot, &mut rows)?;
        let new = self.new_blobs(&*snapshot, group, &mut rows)?;
        let (small, large) = self.inline.split(new);
        let frames: Vec<&[u8]> = large.iter().map(|blob| blob.frame().as_bytes()).collect();
        let locations = self.segments.append(&frames).inspect_err(|_| {
            // What readers reported is not recorded then, and must not be forgotten.
            rows.damaged.iter().chain(&rows.healed).for_each(|digest| self.damage.suspect(*digest));
        });
        let locations = locations.map_err(Failed::of_append)?;
        for (blob, location) in large.iter().zip(locations) {
            name(&mut rows.batch, blob, Place::Segment(location));
        }
        // Numbered last: the lease of a group that does not fit is not written.
        for blob in small {
            let number = self.sequence.next(&mut rows.batch);
            let payload = blob.frame().payload().to_vec();
            rows.batch.writes.insert((Table::Inline, key_bytes(&number)), Some(payload));
            name(&mut rows.batch, blob, Place::Inline(number));
        }
        Ok(rows)
    }

    /// Looks at what readers reported and records what is damaged indeed.
    fn quarantine(&self, snapshot: &dyn Snapshot, rows: &mut BlobRows) -> io::Result<()> {
        for digest in self.damage.take_suspected() {
            if blob::is_damaged(snapshot, &*self.segments, &digest)? {
                let key = Quarantined::encode_key(&digest);
                rows.batch.writes.insert((Table::Quarantine, key), Some(Vec::new()));
                rows.damaged.insert(digest);
            }
        }
        Ok(())
    }

    /// The blobs of the group that the store does not hold, or not whole, each once, in order.
    fn new_blobs<'a>(
        &self,
        snapshot: &dyn Snapshot,
        group: &[&'a Change],
        rows: &mut BlobRows,
    ) -> io::Result<Vec<&'a PreparedBlob>> {
        let mut new = Vec::new();
        let mut seen: HashSet<Digest> = HashSet::new();
        let recorded = self.damage.recorded();
        for blob in group.iter().flat_map(|change| &change.blobs) {
            let digest = blob.digest();
            if !seen.insert(digest) {
                continue;
            }
            let row = snapshot.get(Table::Blob, digest.as_bytes())?;
            let bad = rows.damaged.contains(&digest) || recorded.contains(&digest);
            if bad {
                rows.heal(digest);
            }
            if bad || row.is_none() {
                new.push(blob);
            }
        }
        Ok(new)
    }
}

impl BlobRows {
    /// Lets a damaged blob out of quarantine, since it is about to be written anew. Its old bytes
    /// stay: a damaged row may name those of another blob. `fsck --repair` finds what is left over.
    fn heal(&mut self, digest: Digest) {
        let key = Quarantined::encode_key(&digest);
        self.batch.writes.insert((Table::Quarantine, key), None);
        self.damaged.remove(&digest);
        self.healed.insert(digest);
    }
}

/// Why a group was not written.
enum Failed {
    /// The disk took no more bytes, and no row was touched.
    Full,
    /// What the disk holds is unknown until the store is opened anew.
    Stopped(io::Error),
}

impl Failed {
    fn of_append(error: io::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Stopped(error) }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Stopped(error)
    }
}

/// The tenants whose refs a batch writes or deletes.
fn tenants_of_refs(batch: &Batch) -> impl Iterator<Item = TenantUid> {
    let from = (Table::Ref, Vec::new());
    let refs = batch.writes.range(from..).map(|((table, key), _)| (table, key));
    let keys = refs.take_while(|(table, _)| **table == Table::Ref);
    keys.filter_map(|(_, key)| TenantUid::take(&mut key.as_slice()))
}

fn invalid(error: InvalidRow) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Adds the row that says where a blob is.
fn name(batch: &mut Batch, blob: &PreparedBlob, place: Place) {
    let frame = blob.frame();
    let row = BlobRow { codec: frame.codec(), raw_len: frame.raw_len(), place };
    let key = BlobRow::encode_key(&blob.digest());
    batch.writes.insert((BlobRow::TABLE, key), Some(row.encode()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_only_so_many_bytes_inline() {
        let blobs: Vec<PreparedBlob> =
            (0..10_u8).map(|n| PreparedBlob::new(&[n; 4]).unwrap()).collect();
        let split = |max, per_group| {
            let (small, large) = Inline { max, per_group }.split(blobs.iter().collect());
            (small.len(), large.len())
        };
        assert_eq!(split(4, 1000), (10, 0));
        assert_eq!(split(3, 1000), (0, 10), "each is too large");
        assert_eq!(split(4, 19), (4, 6), "the fifth does not fit any more");
        assert_eq!(split(4, 0), (0, 10));
    }
}
