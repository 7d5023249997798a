//! Which objects answer a request.

use std::collections::{BTreeSet, HashSet};

use colophon_model::{GitKind, Oid, Ordinal, TagObject};

use crate::negotiate::Common;
use crate::object::from_gix;
use crate::ranges::Ranges;
use crate::{Error, ObjectLog, read};

/// The objects that a client wants, found in the log.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The newest wanted commit, which reaches all others.
    tip: Option<Ordinal>,
    /// Trees and blobs wanted by id, with what the trees reach.
    loose: BTreeSet<u32>,
    tags: Vec<TagObject>,
}

/// The contents of a pack.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) entries: Ranges,
    /// Tags are kept whole: they have no ordinal, and may be purged while the pack is streamed.
    pub(crate) tags: Vec<TagObject>,
    pub(crate) common: Common,
}

impl Wanted {
    /// Finds every wanted object, or refuses the request. An object of another tenant is refused in
    /// the same words as one that does not exist. An object that is named twice is read once.
    pub(crate) fn find(log: &dyn ObjectLog, wants: &[Oid]) -> Result<Self, Error> {
        let mut wanted = Self::default();
        let mut seen = HashSet::new();
        for want in wants.iter().filter(|want| seen.insert(**want)) {
            wanted.add(log, *want)?;
        }
        Ok(wanted)
    }

    fn add(&mut self, log: &dyn ObjectLog, want: Oid) -> Result<(), Error> {
        if let Some(at) = log.ordinal(&want).map_err(Error::Read)? {
            if read::entry(log, at)?.kind == GitKind::Commit {
                self.tip = self.tip.max(Some(at));
                return Ok(());
            }
            return reach(log, at, &mut self.loose);
        }
        let tag = log.tag(&want).map_err(Error::Read)?.ok_or(Error::NotOurRef(want))?;
        self.tip = self.tip.max(Some(read::locate(log, tag.target)?));
        self.tags.push(tag);
        Ok(())
    }

    /// What to send to a client that has everything up to `common`.
    pub(crate) fn plan(
        self,
        log: &dyn ObjectLog,
        common: Common,
        include_tag: bool,
    ) -> Result<Plan, Error> {
        let start = common.end();
        // Empty when the client has more than it wants.
        let end = self.tip.map_or(start, |tip| tip.get().saturating_add(1));
        let mut plan =
            Plan { entries: Ranges::new(start..end, self.loose), tags: self.tags, common };
        if include_tag {
            plan.include_tags(log)?;
        }
        plan.tags.sort_by_key(|tag| tag.oid);
        plan.tags.dedup_by_key(|tag| tag.oid);
        Ok(plan)
    }
}

impl Plan {
    /// Everything after `common` up to the commit at `tip`, and `tags`.
    pub(crate) fn range(common: Common, tip: Ordinal, tags: Vec<TagObject>) -> Self {
        let start = common.end();
        let entries = Ranges::new(start..tip.get().saturating_add(1).max(start), []);
        Self { entries, tags, common }
    }

    /// Adds the annotated tags of the commits that are sent.
    fn include_tags(&mut self, log: &dyn ObjectLog) -> Result<(), Error> {
        for tag in log.refs("refs/tags/").map_err(Error::Read)? {
            let Some(commit) = tag.peeled else { continue };
            if self.entries.index_of(read::locate(log, commit)?).is_some() {
                let tag_object = log.tag(&tag.oid).map_err(Error::Read)?;
                self.tags.push(tag_object.ok_or(Error::Missing(tag.oid))?);
            }
        }
        Ok(())
    }

    /// The number of objects in the pack.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.tags.len()
    }
}

/// Adds a blob, or a tree and all that it reaches.
fn reach(log: &dyn ObjectLog, at: Ordinal, seen: &mut BTreeSet<u32>) -> Result<(), Error> {
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        if !seen.insert(at.get()) || read::entry(log, at)?.kind != GitKind::Tree {
            continue;
        }
        let (_, bytes) = read::object(log, at)?;
        let damaged = || Error::damaged(at, "it is not a well-formed tree");
        let tree = gix_object::TreeRef::from_bytes(&bytes, gix_hash::Kind::Sha1);
        for entry in tree.map_err(|_| damaged())?.entries {
            open.push(read::locate(log, from_gix(entry.oid).ok_or_else(damaged)?)?);
        }
    }
    Ok(())
}
