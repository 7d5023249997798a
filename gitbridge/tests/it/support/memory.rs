//! The read trait over plain collections.

use std::collections::{BTreeMap, HashMap};

use colophon_gitbridge::{Appended, ObjectLog, ReadError, Ref};
use colophon_model::{LogEntry, Oid, Ordinal, TagObject};

#[derive(Debug, Default, Clone)]
pub(crate) struct MemoryLog {
    pub(crate) entries: Vec<LogEntry>,
    ordinals: HashMap<Oid, Ordinal>,
    tags: HashMap<Oid, TagObject>,
    refs: BTreeMap<String, Ref>,
}

impl MemoryLog {
    /// Stores what was appended, as the transaction of a build would.
    pub(crate) fn commit(&mut self, appended: &Appended, branch: &str, tags: &[String]) {
        for (at, entry) in &appended.entries {
            assert_eq!(at.get() as usize, self.entries.len(), "ordinals are dense");
            assert!(entry.base.is_none_or(|base| base < *at), "a base comes before its delta");
            let fresh = self.ordinals.insert(entry.oid, *at).is_none();
            assert!(fresh, "an object is added once");
            self.entries.push(entry.clone());
        }
        self.set_ref(branch, appended.commit, None);
        for (name, tag) in tags.iter().zip(&appended.tags) {
            self.add_tag(name, tag.clone());
        }
    }

    pub(crate) fn add_tag(&mut self, name: &str, tag: TagObject) {
        self.set_ref(name, tag.oid, Some(tag.target));
        self.tags.insert(tag.oid, tag);
    }

    fn set_ref(&mut self, name: &str, oid: Oid, peeled: Option<Oid>) {
        self.refs.insert(name.to_owned(), Ref { name: name.to_owned(), oid, peeled });
    }

    /// Forgets every tag, as purging does.
    pub(crate) fn purge_tags(&mut self) {
        self.tags.clear();
        self.refs.retain(|name, _| !name.starts_with("refs/tags/"));
    }

    /// Forgets one tag.
    pub(crate) fn purge(&mut self, name: &str) {
        if let Some(found) = self.refs.remove(name) {
            self.tags.remove(&found.oid);
        }
    }

    pub(crate) fn tag_oids(&self) -> impl Iterator<Item = Oid> {
        self.tags.keys().copied()
    }
}

impl ObjectLog for MemoryLog {
    fn len(&self) -> Result<u32, ReadError> {
        Ok(u32::try_from(self.entries.len())?)
    }

    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError> {
        Ok(self.ordinals.get(oid).copied())
    }

    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError> {
        Ok(self.entries.get(at.get() as usize).cloned())
    }

    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError> {
        Ok(self.tags.get(oid).cloned())
    }

    fn newest_tags(&self, most: usize) -> Result<Vec<Ref>, ReadError> {
        let mut tags = self.refs("refs/tags/")?;
        // Names of one commit's tags differ in their target.
        tags.sort_by_key(|tag| (tag.peeled.map(|oid| self.ordinals[&oid]), tag.name.clone()));
        Ok(tags.into_iter().rev().take(most).collect())
    }

    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError> {
        Ok(self.refs.values().filter(|r| r.name.starts_with(prefix)).cloned().collect())
    }
}
