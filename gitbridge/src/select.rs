//! Which objects answer a request.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use colophon_model::{GitKind, Oid, Ordinal};
use roaring::RoaringBitmap;

use crate::filter::Filter;
use crate::mates::{Mates, mates};
use crate::ranges::Ranges;
use crate::reach::Reach;
use crate::shallow::Boundary;
use crate::tags::PackTags;
use crate::{Error, Limits, ObjectLog, PackedTag, read};

/// The objects that a client wants, found in the log.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) commits: BTreeSet<Ordinal>,
    /// Trees and blobs wanted by id.
    loose: Vec<Ordinal>,
    tags: PackTags,
}

/// How the client wants its pack put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    pub(crate) filter: Filter,
    /// Annotated tags of commits that are sent come along.
    pub(crate) include_tag: bool,
}

/// The contents of a pack.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) entries: Ranges,
    pub(crate) mates: Mates,
    /// By id.
    pub(crate) tags: Vec<Arc<PackedTag>>,
    /// What the client has, as far as it said.
    has: RoaringBitmap,
    filter: Filter,
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
            match read::shape(log, at)?.kind {
                GitKind::Commit => _ = self.commits.insert(at),
                _ => self.loose.push(at),
            }
            return Ok(());
        }
        let tag = log.tag(&want).map_err(Error::Read)?.ok_or(Error::NotOurRef(want))?;
        self.commits.insert(read::locate(log, tag.target)?);
        self.tags.add(log, &tag)
    }

    /// What to send to a client that has the commits `haves`, and whose history ends as `boundary`
    /// says.
    pub(crate) fn plan(
        self,
        log: &dyn ObjectLog,
        haves: &BTreeSet<Ordinal>,
        boundary: &Boundary,
        terms: Terms,
        limits: &Limits,
    ) -> Result<Plan, Error> {
        let Terms { filter, include_tag } = terms;
        let nothing = RoaringBitmap::new();
        let mut reach = Reach::new(log, Filter::default(), &nothing, limits.objects);
        for (top, floor) in lines(haves, &boundary.client) {
            reach.commits(top, floor)?;
        }
        let (has, _) = reach.found();
        let mut reach = Reach::new(log, filter, &has, limits.objects);
        let tops = self.commits.union(&boundary.below).copied().collect();
        let sent = lines(&tops, &boundary.ends);
        for (top, floor) in &sent {
            reach.commits(*top, *floor)?;
        }
        for at in &self.loose {
            reach.object(*at)?;
        }
        let (found, leaves) = reach.found();
        let (entries, mates) = (Ranges::new(&found), mates(&leaves));
        let mut tags = self.tags;
        if include_tag {
            // No commit that is sent is older: a part of history may well hold old files.
            let floor = sent.iter().map(|(_, floor)| *floor).min().flatten();
            if let Some(first) = entries.first() {
                tags.include(log, &entries, floor.map_or(first, |floor| floor.max(first)))?;
            }
        }
        Ok(Plan { entries, mates, tags: tags.sorted(), has, filter })
    }
}

/// The stretches of history below `tops`: each from its newest commit down to one of `floors`, or to
/// the first commit. Of tops above one floor, the newest reaches the others.
fn lines(tops: &BTreeSet<Ordinal>, floors: &BTreeSet<Ordinal>) -> Vec<(Ordinal, Option<Ordinal>)> {
    let floor = |top: Ordinal| floors.range(..=top).next_back().copied();
    let newest: BTreeMap<_, _> = tops.iter().map(|top| (floor(*top), *top)).collect();
    newest.into_iter().map(|(floor, top)| (top, floor)).collect()
}

impl Plan {
    /// Everything after `from` up to the commit at `tip`, and `tags`, for somebody who has all up to
    /// `from`.
    pub(crate) fn range(from: Option<Ordinal>, tip: Ordinal, tags: PackTags) -> Self {
        let (mut has, mut found) = (RoaringBitmap::new(), RoaringBitmap::new());
        found.insert_range(..=tip.get());
        if let Some(from) = from {
            has.insert_range(..=from.get());
        }
        found -= &has;
        let entries = Ranges::new(&found);
        let tags = tags.sorted();
        Self { entries, mates: Mates::new(), tags, has, filter: Filter::default() }
    }

    /// Whether the client has the object of `kind` at `at`, so that a delta may rest on it. What it
    /// once filtered out it may lack, although its commits name it.
    pub(crate) fn is_had(&self, at: Ordinal, kind: GitKind) -> bool {
        self.filter.leaves_whole(kind) && self.has.contains(at.get())
    }

    /// The number of objects in the pack.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.tags.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ordinals: &[u32]) -> BTreeSet<Ordinal> {
        ordinals.iter().map(|at| Ordinal::new(*at)).collect()
    }

    #[test]
    fn history_is_cut_into_lines_at_its_floors() {
        let line = |top, floor: Option<u32>| (Ordinal::new(top), floor.map(Ordinal::new));
        assert_eq!(lines(&set(&[3, 9]), &set(&[])), [line(9, None)]);
        assert_eq!(lines(&set(&[3, 9]), &set(&[5])), [line(3, None), line(9, Some(5))]);
        assert_eq!(lines(&set(&[5, 7, 9]), &set(&[5, 6])), [line(5, Some(5)), line(9, Some(6))]);
        assert_eq!(lines(&set(&[]), &set(&[5])), []);
    }
}
