//! What is remembered between requests: entries of logs, and the forms of objects that a log does not
//! hold. Logs are append-only, so that what is remembered stays true.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use colophon_model::{LogEntry, Oid, Ordinal, TagObject};
use quick_cache::Weighter;
use quick_cache::sync;

use crate::log::PAGE;
use crate::{
    Error, Held, ObjectLog, ReadError, Ref, RefForm, RefList, SentPage, Shape, TagList, Tags,
};

/// Payload bytes after which a page ends early, so that it fits into the memory of one request.
const PAGE_BYTES: usize = 256 * 1024;
/// About how many lists of refs are remembered.
const LISTS: usize = 16;
/// Weight of an entry beside its payload, in bytes.
const ENTRY: u64 = size_of::<LogEntry>() as u64;

/// Names a log among those that share a [`Cache`]; never given to another one.
pub type LogId = [u8; 16];

/// A bounded memory that all requests share. Safe to use from many threads.
#[derive(Debug)]
pub struct Cache {
    pages: sync::Cache<(LogId, u32), Arc<[LogEntry]>, Weight>,
    made: sync::Cache<(LogId, Ordinal, Option<Ordinal>), Arc<Made>, Weight>,
    /// How often a log was forgotten.
    turn: AtomicU64,
    tags: sync::Cache<(LogId, Oid), Arc<PackedTag>, Weight>,
    sent: sync::Cache<(LogId, u32), Arc<SentPage>, Weight>,
    refs: sync::Cache<(LogId, RefForm, Tags), Listing, Weight>,
    tag_lists: sync::Cache<LogId, Tagging, Weight>,
}

/// All tags as packs hold them, and the [`ObjectLog::ref_changes`] of the view that they are of.
#[derive(Debug, Clone)]
struct Tagging {
    changes: u64,
    list: TagList,
}

/// A list of refs, and the [`ObjectLog::ref_changes`] of the view that it was made of.
#[derive(Debug, Clone)]
struct Listing {
    changes: u64,
    list: Arc<RefList>,
}

/// A moment in the life of a [`Cache`], from before a snapshot was taken. What is read from that
/// snapshot is remembered unless a log was forgotten since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn(u64);

/// An object in a form that is made for one pack and may serve others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it is a delta against; `None` when it is whole.
    pub base: Option<Ordinal>,
    /// Size of `deflated` when inflated, in bytes.
    pub inflated: u64,
    /// A zlib stream.
    pub deflated: Vec<u8>,
}

/// An annotated tag as a pack holds it. A tag never changes; it can go, with the ref that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedTag {
    /// Where the commit stands that it points to.
    pub target: Ordinal,
    /// The size of the object, in bytes.
    pub size: u64,
    /// A zlib stream.
    pub deflated: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<(LogId, u32), Arc<[LogEntry]>> for Weight {
    fn weight(&self, _: &(LogId, u32), page: &Arc<[LogEntry]>) -> u64 {
        page.iter().map(|entry| ENTRY + entry.deflated.len() as u64).sum()
    }
}

impl Weighter<(LogId, Ordinal, Option<Ordinal>), Arc<Made>> for Weight {
    fn weight(&self, _: &(LogId, Ordinal, Option<Ordinal>), made: &Arc<Made>) -> u64 {
        ENTRY + made.deflated.len() as u64
    }
}

impl Weighter<(LogId, Oid), Arc<PackedTag>> for Weight {
    fn weight(&self, _: &(LogId, Oid), tag: &Arc<PackedTag>) -> u64 {
        (size_of::<PackedTag>() + tag.deflated.len()) as u64
    }
}

impl Weighter<(LogId, u32), Arc<SentPage>> for Weight {
    fn weight(&self, _: &(LogId, u32), page: &Arc<SentPage>) -> u64 {
        page.weight() as u64
    }
}

impl Weighter<(LogId, RefForm, Tags), Listing> for Weight {
    fn weight(&self, _: &(LogId, RefForm, Tags), listing: &Listing) -> u64 {
        (size_of::<RefList>() + listing.list.weight()) as u64
    }
}

impl Weighter<LogId, Tagging> for Weight {
    fn weight(&self, _: &LogId, tagging: &Tagging) -> u64 {
        let one = |(_, tag): &(Oid, Arc<PackedTag>)| {
            size_of::<(Oid, PackedTag)>() + size_of::<usize>() + tag.deflated.len()
        };
        tagging.list.iter().map(one).sum::<usize>() as u64
    }
}

impl Cache {
    /// Holds about `bytes` at most: three eighths of it for entries, a fourth for pages as clones hold
    /// them, and an eighth each for tags (one by one, and all of a log), for lists of refs, and for
    /// objects in forms that were made for a pack.
    pub fn new(bytes: u64) -> Self {
        let typical =
            |bytes: u64, weight: u64| usize::try_from(bytes / weight).unwrap_or(usize::MAX);
        let (made, tags, refs, sent) = (bytes / 8, bytes / 8, bytes / 8, bytes / 4);
        let pages = bytes - made - tags - refs - sent;
        Self {
            pages: sync::Cache::with_weighter(typical(pages, 16 * 1024), pages, Weight),
            made: sync::Cache::with_weighter(typical(made, 1024), made, Weight),
            turn: AtomicU64::new(0),
            tags: sync::Cache::with_weighter(typical(tags / 2, 512), tags / 2, Weight),
            tag_lists: sync::Cache::with_weighter(LISTS, tags / 2, Weight),
            sent: sync::Cache::with_weighter(typical(sent, 16 * 1024), sent, Weight),
            // In one part, so that a list may be as long as the memory is large.
            refs: sync::Cache::with_weighter(LISTS, refs, Weight),
        }
    }

    /// This moment. Ask before the snapshot is taken that `log` of [`Self::over`] shows.
    pub fn turn(&self) -> Turn {
        Turn(self.turn.load(Ordering::SeqCst))
    }

    /// The log `log`, named `id`, with this memory before it.
    pub const fn over<'a>(
        &'a self,
        turn: Turn,
        id: LogId,
        log: &'a dyn ObjectLog,
    ) -> CachedLog<'a> {
        CachedLog {
            cache: self,
            turn,
            id,
            log,
            whole_pages: Cell::new(None),
            last: Cell::new(None),
        }
    }

    /// Forgets all of a log: it was erased, or is not what it was. Call it after the change: what
    /// older snapshots show is not remembered from now on.
    pub fn forget(&self, id: LogId) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        self.pages.retain(|(log, _), _| *log != id);
        self.made.retain(|(log, _, _), _| *log != id);
        self.tags.retain(|(log, _), _| *log != id);
        self.tag_lists.retain(|log, _| *log != id);
        self.sent.retain(|(log, _), _| *log != id);
        self.refs.retain(|(log, _, _), _| *log != id);
    }

    /// What is held, in bytes.
    pub fn weight(&self) -> u64 {
        let objects = self.pages.weight() + self.sent.weight() + self.made.weight();
        objects + self.tags.weight() + self.tag_lists.weight() + self.refs.weight()
    }
}

/// A log with a memory before it.
pub struct CachedLog<'a> {
    cache: &'a Cache,
    turn: Turn,
    id: LogId,
    log: &'a dyn ObjectLog,
    /// The number of full pages, once it was asked for. What stands behind them is still growing.
    whole_pages: Cell<Option<u32>>,
    /// The page that was read last: most reads are of neighbours.
    last: Cell<Option<(u32, Arc<[LogEntry]>)>>,
}

impl CachedLog<'_> {
    fn whole_pages(&self) -> Result<u32, ReadError> {
        if let Some(pages) = self.whole_pages.get() {
            return Ok(pages);
        }
        let pages = self.log.len()? / PAGE;
        self.whole_pages.set(Some(pages));
        Ok(pages)
    }

    /// Shows the entry at a position to `look`. `None` behind the full pages, and
    /// when large neighbours have filled its page: such an entry is read by itself.
    fn look<T>(
        &self,
        at: Ordinal,
        look: impl FnOnce(&Arc<[LogEntry]>, usize) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        let (page, index) = (at.get() / PAGE, (at.get() % PAGE) as usize);
        if page >= self.whole_pages()? {
            return Ok(None);
        }
        let entries = match self.last.take() {
            Some((last, entries)) if last == page => entries,
            _ => self.page(page)?,
        };
        let found = look(&entries, index);
        self.last.set(Some((page, entries)));
        Ok(found)
    }

    fn page(&self, page: u32) -> Result<Arc<[LogEntry]>, ReadError> {
        let key = (self.id, page);
        if let Some(entries) = self.cache.pages.get(&key) {
            return Ok(entries);
        }
        let from = Ordinal::new(page * PAGE);
        let entries: Arc<[LogEntry]> = self.log.entries(from, PAGE, PAGE_BYTES)?.into();
        self.cache.pages.insert(key, entries.clone());
        if self.turn != self.cache.turn() {
            self.cache.pages.remove(&key);
        }
        Ok(entries)
    }
}

impl ObjectLog for CachedLog<'_> {
    fn len(&self) -> Result<u32, ReadError> {
        self.log.len()
    }

    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError> {
        self.log.ordinal(oid)
    }

    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError> {
        Ok(self.held(at)?.map(|held| LogEntry::clone(&held)))
    }

    fn held(&self, at: Ordinal) -> Result<Option<Held>, ReadError> {
        match self.look(at, Held::of)? {
            Some(held) => Ok(Some(held)),
            None => self.log.held(at),
        }
    }

    fn shape(&self, at: Ordinal) -> Result<Option<Shape>, ReadError> {
        match self.look(at, |page, index| page.get(index).map(Shape::from))? {
            Some(shape) => Ok(Some(shape)),
            None => self.log.shape(at),
        }
    }

    fn made(
        &self,
        at: Ordinal,
        mate: Option<Ordinal>,
        form: &mut dyn FnMut() -> Result<Made, Error>,
    ) -> Result<Arc<Made>, Error> {
        let key = (self.id, at, mate);
        if let Some(known) = self.cache.made.get(&key) {
            return Ok(known);
        }
        let fresh = Arc::new(form()?);
        self.cache.made.insert(key, fresh.clone());
        if self.turn != self.cache.turn() {
            self.cache.made.remove(&key);
        }
        Ok(fresh)
    }

    fn packed_tag(
        &self,
        oid: &Oid,
        pack: &mut dyn FnMut() -> Result<Option<PackedTag>, Error>,
    ) -> Result<Option<Arc<PackedTag>>, Error> {
        let key = (self.id, *oid);
        if let Some(known) = self.cache.tags.get(&key) {
            return Ok(Some(known));
        }
        let fresh = pack()?.map(Arc::new);
        if let Some(fresh) = &fresh {
            self.cache.tags.insert(key, fresh.clone());
            if self.turn != self.cache.turn() {
                self.cache.tags.remove(&key);
            }
        }
        Ok(fresh)
    }

    fn packed_tags(
        &self,
        make: &mut dyn FnMut() -> Result<TagList, Error>,
    ) -> Result<TagList, Error> {
        let Some(changes) = self.log.ref_changes().map_err(Error::Read)? else {
            return make();
        };
        let known = self.cache.tag_lists.get(&self.id);
        if let Some(known) = known.filter(|known| known.changes == changes) {
            return Ok(known.list);
        }
        let list = make()?;
        self.cache.tag_lists.insert(self.id, Tagging { changes, list: list.clone() });
        if self.turn != self.cache.turn() {
            self.cache.tag_lists.remove(&self.id);
        }
        Ok(list)
    }

    fn sent_page(
        &self,
        first: Ordinal,
        make: &mut dyn FnMut(&[LogEntry]) -> Option<SentPage>,
    ) -> Result<Option<Arc<SentPage>>, ReadError> {
        let key = (self.id, first.get() / PAGE);
        if let Some(known) = self.cache.sent.get(&key) {
            return Ok(Some(known));
        }
        if key.1 >= self.whole_pages()? {
            return Ok(None);
        }
        let entries = self.page(key.1)?;
        let whole = entries.len() == PAGE as usize;
        let fresh = whole.then(|| make(&entries)).flatten().map(Arc::new);
        if let Some(fresh) = &fresh {
            self.cache.sent.insert(key, fresh.clone());
            if self.turn != self.cache.turn() {
                self.cache.sent.remove(&key);
            }
        }
        Ok(fresh)
    }

    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError> {
        self.log.tag(oid)
    }

    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError> {
        self.log.refs(prefix)
    }

    fn find_ref(&self, name: &str) -> Result<Option<Ref>, ReadError> {
        self.log.find_ref(name)
    }

    fn ref_changes(&self) -> Result<Option<u64>, ReadError> {
        self.log.ref_changes()
    }

    fn ref_list(
        &self,
        form: RefForm,
        tags: Tags,
        write: &mut dyn FnMut() -> Result<RefList, Error>,
    ) -> Result<Arc<RefList>, Error> {
        let Some(changes) = self.log.ref_changes().map_err(Error::Read)? else {
            return write().map(Arc::new);
        };
        let key = (self.id, form, tags);
        if let Some(known) = self.cache.refs.get(&key).filter(|known| known.changes == changes) {
            return Ok(known.list);
        }
        let list = Arc::new(write()?);
        self.cache.refs.insert(key, Listing { changes, list: list.clone() });
        if self.turn != self.cache.turn() {
            self.cache.refs.remove(&key);
        }
        Ok(list)
    }

    fn newest_tags(&self, most: usize) -> Result<Vec<Ref>, ReadError> {
        self.log.newest_tags(most)
    }
}
