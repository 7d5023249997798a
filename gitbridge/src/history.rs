//! The line of commits, walked from newer to older.

use colophon_model::{GitKind, Oid, Ordinal};

use crate::object::CommitHead;
use crate::{Error, ObjectLog, read};

/// A commit of the tenant's branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) at: Ordinal,
    pub(crate) oid: Oid,
    pub(crate) tree: Oid,
    parent: Option<Oid>,
    /// When it was committed, in seconds since 1970.
    pub(crate) time: i64,
}

impl Commit {
    /// Reads the commit at `at`.
    pub(crate) fn read(log: &dyn ObjectLog, at: Ordinal) -> Result<Self, Error> {
        let oid = read::entry(log, at)?.oid;
        let (kind, bytes) = read::object(log, at)?;
        let head = (kind == GitKind::Commit).then(|| CommitHead::parse(&bytes)).flatten();
        let CommitHead { tree, parent, time } =
            head.ok_or(Error::damaged(at, "it is not a well-formed commit"))?;
        Ok(Self { at, oid, tree, parent, time })
    }

    /// The commit before this one.
    pub(crate) fn parent(&self, log: &dyn ObjectLog) -> Result<Option<Self>, Error> {
        let Some(oid) = self.parent else { return Ok(None) };
        let at = read::locate(log, oid)?;
        if at >= self.at {
            return Err(Error::damaged(self.at, "its parent is not older"));
        }
        Self::read(log, at).map(Some)
    }
}
