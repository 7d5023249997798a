//! Marking: what rows name, laid beside what there is. Memory: about 130 bytes per blob.

use std::collections::{BTreeSet, HashSet};

use colophon_model::{Digest, TenantUid, UnixMillis};
use rayon::prelude::*;

use super::{GcOptions, GcReport};
use crate::blob::{BlobRow, Condemned, Member, Place};
use crate::reach;
use crate::row::Row;
use crate::rows::{SlugOf, TenantHead};
use crate::{Error, InvalidRow, KeyRange, Table, View};

/// A tenant's membership of a blob, in the order of the keys.
pub(super) type Membership = (Digest, TenantUid);

/// What a pass has to do.
#[derive(Default)]
pub(super) struct Marked {
    pub(super) condemn: Vec<Membership>,
    pub(super) resurrect: Vec<Membership>,
    /// Condemned long enough ago, with the sentence as it stands.
    pub(super) release: Vec<(Membership, Condemned)>,
    /// Blobs that nobody is a member of.
    pub(super) orphans: Vec<Digest>,
    waiting: u64,
    reached: u64,
    missing: u64,
    blobs: u64,
    blob_bytes: u64,
    stored_bytes: u64,
    deltas: u64,
    /// Tenants all of whose names are known.
    told: BTreeSet<TenantUid>,
    /// Members that are not: nothing of theirs is touched.
    held: BTreeSet<TenantUid>,
}

impl Marked {
    pub(super) fn report(&self, dry_run: bool) -> GcReport {
        let planned = |list: usize| if dry_run { list as u64 } else { 0 };
        GcReport {
            dry_run,
            blobs: self.blobs,
            blob_bytes: self.blob_bytes,
            stored_bytes: self.stored_bytes,
            deltas: self.deltas,
            reached: self.reached,
            waiting: self.waiting,
            held_tenants: self.held.len() as u64,
            missing: self.missing,
            condemned: planned(self.condemn.len()),
            resurrected: planned(self.resurrect.len()),
            released: planned(self.release.len()),
            deleted: planned(self.orphans.len()),
            ..GcReport::default()
        }
    }
}

/// Compares what rows name with what there is, in one view.
pub(super) fn mark(view: &View, options: &GcOptions) -> Result<Marked, Error> {
    let mut marked = Marked::default();
    let named = named(view, &mut marked)?;
    marked.reached = named.len() as u64;
    let sentences = sentences(view)?;
    let members = members(view, &named, &sentences, options, &mut marked)?;
    blobs(view, &members, &mut marked)?;
    marked.stored_bytes += inline_bytes(view)?;
    Ok(marked)
}

/// Every (blob, tenant) that rows name, sorted. A tenant is told only if all its names could be read.
fn named(view: &View, marked: &mut Marked) -> Result<Vec<Membership>, Error> {
    type Reached = (TenantUid, Option<HashSet<Digest>>);
    let reached: Result<Vec<Reached>, Error> = tenants(view)?
        .into_par_iter()
        .map(|uid| match reach::reached(view, uid) {
            Ok(found) => Ok((uid, Some(found))),
            Err(Error::Corrupt { .. } | Error::Row { .. }) => Ok((uid, None)),
            Err(error) => Err(error),
        })
        .collect();
    let mut named = Vec::new();
    for (uid, found) in reached? {
        if let Some(found) = found {
            marked.told.insert(uid);
            named.extend(found.into_iter().map(|digest| (digest, uid)));
        }
    }
    named.par_sort_unstable();
    Ok(named)
}

/// Tenants by either of the rows that each has, so that the loss of one hides none.
fn tenants(view: &View) -> Result<BTreeSet<TenantUid>, Error> {
    let mut found = BTreeSet::new();
    scan::<SlugOf>(view, &mut |uid, _| {
        found.insert(uid);
        Ok(())
    })?;
    scan::<TenantHead>(view, &mut |uid, _| {
        found.insert(uid);
        Ok(())
    })?;
    Ok(found)
}

fn sentences(view: &View) -> Result<Vec<(Membership, Condemned)>, Error> {
    let mut found = Vec::new();
    for row in view.scan::<Condemned>(&()) {
        found.push(row?);
    }
    Ok(found)
}

/// Judges every membership, and returns the blobs that have one, sorted.
fn members(
    view: &View,
    named: &[Membership],
    sentences: &[(Membership, Condemned)],
    options: &GcOptions,
    marked: &mut Marked,
) -> Result<Vec<Digest>, Error> {
    let (mut named, mut sentences) = (named.iter().peekable(), sentences.iter().peekable());
    let mut members: Vec<Digest> = Vec::new();
    scan::<Member>(view, &mut |key, _| {
        while named.next_if(|other| **other < key).is_some() {
            marked.missing += 1;
        }
        let is_named = named.next_if_eq(&&key).is_some();
        while sentences.next_if(|(other, _)| *other < key).is_some() {}
        let sentence = sentences.next_if(|(other, _)| *other == key).map(|(_, s)| *s);
        marked.judge(key, is_named, sentence, options);
        if members.last() != Some(&key.0) {
            members.push(key.0);
        }
        Ok(())
    })?;
    marked.missing += named.count() as u64;
    Ok(members)
}

impl Marked {
    fn judge(
        &mut self,
        member: Membership,
        is_named: bool,
        sentence: Option<Condemned>,
        options: &GcOptions,
    ) {
        if !self.told.contains(&member.1) {
            self.held.insert(member.1);
            return;
        }
        match (is_named, sentence) {
            (true, None) => {}
            (true, Some(_)) => self.resurrect.push(member),
            (false, None) => self.condemn.push(member),
            (false, Some(sentence)) if is_over(sentence.at, options) => {
                self.release.push((member, sentence));
            }
            // Passed in the future, by a clock that was ahead: it begins anew, not never.
            (false, Some(sentence)) if sentence.at > options.now => self.condemn.push(member),
            (false, Some(_)) => self.waiting += 1,
        }
    }
}

fn is_over(at: UnixMillis, options: &GcOptions) -> bool {
    at <= options.now && at.plus(options.grace_millis) <= options.now
}

/// Every blob that nobody is a member of.
pub(crate) fn orphans(view: &View) -> Result<Vec<Digest>, Error> {
    let mut members: Vec<Digest> = Vec::new();
    scan::<Member>(view, &mut |(digest, _), _| {
        if members.last() != Some(&digest) {
            members.push(digest);
        }
        Ok(())
    })?;
    let mut marked = Marked::default();
    blobs(view, &members, &mut marked)?;
    Ok(marked.orphans)
}

/// Counts the blobs and finds those without a member.
fn blobs(view: &View, members: &[Digest], marked: &mut Marked) -> Result<(), Error> {
    let mut members = members.iter().peekable();
    scan::<BlobRow>(view, &mut |digest, row| {
        marked.blobs += 1;
        // A row that does not parse is damage, which is fsck's; whose it is can still be told.
        if let Some(row) = row {
            marked.blob_bytes += u64::from(row.raw_len);
            marked.deltas += u64::from(row.codec.depth() > 0);
            if let Place::Segment(location) = row.place {
                marked.stored_bytes += u64::from(location.length);
            }
        }
        while members.next_if(|other| **other < digest).is_some() {}
        if members.next_if_eq(&&digest).is_none() {
            marked.orphans.push(digest);
        }
        Ok(())
    })
}

/// Bytes of the blobs in the metadata.
fn inline_bytes(view: &View) -> Result<u64, Error> {
    let mut bytes = 0;
    let scanned =
        view.snapshot().visit(Table::Inline, &KeyRange::prefix(b""), &mut |_, payload| {
            bytes += payload.len() as u64;
            true
        });
    scanned.map_err(Error::Read)?;
    Ok(bytes)
}

/// Visits a whole table without paging through it. A value that does not parse is `None`.
fn scan<R: Row>(
    view: &View,
    visit: &mut dyn FnMut(R::Key, Option<R>) -> Result<(), InvalidRow>,
) -> Result<(), Error> {
    let mut result = Ok(());
    let all = KeyRange::prefix(b"");
    let scanned = view.snapshot().visit(R::TABLE, &all, &mut |key, value| {
        result = R::decode_key(key).and_then(|key| visit(key, R::decode(value).ok()));
        result.is_ok()
    });
    scanned.map_err(Error::Read)?;
    result.map_err(|error| error.of(R::TABLE))
}
