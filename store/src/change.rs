//! What is to be written together.

use colophon_model::{Digest, TenantUid};

use crate::blob::{Condemned, Member};
use crate::row::key_bytes;
use crate::{Batch, Check, KeyPart, PreparedBlob, Row};

/// Rows, blobs and expectations that are committed together or not at all.
///
/// Rows of a tenant go through its [`crate::Lane`]; [`crate::Store::commit`] is for the rest.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub(crate) batch: Batch,
    /// With the tenant that brings each.
    pub(crate) blobs: Vec<(TenantUid, PreparedBlob)>,
    pub(crate) uses_reserve: bool,
}

impl Change {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a row. The last write to a key wins.
    pub fn put<R: Row>(&mut self, key: &R::Key, row: &R) -> &mut Self {
        self.batch.writes.insert((R::TABLE, R::encode_key(key)), Some(row.encode()));
        self
    }

    /// Deletes a row, if there is one.
    pub fn delete<R: Row>(&mut self, key: &R::Key) -> &mut Self {
        self.batch.writes.insert((R::TABLE, R::encode_key(key)), None);
        self
    }

    /// Lets the change fail with a conflict unless the row is exactly `row`, or absent for `None`,
    /// when it is committed.
    pub fn expect<R: Row>(&mut self, key: &R::Key, row: Option<&R>) -> &mut Self {
        let (table, key) = (R::TABLE, R::encode_key(key));
        self.batch.checks.push(match row {
            Some(row) => Check::Equals { table, key, value: row.encode() },
            None => Check::Absent { table, key },
        });
        self
    }

    /// Lets the change fail with a conflict if any key of the table begins with `prefix` when it is
    /// committed.
    pub fn expect_none<R: Row>(&mut self, prefix: &impl KeyPart) -> &mut Self {
        let check = Check::PrefixEmpty { table: R::TABLE, prefix: key_bytes(prefix) };
        self.batch.checks.push(check);
        self
    }

    /// Stores a blob, if it is new, and lets `tenant` read it. A change that meets a conflict may
    /// leave the bytes behind, visible to nobody.
    ///
    /// The change must also write a row that names the blob, since a blob that no row names is
    /// garbage.
    pub fn blob(&mut self, tenant: TenantUid, blob: PreparedBlob) -> &mut Self {
        let key = (blob.digest(), tenant);
        self.put(&key, &Member).delete::<Condemned>(&key);
        self.blobs.push((tenant, blob));
        self
    }

    /// Names a blob again that `tenant` has ([`crate::View::has_blob`]), without its bytes. The
    /// change fails with a conflict when the blob was collected in between.
    pub fn keep(&mut self, tenant: TenantUid, digest: Digest) -> &mut Self {
        let key = (digest, tenant);
        self.expect(&key, Some(&Member)).delete::<Condemned>(&key)
    }

    /// Lets the change be taken when the disk is full: it is one that gives space back.
    pub fn use_reserve(&mut self) -> &mut Self {
        self.uses_reserve = true;
        self
    }

    pub(crate) fn find_blob(&self, digest: &Digest) -> Option<&PreparedBlob> {
        self.blobs.iter().map(|(_, blob)| blob).find(|blob| blob.digest() == *digest)
    }

    /// What the change adds to a group, in bytes of blobs.
    pub(crate) fn blob_bytes(&self) -> usize {
        self.blobs.iter().map(|(_, blob)| blob.likely().as_bytes().len()).sum()
    }
}
