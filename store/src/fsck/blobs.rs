//! Whether every blob's bytes are there, and what lies about without one.

use std::collections::{BTreeMap, HashSet};

use colophon_model::{Digest, TenantUid};

use super::{FsckOptions, FsckReport, Heal, Problem, place};
use crate::blob::{BlobRow, Condemned, Member, Place};
use crate::progress::{Progress, Report};
use crate::row::{Row, key_bytes};
use crate::{Change, Error, KeyRange, Location, Order, PreparedBlob, Store, Table, View, sequence};

/// Bytes read between two reports.
const PART: u64 = 16 << 20;

pub(super) fn check(
    store: &Store,
    options: FsckOptions,
    heal: Option<&dyn Heal>,
    report: Report<'_>,
    found: &mut FsckReport,
) -> Result<(), Error> {
    check_places(store, found)?;
    if options.read_blobs {
        read_all(store, options, report, found)?;
    }
    check_inline(store, options, found)?;
    check_members(store, options, found)?;
    super::rests::check(store, options, found)?;
    let damaged = store.damage().recorded();
    if options.repair {
        for digest in &damaged {
            repair(store, heal, digest)?;
        }
    }
    for digest in damaged {
        // What rests on another is whole once that one is.
        let repaired = options.repair && !store.damage().holds(&digest);
        found.healed += u64::from(repaired);
        let message = "its bytes are lost or wrong; a build that makes them again heals it";
        let place = format!("blob {digest}");
        let code = "E_BLOB_DAMAGED".into();
        found.add(Problem { code, place, message: message.to_owned(), repaired });
    }
    Ok(())
}

/// Looks whether each place exists and none is claimed twice. What is missing goes into quarantine.
fn check_places(store: &Store, found: &mut FsckReport) -> Result<(), Error> {
    // Listed after the snapshot was taken, so that every row's bytes are within the lengths.
    let view = store.view()?;
    let segments = store.frames().list().map_err(Error::Read)?;
    let lengths: BTreeMap<u64, u64> = segments.iter().map(|s| (s.generation, s.length)).collect();
    let mut frames = Vec::new();
    let scanned = view.snapshot().visit(Table::Blob, &KeyRange::prefix(b""), &mut |key, row| {
        found.blobs += 1;
        let (Ok(digest), Ok(row)) = (BlobRow::decode_key(key), BlobRow::decode(row)) else {
            return true;
        };
        if let Place::Segment(at) = row.place {
            if lengths.get(&at.segment).is_none_or(|length| end(&at) > *length) {
                store.damage().suspect(digest);
            }
            frames.push(at);
        }
        true
    });
    scanned.map_err(Error::Read)?;
    frames.sort_unstable();
    for pair in frames.windows(2) {
        if pair[0].segment == pair[1].segment && end(&pair[0]) > pair[1].offset {
            let place = format!("segment {:016x} at {}", pair[1].segment, pair[1].offset);
            found.problem("E_OVERLAP", place, "two blobs claim the same bytes");
        }
    }
    Ok(store.quarantine_suspects()?)
}

fn end(at: &Location) -> u64 {
    at.offset.saturating_add(u64::from(at.length))
}

fn read_all(
    store: &Store,
    options: FsckOptions,
    report: Report<'_>,
    found: &mut FsckReport,
) -> Result<(), Error> {
    let (mut after, mut read) = (None, 0);
    loop {
        let part = options.pace.step(|| store.scrub(after, PART))?;
        read += part.blobs;
        found.bytes += part.bytes;
        report(Progress::new("reading blobs", read, found.blobs));
        match part.next {
            None => return Ok(()),
            next => after = next,
        }
    }
}

/// Inline rows that no blob names are leaks; numbers beyond the lease would be given twice.
fn check_inline(store: &Store, options: FsckOptions, found: &mut FsckReport) -> Result<(), Error> {
    let view = store.view()?;
    let leased = sequence::leased(view.snapshot()).map_err(Error::Read)?;
    let last = view.snapshot().range(Table::Inline, &KeyRange::prefix(b""), Order::Descending, 1);
    let last = last.map_err(Error::Read)?;
    let last = last.first().and_then(|(key, _)| key.as_slice().try_into().ok());
    if let Some(number) = last.map(u64::from_be_bytes).filter(|number| *number >= leased) {
        let message = format!("number {number} is in use and not leased: it would be given again");
        found.problem("E_SEQUENCE", "sequence-1", message);
    }
    for number in stray_inline(&view)? {
        let repaired = options.repair && drop_leak(store, number)?;
        let place = place(Table::Inline, &number.to_be_bytes());
        let message = "no blob names these bytes".to_owned();
        found.add(Problem { code: "E_LEAK".into(), place, message, repaired });
    }
    Ok(())
}

/// Numbers of inline rows that no blob names. None of them is ever named again: a new blob gets a new
/// number.
pub(crate) fn stray_inline(view: &View) -> Result<Vec<u64>, Error> {
    let (mut named, mut stray) = (HashSet::new(), Vec::new());
    let all = KeyRange::prefix(b"");
    let blobs = view.snapshot().visit(Table::Blob, &all, &mut |_, row| {
        if let Ok(Place::Inline(number)) = BlobRow::decode(row).map(|row| row.place) {
            named.insert(number);
        }
        true
    });
    blobs.map_err(Error::Read)?;
    let rows = view.snapshot().visit(Table::Inline, &all, &mut |key, _| {
        let number = key.try_into().map(u64::from_be_bytes);
        stray.extend(number.ok().filter(|number| !named.contains(number)));
        true
    });
    rows.map_err(Error::Read)?;
    Ok(stray)
}

fn drop_leak(store: &Store, number: u64) -> Result<bool, Error> {
    let mut change = Change::new();
    change.use_reserve().batch.writes.insert((Table::Inline, key_bytes(&number)), None);
    store.commit(change)?;
    Ok(true)
}

/// Memberships without a blob, and sentences without a membership.
fn check_members(store: &Store, options: FsckOptions, found: &mut FsckReport) -> Result<(), Error> {
    let view = store.view()?;
    for row in view.scan::<Member>(&()) {
        let ((digest, _), _) = row?;
        let blob = view.snapshot().get(Table::Blob, digest.as_bytes()).map_err(Error::Read)?;
        if blob.is_none() {
            store.damage().suspect(digest);
        }
    }
    for row in view.scan::<Condemned>(&()) {
        let (key, _) = row?;
        if view.get::<Member>(&key)?.is_none() {
            let mut change = Change::new();
            change.use_reserve().expect::<Member>(&key, None).delete::<Condemned>(&key);
            let repaired = options.repair && store.commit(change).is_ok();
            let message = "a blob is condemned that the tenant does not have".to_owned();
            let place = format!("blob {}", key.0);
            found.add(Problem { code: "E_SENTENCE".into(), place, message, repaired });
        }
    }
    store.quarantine_suspects()?;
    Ok(())
}

/// Lifts the quarantine of a blob that is whole after all, or stores its bytes anew.
fn repair(store: &Store, heal: Option<&dyn Heal>, digest: &Digest) -> Result<(), Error> {
    let view = store.view()?;
    let tenants: Vec<TenantUid> = view
        .scan::<Member>(digest)
        .map(|row| row.map(|((_, tenant), _)| tenant))
        .collect::<Result<_, _>>()?;
    let bytes = match view.read_any(digest) {
        Ok(bytes) => Some(bytes),
        Err(Error::Corrupt { .. }) => elsewhere(&view, heal, &tenants, digest),
        Err(error) => return Err(error),
    };
    let (Some(bytes), Some(tenant)) = (bytes, tenants.first()) else { return Ok(()) };
    let mut change = Change::new();
    change.use_reserve().expect(&(*digest, *tenant), Some(&Member));
    change.blobs.push((*tenant, PreparedBlob::new(&bytes)?));
    drop(view);
    let _ = store.commit(change); // whether it helped is looked at afterwards
    Ok(())
}

fn elsewhere(
    view: &View,
    heal: Option<&dyn Heal>,
    tenants: &[TenantUid],
    digest: &Digest,
) -> Option<Vec<u8>> {
    let found = tenants.iter().find_map(|tenant| heal?.bytes(view, *tenant, digest));
    found.filter(|bytes| Digest::of(bytes) == *digest)
}
