//! Compaction: what lives in mostly dead segments is moved, and the segments are removed once no
//! lease can read them.

use std::collections::BTreeMap;
use std::io;

use colophon_model::Digest;

use super::GcReport;
use crate::blob::{BlobRow, Place};
use crate::committer::Committer;
use crate::lease::Barrier;
use crate::progress::{Progress, Report};
use crate::row::Row;
use crate::space::is_full;
use crate::{Batch, Check, Error, KeyRange, Location, Pace, SegmentInfo, Snapshot, Store, Table};

/// Most bytes moved in one step, so that builds wait no longer than for a group of their own kind.
const STEP_BYTES: u64 = 1 << 20;

/// How compaction goes about it.
pub(crate) struct Compaction {
    /// Sealed segments with a smaller share of live bytes are emptied, in percent.
    pub(crate) below: u32,
    /// Most bytes to move.
    pub(crate) budget_bytes: u64,
    pub(crate) dry_run: bool,
    pub(crate) pace: Pace,
}

/// Segments that no row names any more, and the readers they wait for.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) barrier: Barrier,
    pub(crate) generations: Vec<u64>,
}

/// A segment with what lives in it.
#[derive(Default)]
struct Usage {
    length: u64,
    live: u64,
    blobs: Vec<(Digest, Vec<u8>, Location)>,
}

impl Compaction {
    pub(crate) fn run(
        &self,
        store: &Store,
        report: Report<'_>,
        found: &mut GcReport,
    ) -> Result<(), Error> {
        let victims = self.victims(store)?;
        let total = victims.values().map(|usage| usage.live).sum();
        let (mut emptied, mut moved) = (Vec::new(), 0);
        for (generation, usage) in victims {
            if moved + usage.live > self.budget_bytes {
                continue;
            }
            if !self.dry_run && !self.empty(store, usage.blobs)? {
                found.unreadable_segments += 1;
                continue;
            }
            moved += usage.live;
            found.compacted_segments += 1;
            found.freed_bytes += usage.length - usage.live.min(usage.length);
            emptied.push(generation);
            report(Progress::new("compacting", moved, total));
        }
        found.moved_bytes = moved;
        if !self.dry_run {
            store.retire(emptied);
            found.retired_segments = store.remove_retired()?;
        }
        Ok(())
    }

    /// The sealed segments with too little in them.
    fn victims(&self, store: &Store) -> Result<BTreeMap<u64, Usage>, Error> {
        let (sealed, snapshot) = store.writer().alone(sealed)?;
        let retired = store.retired_generations();
        let segment = |info: SegmentInfo| {
            (info.generation, Usage { length: info.length, ..Usage::default() })
        };
        let mut usage: BTreeMap<u64, Usage> = sealed
            .into_iter()
            .filter(|info| !retired.contains(&info.generation))
            .map(segment)
            .collect();
        each_in_segment(&*snapshot, &mut |_, _, location| {
            if let Some(usage) = usage.get_mut(&location.segment) {
                usage.live += u64::from(location.length);
            }
        })?;
        let is_sparse = |u: &Usage| u.live * 100 < u.length * u64::from(self.below);
        usage.retain(|_, usage| usage.length == 0 || is_sparse(usage));
        each_in_segment(&*snapshot, &mut |digest, row, location| {
            if let Some(usage) = usage.get_mut(&location.segment) {
                usage.blobs.push((digest, row.to_vec(), location));
            }
        })?;
        Ok(usage)
    }

    /// Moves blobs, a step at a time. Answers whether the disk gave all of them.
    fn empty(&self, store: &Store, blobs: Vec<(Digest, Vec<u8>, Location)>) -> Result<bool, Error> {
        let mut blobs = blobs.into_iter().peekable();
        while blobs.peek().is_some() {
            let (mut step, mut bytes) = (Vec::new(), 0);
            while bytes < STEP_BYTES {
                let Some(next) = blobs.next() else { break };
                bytes += u64::from(next.2.length);
                step.push(next);
            }
            let moving = || store.writer().alone(move |committer| move_all(committer, &step));
            match self.pace.step(moving)? {
                Step::Moved => {}
                Step::Full => return Err(store.refusal().into()),
                Step::Unreadable => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// The sealed segments, and a snapshot that shows every row that will ever name them: no change is
/// half written now, and they take no more frames.
fn sealed(committer: &mut Committer) -> io::Result<(Vec<SegmentInfo>, Box<dyn Snapshot>)> {
    let sealed = committer.segments.list()?.into_iter().filter(|info| info.sealed).collect();
    Ok((sealed, committer.kv.snapshot()?))
}

fn each_in_segment(
    snapshot: &dyn Snapshot,
    visit: &mut dyn FnMut(Digest, &[u8], Location),
) -> Result<(), Error> {
    let scanned = snapshot.visit(Table::Blob, &KeyRange::prefix(b""), &mut |key, row| {
        let place = BlobRow::decode(row).map(|row| row.place);
        if let (Ok(digest), Ok(Place::Segment(location))) = (BlobRow::decode_key(key), place) {
            visit(digest, row, location);
        }
        true
    });
    scanned.map_err(Error::Read)
}

/// How a step ended. Only a failed write stops the store.
enum Step {
    Moved,
    /// The disk took nothing more.
    Full,
    /// The disk did not give the bytes. They may come back, so their segment stays.
    Unreadable,
}

/// Appends the frames anew and lets the rows name the new places. Damaged bytes move as they are:
/// they are neither lost nor hidden. What is not there at all keeps a row that leads nowhere.
fn move_all(committer: &mut Committer, step: &[(Digest, Vec<u8>, Location)]) -> io::Result<Step> {
    let mut frames = Vec::new();
    for (digest, row, location) in step {
        match committer.segments.read(location) {
            Ok(bytes) => frames.push((digest, row, bytes)),
            Err(error) if is_lost(&error) => {}
            Err(_) => return Ok(Step::Unreadable),
        }
    }
    let bytes: Vec<&[u8]> = frames.iter().map(|(_, _, bytes)| bytes.as_slice()).collect();
    let places = match committer.segments.append(&bytes) {
        Err(error) if is_full(&error) => return Ok(Step::Full),
        places => places?,
    };
    let batches: Vec<Batch> = frames
        .iter()
        .zip(places)
        .filter_map(|((digest, row, _), place)| moved(digest, row, place))
        .collect();
    // A blob that was deleted or healed meanwhile is refused, and its copy is dead bytes.
    committer.commit_rows(&batches)?;
    Ok(Step::Moved)
}

fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

fn moved(digest: &Digest, row: &[u8], place: Location) -> Option<Batch> {
    let new = BlobRow { place: Place::Segment(place), ..BlobRow::decode(row).ok()? };
    let key = BlobRow::encode_key(digest);
    let mut batch = Batch::default();
    batch.checks.push(Check::Equals {
        table: BlobRow::TABLE,
        key: key.clone(),
        value: row.to_vec(),
    });
    batch.writes.insert((BlobRow::TABLE, key), Some(new.encode()));
    Some(batch)
}
