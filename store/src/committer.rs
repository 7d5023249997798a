//! What one commit does: bytes durable first, then the rows of all changes of the group together.

use std::collections::{BTreeSet, HashMap};
use std::io;

use colophon_model::{Digest, TenantUid};

use crate::arrivals::{self, Choice};
use crate::blob::{BlobRow, Place};
use crate::damage::{Damage, Quarantined};
use crate::delta;
use crate::era::{self, Era};
use crate::reader::Reader;
use crate::row::{KeyPart as _, Row, key_bytes};
use crate::rows::RefChanges;
use crate::sequence::Sequence;
use crate::space::{Space, is_full};
use crate::sync::Arc;
use crate::turns::Turns;
use crate::{
    Batch, Change, CommitError, Conflict, Frame, InvalidRow, KeyRange, Kv, Order, Segments,
    Snapshot, Table,
};

/// Everything the writer works on. It is on one thread at a time.
pub(crate) struct Committer {
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) segments: Arc<dyn Segments>,
    pub(crate) damage: Arc<Damage>,
    pub(crate) space: Arc<Space>,
    era: Era,
    turns: Turns,
    inline: Inline,
    pub(crate) sequence: Sequence,
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
    fn split<'a>(self, frames: &[&'a Frame]) -> (Vec<&'a Frame>, Vec<&'a Frame>) {
        let mut left = self.per_group;
        frames.iter().copied().partition(|frame| {
            let len = frame.payload().len();
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
        Ok(Self {
            kv,
            segments,
            damage,
            space,
            era: Era::default(),
            turns: Turns::default(),
            inline,
            sequence,
        })
    }

    /// The era, which this alone ends.
    pub(crate) fn era(&self) -> Era {
        self.era.clone()
    }

    /// The tenants' turns, which this alone ends.
    pub(crate) fn turns(&self) -> Turns {
        self.turns.clone()
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
        for batch in batches {
            self.turns.end_for(batch);
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
        let segments = Arc::clone(&self.segments);
        let reader = Reader::new(&*snapshot, &*segments);
        self.quarantine(&*snapshot, &reader, &mut rows)?;
        let new = self.new_blobs(&*snapshot, &reader, group, &mut rows)?;
        self.lift(&*snapshot, &new, &mut rows)?;
        for frame in &new {
            rows.rest(frame);
        }
        let put = self.put(&new, &mut rows.batch);
        put.inspect_err(|_| {
            // What readers reported is not recorded then, and must not be forgotten.
            rows.damaged.iter().chain(&rows.healed).for_each(|digest| self.damage.suspect(*digest));
        })?;
        Ok(rows)
    }

    /// Makes the bytes of `frames` durable, or part of the batch, and names them there.
    pub(crate) fn put(&mut self, frames: &[&Frame], batch: &mut Batch) -> Result<(), Failed> {
        let (small, large) = self.inline.split(frames);
        let bytes: Vec<&[u8]> = large.iter().map(|frame| frame.as_bytes()).collect();
        let locations = self.segments.append(&bytes).map_err(Failed::of_append)?;
        for (frame, location) in large.iter().zip(locations) {
            name(batch, frame, Place::Segment(location));
        }
        // Numbered last: the lease of a group that does not fit is not written.
        for frame in small {
            let number = self.sequence.next(batch);
            let payload = frame.payload().to_vec();
            batch.writes.insert((Table::Inline, key_bytes(&number)), Some(payload));
            name(batch, frame, Place::Inline(number));
        }
        Ok(())
    }

    /// Looks at what readers reported and records what is damaged indeed, and what rests on it.
    fn quarantine(
        &self,
        snapshot: &dyn Snapshot,
        reader: &Reader<'_>,
        rows: &mut BlobRows,
    ) -> io::Result<()> {
        let mut suspected = self.damage.take_suspected();
        while let Some(digest) = suspected.pop_first() {
            // What is gone by now is not damaged, and leaves no trace.
            if is_known(snapshot, &digest)? && reader.is_damaged(&digest)? {
                let key = Quarantined::encode_key(&digest);
                rows.batch.writes.insert((Table::Quarantine, key), Some(Vec::new()));
                rows.damaged.insert(digest);
                let above = delta::resting_on(snapshot, &digest)?;
                suspected.extend(above.into_iter().filter(|above| !rows.damaged.contains(above)));
            }
        }
        Ok(())
    }

    /// What is to be written of the group's blobs: those that the store does not hold, or not whole, or not in
    /// a form that all who bring them may see. Each once, in order.
    fn new_blobs<'a>(
        &self,
        snapshot: &dyn Snapshot,
        reader: &Reader<'_>,
        group: &[&'a Change],
        rows: &mut BlobRows,
    ) -> io::Result<Vec<&'a Frame>> {
        let mut new = Vec::new();
        let recorded = self.damage.recorded();
        let mut choice = Choice { group, snapshot, reader, chosen: HashMap::new() };
        for arrival in arrivals::gather(group) {
            let digest = arrival.blob.digest();
            let row = snapshot.get(Table::Blob, digest.as_bytes())?;
            let is_bad =
                |digest: &Digest| rows.damaged.contains(digest) || recorded.contains(digest);
            let codec = row.as_ref().and_then(|row| Some(BlobRow::decode(row).ok()?.codec));
            let is_foreign = || codec.map_or(Ok(false), |codec| choice.is_foreign(&arrival, codec));
            if is_bad(&digest) || is_foreign()? {
                let frame = arrival.blob.frame();
                choice.chosen.insert(digest, frame.codec());
                new.push(frame);
                rows.replace(reader, &digest, is_bad(&digest))?;
            } else if row.is_none() {
                new.push(choice.of_new(&arrival, is_bad)?);
            }
        }
        Ok(new)
    }

    /// Lets those blobs out of quarantine that only rested on what the group heals.
    fn lift(&self, snapshot: &dyn Snapshot, new: &[&Frame], rows: &mut BlobRows) -> io::Result<()> {
        let mut healed: Vec<Digest> = rows.healed.iter().copied().collect();
        if healed.is_empty() {
            return Ok(());
        }
        let recorded = self.damage.recorded();
        let reader = Reader::new(snapshot, &*self.segments).with(new.iter().copied());
        while let Some(digest) = healed.pop() {
            for above in delta::resting_on(snapshot, &digest)? {
                let is_bad = rows.damaged.contains(&above) || recorded.contains(&above);
                if is_bad && !rows.healed.contains(&above) && !reader.is_damaged(&above)? {
                    rows.heal(above);
                    healed.push(above);
                }
            }
        }
        Ok(())
    }
}

impl BlobRows {
    /// Takes note of what a new blob rests on.
    fn rest(&mut self, frame: &Frame) {
        if let Some(base) = frame.base() {
            let key = key_bytes(&(base, frame.digest()));
            self.batch.writes.insert((Table::Rests, key), Some(Vec::new()));
        }
    }

    /// A blob that is there is about to be written anew, by itself.
    fn replace(&mut self, reader: &Reader<'_>, digest: &Digest, is_bad: bool) -> io::Result<()> {
        if let Some(base) = reader.stored(digest)?.and_then(|stored| stored.base()) {
            self.batch.writes.insert((Table::Rests, key_bytes(&(base, *digest))), None);
        }
        if is_bad {
            self.heal(*digest);
        } else if let Some(Place::Inline(number)) = reader.row(digest)?.map(|row| row.place)
            && reader.own_payload(digest)?.is_some()
        {
            self.batch.writes.insert((Table::Inline, key_bytes(&number)), None);
        }
        Ok(())
    }

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
pub(crate) enum Failed {
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

/// Whether anybody has the blob, or there is a row of it.
fn is_known(snapshot: &dyn Snapshot, digest: &Digest) -> io::Result<bool> {
    let members = KeyRange::prefix(digest.as_bytes());
    Ok(snapshot.get(Table::Blob, digest.as_bytes())?.is_some()
        || !snapshot.range(Table::Member, &members, Order::Ascending, 1)?.is_empty())
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
fn name(batch: &mut Batch, frame: &Frame, place: Place) {
    let row = BlobRow { codec: frame.codec(), raw_len: frame.raw_len(), place };
    let key = BlobRow::encode_key(&frame.digest());
    batch.writes.insert((BlobRow::TABLE, key), Some(row.encode()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PreparedBlob;

    #[test]
    fn a_group_keeps_only_so_many_bytes_inline() {
        let blobs: Vec<PreparedBlob> =
            (0..10_u8).map(|n| PreparedBlob::new(&[n; 4]).unwrap()).collect();
        let split = |max, per_group| {
            let (small, large) = Inline { max, per_group }
                .split(&blobs.iter().map(PreparedBlob::frame).collect::<Vec<_>>());
            (small.len(), large.len())
        };
        assert_eq!(split(4, 1000), (10, 0));
        assert_eq!(split(3, 1000), (0, 10), "each is too large");
        assert_eq!(split(4, 19), (4, 6), "the fifth does not fit any more");
        assert_eq!(split(4, 0), (0, 10));
    }
}
