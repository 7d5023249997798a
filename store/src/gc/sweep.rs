//! Sweeping: each step looks again, in its own transaction, at what the mark decided.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;

use colophon_model::Digest;

use super::detach::{Unreadable, detach};
use super::mark::{Marked, Membership};
use super::{GcOptions, GcReport};
use crate::blob::{BlobRow, Condemned, Member, Place};
use crate::committer::Committer;
use crate::damage::Quarantined;
use crate::lease::Barrier;
use crate::progress::{Progress, Report};
use crate::reader::Reader;
use crate::row::{Row, key_bytes};
use crate::{Batch, Change, Check, CommitError, Error, Pace, Store, Table};

/// Memberships or blobs in one transaction: a build that waits behind one does not feel it.
pub(super) const BATCH: usize = 256;

pub(super) fn sweep(
    store: &Store,
    marked: &Marked,
    barrier: &Barrier,
    options: &GcOptions,
    report: Report<'_>,
    found: &mut GcReport,
) -> Result<(), Error> {
    let mut orphans = marked.orphans.clone();
    found.condemned = judge(store, &marked.condemn, options, report)?;
    found.resurrected = lift(store, &marked.resurrect, options.pace)?;
    if barrier.has_passed() {
        let released = release(store, &marked.release, options.pace, report)?;
        found.released = released.len() as u64;
        orphans.extend(released.into_iter().map(|(digest, _)| digest));
    } else {
        found.deferred = marked.release.len() as u64;
    }
    let detached = detach(store, &orphans, Unreadable::Keep, options.pace)?;
    found.detached = detached.blobs;
    let deleted = delete_blobs(store, &orphans, options.pace, report)?;
    (found.deleted, found.deleted_bytes) = (deleted.blobs, deleted.bytes);
    Ok(())
}

/// Condemns memberships that still exist. One that a change names meanwhile is condemned all the
/// same, and the next pass lifts it: nothing is deleted before that.
fn judge(
    store: &Store,
    members: &[Membership],
    options: &GcOptions,
    report: Report<'_>,
) -> Result<u64, Error> {
    let sentence = Condemned { at: options.now };
    let make = |member: &Membership| {
        let mut change = Change::new();
        change.use_reserve().expect(member, Some(&Member)).put(member, &sentence);
        change
    };
    let mut done = 0;
    for batch in members.chunks(BATCH) {
        done += options.pace.step(|| submit(store, batch.iter().map(make)))?.len() as u64;
        report(Progress::new("condemning", done, members.len() as u64));
    }
    Ok(done)
}

/// Lifts the sentence of what is named again.
fn lift(store: &Store, members: &[Membership], pace: Pace) -> Result<u64, Error> {
    let make = |member: &Membership| {
        let mut change = Change::new();
        change.use_reserve().delete::<Condemned>(member);
        change
    };
    let mut done = 0;
    for batch in members.chunks(BATCH) {
        done += pace.step(|| submit(store, batch.iter().map(make)))?.len() as u64;
    }
    Ok(done)
}

/// Deletes memberships whose sentence still stands, and says which.
fn release(
    store: &Store,
    members: &[(Membership, Condemned)],
    pace: Pace,
    report: Report<'_>,
) -> Result<Vec<Membership>, Error> {
    let make = |(member, sentence): &(Membership, Condemned)| {
        let mut change = Change::new();
        change.use_reserve().expect(member, Some(sentence));
        change.delete::<Condemned>(member).delete::<Member>(member);
        change
    };
    let mut released = Vec::new();
    for batch in members.chunks(BATCH) {
        let done = pace.step(|| submit(store, batch.iter().map(make)))?;
        released.extend(done.into_iter().map(|at| batch[at].0));
        report(Progress::new("releasing", released.len() as u64, members.len() as u64));
    }
    Ok(released)
}

/// Commits changes of which each stands alone; returns the places of those that were not refused.
fn submit(store: &Store, changes: impl Iterator<Item = Change>) -> Result<Vec<usize>, Error> {
    let tickets: Vec<_> = changes.map(|change| store.submit(change)).collect();
    let mut done = Vec::with_capacity(tickets.len());
    for (at, ticket) in tickets.into_iter().enumerate() {
        match ticket.wait() {
            Ok(()) => done.push(at),
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// What a deletion came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deleted {
    pub(crate) blobs: u64,
    /// Their encoded bytes.
    pub(crate) bytes: u64,
}

/// Deletes those of the blobs that nobody is a member of.
pub(crate) fn delete_blobs(
    store: &Store,
    digests: &[Digest],
    pace: Pace,
    report: Report<'_>,
) -> Result<Deleted, Error> {
    let mut total = Deleted::default();
    let digests = upmost_first(store, digests)?;
    for (n, batch) in digests.chunks(BATCH).enumerate() {
        let batch = batch.to_vec();
        let work = move |committer: &mut Committer| delete_batch(committer, &batch);
        let done = pace.step(|| store.writer().alone(work))?;
        total.blobs += done.blobs;
        total.bytes += done.bytes;
        report(Progress::new("deleting", (n * BATCH) as u64, digests.len() as u64));
    }
    Ok(total)
}

/// What rests on another goes before it.
fn upmost_first(store: &Store, digests: &[Digest]) -> Result<Vec<Digest>, Error> {
    let view = store.view()?;
    let reader = view.durable();
    let depth = |digest: &Digest| {
        let row = reader.row(digest).map_err(Error::Read)?;
        Ok((Reverse(row.map_or(0, |row| row.codec.depth())), *digest))
    };
    let mut sorted = digests.iter().map(depth).collect::<Result<Vec<_>, Error>>()?;
    sorted.sort_by_key(|(depth, _)| *depth); // stable
    Ok(sorted.into_iter().map(|(_, digest)| digest).collect())
}

/// Runs between two groups: a change of the group before has its memberships by now, and one of the
/// group after will find the blob gone and write its bytes.
fn delete_batch(committer: &mut Committer, digests: &[Digest]) -> io::Result<Deleted> {
    let snapshot = committer.kv.snapshot()?;
    let reader = Reader::new(&*snapshot, &*committer.segments);
    let mut batches = Vec::new();
    for digest in digests {
        if let Some(row) = snapshot.get(Table::Blob, digest.as_bytes())? {
            batches.push((*digest, deletion(&reader, digest, row)?));
        }
    }
    let rows: Vec<Batch> = batches.iter().map(|(_, (batch, _))| batch.clone()).collect();
    let results = committer.commit_rows(&rows)?;
    let (mut done, mut gone) = (Deleted::default(), BTreeSet::new());
    for ((digest, (_, bytes)), _) in batches.iter().zip(results).filter(|(_, r)| r.is_ok()) {
        done.blobs += 1;
        done.bytes += bytes;
        gone.insert(*digest);
    }
    committer.damage.set(&BTreeSet::new(), &gone);
    Ok(done)
}

/// The batch that deletes a blob unless somebody is a member of it, or another rests on it, and how many
/// bytes it frees.
fn deletion(reader: &Reader<'_>, digest: &Digest, row: Vec<u8>) -> io::Result<(Batch, u64)> {
    let mut batch = Batch::default();
    let mut bytes = 0;
    match BlobRow::decode(&row).ok().map(|row| row.place) {
        Some(Place::Inline(number)) => {
            // Only its own: a damaged row may name the bytes of another blob.
            if let Some(payload) = reader.own_payload(digest)? {
                bytes = payload as u64;
                batch.writes.insert((Table::Inline, key_bytes(&number)), None);
            }
        }
        Some(Place::Segment(location)) => bytes = u64::from(location.length),
        None => {}
    }
    // A row that is not found so, of a blob that is damaged, is a stray then.
    if let Some(base) = reader.stored(digest)?.and_then(|stored| stored.base()) {
        batch.writes.insert((Table::Rests, key_bytes(&(base, *digest))), None);
    }
    let key = BlobRow::encode_key(digest);
    batch.checks.push(Check::PrefixEmpty { table: Member::TABLE, prefix: key.clone() });
    batch.checks.push(Check::PrefixEmpty { table: Table::Rests, prefix: key.clone() });
    batch.checks.push(Check::Equals { table: Table::Blob, key: key.clone(), value: row });
    batch.writes.insert((Table::Blob, key.clone()), None);
    batch.writes.insert((Quarantined::TABLE, key), None);
    Ok((batch, bytes))
}
