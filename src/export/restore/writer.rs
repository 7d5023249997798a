//! Rows and blobs, committed together in bounded portions.

use colophon_model::{Digest, TenantUid};
use colophon_store::{Change, Error, PreparedBlob, Row, Store, View};

/// Most rows of one transaction, and most bytes of blobs.
const ROWS: usize = 2_048;
const BYTES: usize = 8 << 20;

/// Writes under a tenant's uid.
pub(super) struct Writer<'a> {
    pub(super) store: &'a Store,
    pub(super) uid: TenantUid,
    change: Change,
    rows: usize,
    bytes: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(store: &'a Store, uid: TenantUid) -> Self {
        Self { store, uid, change: Change::new(), rows: 0, bytes: 0 }
    }

    pub(super) fn put<R: Row>(&mut self, key: &R::Key, row: &R) -> Result<(), Error> {
        self.change.put(key, row);
        self.rows += 1;
        self.flush_if(self.rows >= ROWS)
    }

    /// Stores a blob, as what differs from `base` where that pays.
    pub(super) fn blob(
        &mut self,
        view: &View,
        bytes: &[u8],
        base: Option<Digest>,
    ) -> Result<(), Error> {
        let blob = PreparedBlob::new(bytes)?.against(view, self.uid, bytes, || base)?;
        self.change.blob(self.uid, blob);
        self.rows += 1;
        self.bytes += bytes.len();
        self.flush_if(self.bytes >= BYTES || self.rows >= ROWS)
    }

    fn flush_if(&mut self, full: bool) -> Result<(), Error> {
        if full { self.flush() } else { Ok(()) }
    }

    /// Waits until all of it is durable.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if self.rows == 0 {
            return Ok(());
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(self.store.commit(std::mem::take(&mut self.change))?)
    }
}
