//! What client and server have in common.

use std::collections::HashMap;

use colophon_model::{GitKind, Oid, Ordinal};

use crate::{Error, ObjectLog, read};

/// The newest commit that a client has said it has. History is linear, so the client has every
/// object up to it: one ordinal says all there is to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Common(Option<Ordinal>);

impl Common {
    /// Everything up to `newest`; nothing for `None`.
    pub(crate) const fn up_to(newest: Option<Ordinal>) -> Self {
        Self(newest)
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

/// Hears `have` lines, each object once: an entry is read with all its bytes, so a large blob that a
/// request names again and again would cost as much every time.
pub(crate) struct Hearing<'a> {
    log: &'a dyn ObjectLog,
    common: Common,
    /// What the answer was for each object so far.
    heard: HashMap<Oid, bool>,
}

impl<'a> Hearing<'a> {
    pub(crate) fn new(log: &'a dyn ObjectLog) -> Self {
        Self { log, common: Common::default(), heard: HashMap::new() }
    }

    /// Takes a `have` in and says whether it is a known commit, or a tag of one. Unknown ones are
    /// other people's commits as far as this repository is concerned, and are ignored.
    pub(crate) fn have(&mut self, oid: Oid) -> Result<bool, Error> {
        if let Some(known) = self.heard.get(&oid) {
            return Ok(*known);
        }
        let commit = commit_of(self.log, oid)?;
        self.common.0 = self.common.0.max(commit);
        self.heard.insert(oid, commit.is_some());
        Ok(commit.is_some())
    }

    /// What the client has said so far.
    pub(crate) const fn common(&self) -> Common {
        self.common
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
