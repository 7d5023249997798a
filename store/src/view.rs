//! Typed reads from one state of the store.

use std::collections::VecDeque;
use std::marker::PhantomData;

use colophon_model::{Digest, TenantUid};

use crate::blob::Member;
use crate::damage::Damage;
use crate::delta::{self, Depth};
use crate::frame::Codec;
use crate::layered::Layered;
use crate::reader::Reader;
use crate::row::key_bytes;
use crate::rows::RefChanges;
use crate::sync::Arc;
use crate::{
    Change, Entry, Error, InvalidRow, KeyPart, KeyRange, Lease, Order, Row, Segments, Snapshot,
};

/// One consistent state: everything committed when it was taken and, for a lane's view, the changes
/// of the tenant that are still on their way.
///
/// It pins storage while it lives, so it is meant for one request and not for a slow reader.
pub struct View {
    snapshot: Layered,
    segments: Arc<dyn Segments>,
    damage: Arc<Damage>,
    lease: Lease,
    era: u64,
}

impl View {
    /// `lease` began, and `era` was asked for, before `below` was taken.
    pub(crate) fn new(
        below: Box<dyn Snapshot>,
        above: Vec<Arc<Change>>,
        segments: Arc<dyn Segments>,
        damage: Arc<Damage>,
        lease: Lease,
        era: u64,
    ) -> Self {
        Self { snapshot: Layered { below, above }, segments, damage, lease, era }
    }

    /// The era that this view is of, for who wants to remember what it shows: see [`Store::era`]. `None`
    /// in a lane's view with changes on their way, which may yet be refused.
    ///
    /// [`Store::era`]: crate::Store::era
    pub fn era(&self) -> Option<u64> {
        self.snapshot.above.is_empty().then_some(self.era)
    }

    /// The era in which it was taken, whatever is on its way: while it lasts, the tenants that the view shows
    /// are there.
    pub const fn taken_in(&self) -> u64 {
        self.era
    }

    /// Keeps the bytes of every blob that this view shows and some row names, also for views that
    /// are taken later. For a slow reader: it drops this view, holds the lease, and reads by short
    /// views.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    pub(crate) fn snapshot(&self) -> &dyn Snapshot {
        &self.snapshot
    }

    /// The row at `key`.
    pub fn get<R: Row>(&self, key: &R::Key) -> Result<Option<R>, Error> {
        let bytes = self.snapshot.get(R::TABLE, &R::encode_key(key)).map_err(Error::Read)?;
        bytes.map(|bytes| R::decode(&bytes)).transpose().map_err(|e| e.of(R::TABLE))
    }

    /// The rows whose keys begin with `prefix`, by ascending key.
    ///
    /// `prefix` is the leading part of the table's key, such as a tenant's uid.
    pub fn scan<R: Row>(&self, prefix: &impl KeyPart) -> Scan<'_, R> {
        Scan {
            view: self,
            range: KeyRange::prefix(&key_bytes(prefix)),
            order: Order::Ascending,
            page: VecDeque::new(),
            ended: false,
            row: PhantomData,
        }
    }

    /// Shows the rows whose keys begin with `prefix`, from `from` (inclusive) on by ascending key,
    /// until `look` answers false. One row is read at a time, however large the next ones are.
    pub fn visit<R: Row>(
        &self,
        prefix: &impl KeyPart,
        from: &R::Key,
        mut look: impl FnMut(R::Key, R) -> bool,
    ) -> Result<(), Error> {
        let range = KeyRange::prefix(&key_bytes(prefix));
        let range = range.starting_at(&R::encode_key(from), Order::Ascending);
        let mut broken = None;
        let mut visit = |key: &[u8], value: &[u8]| match (R::decode_key(key), R::decode(value)) {
            (Ok(key), Ok(row)) => look(key, row),
            (Err(error), _) | (_, Err(error)) => {
                broken = Some(error);
                false
            }
        };
        self.snapshot.visit(R::TABLE, &range, &mut visit).map_err(Error::Read)?;
        broken.map_or(Ok(()), |error| Err(error.of(R::TABLE)))
    }

    /// A number that every change of the tenant's refs raises: two views that answer the same show the
    /// same refs. `None` in a lane's view with changes on their way, which are not counted yet.
    pub fn ref_changes(&self, tenant: TenantUid) -> Result<Option<u64>, Error> {
        if !self.snapshot.above.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.get::<RefChanges>(&tenant)?.unwrap_or_default().count))
    }

    /// Whether `tenant` has the blob, so that a change may name it without bringing its bytes. A
    /// blob that is known to be damaged is wanted again.
    pub fn has_blob(&self, tenant: TenantUid, digest: &Digest) -> Result<bool, Error> {
        Ok(!self.damage.holds(digest) && self.is_member(tenant, digest)?)
    }

    /// The bytes of a blob, checked against its digest. A blob that only other tenants have is
    /// answered like one that does not exist.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the bytes are lost or damaged; they are then taken from the next
    /// change that brings them.
    pub fn read_blob(&self, tenant: TenantUid, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        if !self.is_member(tenant, digest)? {
            return Ok(None);
        }
        self.read_any(digest).map(Some)
    }

    /// Bytes that a blob of `tenant` takes as it is stored: a frame in a segment, or a payload in the
    /// metadata. `None` when the tenant does not have it, or the bytes are lost.
    pub fn stored_bytes(&self, tenant: TenantUid, digest: &Digest) -> Result<Option<u64>, Error> {
        if !self.is_member(tenant, digest)? {
            return Ok(None);
        }
        let stored = self.durable().stored(digest).map_err(Error::Read)?;
        Ok(stored.map(|stored| stored.len()))
    }

    pub(crate) fn is_member(&self, tenant: TenantUid, digest: &Digest) -> Result<bool, Error> {
        Ok(self.get::<Member>(&(*digest, tenant))?.is_some())
    }

    /// The bytes of a blob, whoever has it.
    pub(crate) fn read_any(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let pending = self.snapshot.above.iter().find_map(|change| change.find_blob(digest));
        if let Some(blob) = pending {
            return blob.read().ok_or(Error::Corrupt { digest: *digest });
        }
        let reader = self.durable();
        let read = reader.read(digest);
        if matches!(read, Err(Error::Corrupt { .. })) {
            // It may be fine itself, and rest on what is damaged.
            let mut below = reader.bases(digest).unwrap_or_default();
            below.retain(|base| !matches!(reader.is_damaged(base), Ok(false)));
            below.iter().chain([digest]).for_each(|digest| self.damage.suspect(*digest));
        }
        read
    }

    /// Reads blobs without what is on its way.
    pub(crate) fn durable(&self) -> Reader<'_> {
        Reader::new(&*self.snapshot.below, &*self.segments)
    }

    /// The bytes and the codec of `base`, if a blob of `raw_len` bytes, whose payload by itself has `full`, may rest
    /// on it for `tenant`. Nothing is read of a base that is too long, or has too many below it.
    pub(crate) fn base_for(
        &self,
        tenant: TenantUid,
        (raw_len, full): (usize, usize),
        base: &Digest,
    ) -> Result<Option<(Vec<u8>, Codec)>, Error> {
        if !self.has_blob(tenant, base)? {
            return Ok(None);
        }
        let Some((codec, base_len)) = self.encoding(base)? else { return Ok(None) };
        if Depth::above(codec).is_none() || !delta::is_worth_a_look(raw_len, full, base_len) {
            return Ok(None);
        }
        match self.read_any(base) {
            Ok(bytes) => Ok(Some((bytes, codec))),
            Err(Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How a blob is encoded, or will be, and its length. The writer may take another way for what is on its
    /// way yet, and looks again.
    fn encoding(&self, digest: &Digest) -> Result<Option<(Codec, usize)>, Error> {
        if let Some(row) = self.durable().row(digest).map_err(Error::Read)? {
            return Ok(Some((row.codec, row.raw_len as usize)));
        }
        let pending = self.snapshot.above.iter().find_map(|change| change.find_blob(digest));
        Ok(pending.map(|blob| {
            let frame = blob.likely();
            (frame.codec(), frame.raw_len() as usize)
        }))
    }
}

/// Rows read at a time. Small, because a row may hold a whole Git object.
const PAGE: usize = 64;

/// An iterator over the keys and rows of a prefix. After an error it ends.
pub struct Scan<'v, R> {
    view: &'v View,
    range: KeyRange,
    order: Order,
    page: VecDeque<Entry>,
    ended: bool,
    row: PhantomData<R>,
}

impl<R: Row> Scan<'_, R> {
    /// By descending key.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.order = Order::Descending;
        self
    }

    /// From `key` (inclusive) on, in the order chosen before.
    #[must_use]
    pub fn starting_at(mut self, key: &R::Key) -> Self {
        self.range = self.range.starting_at(&R::encode_key(key), self.order);
        self
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        if self.page.is_empty() && !self.ended {
            let range = self.range.clone();
            let page = self.view.snapshot.range(R::TABLE, &range, self.order, PAGE);
            let page = page.map_err(Error::Read)?;
            self.ended = page.len() < PAGE;
            if let Some((last, _)) = page.last() {
                self.range = range.after(last, self.order);
            }
            self.page = page.into();
        }
        Ok(self.page.pop_front())
    }
}

impl<R: Row> Iterator for Scan<'_, R> {
    type Item = Result<(R::Key, R), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.next_entry() {
            Ok(entry) => parse::<R>(entry?).map_err(|e| e.of(R::TABLE)),
            Err(error) => Err(error),
        };
        if row.is_err() {
            self.page.clear();
            self.ended = true;
        }
        Some(row)
    }
}

fn parse<R: Row>((key, value): Entry) -> Result<(R::Key, R), InvalidRow> {
    Ok((R::decode_key(&key)?, R::decode(&value)?))
}
