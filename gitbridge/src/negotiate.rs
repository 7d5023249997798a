//! What client and server have in common.

use colophon_model::{GitKind, Oid, Ordinal};

use crate::{Error, ObjectLog, read};

/// The newest commit that a client has said it has. History is linear, so the client has every
/// object up to it: one ordinal says all there is to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Common(Option<Ordinal>);

impl Common {
    /// Takes a `have` in and says whether the object is known. Unknown ones are other people's commits
    /// as far as this repository is concerned, and are ignored.
    pub(crate) fn add(&mut self, log: &dyn ObjectLog, have: Oid) -> Result<bool, Error> {
        let commit = commit_of(log, have)?;
        self.0 = self.0.max(commit);
        Ok(commit.is_some())
    }

    /// Whether enough is known to send a pack: any commit in common will do.
    pub(crate) const fn is_enough(self) -> bool {
        self.0.is_some()
    }

    /// Whether the client has the object at `at`.
    pub(crate) fn holds(self, at: Ordinal) -> bool {
        self.0.is_some_and(|newest| at <= newest)
    }

    /// The first ordinal that the client lacks.
    pub(crate) fn end(self) -> u32 {
        self.0.map_or(0, |newest| newest.get().saturating_add(1))
    }
}

/// Where the commit `oid`, or the commit behind the tag `oid`, stands.
fn commit_of(log: &dyn ObjectLog, oid: Oid) -> Result<Option<Ordinal>, Error> {
    if let Some(at) = log.ordinal(&oid).map_err(Error::Read)? {
        let kind = read::entry(log, at)?.kind;
        return Ok((kind == GitKind::Commit).then_some(at));
    }
    match log.tag(&oid).map_err(Error::Read)? {
        Some(tag) => read::locate(log, tag.target).map(Some),
        None => Ok(None),
    }
}
