//! The view of a tenant's objects that the facade reads.

use std::ops::Deref;
use std::sync::Arc;

use colophon_model::{Digest, GitKind, LogEntry, Oid, Ordinal, TagObject};

use crate::cache::{Made, PackedTag};
use crate::{Error, ReadError, RefForm, RefList, SentPage, TagList, Tags};

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

/// What an entry of the log is, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The object's id.
    pub oid: Oid,
    /// Its kind.
    pub kind: GitKind,
    /// Its size, in bytes.
    pub size: u64,
}

impl From<&LogEntry> for Shape {
    fn from(entry: &LogEntry) -> Self {
        Self { oid: entry.oid, kind: entry.kind, size: entry.size }
    }
}

/// An entry of a log, shared with all that read its page.
#[derive(Debug, Clone)]
pub struct Held {
    page: Arc<[LogEntry]>,
    index: usize,
}

impl Held {
    /// The entry at `index` of `page`, when the page has as many.
    pub(crate) fn of(page: &Arc<[LogEntry]>, index: usize) -> Option<Self> {
        (index < page.len()).then(|| Self { page: page.clone(), index })
    }
}

impl From<LogEntry> for Held {
    fn from(entry: LogEntry) -> Self {
        Self { page: [entry].into(), index: 0 }
    }
}

impl Deref for Held {
    type Target = LogEntry;

    fn deref(&self) -> &LogEntry {
        &self.page[self.index]
    }
}

/// Entries that are read, remembered and sent together.
pub(crate) const PAGE: u32 = 64;

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

    /// The same without a copy of its bytes, from a log that has them in memory.
    fn held(&self, at: Ordinal) -> Result<Option<Held>, ReadError> {
        Ok(self.entry(at)?.map(Held::from))
    }

    /// What the entry at a position is. For a log that can tell without reading its bytes.
    fn shape(&self, at: Ordinal) -> Result<Option<Shape>, ReadError> {
        Ok(self.entry(at)?.as_ref().map(Shape::from))
    }

    /// Entries from a position on, in order: at most `most`, and none after the one with which
    /// their payloads pass `bytes` together. For a log that reads neighbours together.
    fn entries(&self, from: Ordinal, most: u32, bytes: usize) -> Result<Vec<LogEntry>, ReadError> {
        let (mut entries, mut read) = (Vec::new(), 0);
        for at in (from.get()..u32::MAX).take(most as usize).map(Ordinal::new) {
            let Some(entry) = self.entry(at)? else { break };
            read += entry.deflated.len();
            entries.push(entry);
            if read > bytes {
                break;
            }
        }
        Ok(entries)
    }

    /// The object `oid` whole, from a log that remembers what was appended lately: the next commit rests on
    /// it. Its bytes are those of its id. What is remembered need not be in the log, so it says nothing of that.
    fn recent(&self, _oid: &Oid) -> Option<(GitKind, Arc<[u8]>)> {
        None
    }

    /// Says that `oid`, which has this kind and these bytes, is what the next commit may rest on.
    fn keep_recent(&self, _oid: Oid, _kind: GitKind, _bytes: &[u8]) {}

    /// The blob with this content, from a log that remembers which ids were computed lately. It need not be
    /// in the log either.
    fn recent_blob(&self, _content: &Digest) -> Option<Oid> {
        None
    }

    /// Says that the blob with this content is `oid`.
    fn keep_recent_blob(&self, _content: Digest, _oid: Oid) {}

    /// The form of the object at `at` that rests on `mate`, or on nothing: `form` makes it, for a log
    /// that does not remember what was made before.
    fn made(
        &self,
        _at: Ordinal,
        _mate: Option<Ordinal>,
        form: &mut dyn FnMut() -> Result<Made, Error>,
    ) -> Result<Arc<Made>, Error> {
        form().map(Arc::new)
    }

    /// What a pack holds of the annotated tag `oid`, which a ref of this view names: `pack` makes it,
    /// or does not want to, for a log that does not remember what was made before.
    fn packed_tag(
        &self,
        _oid: &Oid,
        pack: &mut dyn FnMut() -> Result<Option<PackedTag>, Error>,
    ) -> Result<Option<Arc<PackedTag>>, Error> {
        Ok(pack()?.map(Arc::new))
    }

    /// Every annotated tag of this view: `make` makes the list, for a log that does not remember what
    /// was made before.
    fn packed_tags(
        &self,
        make: &mut dyn FnMut() -> Result<TagList, Error>,
    ) -> Result<TagList, Error> {
        make()
    }

    /// The page of entries from `first` on as clones hold it: `make` makes it of entries. `None` from a
    /// log that does not remember what was made before, and where pages are not full.
    fn sent_page(
        &self,
        _first: Ordinal,
        _make: &mut dyn FnMut(&[LogEntry]) -> Option<SentPage>,
    ) -> Result<Option<Arc<SentPage>>, ReadError> {
        Ok(None)
    }

    /// This tenant's annotated tag `oid`.
    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError>;

    /// The refs whose names start with `prefix`, sorted by name in byte order. `HEAD` is not one.
    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError>;

    /// The ref with this full name.
    fn find_ref(&self, name: &str) -> Result<Option<Ref>, ReadError> {
        Ok(self.refs(name)?.into_iter().next().filter(|found| found.name == name))
    }

    /// A number that differs between two views of this log whenever their refs do. `None` when it is
    /// not known.
    fn ref_changes(&self) -> Result<Option<u64>, ReadError> {
        Ok(None)
    }

    /// The refs that `tags` shows, in a form: `write` writes them, for a log that does not remember
    /// what was written of the same refs before.
    fn ref_list(
        &self,
        _form: RefForm,
        _tags: Tags,
        write: &mut dyn FnMut() -> Result<RefList, Error>,
    ) -> Result<Arc<RefList>, Error> {
        write().map(Arc::new)
    }

    /// At most `most` tags, newest first: of commits in the order of the log, later ones first.
    fn newest_tags(&self, most: usize) -> Result<Vec<Ref>, ReadError>;
}
