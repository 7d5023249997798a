//! Annotated tags on their way into packs.

use std::sync::Arc;

use colophon_model::{Oid, Ordinal, TagObject};

use crate::ranges::Ranges;
use crate::zlib::Deflater;
use crate::{Error, ObjectLog, PackedTag, Ref, read};

/// Tags by id, as packs hold them.
pub type TagList = Arc<[(Oid, Arc<PackedTag>)]>;

/// The tags of one pack. They are kept whole: a tag has no ordinal, and may be purged while the pack
/// is streamed. Packs of one log share those that it remembers.
#[derive(Default)]
pub(crate) struct PackTags {
    tags: Vec<(Oid, Arc<PackedTag>)>,
    /// All tags of the log, when all of them go into the pack.
    all: Option<TagList>,
    /// Made for the first tag that nothing remembers.
    deflater: Option<Deflater>,
}

/// Tags that are looked at first; eight times as many each time that all of them are of commits sent.
const AT_FIRST: usize = 8;

impl PackTags {
    /// Adds a tag that was read.
    pub(crate) fn add(&mut self, log: &dyn ObjectLog, tag: &TagObject) -> Result<(), Error> {
        let deflater = &mut self.deflater;
        let mut pack = || Ok(Some(pack(tag, read::locate(log, tag.target)?, deflater)));
        let packed = log.packed_tag(&tag.oid, &mut pack)?;
        self.tags.extend(packed.map(|packed| (tag.oid, packed)));
        Ok(())
    }

    /// Adds the tags of the commits among `sent`, none of which is older than `oldest`. Tags come
    /// newest first, so the search ends with the first of an older one.
    pub(crate) fn include(
        &mut self,
        log: &dyn ObjectLog,
        sent: &Ranges,
        oldest: Ordinal,
    ) -> Result<(), Error> {
        // Every tag is of a commit that is not older than the first object.
        if oldest == Ordinal::new(0) {
            let all = log.packed_tags(&mut || self.all(log))?;
            let is_sent = |(_, tag): &&(Oid, Arc<PackedTag>)| sent.index_of(tag.target).is_some();
            if all.iter().filter(is_sent).count() == all.len() {
                self.all = Some(all);
            } else {
                self.tags.extend(all.iter().filter(is_sent).cloned());
            }
            return Ok(());
        }
        let mut most = AT_FIRST;
        loop {
            let newest = log.newest_tags(most).map_err(Error::Read)?;
            let wanted = |at| sent.index_of(at).is_some();
            let found = newest.iter().map(|tag| self.find(log, tag, &wanted));
            let found = found.collect::<Result<Vec<_>, Error>>()?;
            if found.len() == most && found.iter().all(|(at, _)| *at >= oldest) {
                most = most.saturating_mul(8);
                continue;
            }
            let sent = newest.iter().zip(found).filter(|(_, (at, _))| sent.index_of(*at).is_some());
            self.tags.extend(sent.filter_map(|(tag, (_, packed))| Some((tag.oid, packed?))));
            return Ok(());
        }
    }

    fn all(&mut self, log: &dyn ObjectLog) -> Result<TagList, Error> {
        let tags = log.newest_tags(usize::MAX).map_err(Error::Read)?;
        let found = tags.iter().map(|tag| Ok((tag.oid, self.find(log, tag, &|_| true)?.1)));
        let found = found.collect::<Result<Vec<_>, Error>>()?;
        let found = found.into_iter().filter_map(|(oid, packed)| Some((oid, packed?)));
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(oid, _)| *oid);
        Ok(found.into())
    }

    /// Where the commit stands that a tag names; and the tag, when that commit is `wanted`.
    fn find(
        &mut self,
        log: &dyn ObjectLog,
        tag: &Ref,
        wanted: &dyn Fn(Ordinal) -> bool,
    ) -> Result<(Ordinal, Option<Arc<PackedTag>>), Error> {
        let missing = || Error::Missing(tag.oid);
        let mut place = None;
        let packed = log.packed_tag(&tag.oid, &mut || {
            let at = read::locate(log, tag.peeled.ok_or_else(missing)?)?;
            place = Some(at);
            if !wanted(at) {
                return Ok(None);
            }
            let object = log.tag(&tag.oid).map_err(Error::Read)?.ok_or_else(missing)?;
            Ok(Some(pack(&object, at, &mut self.deflater)))
        })?;
        let target = packed.as_ref().map(|packed| packed.target);
        Ok((target.or(place).ok_or_else(missing)?, packed))
    }

    /// All of them by id, each once.
    pub(crate) fn sorted(mut self) -> Vec<Arc<PackedTag>> {
        if let Some(all) = self.all {
            let is_new = |oid: &Oid| all.binary_search_by_key(oid, |(known, _)| *known).is_err();
            self.tags.retain(|(oid, _)| is_new(oid));
            if self.tags.is_empty() {
                return all.iter().map(|(_, tag)| tag.clone()).collect();
            }
            self.tags.extend(all.iter().cloned());
        }
        self.tags.sort_by_key(|(oid, _)| *oid);
        self.tags.dedup_by_key(|(oid, _)| *oid);
        self.tags.into_iter().map(|(_, tag)| tag).collect()
    }
}

impl std::fmt::Debug for PackTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.tags.iter().map(|(oid, _)| oid)).finish()
    }
}

fn pack(tag: &TagObject, target: Ordinal, zlib: &mut Option<Deflater>) -> PackedTag {
    let deflated = zlib.get_or_insert_with(Deflater::new).deflate(&tag.bytes);
    PackedTag { target, size: tag.bytes.len() as u64, deflated }
}
