//! What a group of changes brings, and how each blob of it is stored.
//!
//! A blob rests on another only if the writer finds it so: the base is there and whole, has fewer below it,
//! and every tenant that brings the blob has the base. Otherwise the blob is stored by itself, so nothing
//! that was prepared has to be believed.

use std::collections::HashMap;
use std::io;

use colophon_model::{Digest, TenantUid};

use crate::blob::Member;
use crate::delta;
use crate::frame::Codec;
use crate::reader::Reader;
use crate::row::Row;
use crate::{Change, Frame, PreparedBlob, Snapshot, Table};

/// A blob and the tenants that bring it.
pub(crate) struct Arrival<'a> {
    pub(crate) blob: &'a PreparedBlob,
    tenants: Vec<TenantUid>,
}

/// The blobs of a group, each once, in order.
pub(crate) fn gather<'a>(group: &[&'a Change]) -> Vec<Arrival<'a>> {
    let (mut arrivals, mut places) = (Vec::<Arrival<'a>>::new(), HashMap::new());
    for (tenant, blob) in group.iter().flat_map(|change| &change.blobs) {
        let place = *places.entry(blob.digest()).or_insert(arrivals.len());
        match arrivals.get_mut(place) {
            Some(arrival) => arrival.add(blob, *tenant),
            None => arrivals.push(Arrival { blob, tenants: vec![*tenant] }),
        }
    }
    arrivals
}

impl<'a> Arrival<'a> {
    fn add(&mut self, blob: &'a PreparedBlob, tenant: TenantUid) {
        if !self.tenants.contains(&tenant) {
            self.tenants.push(tenant);
        }
        if self.blob.delta().is_none() {
            self.blob = blob;
        }
    }
}

/// Decides how blobs are stored.
pub(crate) struct Choice<'a> {
    pub(crate) group: &'a [&'a Change],
    pub(crate) snapshot: &'a dyn Snapshot,
    pub(crate) reader: &'a Reader<'a>,
    /// How the blobs before are stored that this group brings.
    pub(crate) chosen: HashMap<Digest, Codec>,
}

impl Choice<'_> {
    /// How a blob is stored that is not there.
    pub(crate) fn of_new<'b>(
        &mut self,
        arrival: &Arrival<'b>,
        is_bad: impl Fn(&Digest) -> bool,
    ) -> io::Result<&'b Frame> {
        let frame = match arrival.blob.delta() {
            Some(delta) if self.may_rest(arrival, delta, is_bad)? => delta,
            _ => arrival.blob.frame(),
        };
        self.chosen.insert(frame.digest(), frame.codec());
        Ok(frame)
    }

    fn may_rest(
        &self,
        arrival: &Arrival<'_>,
        delta: &Frame,
        is_bad: impl Fn(&Digest) -> bool,
    ) -> io::Result<bool> {
        let Some(base) = delta.base().filter(|base| !is_bad(base)) else { return Ok(false) };
        let below = match self.chosen.get(&base) {
            Some(codec) => Some(*codec),
            None => self.reader.row(&base)?.map(|row| row.codec),
        };
        let is_sound = below.is_some_and(|below| below.depth() < delta.codec().depth());
        // What lost its row may be the base of its own base.
        Ok(is_sound
            && self.all_have(arrival, &base)?
            && delta::resting_on(self.snapshot, &delta.digest())?.is_empty())
    }

    /// Whether a blob that is there is to be stored anew, by itself: it rests on one that a tenant does not
    /// have that brings it. How long it takes to read would tell that tenant of others.
    pub(crate) fn is_foreign(&self, arrival: &Arrival<'_>, codec: Codec) -> io::Result<bool> {
        let digest = arrival.blob.digest();
        if codec.depth() == 0 || self.all_had(arrival, &digest)? {
            return Ok(false);
        }
        match self.reader.stored(&digest)?.and_then(|stored| stored.base()) {
            Some(base) => Ok(!self.all_have(arrival, &base)?),
            None => Ok(false),
        }
    }

    /// Whether none of the tenants gets the blob by this group.
    fn all_had(&self, arrival: &Arrival<'_>, digest: &Digest) -> io::Result<bool> {
        for tenant in &arrival.tenants {
            if !self.had(*tenant, digest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn had(&self, tenant: TenantUid, digest: &Digest) -> io::Result<bool> {
        let key = Member::encode_key(&(*digest, tenant));
        Ok(self.snapshot.get(Table::Member, &key)?.is_some())
    }

    fn all_have(&self, arrival: &Arrival<'_>, digest: &Digest) -> io::Result<bool> {
        for tenant in &arrival.tenants {
            if !self.has(*tenant, digest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the tenant has the blob, or a change of the group gives it to the tenant.
    fn has(&self, tenant: TenantUid, digest: &Digest) -> io::Result<bool> {
        let place = (Table::Member, Member::encode_key(&(*digest, tenant)));
        let gives = |change: &&Change| matches!(change.batch.writes.get(&place), Some(Some(_)));
        Ok(self.had(tenant, digest)? || self.group.iter().any(gives))
    }
}
