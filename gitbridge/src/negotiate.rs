//! What client and server have in common.

use std::collections::{BTreeSet, HashMap};

use colophon_model::{GitKind, Oid, Ordinal};

use crate::{Error, ObjectLog, read};

/// Hears `have` lines, each object once, however often it is named.
pub(crate) struct Hearing<'a> {
    log: &'a dyn ObjectLog,
    commits: BTreeSet<Ordinal>,
    /// What the answer was for each object so far.
    heard: HashMap<Oid, bool>,
}

impl<'a> Hearing<'a> {
    pub(crate) fn new(log: &'a dyn ObjectLog) -> Self {
        Self { log, commits: BTreeSet::new(), heard: HashMap::new() }
    }

    /// Takes a `have` in and says whether it is a known commit, or a tag of one. Unknown ones are
    /// other people's commits as far as this repository is concerned, and are ignored.
    pub(crate) fn have(&mut self, oid: Oid) -> Result<bool, Error> {
        if let Some(known) = self.heard.get(&oid) {
            return Ok(*known);
        }
        let commit = commit_of(self.log, oid)?;
        self.commits.extend(commit);
        self.heard.insert(oid, commit.is_some());
        Ok(commit.is_some())
    }

    /// Whether enough is known to send a pack. History is one line, so any commit in common will do.
    pub(crate) fn is_enough(&self) -> bool {
        !self.commits.is_empty()
    }

    /// The commits that the client has, as far as it said.
    pub(crate) const fn commits(&self) -> &BTreeSet<Ordinal> {
        &self.commits
    }
}

/// Where the commit `oid`, or the commit behind the tag `oid`, stands.
fn commit_of(log: &dyn ObjectLog, oid: Oid) -> Result<Option<Ordinal>, Error> {
    if let Some(at) = log.ordinal(&oid).map_err(Error::Read)? {
        let kind = read::shape(log, at)?.kind;
        return Ok((kind == GitKind::Commit).then_some(at));
    }
    match log.tag(&oid).map_err(Error::Read)? {
        Some(tag) => read::locate(log, tag.target).map(Some),
        None => Ok(None),
    }
}
