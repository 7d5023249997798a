//! The view of a tenant's objects that the facade reads.

use colophon_model::{LogEntry, Oid, Ordinal, TagObject};

use crate::ReadError;

/// One ref of a tenant's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// The full name, such as `refs/heads/tenant/acme`.
    pub name: String,
    /// The commit or annotated tag it names.
    pub oid: Oid,
    /// The commit behind an annotated tag.
    pub peeled: Option<Oid>,
}

/// One consistent view of one tenant's objects and refs.
///
/// The log is append-only: an ordinal that one view knows stays valid, with the same entry, in
/// every later view. That is why a pack planned in one view can be streamed from others.
pub trait ObjectLog {
    /// The number of entries, which is the ordinal of the next one.
    fn len(&self) -> Result<u32, ReadError>;

    /// Whether the log holds no entry.
    fn is_empty(&self) -> Result<bool, ReadError> {
        Ok(self.len()? == 0)
    }

    /// Where this tenant's object `oid` stands. Objects of other tenants do not exist here.
    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError>;

    /// The entry at a position.
    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError>;

    /// This tenant's annotated tag `oid`.
    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError>;

    /// The refs whose names start with `prefix`, sorted by name in byte order. `HEAD` is not one.
    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError>;
}
