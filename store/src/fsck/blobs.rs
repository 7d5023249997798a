//! Whether every blob's bytes are there, and what lies about without one.

use std::collections::BTreeMap;

use colophon_model::{Digest, TenantUid};

use super::{FsckOptions, FsckReport, Heal, Problem, place};
use crate::blob::{BlobRow, Condemned, Member, Place};
use crate::progress::{Progress, Report};
use crate::row::{Row, key_bytes};
use crate::{Change, Error, KeyRange, Location, PreparedBlob, Store, Table, View, sequence};

/// Bytes read between two reports.
const PART: u64 = 16 << 20;

pub(super) fn check(
    store: &Store,
    options: FsckOptions,
    heal: Option<&dyn Heal>,
    report: Report<'_>,
    found: &mut FsckReport,
) -> Result<(), Error> {
    let places = check_places(store, found)?;
    if options.read_blobs {
        read_all(store, options, report, found)?;
    }
    check_inline(store, options, &places.numbers, found)?;
    check_members(store, options, found)?;
    let damaged = store.damage().recorded();
    for digest in damaged {
        let repaired = options.repair && repair(store, heal, &digest)?;
        found.healed += u64::from(repaired);
        let message = "its bytes are lost or wrong; a build that makes them again heals it";
        let place = format!("blob {digest}");
        let code = "E_BLOB_DAMAGED".into();
        found.add(Problem { code, place, message: message.to_owned(), repaired });
    }
    Ok(())
}

/// What the rows of blobs claim.
#[derive(Default)]
struct Places {
    /// Numbers of inline rows that a blob names.
    numbers: Vec<u64>,
}

/// Looks whether each place exists and none is claimed twice. What is missing goes into quarantine.
fn check_places(store: &Store, found: &mut FsckReport) -> Result<Places, Error> {
    // Listed first: what is appended afterwards is not in the snapshot.
    let view = store.view()?;
    let segments = store.frames().list().map_err(Error::Read)?;
    let lengths: BTreeMap<u64, u64> = segments.iter().map(|s| (s.generation, s.length)).collect();
    let (mut places, mut frames) = (Places::default(), Vec::new());
    let scanned = view.snapshot().visit(Table::Blob, &KeyRange::prefix(b""), &mut |key, row| {
        found.blobs += 1;
        let (Ok(digest), Ok(row)) = (BlobRow::decode_key(key), BlobRow::decode(row)) else {
            return true;
        };
        match row.place {
            Place::Inline(number) => places.numbers.push(number),
            Place::Segment(at) => {
                if lengths.get(&at.segment).is_none_or(|length| end(&at) > *length) {
                    store.damage().suspect(digest);
                }
                frames.push(at);
            }
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
    places.numbers.sort_unstable();
    store.commit(Change::new())?; // the writer looks at what was reported
    Ok(places)
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
fn check_inline(
    store: &Store,
    options: FsckOptions,
    named: &[u64],
    found: &mut FsckReport,
) -> Result<(), Error> {
    let view = store.view()?;
    let leased = sequence::leased(view.snapshot()).map_err(Error::Read)?;
    let (mut claimed, mut stray, mut beyond) = (named.iter().peekable(), Vec::new(), None);
    let scanned = view.snapshot().visit(Table::Inline, &KeyRange::prefix(b""), &mut |key, _| {
        let Ok(number) = key.try_into().map(u64::from_be_bytes) else { return true };
        while claimed.next_if(|other| **other < number).is_some() {}
        if claimed.next_if_eq(&&number).is_none() {
            stray.push(number);
        }
        beyond = Some(number).filter(|number| *number >= leased);
        true
    });
    scanned.map_err(Error::Read)?;
    if let Some(number) = beyond {
        let message = format!("number {number} is in use and not leased: it would be given again");
        found.problem("E_SEQUENCE", "sequence-1", message);
    }
    // A blob stored since the places were read has a row that they do not know.
    let known = named.last().copied().unwrap_or(0);
    for number in stray.into_iter().filter(|number| *number <= known) {
        let repaired = options.repair && drop_leak(store, number)?;
        let place = place(Table::Inline, &number.to_be_bytes());
        let message = "no blob names these bytes".to_owned();
        found.add(Problem { code: "E_LEAK".into(), place, message, repaired });
    }
    Ok(())
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
    store.commit(Change::new())?;
    Ok(())
}

/// Lifts the quarantine of a blob that is whole after all, or stores its bytes anew.
fn repair(store: &Store, heal: Option<&dyn Heal>, digest: &Digest) -> Result<bool, Error> {
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
    let (Some(bytes), Some(tenant)) = (bytes, tenants.first()) else { return Ok(false) };
    let mut change = Change::new();
    change.use_reserve().expect(&(*digest, *tenant), Some(&Member));
    change.blobs.push(PreparedBlob::new(&bytes)?);
    drop(view);
    Ok(store.commit(change).is_ok())
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
