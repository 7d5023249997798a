//! Before a blob goes, what rests on it is stored by itself.

use std::collections::BTreeSet;
use std::io;

use colophon_model::Digest;

use super::sweep::BATCH;
use crate::blob::{BlobRow, Member, Place};
use crate::committer::{Committer, Failed};
use crate::delta;
use crate::frame::Codec;
use crate::row::{Row, key_bytes};
use crate::{Batch, Check, Error, Frame, Pace, Store, Table, View};

/// Most bytes that are encoded anew in one step, before compression.
const STEP_BYTES: usize = 1 << 20;

/// What is done about a blob that cannot be read, although what it rests on is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Its base stays until it is healed or gone.
    Keep,
    /// Its base goes. Its bytes are lost unless somebody brings them.
    GiveUp,
}

/// What was stored by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DetachReport {
    pub(crate) blobs: u64,
    /// Whether the disk took not all of it.
    pub(crate) is_full: bool,
}

/// A blob that rests on another, and how it goes on without it.
pub(crate) struct Detached {
    pub(crate) digest: Digest,
    pub(crate) base: Digest,
    /// Its row as it was seen.
    pub(crate) row: Option<Vec<u8>>,
    pub(crate) way: Way,
}

/// How a blob goes on without its base.
pub(crate) enum Way {
    /// By itself.
    Whole(Frame),
    /// It does not rest on it any more, or is gone: only the row is left that says so.
    Stray,
    /// Its bytes cannot be read, and cannot be once the base is gone. What is left is a row that leads nowhere,
    /// until somebody brings them.
    Lost {
        /// Size of the blob, in bytes.
        raw_len: u32,
    },
}

/// Stores by itself whatever somebody has and rests on one of `bases` that nobody has. A base that something is left to rest
/// on is not deleted.
pub(crate) fn detach(
    store: &Store,
    bases: &[Digest],
    unreadable: Unreadable,
    pace: Pace,
) -> Result<DetachReport, Error> {
    let mut done = DetachReport::default();
    for bases in bases.chunks(BATCH) {
        // Short views, so that nothing is kept from being used again.
        let mut resting = resting_on(&store.view()?, bases)?.into_iter().peekable();
        while resting.peek().is_some() {
            let (view, mut step, mut bytes) = (store.view()?, Vec::new(), 0);
            while bytes < STEP_BYTES {
                let Some((base, digest)) = resting.next() else { break };
                let detached = prepare(&view, base, digest, unreadable)?;
                bytes += detached.as_ref().map_or(0, Detached::bytes);
                step.extend(detached);
            }
            let blobs = step.iter().filter(|one| one.frame().is_some()).count() as u64;
            if !pace.step(|| commit(store, step))? {
                return Ok(DetachReport { is_full: true, ..done });
            }
            done.blobs += blobs;
        }
    }
    Ok(done)
}

/// Commits what is still as it was seen. Answers whether the disk took it.
pub(crate) fn commit(store: &Store, detached: Vec<Detached>) -> Result<bool, Error> {
    if detached.is_empty() {
        return Ok(true);
    }
    Ok(store.writer().alone(move |committer| write(committer, &detached))?)
}

/// What rests on those of the bases that nobody has, each once: a base that several tenants had is told of
/// several times.
fn resting_on(view: &View, bases: &[Digest]) -> Result<Vec<(Digest, Digest)>, Error> {
    let (mut pairs, mut seen) = (Vec::new(), BTreeSet::new());
    for base in bases.iter().filter(|base| seen.insert(**base)) {
        if view.scan::<Member>(base).next().is_some() {
            continue;
        }
        let above = delta::resting_on(view.snapshot(), base).map_err(Error::Read)?;
        pairs.extend(above.into_iter().map(|digest| (*base, digest)));
    }
    Ok(pairs)
}

/// `None` for what is not touched.
fn prepare(
    view: &View,
    base: Digest,
    digest: Digest,
    unreadable: Unreadable,
) -> Result<Option<Detached>, Error> {
    let row = view.snapshot().get(Table::Blob, digest.as_bytes()).map_err(Error::Read)?;
    let stored = view.durable().stored(&digest).map_err(Error::Read)?;
    let rests_on = stored.and_then(|stored| stored.base());
    let resting = row.as_deref().and_then(|row| BlobRow::decode(row).ok());
    let resting =
        resting.filter(|row| row.codec.depth() > 0 && rests_on.is_none_or(|on| on == base));
    let way = match resting {
        None => Way::Stray,
        Some(_) if view.scan::<Member>(&digest).next().is_none() => match rests_on {
            Some(_) => return Ok(None), // it goes before its base
            None => Way::Stray, // so does this, but what it rests on will not be told from it
        },
        Some(row) => match (view.read_any(&digest), unreadable) {
            (Ok(raw), _) => Way::Whole(Frame::pack(digest, &raw)),
            (Err(Error::Corrupt { .. }), Unreadable::GiveUp) => Way::Lost { raw_len: row.raw_len },
            (Err(Error::Corrupt { .. }), Unreadable::Keep) => return Ok(None),
            (Err(error), _) => return Err(error),
        },
    };
    Ok(Some(Detached { digest, base, row, way }))
}

impl Detached {
    /// Bytes to write, before compression.
    fn bytes(&self) -> usize {
        match &self.way {
            Way::Whole(frame) => frame.raw_len() as usize,
            Way::Stray | Way::Lost { .. } => 0,
        }
    }

    const fn frame(&self) -> Option<&Frame> {
        match &self.way {
            Way::Whole(frame) => Some(frame),
            Way::Stray | Way::Lost { .. } => None,
        }
    }

    const fn is_lost(&self) -> bool {
        matches!(self.way, Way::Lost { .. })
    }

    /// Lets the blob be as `written` says, unless it is not as it was seen.
    fn batch(&self, written: &mut Batch, number: impl FnOnce(&mut Batch) -> u64) -> Batch {
        let (mut batch, place) =
            (Batch::default(), (Table::Blob, BlobRow::encode_key(&self.digest)));
        let (table, key) = place.clone();
        batch.checks.push(match self.row.clone() {
            Some(value) => Check::Equals { table, key, value },
            None => Check::Absent { table, key },
        });
        batch.writes.insert((Table::Rests, key_bytes(&(self.base, self.digest))), None);
        match &self.way {
            Way::Stray => {}
            Way::Whole(_) => {
                // The bytes were read by this row, so they are the blob's own.
                let old = self.row.as_deref().and_then(inline_place);
                batch.writes.extend(old.map(|place| (place, None)));
                let row = written.writes.remove(&place).flatten();
                if let Some(inline) = row.as_deref().and_then(inline_place) {
                    let payload = written.writes.remove(&inline).flatten();
                    batch.writes.insert(inline, payload);
                }
                batch.writes.insert(place, row);
            }
            Way::Lost { raw_len } => {
                let inline = Place::Inline(number(written)); // one that no bytes have
                let row = BlobRow { codec: Codec::Raw, raw_len: *raw_len, place: inline };
                batch.writes.insert(place, Some(row.encode()));
                batch.writes.insert((Table::Quarantine, key_bytes(&self.digest)), Some(Vec::new()));
            }
        }
        batch
    }
}

fn inline_place(row: &[u8]) -> Option<(Table, Vec<u8>)> {
    match BlobRow::decode(row).ok()?.place {
        Place::Inline(number) => Some((Table::Inline, key_bytes(&number))),
        Place::Segment(_) => None,
    }
}

fn write(committer: &mut Committer, detached: &[Detached]) -> io::Result<bool> {
    let frames: Vec<&Frame> = detached.iter().filter_map(Detached::frame).collect();
    let mut written = Batch::default();
    match committer.put(&frames, &mut written) {
        Ok(()) => {}
        Err(Failed::Full) => return Ok(false),
        Err(Failed::Stopped(error)) => return Err(error),
    }
    let mut batches = Vec::with_capacity(detached.len() + 1);
    for one in detached {
        batches.push(one.batch(&mut written, |batch| committer.sequence.next(batch)));
    }
    batches.push(written); // what numbers were leased
    let results = committer.commit_rows(&batches)?;
    let done = detached.iter().zip(results).filter(|(_, result)| result.is_ok());
    let lost = done.filter(|(one, _)| one.is_lost()).map(|(one, _)| one.digest).collect();
    committer.damage.set(&lost, &BTreeSet::new());
    Ok(true)
}
